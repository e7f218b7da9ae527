"""Charges wait to be billed, invoices gather them, documents show them. A finalized invoice is frozen by a trigger."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from billing.models.catalog import Meter, Price
from billing.models.customers import CollectionMethod, Customer, PaymentMethod
from billing.models.entities import LegalEntity
from billing.models.subscriptions import Subscription, SubscriptionItem
from gtm.shared.models import Resource, Row


class LineKind(models.TextChoices):
    RECURRING = "recurring", "Recurring"
    USAGE = "usage", "Usage"
    PRORATION_CREDIT = "proration_credit", "Credit for unused time"
    PRORATION_CHARGE = "proration_charge", "Charge for remaining time"
    MINIMUM = "minimum", "Minimum"
    ONE_OFF = "one_off", "One-off"


class LineReason(models.TextChoices):
    SUBSCRIPTION_START = "subscription_start", "Subscription start"
    SUBSCRIPTION_CYCLE = "subscription_cycle", "Subscription cycle"
    SUBSCRIPTION_CHANGE = "subscription_change", "Subscription change"
    SUBSCRIPTION_END = "subscription_end", "Subscription end"
    LATE_USAGE = "late_usage", "Late usage"
    MANUAL = "manual", "Manual"


class Invoice(Resource):
    """A draft, then frozen: after finalization only status and settlement move; a trigger refuses the rest."""

    PREFIX = "inv"

    class Status(models.TextChoices):
        DRAFT = "draft", "Draft"
        OPEN = "open", "Open"
        PAID = "paid", "Paid"
        VOID = "void", "Void"
        UNCOLLECTIBLE = "uncollectible", "Uncollectible"

    class PaymentStatus(models.TextChoices):
        NONE = "none", "None"
        PENDING = "pending", "Pending"
        REQUIRES_ACTION = "requires_action", "Requires action"
        FAILED = "failed", "Failed"
        DEFERRED = "deferred", "Deferred to the next charge"
        PAID = "paid", "Paid"

    number = models.CharField(max_length=60, null=True, blank=True)  # noqa: DJ001 -- drafts have none, numbers are unique
    legal_entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="invoices")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="invoices")
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=14, choices=Status.choices, default=Status.DRAFT)
    payment_status = models.CharField(max_length=16, choices=PaymentStatus.choices, default=PaymentStatus.NONE)
    collection_method = models.CharField(max_length=20, choices=CollectionMethod.choices)
    payment_method = models.ForeignKey(PaymentMethod, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    net_terms_days = models.PositiveSmallIntegerField(default=0)
    po_number = models.CharField("PO number", max_length=100, blank=True)
    tax_treatment = models.CharField(max_length=20, blank=True)
    subtotal = models.BigIntegerField(default=0)
    discount_total = models.BigIntegerField(default=0)
    tax_total = models.BigIntegerField(default=0)
    total = models.BigIntegerField(default=0)
    balance_applied = models.BigIntegerField(default=0)
    amount_paid = models.BigIntegerField(default=0)
    amount_credited = models.BigIntegerField(default=0)
    credit_note_total = models.BigIntegerField(default=0, help_text="Of all its credit notes.")
    issue_date = models.DateField(null=True, blank=True)
    due_date = models.DateField(null=True, blank=True)
    gathered_at = models.DateTimeField()
    finalize_at = models.DateTimeField(null=True, blank=True)
    finalized_at = models.DateTimeField(null=True, blank=True)
    paid_at = models.DateTimeField(null=True, blank=True)
    next_payment_attempt = models.DateTimeField(null=True, blank=True)
    dunning_case = models.ForeignKey(
        "billing.DunningCase", null=True, blank=True, on_delete=models.SET_NULL, related_name="invoices"
    )
    overdue_at = models.DateTimeField(null=True, blank=True, help_text="When its terms were found to be over.")
    seller = models.JSONField(default=dict)
    buyer = models.JSONField(default=dict)

    class Meta(Resource.Meta):
        indexes = [
            models.Index(fields=["customer", "-created_at"], name="billing_invoice_of_customer"),
            models.Index(fields=["created_at", "id"], name="billing_invoice_listed"),
            models.Index(fields=["finalize_at"], name="billing_invoice_to_finalize", condition=Q(status="draft")),
            models.Index(fields=["due_date"], name="billing_invoice_open", condition=Q(status="open")),
            models.Index(
                fields=["next_payment_attempt"],
                name="billing_invoice_to_collect",
                condition=Q(next_payment_attempt__isnull=False),
            ),
        ]
        constraints = [
            *Resource.Meta.constraints,
            models.UniqueConstraint(
                fields=["legal_entity", "number", "test_clock"],
                nulls_distinct=False,
                condition=Q(number__isnull=False),  # drafts have none
                name="billing_invoice_number_once",
            ),
            models.CheckConstraint(
                condition=Q(status="draft", number=None)
                | (~Q(status="draft") & Q(number__isnull=False, finalized_at__isnull=False)),
                name="billing_invoice_numbered_when_finalized",
            ),
            models.CheckConstraint(
                condition=Q(total=F("subtotal") - F("discount_total") + F("tax_total")),
                name="billing_invoice_total_adds_up",
            ),
            models.CheckConstraint(
                condition=Q(total__gte=0) | Q(status="draft"), name="billing_invoice_not_below_zero"
            ),
            models.CheckConstraint(
                condition=Q(amount_paid__gte=0, amount_credited__gte=0, balance_applied__gte=0)
                & Q(total__gte=F("amount_paid") + F("amount_credited") + F("balance_applied")),
                name="billing_invoice_not_overpaid",
            ),
            models.CheckConstraint(
                condition=Q(credit_note_total__gte=0, credit_note_total__lte=F("total"))
                | Q(credit_note_total=0, status="draft"),
                name="billing_invoice_not_overcredited",
            ),
        ]

    def __str__(self) -> str:
        return self.number or f"Draft {self.public_id}"

    @property
    def amount_due(self) -> int:
        """Minor units still owed."""
        if self.status in {self.Status.VOID, self.Status.DRAFT}:
            return 0 if self.status == self.Status.VOID else self.total
        return self.total - self.amount_paid - self.amount_credited - self.balance_applied


class InvoiceLine(Row):
    """What is billed, for whom and for which service period; ``amount`` is before discount and tax."""

    PREFIX = "il"

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="lines", db_index=False)
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=20, choices=LineKind.choices)
    reason = models.CharField(max_length=20, choices=LineReason.choices)
    description = models.CharField(max_length=500)
    subscription = models.ForeignKey(Subscription, null=True, on_delete=models.PROTECT, related_name="+")
    subscription_item = models.ForeignKey(SubscriptionItem, null=True, on_delete=models.PROTECT, related_name="+")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+")
    price = models.ForeignKey(Price, null=True, on_delete=models.PROTECT, related_name="+")
    meter = models.ForeignKey(Meter, null=True, on_delete=models.PROTECT, related_name="+")
    quantity = models.DecimalField(max_digits=38, decimal_places=12)
    unit_amount = models.DecimalField(max_digits=38, decimal_places=12, null=True)
    amount = models.BigIntegerField()
    discount_amount = models.BigIntegerField(default=0)
    tax_amount = models.BigIntegerField(default=0)
    taxes = models.JSONField(default=list, help_text="Treatment, rates, place, evidence and date of the tax decision.")
    period_start = models.DateTimeField(null=True)
    period_end = models.DateTimeField(null=True)
    credits_line = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="credited_by")
    explanation = models.JSONField(default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["invoice", "position"], name="billing_invoiceline_position_once"),
            models.CheckConstraint(
                condition=Q(period_end=None) | Q(period_end__gt=F("period_start")),
                name="billing_invoiceline_period_has_length",
            ),
        ]


class InvoiceTax(Row):
    """Tax of one rate on the whole document."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="taxes")
    rate = models.CharField(max_length=60)
    name = models.CharField(max_length=100)
    percentage = models.DecimalField(max_digits=8, decimal_places=5)
    taxable = models.BigIntegerField()
    amount = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["invoice", "rate"], name="billing_invoicetax_rate_once")]


class Charge(Row):
    """A pending amount. Its natural key is unique, and it ends once, so that nothing can be billed twice."""

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        BILLED = "billed", "Billed"
        WAIVED = "waived", "Waived"
        REPLACED = "replaced", "Replaced"

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+")
    payer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="charges")
    subscription = models.ForeignKey(Subscription, null=True, on_delete=models.PROTECT, related_name="charges")
    item = models.ForeignKey(
        SubscriptionItem, null=True, on_delete=models.PROTECT, related_name="charges", db_index=False
    )
    kind = models.CharField(max_length=20, choices=LineKind.choices)
    reason = models.CharField(max_length=20, choices=LineReason.choices)
    period_index = models.PositiveIntegerField(default=0)
    revision = models.PositiveIntegerField(default=0)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    currency = models.CharField(max_length=3)
    amount = models.BigIntegerField()
    quantity = models.DecimalField(max_digits=38, decimal_places=12)
    unit_amount = models.DecimalField(max_digits=38, decimal_places=12, null=True)
    description = models.CharField(max_length=500)
    explanation = models.JSONField(default=list)
    price = models.ForeignKey(Price, null=True, on_delete=models.PROTECT, related_name="+")
    meter = models.ForeignKey(Meter, null=True, on_delete=models.PROTECT, related_name="+")
    tax_class = models.CharField(max_length=40, default="standard")
    period_start = models.DateTimeField(null=True)
    period_end = models.DateTimeField(null=True)
    invoice_at = models.DateTimeField()
    invoice_line = models.OneToOneField(InvoiceLine, null=True, on_delete=models.PROTECT, related_name="charge")
    credits_line = models.ForeignKey(
        InvoiceLine,
        null=True,
        on_delete=models.PROTECT,
        related_name="credit_charges",
        help_text="The line whose unused or corrected part this gives back, with that line's tax.",
    )
    test_clock = models.ForeignKey("shared.TestClock", null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["item", "kind", "period_index", "revision"], name="billing_charge_once"),
            models.CheckConstraint(
                condition=Q(status="billed", invoice_line__isnull=False) | (~Q(status="billed") & Q(invoice_line=None)),
                name="billing_charge_billed_has_line",
            ),
        ]
        indexes = [
            models.Index(fields=["payer", "invoice_at"], name="billing_charge_pending", condition=Q(status="pending")),
            models.Index(
                fields=["customer", "meter", "period_end"], name="billing_charge_of_usage", condition=Q(kind="usage")
            ),
        ]
