"""The outbox: facts, which handlers have dealt with them, and what is still to be offered."""

from django.db import models
from django.db.models.functions import Now

from gtm.shared.models.base import Row


class Event(Row):
    """A fact, in the past tense: timeline, audit trail and source of webhooks. Never updated (a trigger refuses it).

    It holds ids, codes and amounts, and no personal data: names and addresses are joined when shown.
    """

    PREFIX = "evt"

    position = models.BigIntegerField(
        unique=True, editable=False, db_default=models.expressions.RawSQL("nextval('shared_event_position')", [])
    )
    type = models.CharField(max_length=80)
    object_type = models.CharField(max_length=40)
    object_id = models.UUIDField()
    object_version = models.PositiveIntegerField(default=1)
    customer_id = models.UUIDField(null=True)
    account_id = models.UUIDField(null=True)
    test_clock = models.ForeignKey("shared.TestClock", null=True, on_delete=models.PROTECT, related_name="+")
    actor = models.CharField(max_length=60)
    on_behalf_of = models.CharField(max_length=60, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    data = models.JSONField(default=dict)
    previous = models.JSONField(default=dict)
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(fields=["customer_id", "-position"], name="shared_event_of_customer"),
            models.Index(fields=["account_id", "-position"], name="shared_event_of_account"),
            models.Index(fields=["type", "-position"], name="shared_event_of_type"),
            models.Index(fields=["object_id", "-position"], name="shared_event_of_object"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.position}"


class PendingFact(models.Model):
    """A fact that some handler has not dealt with yet. The row goes when every handler has its ``HandledFact``."""

    event = models.OneToOneField(Event, primary_key=True, on_delete=models.CASCADE, related_name="pending")
    test_clock_id = models.UUIDField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(db_default=Now())
    last_error = models.TextField(blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["next_attempt_at"], name="shared_pendingfact_due", condition=models.Q(test_clock_id=None)
            )
        ]

    def __str__(self) -> str:
        return str(self.event)


class HandledFact(models.Model):
    """A handler's writes and this row commit together, so that each handler deals with each fact once."""

    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="handled")
    handler = models.CharField(max_length=120)
    handled_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["event", "handler"], name="shared_handledfact_once")]
