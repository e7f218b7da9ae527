"""What passes between Tandem and a payment gateway: who is who there, what it told us, and the sandbox's memory."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from billing.models.customers import Customer
from gtm.shared.models import Row


class GatewayCustomer(Row):
    """A customer's name at a gateway. There is one for each gateway: test keys and live keys know different people."""

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="gateway_customers")
    gateway = models.CharField(max_length=20)
    reference = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["customer", "gateway"], name="billing_gatewaycustomer_once"),
            models.UniqueConstraint(fields=["gateway", "reference"], name="billing_gatewaycustomer_reference_once"),
        ]

    def __str__(self) -> str:
        return self.reference


class GatewayEvent(Row):
    """Something a gateway told us by webhook: written down as it came in, once for each of its ids, then dealt with.

    ``payload`` is what was signed, without secrets and personal data. ``due_at`` is when it is tried (again); null
    once it is done.
    """

    PREFIX = "gev"

    class Status(models.TextChoices):
        RECEIVED = "received", "Received"
        PROCESSED = "processed", "Processed"
        IGNORED = "ignored", "Ignored"
        FAILED = "failed", "Failed"

    gateway = models.CharField(max_length=20)
    event_id = models.CharField(max_length=200)
    type = models.CharField(max_length=100)
    object_id = models.CharField(max_length=200, blank=True)
    payload = models.JSONField(default=dict)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.RECEIVED)
    error = models.CharField(max_length=500, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    occurred_at = models.DateTimeField(null=True)
    received_at = models.DateTimeField(db_default=Now(), editable=False)
    due_at = models.DateTimeField(null=True, db_default=Now())
    processed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["gateway", "event_id"], name="billing_gatewayevent_once")]
        indexes = [
            models.Index(fields=["due_at"], name="billing_gatewayevent_due", condition=Q(due_at__isnull=False)),
            models.Index(fields=["-received_at"], name="billing_gatewayevent_listed"),
            models.Index(fields=["object_id"], name="billing_gatewayevent_object"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"


class SandboxCharge(models.Model):
    """What the sandbox gateway "remembers" on its side of the wire: one answer per idempotency key."""

    COMING = "coming"

    idempotency_key = models.CharField(max_length=100, primary_key=True)
    reference = models.CharField(max_length=100, unique=True)
    outcome = models.CharField(max_length=20)
    later = models.CharField(max_length=20, blank=True, help_text="What a direct debit comes to, asked about again.")
    failure_code = models.CharField(max_length=60, blank=True)
    amount = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    dispute = models.CharField(
        max_length=16, blank=True, help_text="How a dispute of it stands; the one that is coming is told of next."
    )
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(fields=["created_at"], name="billing_sandboxcharge_disputed", condition=Q(dispute="coming"))
        ]
