"""Form fields of the back office: what people write, and the widgets that fit the rest of its pages."""

from decimal import Decimal
from functools import cache
from typing import Any
from zoneinfo import available_timezones

import moneyed
from django import forms
from django.conf import settings
from unfold import widgets

from gtm.shared import countries, money

_PLACES = 14  # a rate has 12 places of the minor unit, which may be a hundredth of the major one


@cache
def currency_choices() -> tuple[tuple[str, str], ...]:
    """Currencies that people pay in: not gold, not funds codes."""
    found = sorted(code for code, currency in moneyed.CURRENCIES.items() if currency.countries and _has_places(code))
    return tuple((code, f"{code} · {moneyed.CURRENCIES[code].name}") for code in found)


def _has_places(code: str) -> bool:
    try:
        money.exponent(code)
    except ValueError:
        return False
    return True


@cache
def timezone_choices() -> tuple[tuple[str, str], ...]:
    names = sorted(name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "SystemV/")))
    return (("UTC", "UTC"), *((name, name.replace("_", " ")) for name in names))


class Select(widgets.UnfoldAdminSelectWidget):
    """Unfold's, drawn at once: it renders a template for each option, and there are hundreds of zones."""

    template_name = "admin/select.html"


class Choice(forms.ChoiceField):
    def __init__(self, *, empty: str | None = None, choices: Any = (), **options: Any) -> None:
        offered = choices if empty is None else (lambda: [("", empty), *_listed(choices)])
        options.setdefault("required", empty is None)
        super().__init__(choices=offered, widget=Select(), **options)


def _listed(choices: Any) -> list[tuple[str, str]]:
    return list(choices() if callable(choices) else choices)


class CurrencyField(Choice):
    def __init__(self, **options: Any) -> None:
        super().__init__(choices=currency_choices, **options)


class CountryField(Choice):
    def __init__(self, **options: Any) -> None:
        super().__init__(choices=countries.choices, empty="Choose a country", **options)


class TimezoneField(Choice):
    def __init__(self, **options: Any) -> None:
        super().__init__(choices=timezone_choices, **options)


class LocaleField(Choice):
    def __init__(self, **options: Any) -> None:
        super().__init__(choices=settings.LANGUAGES, **options)


class AmountField(forms.DecimalField):
    """Money in major units (49.00), as people write it; ``to_minor`` makes of it what the columns hold."""

    def __init__(self, **options: Any) -> None:
        options = {"required": False, "min_value": 0, "max_digits": 32, "decimal_places": _PLACES} | options
        widget = widgets.UnfoldAdminDecimalFieldWidget(attrs={"step": "any", "class": "max-w-40"})
        super().__init__(widget=widget, **options)


def to_minor(amount: Decimal, currency: str) -> Decimal:
    return amount.scaleb(money.exponent(currency))


def to_major(rate: Decimal | int, currency: str) -> Decimal:
    """With the currency's places at least, and no needless ones: 4900 USD cents are 49.00."""
    exact = Decimal(rate).scaleb(-money.exponent(currency)).normalize()
    places = max(money.exponent(currency), -int(exact.as_tuple().exponent))
    return exact.quantize(Decimal(1).scaleb(-places))


def plain(number: Decimal) -> Decimal:
    """Without the zeros that the column's places add, and without an exponent."""
    return Decimal(f"{number.normalize():f}")


class LinesField(forms.CharField):
    """A list, one entry on each line."""

    def __init__(self, *, rows: int = 3, **options: Any) -> None:
        widget = widgets.UnfoldAdminTextareaWidget(attrs={"rows": rows, "class": "max-w-2xl"})
        super().__init__(required=options.pop("required", False), widget=widget, **options)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> Any:
        lines = value if isinstance(value, list | tuple) else str(value or "").splitlines()
        return [line.strip() for line in lines if str(line).strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(initial) != self.to_python(data))
