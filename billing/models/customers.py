"""Who uses and who pays, and how they pay."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.module_loading import import_string

from billing.models.entities import LegalEntity
from gtm.shared.models import Resource, Row, User


class CollectionMethod(models.TextChoices):
    CHARGE_AUTOMATICALLY = "charge_automatically", "Charge automatically"
    SEND_INVOICE = "send_invoice", "Send invoice"


class CustomerQuerySet(models.QuerySet["Customer"]):
    def visible_to(self, user: User | None) -> "CustomerQuerySet":
        """Those of the accounts that a member of staff may see. None: the installation, which sees all."""
        if user is None or user.sees_all:
            return self
        return self.filter(pk__in=import_string(settings.CUSTOMER_SCOPE)(user))

    def of_member(self, user: User) -> "CustomerQuerySet":
        """The customers that a portal user belongs to."""
        return self.filter(members__user=user)


class Customer(Resource):
    """Who uses and who pays.

    ``account_id``, ``managed``, ``dunning_policy`` and ``allowed_collection`` are written down here by crm, never
    asked for.
    """

    PREFIX = "cus"

    class TaxExempt(models.TextChoices):
        NONE = "none", "Taxed"
        REVERSE = "reverse", "Reverse charge"
        EXEMPT = "exempt", "Exempt"

    name = models.CharField(max_length=200)
    email = models.EmailField(blank=True)
    billing_emails = ArrayField(models.EmailField(), default=list, blank=True)
    currency = models.CharField(
        max_length=3, blank=True, help_text="Set by the first subscription where it is empty; fixed from then on."
    )
    timezone = models.CharField(max_length=64, default="UTC")
    country = models.CharField(max_length=2, blank=True)
    tax_id = models.CharField(max_length=40, blank=True)
    tax_exempt = models.CharField(max_length=10, choices=TaxExempt.choices, default=TaxExempt.NONE)
    tax_rates = ArrayField(
        models.CharField(max_length=60),
        default=list,
        blank=True,
        help_text="Codes of tax rates that override the country's.",
    )
    preferred_locale = models.CharField(max_length=10, default="en")
    billing_address = models.JSONField(default=dict, blank=True)
    collection_method = models.CharField(
        max_length=20, choices=CollectionMethod.choices, default=CollectionMethod.CHARGE_AUTOMATICALLY
    )
    net_terms_days = models.PositiveSmallIntegerField(null=True, blank=True)
    po_number = models.CharField("PO number", max_length=100, blank=True)
    traits = models.JSONField(default=dict, blank=True)
    legal_entity = models.ForeignKey(LegalEntity, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    account_id = models.UUIDField(null=True, blank=True, editable=False)
    managed = models.BooleanField(default=False, editable=False)
    dunning_policy = models.CharField(max_length=60, blank=True, editable=False, help_text="Its code.")
    allowed_collection = ArrayField(models.CharField(max_length=20), default=list, blank=True, editable=False)
    allowed_collection_reason = models.CharField(max_length=200, blank=True, editable=False)
    contact_name = models.CharField(max_length=200, blank=True, editable=False)
    contact_email = models.EmailField(blank=True, editable=False)
    test_mode = models.BooleanField(
        default=False, help_text="Pays with test cards by the test key, though a live key is set."
    )
    parked_at = models.DateTimeField(null=True, blank=True, editable=False)
    parked_reason = models.CharField(max_length=500, blank=True, editable=False)
    parked_code = models.CharField(max_length=60, blank=True, editable=False)
    objects = CustomerQuerySet.as_manager()

    class Meta(Resource.Meta):
        indexes = [
            models.Index(fields=["account_id"], name="billing_customer_account"),
            models.Index(fields=["email"], name="billing_customer_email"),
            models.Index(fields=["created_at", "id"], name="billing_customer_listed"),
            models.Index(fields=["parked_at"], name="billing_customer_parked", condition=Q(parked_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def place(self) -> str:
        """The country that decides the tax, or nothing when it is unknown."""
        return self.country or str(self.billing_address.get("country", ""))


class PaymentMethod(Row):
    """A card or account kept at the gateway; only what may be shown is kept here.

    A bank transfer is a method too: its money is what the payer has sent to the account that the gateway keeps for it.
    """

    PREFIX = "pm"

    class Kind(models.TextChoices):
        CARD = "card", "Card"
        SEPA_DEBIT = "sepa_debit", "SEPA direct debit"
        BANK_TRANSFER = "bank_transfer", "Bank transfer"

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="payment_methods")
    gateway = models.CharField(max_length=20)
    gateway_reference = models.CharField(max_length=200)
    kind = models.CharField(max_length=20, choices=Kind.choices, default=Kind.CARD)
    brand = models.CharField(max_length=20, blank=True)
    last4 = models.CharField(max_length=4, blank=True)
    country = models.CharField(max_length=2, blank=True)
    mandate_reference = models.CharField(max_length=100, blank=True)
    fingerprint = models.CharField(max_length=100, blank=True)
    exp_month = models.PositiveSmallIntegerField(null=True, blank=True)
    exp_year = models.PositiveSmallIntegerField(null=True, blank=True)
    is_default = models.BooleanField(default=False)
    detached_at = models.DateTimeField(null=True, blank=True)
    expiry_told_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["customer"], condition=Q(is_default=True), name="billing_paymentmethod_one_default"
            ),
            models.CheckConstraint(
                condition=~Q(is_default=True) | Q(detached_at=None), name="billing_paymentmethod_default_is_attached"
            ),
            models.UniqueConstraint(
                fields=["gateway", "gateway_reference"],
                condition=~Q(gateway="sandbox"),  # whose references are the names of its test cards
                name="billing_paymentmethod_reference_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.brand.title()} •••• {self.last4}"


class Prompt(Row):
    """A message in the customer's portal, such as "you are near your limit"; once per customer, code and period."""

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="prompts")
    code = models.CharField(max_length=100)
    period = models.CharField(max_length=60, blank=True)
    text = models.CharField(max_length=500)
    link = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    dismissed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["customer", "code", "period"], name="billing_prompt_once")]


class Grant(Row):
    """What a customer may use now, kept by whatever changes it, so that reading entitlements is one indexed query."""

    class Source(models.TextChoices):
        PLAN = "plan", "Plan"
        ADD_ON = "add_on", "Add-on"
        CONTRACT = "contract", "Contract"
        MANUAL = "manual", "Manual"

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="grants")
    feature = models.ForeignKey("billing.Feature", on_delete=models.PROTECT, related_name="grants")
    source = models.CharField(max_length=10, choices=Source.choices)
    subscription = models.ForeignKey("billing.Subscription", null=True, on_delete=models.CASCADE, related_name="grants")
    granted = models.BooleanField(default=True)
    limit = models.DecimalField(max_digits=30, decimal_places=6, null=True, blank=True)
    hard = models.BooleanField(default=False)
    reset = models.CharField(max_length=16, default="billing_period")
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "feature", "source", "subscription"],
                nulls_distinct=False,
                name="billing_grant_once",
            )
        ]
