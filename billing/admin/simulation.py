"""What the simulation of a plan asks for: who buys, and how much of each meter would be used in a month."""

from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold import widgets

from billing import coupons, rating, simulation
from billing.models import Coupon, Meter, Plan, PlanVersion, Price
from gtm.shared import vendors
from gtm.shared.admin_fields import Choice, CountryField, CurrencyField, Select
from gtm.shared.admin_steps import StepForm
from gtm.shared.errors import DomainError

_INTERVALS = [choice for choice in Price.Interval.choices if choice[0] != Price.Interval.ONE_TIME]


class SimulationForm(StepForm):
    months = forms.IntegerField(
        min_value=1, max_value=simulation.MAX_MONTHS, initial=12, widget=widgets.UnfoldAdminIntegerFieldWidget()
    )
    interval = Choice(label="Billed by the", choices=_INTERVALS, initial=Price.Interval.MONTH)
    quantity = forms.IntegerField(
        min_value=0,
        initial=1,
        widget=widgets.UnfoldAdminIntegerFieldWidget(),
        help_text="Of what isn't metered, such as seats.",
    )
    currency = CurrencyField()
    country = CountryField(help_text="It decides the tax.")
    version = forms.ModelChoiceField(PlanVersion.objects.none(), empty_label=None, widget=Select())
    coupon = forms.CharField(required=False, max_length=60, widget=widgets.UnfoldAdminTextInputWidget())

    def __init__(self, *args: Any, instance: Plan, **kwargs: Any) -> None:
        super().__init__(*args, instance=instance, **kwargs)
        self.fields["currency"].initial = vendors.current().base_currency
        versions = instance.versions.order_by("-number")
        self.fields["version"].queryset, self.fields["version"].initial = versions, versions[0]  # type: ignore[attr-defined]
        prices = (
            Price.objects.filter(plan_versions__in=versions, meter__isnull=False).select_related("meter").distinct()
        )
        meters = sorted({price.meter for price in prices if price.meter}, key=lambda meter: meter.code)
        self._meters = {f"use_{meter.code}": meter for meter in meters}
        for name, meter in self._meters.items():
            self.fields[name] = _use_field(meter)
        if any(rating.terms_of(price).needs_transactions for price in prices):
            self.fields["transactions"] = _transactions_field()

    def clean_coupon(self) -> Coupon | None:
        code = self.cleaned_data["coupon"].strip()
        try:
            return coupons.named(code) if code else None
        except DomainError as refusal:
            raise ValidationError(refusal.detail) from refusal

    def clean(self) -> dict[str, Any]:
        """The use of all meters together, as the scenario takes it."""
        use = {meter: self.cleaned_data.pop(name, None) or Decimal() for name, meter in self._meters.items()}
        cleaned = {**self.cleaned_data, "use": use}
        return cleaned | {"plan_version": cleaned.pop("version")} if "version" in cleaned else cleaned


def _transactions_field() -> forms.IntegerField:
    return forms.IntegerField(
        label="Transactions a month",
        min_value=1,
        max_value=simulation.MAX_TRANSACTIONS,
        initial=30,
        widget=widgets.UnfoldAdminIntegerFieldWidget(),
        help_text="Of equal amounts, for prices that look at each.",
    )


def _use_field(meter: Meter) -> forms.DecimalField:
    return forms.DecimalField(
        label=f"{meter.unit or meter.name} a month",
        min_value=0,
        max_value=simulation.MAX_USE,
        initial=0,
        required=False,
        widget=widgets.UnfoldAdminDecimalFieldWidget(),
    )
