"""Teams, the queues they watch, and who is away."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from gtm.shared.models import Resource, Row


class Team(Resource):
    PREFIX = "team"

    code = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=200)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="children")
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, through="TeamMembership", related_name="teams")

    def __str__(self) -> str:
        return self.name


class TeamMembership(Row):
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="team_memberships")
    is_manager = models.BooleanField(
        default=False, help_text="Sees and may work everything of this team and the teams below it."
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "user"], name="crm_teammembership_once")]


class Queue(Row):
    """Where accounts and leads without an owner wait, watched by a team. Exactly one is the catch-all."""

    PREFIX = "queue"

    code = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=200)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="queues")
    is_catch_all = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["is_catch_all"], condition=Q(is_catch_all=True), name="crm_queue_one_catch_all"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Leave(Row):
    """A rep is away on [starts_at, ends_at) and gets nothing new meanwhile; the stand-in works their book."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="leaves")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    cover = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="stands_in",
        help_text="Sees and works the accounts of who is away, for these days.",
    )

    class Meta:
        indexes = [
            models.Index(fields=["user", "ends_at"], name="crm_leave_of_user"),
            models.Index(fields=["cover", "ends_at"], name="crm_leave_covered_by"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="crm_leave_has_length"),
            models.CheckConstraint(condition=~Q(cover=F("user")), name="crm_leave_covered_by_somebody_else"),
        ]
