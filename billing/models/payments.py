"""Money in: payments, the attempts before each gateway call, and allocations, the only source of what is paid."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from billing.models.credit_notes import CreditNote
from billing.models.customers import Customer, PaymentMethod
from billing.models.entities import LegalEntity
from billing.models.invoices import Invoice
from gtm.shared.models import Resource, Row


class Payment(Resource):
    """Money from a payer, by card or by hand. It settles invoices through allocations."""

    PREFIX = "pay"

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        PROCESSING = "processing", "Processing"
        REQUIRES_ACTION = "requires_action", "Requires action"
        SUCCEEDED = "succeeded", "Succeeded"
        FAILED = "failed", "Failed"

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="payments")
    legal_entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="+")
    currency = models.CharField(max_length=3)
    amount = models.BigIntegerField()
    amount_refunded = models.BigIntegerField(default=0)
    amount_disputed = models.BigIntegerField(
        default=0, help_text="What the payer's bank holds or has taken back: it pays for nothing and can't be refunded."
    )
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    method = models.CharField(max_length=20)
    payment_method = models.ForeignKey(PaymentMethod, null=True, on_delete=models.PROTECT, related_name="payments")
    gateway = models.CharField(max_length=20, blank=True)
    gateway_reference = models.CharField(max_length=200, blank=True)
    reference = models.CharField(max_length=200, blank=True)
    failure_code = models.CharField(max_length=60, blank=True)
    failure_message = models.CharField(max_length=300, blank=True)
    attempt = models.PositiveIntegerField(default=0)
    next_retry_at = models.DateTimeField(null=True, blank=True)
    paid_at = models.DateTimeField(null=True, blank=True)

    class Meta(Resource.Meta):
        indexes = [
            models.Index(fields=["customer", "-created_at"], name="billing_payment_of_customer"),
            models.Index(fields=["created_at", "id"], name="billing_payment_listed"),
        ]
        constraints = [
            *Resource.Meta.constraints,
            models.CheckConstraint(condition=Q(amount__gt=0), name="billing_payment_is_positive"),
            models.CheckConstraint(
                condition=Q(amount_refunded__gte=0, amount_disputed__gte=0)
                & Q(amount__gte=F("amount_refunded") + F("amount_disputed")),
                name="billing_payment_refund_bounded",
            ),
            models.UniqueConstraint(
                fields=["gateway", "gateway_reference"],
                condition=~Q(gateway_reference=""),
                name="billing_payment_gateway_reference_once",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def is_going(self) -> bool:
        """Whether it is under way at the gateway, with nobody's confirmation wanted: neither paid nor refused yet."""
        return self.status in {self.Status.PENDING, self.Status.PROCESSING}


class PaymentAttempt(Row):
    """Commits before each gateway call; its id is the idempotency key. It may pay several invoices of one payer.

    ``gateway_reference`` is the gateway's name for this charge, once an answer came. ``on_session``: the payer was
    there, and could confirm. ``make_default``: the payer wishes that what pays this pays later invoices, too. ``hard``:
    this method is not to be tried again. ``asked_at``: when the gateway was last asked what became of it, in wall time.
    """

    class Status(models.TextChoices):
        LIVE = "live", "Live"
        SUCCEEDED = "succeeded", "Succeeded"
        FAILED = "failed", "Failed"
        REQUIRES_ACTION = "requires_action", "Requires action"

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="attempts")
    invoices = models.ManyToManyField(Invoice, through="AttemptShare", related_name="payment_attempts")
    payment_method = models.ForeignKey(PaymentMethod, on_delete=models.PROTECT, related_name="+")
    amount = models.BigIntegerField()
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.LIVE)
    gateway_reference = models.CharField(max_length=200, blank=True)
    failure_code = models.CharField(max_length=60, blank=True)
    hard = models.BooleanField(default=False)
    on_session = models.BooleanField(default=False)
    make_default = models.BooleanField(default=False)
    started_at = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now())
    asked_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["gateway_reference"],
                condition=~Q(gateway_reference=""),
                name="billing_paymentattempt_gateway_reference_once",
            ),
        ]
        indexes = [
            models.Index(fields=["created_at"], name="billing_attempt_live", condition=Q(status="live")),
            models.Index(fields=["created_at"], name="billing_attempt_waiting", condition=Q(status="requires_action")),
        ]


class AttemptShare(Row):
    """What an attempt is to pay of an invoice. While the attempt is live, no other one of this invoice is."""

    attempt = models.ForeignKey(PaymentAttempt, on_delete=models.CASCADE, related_name="shares")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="attempt_shares")
    amount = models.BigIntegerField()
    live = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["attempt", "invoice"], name="billing_attemptshare_once"),
            models.UniqueConstraint(fields=["invoice"], condition=Q(live=True), name="billing_attemptshare_one_live"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="billing_attemptshare_is_positive"),
        ]


class Allocation(Row):
    """What settles an invoice. Append-only: a dispute or a returned debit appends a reversal with a negative amount."""

    class Kind(models.TextChoices):
        PAYMENT = "payment", "Payment"
        CREDIT_NOTE = "credit_note", "Credit note"
        BALANCE = "balance", "Balance"
        WITHHELD_TAX = "withheld_tax", "Withheld tax"
        WRITE_OFF = "write_off", "Write-off"
        REVERSAL = "reversal", "Reversal"

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="allocations")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    payment = models.ForeignKey(Payment, null=True, on_delete=models.PROTECT, related_name="allocations")
    credit_note = models.ForeignKey(CreditNote, null=True, on_delete=models.PROTECT, related_name="allocations")
    reverses = models.OneToOneField("self", null=True, on_delete=models.PROTECT, related_name="reversal")
    amount = models.BigIntegerField()
    allocated_at = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="reversal", amount__lt=0, reverses__isnull=False)
                | (~Q(kind="reversal") & Q(amount__gt=0, reverses=None)),
                name="billing_allocation_sign_fits_kind",
            ),
            models.CheckConstraint(
                condition=~Q(kind="payment") | Q(payment__isnull=False), name="billing_allocation_names_its_payment"
            ),
            models.CheckConstraint(
                condition=~Q(kind="credit_note") | Q(credit_note__isnull=False),
                name="billing_allocation_names_its_credit_note",
            ),
        ]
