"""Credit notes: what of a finalized invoice is given back, line by line, and how it was settled."""

from django.db import models
from django.db.models import F, Q

from billing.models.customers import Customer
from billing.models.entities import LegalEntity
from billing.models.invoices import Charge, Invoice, InvoiceLine
from gtm.shared.models import Resource, Row


class CreditNote(Resource):
    """Gives back part of a finalized invoice. Whatever is still open is offset first; a trigger freezes the rest."""

    PREFIX = "cn"

    class Status(models.TextChoices):
        ISSUED = "issued", "Issued"

    class Settle(models.TextChoices):
        BALANCE = "balance", "To the balance"
        REFUND = "refund", "Refund"
        OFFSET = "offset", "Against what is open"

    number = models.CharField(max_length=60)
    legal_entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="+")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="credit_notes")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="credit_notes")
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ISSUED)
    reason = models.CharField(max_length=500, blank=True)
    settle = models.CharField(max_length=10, choices=Settle.choices)
    subtotal = models.BigIntegerField()
    tax_total = models.BigIntegerField()
    total = models.BigIntegerField()
    offset_amount = models.BigIntegerField(default=0)
    balance_amount = models.BigIntegerField(default=0)
    refund_amount = models.BigIntegerField(default=0)
    issue_date = models.DateField()
    issued_at = models.DateTimeField()
    seller = models.JSONField(default=dict)
    buyer = models.JSONField(default=dict)

    class Meta(Resource.Meta):
        indexes = [
            models.Index(fields=["customer", "-created_at"], name="billing_creditnote_of_customer"),
            models.Index(fields=["created_at", "id"], name="billing_creditnote_listed"),
        ]
        constraints = [
            *Resource.Meta.constraints,
            models.UniqueConstraint(
                fields=["legal_entity", "number", "test_clock"],
                nulls_distinct=False,
                name="billing_creditnote_number_once",
            ),
            models.CheckConstraint(
                condition=Q(total=F("subtotal") + F("tax_total"), total__gt=0), name="billing_creditnote_total_adds_up"
            ),
            models.CheckConstraint(
                condition=Q(total=F("offset_amount") + F("balance_amount") + F("refund_amount"))
                & Q(offset_amount__gte=0, balance_amount__gte=0, refund_amount__gte=0),
                name="billing_creditnote_is_settled_in_full",
            ),
        ]

    def __str__(self) -> str:
        return self.number


class CreditNoteLine(Row):
    """How much of an invoice's line is given back: ``amount`` net of its discount and before tax, above 0."""

    credit_note = models.ForeignKey(CreditNote, on_delete=models.PROTECT, related_name="lines", db_index=False)
    position = models.PositiveIntegerField()
    invoice_line = models.ForeignKey(InvoiceLine, on_delete=models.PROTECT, related_name="credit_note_lines")
    charge = models.OneToOneField(
        Charge,
        null=True,
        on_delete=models.PROTECT,
        related_name="credit_note_line",
        help_text="The pending credit that this replaces, where no invoice had room for it.",
    )
    description = models.CharField(max_length=500)
    amount = models.BigIntegerField()
    tax_amount = models.BigIntegerField(default=0)
    taxes = models.JSONField(default=list)
    period_start = models.DateTimeField(null=True)
    period_end = models.DateTimeField(null=True)
    explanation = models.JSONField(default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["credit_note", "position"], name="billing_creditnoteline_position_once"),
            models.CheckConstraint(
                condition=Q(amount__gte=0, tax_amount__gte=0), name="billing_creditnoteline_not_negative"
            ),
        ]


class CreditNoteTax(Row):
    """Tax of one rate that the whole note gives back."""

    credit_note = models.ForeignKey(CreditNote, on_delete=models.PROTECT, related_name="taxes", db_index=False)
    rate = models.CharField(max_length=60)
    name = models.CharField(max_length=100)
    percentage = models.DecimalField(max_digits=8, decimal_places=5)
    taxable = models.BigIntegerField()
    amount = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["credit_note", "rate"], name="billing_creditnotetax_rate_once")]
