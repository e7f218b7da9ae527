"""What is sold: plans in versions, immutable prices, features with their limits, meters."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from gtm.shared.models import Resource, Row


class Meter(Resource):
    """What is counted of the usage stream. Immutable once an item or a limit uses it."""

    PREFIX = "meter"

    class Aggregation(models.TextChoices):
        COUNT = "count", "Count of events"
        SUM = "sum", "Sum"
        MAX = "max", "Largest value"
        UNIQUE = "unique", "Distinct values"
        LATEST = "latest", "Latest value"

    code = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=200)
    event_name = models.CharField(max_length=100)
    aggregation = models.CharField(max_length=10, choices=Aggregation.choices, default=Aggregation.COUNT)
    property = models.CharField(max_length=100, blank=True)
    filters = models.JSONField(
        default=dict, blank=True, help_text='Property values that count, such as {"region": ["eu", "us"]}.'
    )
    unit = models.CharField(max_length=40, blank=True, help_text="What one unit is called, in the plural: API calls.")
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta(Resource.Meta):
        indexes = [models.Index(fields=["event_name"], name="billing_meter_event_name")]
        constraints = [
            *Resource.Meta.constraints,
            models.CheckConstraint(
                condition=Q(aggregation__in=["count", "sum"]) | ~Q(property=""), name="billing_meter_names_its_property"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Feature(Resource):
    """Something a plan grants: a switch, a limit, or metered use."""

    PREFIX = "feat"

    class Type(models.TextChoices):
        BOOLEAN = "boolean", "On or off"
        LIMIT = "limit", "Limit"
        METERED = "metered", "Metered"

    code = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=200)
    type = models.CharField(max_length=10, choices=Type.choices)
    meter = models.ForeignKey(Meter, null=True, blank=True, on_delete=models.PROTECT, related_name="features")
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta(Resource.Meta):
        constraints = [
            *Resource.Meta.constraints,
            models.CheckConstraint(
                condition=~Q(type="metered") | Q(meter__isnull=False), name="billing_feature_metered_has_meter"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PlanQuerySet(models.QuerySet["Plan"]):
    def for_sale(self) -> "PlanQuerySet":
        """Published, not archived, and with a price unless sold by quote only; in the order of the price page."""
        prices = Price.objects.filter(plan=models.OuterRef("pk"), published=True, add_on=False)
        sellable = Q(purchase_mode=Plan.PurchaseMode.QUOTE_ONLY) | models.Exists(prices)
        return self.filter(sellable, published=True, archived_at=None, test_clock=None).order_by("position", "code")


class Plan(Resource):
    """What is sold. Prices, limits and trial terms are in its versions; whoever bought keeps what they bought."""

    PREFIX = "plan"

    class PurchaseMode(models.TextChoices):
        SELF_SERVE = "self_serve", "Self-serve"
        SALES_ASSISTED = "sales_assisted", "Sales-assisted"
        QUOTE_ONLY = "quote_only", "Quote only"

    class DemoPolicy(models.TextChoices):
        NONE = "none", "None"
        OPTIONAL = "optional", "Optional"
        REQUIRED = "required", "Required"

    class CancelOffer(models.TextChoices):
        NONE = "none", "Nothing"
        COUPON = "coupon", "A coupon"
        PAUSE = "pause", "A pause of a month"
        DOWNGRADE = "downgrade", "A smaller plan"

    code = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    family = models.SlugField(max_length=60, blank=True, help_text="Plans of one family share one trial per payer.")
    purchase_mode = models.CharField(max_length=20, choices=PurchaseMode.choices, default=PurchaseMode.SELF_SERVE)
    talk_to_us = models.BooleanField(
        default=False, help_text='Shows "Talk to sales" beside the buy button, never instead of it.'
    )
    demo_policy = models.CharField(max_length=10, choices=DemoPolicy.choices, default=DemoPolicy.OPTIONAL)
    position = models.PositiveIntegerField(default=0)
    dunning_policy = models.ForeignKey(
        "billing.DunningPolicy", null=True, blank=True, on_delete=models.PROTECT, related_name="plans"
    )
    published = models.BooleanField(default=False)
    cancel_offer = models.CharField(
        max_length=10,
        choices=CancelOffer.choices,
        default=CancelOffer.NONE,
        help_text="Named once beside the cancel button; it never stands in its way.",
    )
    cancel_coupon = models.ForeignKey(
        "billing.Coupon", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    cancel_plan = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)
    objects = PlanQuerySet.as_manager()

    class Meta(Resource.Meta):
        constraints = [
            *Resource.Meta.constraints,
            models.CheckConstraint(
                condition=~Q(purchase_mode="self_serve", demo_policy="required"),
                name="billing_plan_self_serve_needs_no_demo",
            ),
            models.CheckConstraint(
                condition=~Q(cancel_offer="coupon") | Q(cancel_coupon__isnull=False),
                name="billing_plan_cancel_offer_names_its_coupon",
                violation_error_message="Say which coupon is offered.",
            ),
            models.CheckConstraint(
                condition=~Q(cancel_offer="downgrade") | Q(cancel_plan__isnull=False),
                name="billing_plan_cancel_offer_names_its_plan",
                violation_error_message="Say which plan is offered.",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def current_version(self) -> "PlanVersion":
        return self.versions.latest("number")


class Price(Resource):
    """How one item of a plan is priced. Immutable: a change is a new price in a new plan version."""

    PREFIX = "price"

    class Interval(models.TextChoices):
        WEEK = "week", "Week"
        MONTH = "month", "Month"
        QUARTER = "quarter", "Quarter"
        YEAR = "year", "Year"
        ONE_TIME = "one_time", "One time"

    class Timing(models.TextChoices):
        IN_ADVANCE = "in_advance", "In advance"
        IN_ARREARS = "in_arrears", "In arrears"

    class Model(models.TextChoices):
        FLAT = "flat", "Flat"
        PER_UNIT = "per_unit", "Per unit"
        GRADUATED = "graduated", "Graduated tiers"
        VOLUME = "volume", "Volume tiers"
        PACKAGE = "package", "Package"
        PERCENTAGE = "percentage", "Percentage"

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="prices")
    code = models.SlugField(max_length=100, unique=True)
    name = models.CharField(max_length=200, blank=True)
    currency = models.CharField(max_length=3)
    interval = models.CharField(max_length=10, choices=Interval.choices, default=Interval.MONTH)
    interval_count = models.PositiveSmallIntegerField(default=1)
    timing = models.CharField(max_length=12, choices=Timing.choices, default=Timing.IN_ADVANCE)
    model = models.CharField(max_length=12, choices=Model.choices, default=Model.FLAT)
    unit_amount = models.DecimalField(max_digits=30, decimal_places=12, null=True, blank=True)
    flat_amount = models.DecimalField(max_digits=30, decimal_places=12, null=True, blank=True)
    tiers = models.JSONField(default=list, blank=True)
    package_size = models.PositiveBigIntegerField(null=True, blank=True)
    included_units = models.DecimalField(max_digits=30, decimal_places=12, default=0)
    minimum_amount = models.BigIntegerField(null=True, blank=True)
    percentage = models.DecimalField(max_digits=20, decimal_places=12, null=True, blank=True)
    fixed_amount = models.DecimalField(max_digits=30, decimal_places=12, null=True, blank=True)
    free_units = models.DecimalField(max_digits=30, decimal_places=12, null=True, blank=True)
    per_transaction_min = models.DecimalField(max_digits=30, decimal_places=12, null=True, blank=True)
    per_transaction_max = models.DecimalField(max_digits=30, decimal_places=12, null=True, blank=True)
    meter = models.ForeignKey(Meter, null=True, blank=True, on_delete=models.PROTECT, related_name="prices")
    tax_class = models.CharField(max_length=40, default="standard")
    published = models.BooleanField(default=True)
    add_on = models.BooleanField(default=False)

    class Meta(Resource.Meta):
        indexes = [models.Index(fields=["plan", "currency", "interval"], name="billing_price_of_plan")]
        constraints = [
            *Resource.Meta.constraints,
            models.CheckConstraint(
                condition=Q(interval_count__gte=1, interval_count__lte=120), name="billing_price_interval_is_bounded"
            ),
            models.CheckConstraint(
                condition=Q(model__in=["graduated", "volume", "percentage"]) | Q(unit_amount__gte=0),
                name="billing_price_has_unit_amount",
            ),
            models.CheckConstraint(
                condition=Q(meter=None) | Q(timing="in_arrears"), name="billing_price_usage_is_in_arrears"
            ),
            models.CheckConstraint(
                condition=Q(minimum_amount=None) | Q(minimum_amount__gte=0), name="billing_price_minimum_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.code


class PlanVersion(Row):
    """A state of a plan, immutable from its first checkout, quote or subscription (``sealed_at``)."""

    PREFIX = "pv"

    class TrialEnd(models.TextChoices):
        CHARGE = "charge", "Charge"
        CANCEL = "cancel", "Cancel"
        PAUSE = "pause", "Pause"

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    prices = models.ManyToManyField(Price, through="PlanVersionPrice", related_name="plan_versions")
    trial_days = models.PositiveSmallIntegerField(default=0)
    trial_requires_payment_method = models.BooleanField(default=True)
    trial_end = models.CharField(max_length=10, choices=TrialEnd.choices, default=TrialEnd.CHARGE)
    sealed_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["plan", "number"], name="billing_planversion_number_once")]

    def __str__(self) -> str:
        return f"{self.plan} v{self.number}"


class PlanVersionPrice(Row):
    """A price is part of a plan version; unchanged prices are carried over to the next one with their id."""

    plan_version = models.ForeignKey(PlanVersion, on_delete=models.CASCADE, related_name="price_rows")
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="version_rows")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["plan_version", "price"], name="billing_planversionprice_once")]


class Entitlement(Row):
    """What a plan version grants of a feature. ``limit`` null means unlimited."""

    class Reset(models.TextChoices):
        MONTH = "month", "Each calendar month"
        BILLING_PERIOD = "billing_period", "Each billing period"
        NEVER = "never", "Never"

    plan_version = models.ForeignKey(PlanVersion, on_delete=models.CASCADE, related_name="entitlements")
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="entitlements")
    granted = models.BooleanField(default=True)
    limit = models.DecimalField(max_digits=30, decimal_places=6, null=True, blank=True)
    hard = models.BooleanField(default=False)
    reset = models.CharField(max_length=16, choices=Reset.choices, default=Reset.BILLING_PERIOD)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["plan_version", "feature"], name="billing_entitlement_once"),
            models.CheckConstraint(
                condition=Q(limit=None) | Q(limit__gte=0), name="billing_entitlement_limit_not_negative"
            ),
        ]


class TaxRate(Resource):
    """A rate by place and class of goods, valid on [valid_from, valid_to). A new rate takes over; none is changed."""

    PREFIX = "tax"

    code = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=100)
    percentage = models.DecimalField(max_digits=8, decimal_places=5)
    country = models.CharField(max_length=2)
    region = models.CharField(max_length=60, blank=True)
    tax_class = models.CharField(max_length=40, default="standard")
    valid_from = models.DateField()
    valid_to = models.DateField(null=True, blank=True)

    class Meta(Resource.Meta):
        constraints = [
            *Resource.Meta.constraints,
            models.CheckConstraint(
                condition=Q(percentage__gte=0, percentage__lte=100), name="billing_taxrate_is_a_percentage"
            ),
            models.CheckConstraint(
                condition=Q(valid_to=None) | Q(valid_to__gt=F("valid_from")), name="billing_taxrate_ends_after_start"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.percentage.normalize():f} %"
