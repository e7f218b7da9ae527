"""Subscriptions: items with their own anchor and period, and every change as an appended row."""

from datetime import datetime

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from billing.models.catalog import PlanVersion, Price
from billing.models.customers import CollectionMethod, Customer, PaymentMethod
from gtm.shared.models import Resource, Row


class SubscriptionQuerySet(models.QuerySet["Subscription"]):
    def live(self) -> "SubscriptionQuerySet":
        """Those that give the customer something now."""
        return self.filter(status__in=Subscription.LIVE)


class Subscription(Resource):
    """A customer on a plan. ``next_bill_at`` is the minimum of all that is due next on it; null when nothing is."""

    PREFIX = "sub"

    class Status(models.TextChoices):
        INCOMPLETE = "incomplete", "Incomplete"
        TRIALING = "trialing", "Trialing"
        ACTIVE = "active", "Active"
        PAST_DUE = "past_due", "Past due"
        UNPAID = "unpaid", "Unpaid"
        PAUSED = "paused", "Paused"
        CANCELED = "canceled", "Canceled"
        EXPIRED = "expired", "Expired"

    class Credit(models.TextChoices):
        NONE = "none", "No credit"
        PRORATE = "prorate", "Credit unused time"
        REFUND = "refund", "Refund unused time"

    class PauseMode(models.TextChoices):
        NO_ACCESS = "no_access", "Without access"
        KEEP_ACCESS = "keep_access", "Keeps access"

    LIVE = (Status.TRIALING, Status.ACTIVE, Status.PAST_DUE)
    ENDED = (Status.CANCELED, Status.EXPIRED)

    class Alignment(models.TextChoices):
        ANNIVERSARY = "anniversary", "Anniversary"
        CALENDAR = "calendar", "Calendar"

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="subscriptions")
    payer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="paid_subscriptions")
    plan_version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="subscriptions")
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.INCOMPLETE)
    alignment = models.CharField(max_length=12, choices=Alignment.choices, default=Alignment.ANNIVERSARY)
    collection_method = models.CharField(
        max_length=20, choices=CollectionMethod.choices, default=CollectionMethod.CHARGE_AUTOMATICALLY
    )
    payment_method = models.ForeignKey(
        PaymentMethod, null=True, blank=True, on_delete=models.PROTECT, related_name="subscriptions"
    )
    net_terms_days = models.PositiveSmallIntegerField(null=True, blank=True)
    po_number = models.CharField("PO number", max_length=100, blank=True)
    minimum_amount = models.BigIntegerField(null=True, blank=True)
    minimum_since = models.DateTimeField(null=True, blank=True, editable=False)
    mrr = models.BigIntegerField(default=0, editable=False, help_text="As the last change left it, in minor units.")
    start_at = models.DateTimeField()
    trial_end = models.DateTimeField(null=True, blank=True)
    cancel_at = models.DateTimeField(null=True, blank=True)
    cancel_credit = models.CharField(max_length=10, choices=Credit.choices, default=Credit.NONE)
    canceled_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    pause_at = models.DateTimeField(null=True, blank=True)
    pause_mode = models.CharField(max_length=12, choices=PauseMode.choices, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    resume_at = models.DateTimeField(null=True, blank=True)
    access_ended_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="For want of payment.")
    current_period_start = models.DateTimeField(null=True, blank=True)
    current_period_end = models.DateTimeField(null=True, blank=True)
    next_change_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="The earliest phase, pause or resume.",
    )
    next_bill_at = models.DateTimeField(null=True, blank=True)
    previous_subscription = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="next_subscriptions"
    )
    objects = SubscriptionQuerySet.as_manager()

    class Meta(Resource.Meta):
        indexes = [
            models.Index(
                fields=["next_bill_at", "id"], name="billing_subscription_due", condition=Q(next_bill_at__isnull=False)
            ),
            models.Index(fields=["customer", "status"], name="billing_subscription_of"),
            models.Index(fields=["payer"], name="billing_subscription_payer"),
            models.Index(fields=["created_at", "id"], name="billing_subscription_listed"),
            models.Index(
                fields=["current_period_end"], name="billing_subscription_renews", condition=Q(status="active")
            ),
            models.Index(fields=["trial_end"], name="billing_subscription_on_trial", condition=Q(status="trialing")),
        ]
        constraints = [
            *Resource.Meta.constraints,
            models.CheckConstraint(
                condition=~Q(status__in=["canceled", "expired"]) | Q(ended_at__isnull=False, next_bill_at=None),
                name="billing_subscription_ended_is_not_due",
            ),
            models.CheckConstraint(
                condition=Q(minimum_amount=None) | Q(minimum_amount__gte=0),
                name="billing_subscription_minimum_not_negative",
            ),
            models.CheckConstraint(condition=Q(mrr__gte=0), name="billing_subscription_mrr_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.plan_version.plan} ({self.get_status_display()})"

    def is_over(self, at: datetime) -> bool:
        """Whether it has ended by ``at``, though no run may have come to it."""
        return self.status in self.ENDED or (self.cancel_at is not None and self.cancel_at <= at)

    @property
    def stops_at(self) -> datetime | None:
        """Until when it is billed, as far as is known: a cancellation or a pause, whichever comes first."""
        known = [at for at in (self.cancel_at, self.pause_at) if at is not None]
        return min(known, default=None)


class SubscriptionItem(Resource):
    """One price at a quantity. ``period_index`` counts from ``anchor_at``; money is billed to ``billed_until``."""

    PREFIX = "si"

    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="items")
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="items")
    quantity = models.DecimalField(max_digits=30, decimal_places=6, default=1)
    anchor_at = models.DateTimeField()
    timezone = models.CharField(max_length=64, default="UTC")
    period_index = models.PositiveIntegerField(default=0)
    current_period_start = models.DateTimeField()
    current_period_end = models.DateTimeField()
    billed_until = models.DateTimeField(null=True, blank=True)
    next_bill_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="The boundary of the change that added it.",
    )
    ended_at = models.DateTimeField(null=True, blank=True)
    replaces = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="replaced_by", editable=False
    )

    class Meta(Resource.Meta):
        indexes = [models.Index(fields=["subscription"], name="billing_item_of_subscription")]
        constraints = [
            *Resource.Meta.constraints,
            models.CheckConstraint(
                condition=Q(current_period_end__gt=F("current_period_start")), name="billing_item_period_has_length"
            ),
            models.CheckConstraint(condition=Q(quantity__gte=0), name="billing_item_quantity_not_negative"),
        ]


class SubscriptionChange(Row):
    """What changed, when it takes effect and was recorded, and the revenue (MRR) before and after. Append-only."""

    class Origin(models.TextChoices):
        CHECKOUT = "checkout", "Checkout"
        PORTAL = "portal", "Portal"
        API = "api", "API"
        QUOTE = "quote", "Quote"
        ADMIN = "admin", "Admin"
        SYSTEM = "system", "System"

    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="changes")
    payer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=40)
    origin = models.CharField(max_length=10, choices=Origin.choices)
    actor = models.CharField(max_length=60)
    reason = models.CharField(max_length=500, blank=True)
    currency = models.CharField(max_length=3)
    mrr_before = models.BigIntegerField(default=0)
    mrr_after = models.BigIntegerField(default=0)
    detail = models.JSONField(default=dict)
    effective_at = models.DateTimeField()
    booked_on = models.DateField()
    recorded_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(fields=["subscription", "effective_at"], name="billing_change_of"),
            models.Index(fields=["booked_on"], name="billing_change_booked"),
        ]
