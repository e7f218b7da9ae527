"""Coupons: offered, limited, archived; and the discounts they became on subscriptions, with what each took off."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from unfold import widgets
from unfold.decorators import display

from billing import coupons, discounts, wording
from billing.models import Coupon, Discount, DiscountUse, Plan, Subscription, SubscriptionChange
from gtm.shared import admin_columns as columns
from gtm.shared.admin_base import OperationAdmin, OperationForm, ReadOnlyAdmin, ReadOnlyTable
from gtm.shared.admin_fields import AmountField, CurrencyField, plain, to_major, to_minor
from gtm.shared.admin_filters import OnTestClock
from gtm.shared.admin_steps import StepForm, step
from gtm.shared.errors import DomainError

TERMS = ("code", "percent_off", "amount_off", "currency", "duration", "duration_in_periods")


class CouponForm(OperationForm):
    """A share, or an amount in major units of a currency."""

    amount_off = AmountField(label="Amount off")
    currency = CurrencyField(empty="Of the amount", required=False)
    plans = forms.ModelMultipleChoiceField(
        queryset=Plan.objects.order_by("name"),
        required=False,
        widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget(),
        help_text="None: it fits every plan.",
    )

    class Meta:
        model = Coupon
        fields = (*TERMS, "name", "max_redemptions", "expires_at", "plans")
        labels = {"percent_off": "Percent off", "duration": "Holds", "duration_in_periods": "Number of periods"}
        help_texts = {
            "code": "What buyers type, in capital or small letters.",
            "duration": "Once: the first billing period; an amount, until it is spent.",
            "max_redemptions": "Empty: as often as anybody likes.",
            "expires_at": "Until when it can be redeemed; whoever has it keeps it.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance._state.adding:
            return
        if self.instance.percent_off is not None:
            self.initial["percent_off"] = plain(self.instance.percent_off)
        if self.instance.amount_off is not None:
            self.initial["amount_off"] = to_major(self.instance.amount_off, self.instance.currency)
        for name in TERMS:
            self.fields[name].disabled = True

    def clean(self) -> dict[str, Any]:
        super().clean()
        amount, currency = self.cleaned_data.get("amount_off"), self.cleaned_data.get("currency")
        if amount is not None and currency:
            self.cleaned_data["amount_off"] = self._minor(amount, currency)
        return self.cleaned_data

    def _minor(self, amount: Decimal, currency: str) -> int | None:
        minor = to_minor(amount, currency)
        if minor == minor.to_integral_value():
            return int(minor)
        self.add_error("amount_off", "There is no such small amount of this currency.")
        return None


@admin.register(Coupon)
class CouponAdmin(OperationAdmin):
    form = CouponForm
    list_display = ("code", "name", "takes", "duration", "times_redeemed", "max_redemptions", "expires_at", "offered")
    list_filter = ("duration", ("archived_at", admin.EmptyFieldListFilter))
    search_fields = ("code", "name")
    ordering = ("-created_at",)
    fieldsets = (
        (None, {"fields": (("code", "name"),)}),
        (
            "What it takes off",
            {"fields": (("percent_off",), ("amount_off", "currency"), ("duration", "duration_in_periods"))},
        ),
        ("Who may redeem it", {"fields": (("max_redemptions", "expires_at"), "plans")}),
    )
    actions_detail = ("archive",)

    def create(self, *, at: datetime, **values: Any) -> Coupon:
        return coupons.create(at=at, **values)

    def change(self, instance: Coupon, *, at: datetime, **changes: Any) -> Coupon:
        return coupons.change(coupon=instance, at=at, **changes)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The plans are the operation's to set."""

    def has_change_permission(self, request: HttpRequest, obj: Coupon | None = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.archived_at is None)

    @display(description="Takes off")
    def takes(self, coupon: Coupon) -> str:
        return wording.offer(coupon).partition(": ")[2]

    @display(description="Offered", boolean=True)
    def offered(self, coupon: Coupon) -> bool:
        return coupon.archived_at is None

    def notes(self, request: HttpRequest, instance: Coupon) -> list[str]:
        return ["What it takes off stays as it was promised. For other terms, archive this one and make the next."]

    @step(
        "Archive",
        explain=lambda coupon: f"Nobody can redeem {coupon} any more. Whoever has it keeps it.",
        done=lambda coupon: f"{coupon} is archived.",
        applies=lambda coupon: coupon.archived_at is None,
        danger=True,
    )
    def archive(self, coupon: Coupon, *, at: datetime) -> None:
        coupons.archive(coupon=coupon, at=at)


class UseRows(ReadOnlyTable):
    model = DiscountUse
    related = ("invoice_line__invoice",)
    per_page = 20
    verbose_name_plural = "what it took off"
    ordering = ("-pk",)
    fields = ("invoice", "line", "period_start", "taken")
    taken = columns.money("amount", "Taken off", currency="invoice_line__invoice__currency")

    @display(description="Invoice")
    def invoice(self, use: DiscountUse) -> str:
        return columns.linked(use.invoice_line.invoice)

    @display(description="Line")
    def line(self, use: DiscountUse) -> str:
        return use.invoice_line.description


@admin.register(Discount)
class DiscountAdmin(ReadOnlyAdmin):
    list_display = ("words", "customer", "subscription", "starts_at", "ends_at", "ended_at", "end_reason")
    list_filter = (OnTestClock, "end_reason")
    list_select_related = ("coupon", "customer", "subscription__plan_version__plan")
    search_fields = ("coupon__code", "customer__name", "customer__email")
    ordering = ("-created_at",)
    inlines = (UseRows,)
    fieldsets = (
        (None, {"fields": (("coupon", "words"), ("customer", "subscription"))}),
        ("Time", {"fields": (("starts_at", "ends_at"), ("ended_at", "end_reason"), "test_clock")}),
    )
    actions_detail = ("take_away",)

    @display(description="Discount")
    def words(self, discount: Discount) -> str:
        return wording.discount(discount)

    @step(
        "Take away",
        explain=lambda it: f"What begins from now on costs {it.customer} the full price. Earlier invoices stay.",
        done="The discount is taken away.",
        applies=lambda it: it.ended_at is None,
        permission="money",
        danger=True,
    )
    def take_away(self, discount: Discount, *, at: datetime) -> None:
        discounts.remove(discount=discount, origin=SubscriptionChange.Origin.ADMIN, at=at)


# --- on the page of a subscription -------------------------------------------------------------
class DiscountRows(ReadOnlyTable):
    model = Discount
    related = ("coupon", "customer")
    verbose_name_plural = "discounts"
    ordering = ("starts_at",)
    fields = ("words", "starts_at", "ends_at", "ended_at", "end_reason")

    @display(description="Discount")
    def words(self, discount: Discount) -> str:
        return wording.discount(discount)


class RedeemForm(StepForm):
    coupon = forms.CharField(max_length=60, widget=widgets.UnfoldAdminTextInputWidget(), help_text="Its code.")
    reason = forms.CharField(
        max_length=500, required=False, widget=widgets.UnfoldAdminTextInputWidget(), help_text="Kept with the change."
    )

    def clean_coupon(self) -> Coupon:
        try:
            return coupons.named(self.cleaned_data["coupon"])
        except DomainError as refusal:
            raise forms.ValidationError(refusal.detail) from refusal


class RedeemsCoupons:
    """The step of a subscription's page."""

    @step(
        "Redeem a coupon",
        explain=lambda it: (
            f"The coupon holds for what begins today or later on {it.plan_version.plan} of {it.customer}."
        ),
        done="The coupon is redeemed.",
        form=RedeemForm,
        applies=lambda it: it.status not in Subscription.ENDED,
        permission="money",
    )
    def redeem(self, subscription: Subscription, *, at: datetime, **asked: Any) -> None:
        discounts.redeem(subscription=subscription, origin=SubscriptionChange.Origin.ADMIN, at=at, **asked)
