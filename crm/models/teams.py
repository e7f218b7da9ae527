"""Teams, the queues they watch, and who is away."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from crm.models import scoping
from gtm.shared.models import Resource, Row, User


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


class LeaveQuerySet(models.QuerySet["Leave"]):
    def visible_to(self, user: User) -> Self:
        """One's own, and those of the people whom one leads; founders see all."""
        return self.filter(Q(user=user) | Q(user__in=scoping.led_by(user)))

    def in_force(self) -> Self:
        """Those that hold now, by the database's clock."""
        return self.filter(starts_at__lte=Now(), ends_at__gt=Now())


class Leave(Row):
    """A rep is away on [starts_at, ends_at) and gets nothing new meanwhile; the stand-in works their book."""

    PREFIX = "leave"

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
    objects = LeaveQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["user", "ends_at"], name="crm_leave_of_user"),
            models.Index(fields=["cover", "ends_at"], name="crm_leave_covered_by"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="crm_leave_has_length"),
            models.CheckConstraint(condition=~Q(cover=F("user")), name="crm_leave_covered_by_somebody_else"),
        ]
