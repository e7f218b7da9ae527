"""What the simulation of a plan asks for: who buys, and how much of each meter would be used in a month."""

from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold import widgets

from billing import coupons, simulation
from billing.models import Coupon, Meter, Plan, Price
from gtm.shared import vendors
from gtm.shared.admin_fields import Choice, CountryField, CurrencyField
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
    coupon = forms.CharField(required=False, max_length=60, widget=widgets.UnfoldAdminTextInputWidget())

    def __init__(self, *args: Any, instance: Plan, **kwargs: Any) -> None:
        super().__init__(*args, instance=instance, **kwargs)
        self.fields["currency"].initial = vendors.current().base_currency
        metered = instance.current_version.prices.filter(meter__isnull=False).values("meter")
        self._meters = {f"use_{meter.code}": meter for meter in Meter.objects.filter(pk__in=metered).order_by("code")}
        for name, meter in self._meters.items():
            self.fields[name] = _use_field(meter)

    def clean_coupon(self) -> Coupon | None:
        code = self.cleaned_data["coupon"].strip()
        try:
            return coupons.named(code) if code else None
        except DomainError as refusal:
            raise ValidationError(refusal.detail) from refusal

    def clean(self) -> dict[str, Any]:
        """The use of all meters together, as the scenario takes it."""
        use = {meter: self.cleaned_data.pop(name, None) or Decimal() for name, meter in self._meters.items()}
        return {**self.cleaned_data, "use": use}


def _use_field(meter: Meter) -> forms.DecimalField:
    return forms.DecimalField(
        label=f"{meter.unit or meter.name} a month",
        min_value=0,
        max_value=simulation.MAX_USE,
        initial=0,
        required=False,
        widget=widgets.UnfoldAdminDecimalFieldWidget(),
    )
