"""Forms of the page on which a plan is made: the plan, its prices and what it grants."""

from decimal import Decimal
from typing import Any

from django import forms
from django.db import models
from django.forms import BaseModelFormSet
from unfold import widgets

from billing import catalog
from billing.catalog import EntitlementTerms
from billing.models import Entitlement, Plan, PlanVersion, Price
from gtm.shared import vendors
from gtm.shared.admin_base import OperationForm
from gtm.shared.admin_fields import AmountField, Choice, CurrencyField, plain, to_major, to_minor

MONEY = ("unit_amount", "flat_amount", "minimum_amount", "fixed_amount", "per_transaction_min", "per_transaction_max")
TIERS_HELP = "One tier on each line: up to, price per unit, fixed fee. The last one has no end: *, 0.05"


class PlanForm(OperationForm):
    """The plan, with the trial terms of its newest version."""

    trial_days = forms.IntegerField(
        label="Days of trial",
        min_value=0,
        max_value=730,
        initial=0,
        help_text="0: no trial.",
        widget=widgets.UnfoldAdminIntegerFieldWidget(attrs={"class": "max-w-40"}),
    )
    trial_requires_payment_method = forms.BooleanField(
        label="A trial needs a payment method", required=False, initial=True, widget=widgets.UnfoldBooleanSwitchWidget()
    )
    trial_end = Choice(label="When a trial ends", choices=PlanVersion.TrialEnd.choices, initial="charge")

    class Meta:
        model = Plan
        fields = "__all__"
        widgets = {"description": widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3})}
        help_texts = {
            "code": "Stands in addresses and in the API, and stays.",
            "demo_policy": "Required takes the buy button away; a self-serve plan can't have that.",
            "position": "The place on the price page: 0 comes first.",
            "dunning_policy": "For whoever pays for this plan; empty: the one that holds for all.",
            "cancel_offer": "Named once beside the cancel button; it never stands in its way.",
        }
        labels = {
            "cancel_offer": "Offer",
            "cancel_coupon": "Coupon, where one is offered",
            "cancel_plan": "Plan, where a smaller one is offered",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            version = self.instance.current_version
            self.initial.update({name: getattr(version, name) for name in catalog.VERSION_FIELDS})


class PriceForm(OperationForm):
    """A price with its amounts in major units. One that may have been bought is shown, and can only be withdrawn."""

    code = forms.SlugField(
        max_length=100,
        required=False,
        widget=widgets.UnfoldAdminTextInputWidget(),
        help_text="Its name in the API. Left empty, it is made from the plan's.",
    )
    currency = CurrencyField()
    timing = Choice(empty="In advance; in arrears for a meter", choices=Price.Timing.choices)
    unit_amount = AmountField(label="Amount", help_text="For the interval, or for each unit or package.")
    flat_amount = AmountField(label="Fixed fee")
    minimum_amount = AmountField(label="Minimum")
    fixed_amount = AmountField(label="Fee for each transaction")
    per_transaction_min = AmountField(label="Least for a transaction")
    per_transaction_max = AmountField(label="Most for a transaction")
    tiers = forms.CharField(
        required=False,
        help_text=TIERS_HELP,
        widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3, "class": "max-w-2xl"}),
    )

    class Meta:
        model = Price
        exclude = ("plan", "external_id", "metadata")
        labels = {"interval_count": "Every", "add_on": "Add-on", "included_units": "Included units"}
        help_texts = {"meter": "Empty: the quantity that the customer buys."}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance._state.adding:
            self.initial.setdefault("currency", vendors.current().base_currency)
            self.initial["timing"] = ""
        else:
            self._show(self.instance)

    def _show(self, price: Price) -> None:
        for name in MONEY:
            if (amount := getattr(price, name)) is not None:
                self.initial[name] = to_major(amount, price.currency)
        self.initial["tiers"] = tiers_as_text(price.tiers, price.currency)
        for name in ("included_units", "percentage", "free_units"):
            if (number := getattr(price, name)) is not None:
                self.initial[name] = plain(number)
        self.fields["code"].disabled = True
        self.fields["code"].help_text = ""
        if why := catalog.why_frozen(price=price):
            for name in self.fields.keys() - {"published"}:
                self.fields[name].disabled = True
            self.fields["model"].help_text = why

    def clean(self) -> dict[str, Any]:
        super().clean()
        if currency := self.cleaned_data.get("currency"):
            for name in MONEY:
                self._to_minor(name, currency)
            self._read_tiers(currency)
        return self.cleaned_data

    def _to_minor(self, name: str, currency: str) -> None:
        amount = self.cleaned_data.get(name)
        if amount is None:
            return
        minor = to_minor(amount, currency)
        if name == "minimum_amount" and minor != minor.to_integral_value():
            self.add_error(name, f"{currency} has no smaller part than that of {to_major(1, currency)}.")
        self.cleaned_data[name] = int(minor) if name == "minimum_amount" else minor

    def _read_tiers(self, currency: str) -> None:
        try:
            self.cleaned_data["tiers"] = tiers_from_text(self.cleaned_data.get("tiers", ""), currency)
        except ValueError as error:
            self.add_error("tiers", str(error))

    def changes(self) -> dict[str, Any]:
        """A changed currency changes all amounts: they are kept in its minor unit."""
        moved = MONEY if "currency" in self.changed_data else ()
        names = {*self.changed_data, *moved} & self.cleaned_data.keys()
        return {name: self.cleaned_data[name] for name in names - {"timing"}} | (
            {"timing": self.cleaned_data["timing"]} if "timing" in names and self.cleaned_data["timing"] else {}
        )


def tiers_as_text(tiers: list[dict[str, Any]], currency: str) -> str:
    """One tier on each line: up to, price per unit, and the fixed fee where there is one."""
    lines = []
    for tier in tiers:
        amounts = [Decimal(str(tier.get(name) or 0)) for name in ("unit_amount", "flat_amount")]
        shown = [f"{to_major(amount, currency):f}" for amount in (amounts if amounts[1] else amounts[:1])]
        lines.append(", ".join(["*" if tier.get("up_to") is None else str(tier["up_to"]), *shown]))
    return "\n".join(lines)


def tiers_from_text(text: str, currency: str) -> list[dict[str, Any]]:
    """The tiers as the operation takes them. Raises ValueError, naming the line."""
    return [_tier(line, number, currency) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]


def _tier(line: str, number: int, currency: str) -> dict[str, Any]:
    parts = [part.strip() for part in line.split(",")]
    try:
        up_to = None if parts[0] == "*" else int(parts[0])
        unit, flat = [*map(Decimal, parts[1:]), Decimal()][:2]
    except (ArithmeticError, ValueError) as error:
        raise ValueError(f"Line {number} is no tier. {TIERS_HELP}") from error
    unit_amount, flat_amount = (f"{to_minor(amount, currency):f}" for amount in (unit, flat))
    return {"up_to": up_to, "unit_amount": unit_amount, "flat_amount": flat_amount}


class EntitlementForm(OperationForm):
    class Meta:
        model = Entitlement
        fields = ("feature", "granted", "limit", "reset", "hard")
        help_texts = {"limit": "Empty: no limit.", "hard": "Consumption beyond it is refused."}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if limit := self.initial.get("limit"):
            self.initial["limit"] = plain(limit)

    def terms(self) -> EntitlementTerms:
        return EntitlementTerms(**{name: self.cleaned_data[name] for name in self.Meta.fields})


class NewestVersionFormSet(BaseModelFormSet):
    """Rows of a plan's newest version, which Django's inlines, knowing foreign keys alone, would not find."""

    usual: tuple[dict[str, Any], ...] = ()  # what the empty rows of a new plan hold

    def __init__(
        self, *args: Any, instance: Plan, queryset: models.QuerySet[Any], save_as_new: bool = False, **kwargs: Any
    ) -> None:
        self.instance = instance
        if instance._state.adding:
            kwargs.setdefault("initial", self.usual)
        rows = queryset.none() if instance._state.adding else self.of_version(queryset, instance.current_version)
        kwargs["queryset"] = rows
        super().__init__(*args, **kwargs)

    @staticmethod
    def of_version(rows: models.QuerySet[Any], version: PlanVersion) -> models.QuerySet[Any]:
        raise NotImplementedError


class PriceFormSet(NewestVersionFormSet):
    usual = ({"interval": Price.Interval.MONTH}, {"interval": Price.Interval.YEAR})

    @classmethod
    def get_default_prefix(cls) -> str:
        return "prices"

    @staticmethod
    def of_version(rows: models.QuerySet[Price], version: PlanVersion) -> models.QuerySet[Price]:
        return rows.filter(plan_versions=version).select_related("plan").order_by("created_at", "id")


class EntitlementFormSet(NewestVersionFormSet):
    @classmethod
    def get_default_prefix(cls) -> str:
        return "entitlements"

    @staticmethod
    def of_version(rows: models.QuerySet[Entitlement], version: PlanVersion) -> models.QuerySet[Entitlement]:
        return rows.filter(plan_version=version).select_related("feature").order_by("id")
