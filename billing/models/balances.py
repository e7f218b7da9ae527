"""Money that goes back, and what stands to a payer's credit."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from billing.models.credit_notes import CreditNote
from billing.models.customers import Customer
from billing.models.invoices import Invoice
from billing.models.payments import Payment
from gtm.shared.models import Resource, Row


class Refund(Resource):
    """Money that goes back to a payer. It commits before the gateway is called; its id is the idempotency key."""

    PREFIX = "ref"

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        SUCCEEDED = "succeeded", "Succeeded"
        FAILED = "failed", "Failed"

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="refunds")
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds")
    credit_note = models.ForeignKey(CreditNote, null=True, blank=True, on_delete=models.PROTECT, related_name="refunds")
    currency = models.CharField(max_length=3)
    amount = models.BigIntegerField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    by_hand = models.BooleanField(default=False, help_text="No gateway took the money: somebody has to send it back.")
    reason = models.CharField(max_length=500, blank=True)
    gateway_reference = models.CharField(max_length=200, blank=True)
    failure_code = models.CharField(max_length=60, blank=True)
    refunded_at = models.DateTimeField(null=True, blank=True)
    asked_at = models.DateTimeField(null=True, editable=False)

    class Meta(Resource.Meta):
        indexes = [
            models.Index(fields=["customer", "-created_at"], name="billing_refund_of_customer"),
            models.Index(fields=["created_at", "id"], name="billing_refund_listed"),
            models.Index(fields=["created_at"], name="billing_refund_pending", condition=Q(status="pending")),
        ]
        constraints = [
            *Resource.Meta.constraints,
            models.CheckConstraint(condition=Q(amount__gt=0), name="billing_refund_is_positive"),
        ]

    def __str__(self) -> str:
        return self.public_id


class CustomerBalance(Row):
    """What stands to a payer's credit in a currency: the sum of its entries, under a lock and never below zero."""

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="balances")
    currency = models.CharField(max_length=3)
    amount = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["customer", "currency"], name="billing_customerbalance_once"),
            models.CheckConstraint(condition=Q(amount__gte=0), name="billing_customerbalance_not_negative"),
        ]


class BalanceEntry(Row):
    """One movement of a balance: positive to the customer's credit, negative when it is used. Only ever added."""

    PREFIX = "be"

    class Kind(models.TextChoices):
        CREDIT_NOTE = "credit_note", "Credit note"
        OVERPAYMENT = "overpayment", "Overpayment"
        APPLIED = "applied", "Applied to an invoice"
        RETURNED = "returned", "Returned from a void invoice"
        REFUNDED = "refunded", "Refunded"
        ADJUSTMENT = "adjustment", "Adjustment"
        DISPUTED = "disputed", "Taken back by the payer's bank"
        REINSTATED = "reinstated", "Given back by the payer's bank"

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="balance_entries")
    currency = models.CharField(max_length=3)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    amount = models.BigIntegerField()
    balance_after = models.BigIntegerField()
    invoice = models.ForeignKey(Invoice, null=True, on_delete=models.PROTECT, related_name="+")
    credit_note = models.ForeignKey(CreditNote, null=True, on_delete=models.PROTECT, related_name="+")
    payment = models.ForeignKey(Payment, null=True, on_delete=models.PROTECT, related_name="+")
    refund = models.ForeignKey(Refund, null=True, on_delete=models.PROTECT, related_name="+")
    actor = models.CharField(max_length=60)
    reason = models.CharField(max_length=500, blank=True)
    test_clock = models.ForeignKey("shared.TestClock", null=True, on_delete=models.PROTECT, related_name="+")
    occurred_at = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "balance entries"
        indexes = [
            models.Index(fields=["customer", "-created_at"], name="billing_balanceentry_of"),
            models.Index(fields=["created_at", "id"], name="billing_balanceentry_listed"),
        ]
        constraints = [
            models.CheckConstraint(condition=~Q(amount=0), name="billing_balanceentry_moves_something"),
            models.CheckConstraint(condition=Q(balance_after__gte=0), name="billing_balanceentry_not_below_zero"),
        ]

    def __str__(self) -> str:
        return self.public_id
