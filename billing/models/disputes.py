"""Payments that a payer's bank takes back, or wants explained."""

from django.db import models
from django.db.models import Q

from billing.models.customers import Customer
from billing.models.invoices import Invoice
from billing.models.payments import Payment
from gtm.shared.models import Resource


class DisputeQuerySet(models.QuerySet["Dispute"]):
    def open(self) -> "DisputeQuerySet":
        """Those that are not decided: what was paid with the money waits, and so does dunning."""
        return self.filter(status__in=Dispute.OPEN)

    def of_invoices(self, invoices: "models.QuerySet[Invoice] | list[Invoice]") -> "DisputeQuerySet":
        return self.filter(payment__allocations__invoice__in=invoices).distinct()


class Dispute(Resource):
    """A payment that the payer's bank has taken back (a chargeback, a returned debit) or asks about (an inquiry).

    ``amount`` is what is disputed; ``amount_reversed`` is how much of it pays for nothing now, of which ``uncovered``
    had gone into the payer's balance and was used before it could be taken back.
    """

    PREFIX = "dis"

    class Kind(models.TextChoices):
        CHARGEBACK = "chargeback", "Chargeback"
        INQUIRY = "inquiry", "Inquiry"
        RETURN = "return", "Returned debit"

    class Status(models.TextChoices):
        NEEDS_RESPONSE = "needs_response", "Needs response"
        UNDER_REVIEW = "under_review", "Under review"
        WON = "won", "Won"
        LOST = "lost", "Lost"

    OPEN = (Status.NEEDS_RESPONSE, Status.UNDER_REVIEW)

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="disputes")
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="disputes")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    status = models.CharField(max_length=16, choices=Status.choices)
    currency = models.CharField(max_length=3)
    amount = models.BigIntegerField()
    amount_reversed = models.BigIntegerField(default=0)
    uncovered = models.BigIntegerField(default=0)
    reason = models.CharField(max_length=60, blank=True)
    gateway = models.CharField(max_length=20)
    gateway_reference = models.CharField(max_length=200)
    respond_by = models.DateTimeField(null=True, blank=True)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    objects = DisputeQuerySet.as_manager()

    class Meta(Resource.Meta):
        indexes = [
            models.Index(fields=["customer", "-created_at"], name="billing_dispute_of_customer"),
            models.Index(fields=["created_at", "id"], name="billing_dispute_listed"),
            models.Index(
                fields=["respond_by"],
                name="billing_dispute_open",
                condition=Q(status__in=["needs_response", "under_review"]),
            ),
        ]
        constraints = [
            *Resource.Meta.constraints,
            models.UniqueConstraint(fields=["gateway", "gateway_reference"], name="billing_dispute_once"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="billing_dispute_is_positive"),
            models.CheckConstraint(
                condition=Q(amount_reversed__gte=0, uncovered__gte=0) & Q(uncovered__lte=models.F("amount_reversed")),
                name="billing_dispute_reversed_bounded",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id
