"""Coupons, the discounts they become on a subscription, and what each discount took off which line."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now, Upper

from billing.models.catalog import Plan
from billing.models.customers import Customer
from billing.models.invoices import InvoiceLine
from billing.models.subscriptions import Subscription
from gtm.shared.models import Resource, Row


class Coupon(Resource):
    """An offer. ``times_redeemed`` is counted under the coupon's lock and never passes ``max_redemptions``."""

    PREFIX = "cpn"

    class Duration(models.TextChoices):
        ONCE = "once", "Once"
        REPEATING = "repeating", "For a number of periods"
        FOREVER = "forever", "Forever"

    code = models.CharField(max_length=60, unique=True)
    name = models.CharField(max_length=200, blank=True)
    percent_off = models.DecimalField(max_digits=8, decimal_places=5, null=True, blank=True)
    amount_off = models.BigIntegerField(null=True, blank=True)
    currency = models.CharField(max_length=3, blank=True)
    duration = models.CharField(max_length=10, choices=Duration.choices, default=Duration.ONCE)
    duration_in_periods = models.PositiveSmallIntegerField(null=True, blank=True)
    max_redemptions = models.PositiveIntegerField(null=True, blank=True)
    times_redeemed = models.PositiveIntegerField(default=0, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    plans = models.ManyToManyField(Plan, blank=True, related_name="+", help_text="None: it fits every plan.")
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta(Resource.Meta):
        indexes = [models.Index(fields=["created_at", "id"], name="billing_coupon_listed")]
        constraints = [
            *Resource.Meta.constraints,
            models.UniqueConstraint(Upper("code"), name="billing_coupon_code_once"),
            models.CheckConstraint(
                condition=Q(percent_off__gt=0, percent_off__lte=100, amount_off=None)
                | (Q(percent_off=None, amount_off__gt=0) & ~Q(currency="")),
                name="billing_coupon_takes_a_share_or_an_amount",
            ),
            models.CheckConstraint(
                condition=Q(duration="repeating", duration_in_periods__gte=1)
                | (~Q(duration="repeating") & Q(duration_in_periods=None)),
                name="billing_coupon_says_for_how_many_periods",
            ),
            models.CheckConstraint(
                condition=Q(max_redemptions=None) | Q(times_redeemed__lte=F("max_redemptions")),
                name="billing_coupon_not_redeemed_too_often",
            ),
        ]

    def __str__(self) -> str:
        return self.code


class Discount(Row):
    """A coupon on a subscription, for [starts_at, ends_at); ``ended_at`` when it was used up or taken away before."""

    PREFIX = "di"

    class EndReason(models.TextChoices):
        OVER = "over", "Its time is over"
        USED_UP = "used_up", "Used up"
        REMOVED = "removed", "Taken away"

    coupon = models.ForeignKey(Coupon, on_delete=models.PROTECT, related_name="discounts")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="discounts")
    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="discounts")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    end_reason = models.CharField(max_length=10, choices=EndReason.choices, blank=True)
    test_clock = models.ForeignKey("shared.TestClock", null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["coupon", "subscription"], name="billing_discount_once"),
            models.CheckConstraint(
                condition=Q(ends_at=None) | Q(ends_at__gt=F("starts_at")), name="billing_discount_lasts"
            ),
            models.CheckConstraint(
                condition=Q(ended_at=None, end_reason="") | (Q(ended_at__isnull=False) & ~Q(end_reason="")),
                name="billing_discount_says_why_it_ended",
            ),
        ]


class DiscountUse(Row):
    """What a discount took off a line, in a period of the subscription; negative where unused time gave it back."""

    discount = models.ForeignKey(Discount, on_delete=models.PROTECT, related_name="uses", db_index=False)
    invoice_line = models.ForeignKey(InvoiceLine, on_delete=models.PROTECT, related_name="discount_uses")
    period_start = models.DateTimeField(help_text="Start of the billing period whose share of a fixed amount this is.")
    amount = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["discount", "period_start"], name="billing_discountuse_of_period")]
