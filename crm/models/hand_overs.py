"""Hand-overs: somebody's whole book given to one colleague or to a pool, row by row, and back."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from crm.models import scoping
from crm.models.routing import Pool
from gtm.shared.models import Row, User


class HandOverQuerySet(models.QuerySet["HandOver"]):
    def visible_to(self, user: User) -> Self:
        """Those of the people whom one leads."""
        return self.filter(leaver__in=scoping.led_by(user))


class HandOver(Row):
    """One leaver's book on its way. The rows say who gets what; ``position`` of them are dealt with."""

    PREFIX = "hand"

    class State(models.TextChoices):
        QUEUED = "queued", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        UNDOING = "undoing", "Being undone"
        UNDONE = "undone", "Undone"

    WORKING = (State.QUEUED, State.RUNNING, State.UNDOING)

    leaver = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="books_given")
    receiver = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="books_taken"
    )
    pool = models.ForeignKey(Pool, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=200, blank=True)
    deactivates = models.BooleanField(default=False, help_text="The leaver can't sign in any more when it is done.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    total = models.PositiveIntegerField(default=0)
    position = models.PositiveIntegerField(default=0)
    undone = models.PositiveIntegerField(default=0, help_text="How many rows the undoing has come to.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    worked_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    objects = HandOverQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="crm_handover_listed"),
            models.Index(fields=["leaver", "-created_at"], name="crm_handover_of_leaver"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["leaver"],
                condition=Q(state__in=["queued", "running", "undoing"]),
                name="crm_handover_one_at_work",
            ),
            models.CheckConstraint(
                condition=Q(receiver=None, pool__isnull=False) | Q(receiver__isnull=False, pool=None),
                name="crm_handover_to_somebody_or_a_pool",
            ),
            models.CheckConstraint(condition=~Q(receiver=F("leaver")), name="crm_handover_to_somebody_else"),
            models.CheckConstraint(condition=Q(position__lte=F("total")), name="crm_handover_within_total"),
        ]

    @property
    def is_working(self) -> bool:
        return self.state in self.WORKING

    @property
    def percent(self) -> int:
        """How much of it is done, of 100."""
        done = self.undone if self.state in (self.State.UNDOING, self.State.UNDONE) else self.position
        return done * 100 // self.total if self.total else 100


class HandOverRow(Row):
    """One account, opportunity, lead, task or alert of the book, and who gets it."""

    class Kind(models.TextChoices):
        ACCOUNT = "account", "Account"
        OPPORTUNITY = "opportunity", "Opportunity"
        LEAD = "lead", "Lead"
        TASK = "task", "Task"
        ALERT = "alert", "Alert"

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        DONE = "done", "Handed over"
        KEPT = "kept", "Left as it is"
        UNDONE = "undone", "Given back"

    hand_over = models.ForeignKey(HandOver, on_delete=models.CASCADE, related_name="rows")
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=12, choices=Kind.choices)
    object_id = models.UUIDField()
    receiver = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["hand_over", "position"], name="crm_handoverrow_in_order"),
            models.UniqueConstraint(fields=["hand_over", "kind", "object_id"], name="crm_handoverrow_once"),
        ]
