"""Webhooks out: who listens, which fact goes to whom, and what every attempt met with."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from gtm.shared.models.base import Resource, Row
from gtm.shared.models.events import Event
from gtm.shared.models.users import User


class WebhookEndpointQuerySet(models.QuerySet["WebhookEndpoint"]):
    def visible_to(self, user: User | None) -> "WebhookEndpointQuerySet":
        """Facts of all customers go there, so only who sees all of them sees where."""
        return self if user is None or user.sees_all else self.none()


class WebhookEndpoint(Resource):
    """An address that facts are sent to. Its signing secret is kept sealed: signing needs it back, a digest won't do.

    ``event_types`` are types or patterns such as ``billing.invoice.*``; none means all. ``failing_since`` is the first
    failure after the last success. Until ``previous_valid_until`` the secret before the last rotation signs too.
    """

    PREFIX = "whe"

    class ApiVersion(models.TextChoices):
        V1 = "v1", "v1"

    class DisabledReason(models.TextChoices):
        MANUAL = "manual", "Switched off by hand"
        FAILING = "failing", "Switched off after failing for days"

    url = models.CharField("URL", max_length=2000)
    event_types = ArrayField(models.CharField(max_length=80), default=list, blank=True)
    description = models.CharField(max_length=500, blank=True)
    enabled = models.BooleanField(default=True)
    api_version = models.CharField("API version", max_length=10, choices=ApiVersion.choices, default=ApiVersion.V1)
    sealed_secret = models.TextField(editable=False)
    sealed_previous = models.TextField(blank=True, editable=False)
    previous_valid_until = models.DateTimeField(null=True, editable=False)
    disabled_at = models.DateTimeField(null=True, editable=False)
    disabled_reason = models.CharField(max_length=10, choices=DisabledReason.choices, blank=True, editable=False)
    failing_since = models.DateTimeField(null=True, editable=False)
    warned_at = models.DateTimeField(null=True, editable=False)

    objects = WebhookEndpointQuerySet.as_manager()

    class Meta(Resource.Meta):
        constraints = [
            *Resource.Meta.constraints,
            models.CheckConstraint(
                condition=Q(enabled=True, disabled_at=None, disabled_reason="")
                | (Q(enabled=False, disabled_at__isnull=False) & ~Q(disabled_reason="")),
                name="shared_webhookendpoint_disabled_says_why",
            ),
            models.CheckConstraint(
                condition=Q(warned_at=None) | Q(failing_since__isnull=False),
                name="shared_webhookendpoint_warned_while_failing",
            ),
        ]

    def __str__(self) -> str:
        return self.description or self.url


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    def visible_to(self, user: User | None) -> "WebhookDeliveryQuerySet":
        return self if user is None or user.sees_all else self.none()


class WebhookDelivery(Row):
    """One fact for one endpoint. ``failures`` are those in a row since it was queued, which decide the next wait."""

    PREFIX = "dlv"

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        SUCCEEDED = "succeeded", "Succeeded"
        FAILED = "failed", "Failed"

    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="webhook_deliveries")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    failures = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    response_status = models.PositiveSmallIntegerField(null=True)
    last_error = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    queued_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    objects = WebhookDeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "webhook deliveries"
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "event"], name="shared_webhookdelivery_once"),
            models.CheckConstraint(
                condition=Q(status="pending", next_attempt_at__isnull=False, finished_at=None)
                | (~Q(status="pending") & Q(next_attempt_at=None, finished_at__isnull=False)),
                name="shared_webhookdelivery_pending_is_due_sometime",
            ),
        ]
        indexes = [
            models.Index(
                fields=["endpoint", "next_attempt_at", "id"],
                name="shared_webhookdelivery_due",
                condition=Q(status="pending"),
            ),
            models.Index(fields=["endpoint", "-id"], name="shared_webhookdelivery_newest"),
            models.Index(fields=["-id"], name="shared_webhookdelivery_failed", condition=Q(status="failed")),
            models.Index(fields=["queued_at"], name="shared_webhookdelivery_age"),
        ]

    def __str__(self) -> str:
        return f"{self.event.type} {self.public_id}"


class WebhookAttempt(Row):
    """One request. The row is committed before it is sent: without ``finished_at`` nobody knows what came of it."""

    delivery = models.ForeignKey(WebhookDelivery, on_delete=models.CASCADE, related_name="log")
    number = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    duration_ms = models.PositiveIntegerField(null=True)
    response_status = models.PositiveSmallIntegerField(null=True)
    response_excerpt = models.CharField(max_length=1000, blank=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["started_at"], name="shared_webhookattempt_open", condition=Q(finished_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.delivery_id} {self.number}"


class UnsentFact(models.Model):
    """A fact whose deliveries are still to be made: the database lists it with the fact itself, by a trigger.

    So the list is right whichever transaction commits first, and writing facts costs nothing while nobody listens.
    """

    position = models.BigIntegerField(primary_key=True)

    def __str__(self) -> str:
        return str(self.position)
