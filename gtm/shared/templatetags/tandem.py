"""The template language of Tandem: money, times, quantities, statuses and links, written for the reader's locale.

These are builtins of every template. Filters ending in `_text` write plain text, for mail and attributes.
"""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_interval, format_time, get_datetime_format, get_timezone_name
from babel.numbers import format_currency, format_decimal, format_percent
from django import template
from django.conf import settings
from django.forms import BaseForm, BoundField, CheckboxInput
from django.http import QueryDict
from django.template import Context
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from gtm.shared import browsers, charts, statuses
from gtm.shared.money import exponent, format_money, spaced

register = template.Library()

ABSENT = "–"
CAUTION_FROM, NEGATIVE_FROM = Decimal("0.8"), Decimal(1)
LONGEST_ZONE_NAME = 5
PLACE_PARAMETERS = ("page", "cursor")  # where one stands in a list: lost when the list itself changes


@lru_cache(maxsize=64)
def _parse_locale(language: str) -> Locale:
    for tag in (language, language.partition("-")[0]):
        try:
            return Locale.parse(tag, sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    return Locale.parse("en")


def reader_locale() -> Locale:
    """The locale of whoever reads this page or mail; English where none is active."""
    return _parse_locale(get_language() or "en")


# --- money and numbers -------------------------------------------------------------------------
@register.filter
def money(amount: int | None, currency: str) -> str:
    """`{{ invoice.total|money:invoice.currency }}`: integer minor units as the reader writes money."""
    if amount is None:
        return ABSENT
    return format_money(amount, currency, str(reader_locale()))


@register.filter
def price(amount: int | None, currency: str) -> str:
    """A list price as it is advertised: whole amounts lose their empty places ($49, but $49.50)."""
    if amount is None:
        return ABSENT
    whole, rest = divmod(amount, 10 ** exponent(currency))
    if rest:
        return money(amount, currency)
    text = format_currency(whole, currency, locale=reader_locale(), format=_whole_pattern(), currency_digits=False)
    return spaced(text)


def _whole_pattern() -> str:
    """The reader's pattern of a currency amount without its places: ¤#,##0."""
    return str(reader_locale().currency_formats["standard"].pattern).replace("0.00", "0")


@register.filter
def unit_price(rate: Decimal | str | int | None, currency: str) -> str:
    """A rate in decimal minor units with all the places it has, never fewer than the currency's: 0.2 USD is $0.002."""
    if rate is None:
        return ABSENT
    major = Decimal(rate).scaleb(-exponent(currency)).normalize()
    places = max(exponent(currency), -int(major.as_tuple().exponent))
    quantum = Decimal(1).scaleb(-places)
    return spaced(
        format_currency(major.quantize(quantum), currency, locale=reader_locale(), decimal_quantization=False)
    )


@register.filter
def quantity(number: Decimal | float | str | None) -> str:
    """A count or measure, grouped for the reader, without trailing zeros: 12000.500 is 12,000.5."""
    if number is None:
        return ABSENT
    return format_decimal(Decimal(str(number)), locale=reader_locale(), decimal_quantization=False)


@register.filter
def percent(ratio: Decimal | float | str | None, places: int = 1) -> str:
    """A ratio (0.842) as a percentage with at most `places` decimals (84.2%)."""
    if ratio is None:
        return ABSENT
    pattern = "#,##0." + "#" * places + "%" if places else "#,##0%"
    return format_percent(Decimal(str(ratio)), format=_localized_percent(pattern), locale=reader_locale())


def _localized_percent(pattern: str) -> str:
    """The places of `pattern` with the reader's own percent sign, which may stand after a space."""
    standard: str = reader_locale().percent_formats[None].pattern
    return standard.replace("#,##0", pattern.removesuffix("%"))


@register.filter
def share(part: Decimal | float | str | None, whole: Decimal | float | str | None) -> Decimal | None:
    """part / whole as an exact ratio; None where there is no whole to speak of."""
    try:
        return Decimal(str(part)) / Decimal(str(whole))
    except (InvalidOperation, ZeroDivisionError):
        return None


@register.filter
def left_of(whole: Decimal | float | str, part: Decimal | float | str) -> Decimal:
    """What is left of `whole` after `part`; negative when more was used than there is."""
    return Decimal(str(whole)) - Decimal(str(part))


@register.filter(name="abs")
def magnitude(number: Decimal) -> Decimal:
    return abs(number)


@register.filter
def usage_tone(ratio: Decimal | None) -> str:
    """What colour a usage bar takes: caution from 80 percent of its limit, negative from all of it."""
    if ratio is None or ratio < CAUTION_FROM:
        return "normal"
    return "caution" if ratio < NEGATIVE_FROM else "negative"


@register.filter
def bar_width(ratio: Decimal | None) -> str:
    """A ratio as the width attribute of an SVG shape, between 0% and 100%, written the same in every locale."""
    return f"{min(max(ratio or Decimal(0), Decimal(0)), Decimal(1)) * 100:.2f}%"


# --- times -------------------------------------------------------------------------------------
def _zone(tz: str | dt.tzinfo | None) -> dt.tzinfo:
    if tz is None or tz == "":
        return timezone.get_current_timezone()
    return ZoneInfo(tz) if isinstance(tz, str) else tz


def _zone_text(local: dt.datetime) -> str:
    """CET where the reader's locale has a short name for the zone, else its offset: UTC+7, UTC+5:30."""
    name = get_timezone_name(local, width="short", locale=reader_locale())
    if name.isalpha() and len(name) <= LONGEST_ZONE_NAME:
        return name
    minutes = int((local.utcoffset() or dt.timedelta()).total_seconds()) // 60
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'-' if minutes < 0 else '+'}{hours}{f':{rest:02}' if rest else ''}"


def _instant_text(local: dt.datetime) -> str:
    locale = reader_locale()
    pattern = str(get_datetime_format("medium", locale=locale)).replace("'", "")
    clock = f"{format_time(local, 'short', locale=locale)} {_zone_text(local)}"
    text = pattern.replace("{1}", format_date(local, "medium", locale=locale)).replace("{0}", clock)
    return text.replace("\u202f", "\u00a0")  # CLDR's narrow space is missing from many fonts


@register.filter
def when_text(value: dt.datetime | None, tz: str | None = None) -> str:
    """An instant in words, with its zone: Mar 12, 2026, 2:05 PM CET."""
    return ABSENT if value is None else _instant_text(value.astimezone(_zone(tz)))


@register.simple_tag
def when(value: dt.datetime | None, tz: str | dt.tzinfo | None = None) -> SafeString:
    """`{% when invoice.paid_at tz=customer.timezone %}`: a <time> in that zone, or in the reader's."""
    if value is None:
        return SafeString(ABSENT)
    local = value.astimezone(_zone(tz))
    return format_html('<time datetime="{}">{}</time>', local.isoformat(timespec="seconds"), _instant_text(local))


def _date(value: dt.date, tz: str | None) -> dt.date:
    return value.astimezone(_zone(tz)).date() if isinstance(value, dt.datetime) else value


@register.filter
def day_text(value: dt.date | None, tz: str | None = None) -> str:
    """A date in words; an instant becomes the date it has in `tz`, or in the reader's zone."""
    return ABSENT if value is None else format_date(_date(value, tz), "medium", locale=reader_locale())


@register.filter
def day(value: dt.date | None, tz: str | None = None) -> SafeString:
    """`{{ invoice.due_date|day }}`: the same as a <time> element."""
    if value is None:
        return SafeString(ABSENT)
    return format_html('<time datetime="{}">{}</time>', _date(value, tz).isoformat(), day_text(value, tz))


@register.simple_tag
def period(start: dt.datetime, end: dt.datetime, tz: str | dt.tzinfo | None = None) -> str:
    """A half-open period as the first and the last day it holds: Feb 1 – 28, 2026."""
    zone = _zone(tz)
    first = start.astimezone(zone).date()
    last = (end.astimezone(zone) - dt.timedelta(microseconds=1)).date()
    if first >= last:
        return format_date(first, "medium", locale=reader_locale())
    return format_interval(first, last, "yMMMd", locale=reader_locale())


# --- colours -----------------------------------------------------------------------------------
@register.filter
def ink_on(colour: str) -> str:
    """Black or white, whichever is read better on `colour` (#rrggbb): where no stylesheet can decide it, in mail."""
    parts = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#ffffff" if 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.05 else "#000000"


# --- statuses ----------------------------------------------------------------------------------
@register.simple_tag
def status_badge(status: str, label: str = "") -> SafeString:
    """`{% status_badge invoice.status %}`: the word for a status code, with the colour of its kind."""
    word, tone = statuses.describe(status)
    return format_html('<span class="status" data-tone="{}">{}</span>', tone, label or word)


@register.filter
def browser(user_agent: str) -> str:
    return browsers.name(user_agent)


@register.filter
def status_word(status: str) -> str:
    return statuses.describe(status)[0]


# --- addresses ---------------------------------------------------------------------------------
def _address(context: Context, changes: dict[str, Any]) -> str:
    query: QueryDict = context["request"].GET.copy()
    for name in PLACE_PARAMETERS:
        query.pop(name, None)
    for name, value in changes.items():
        if value in (None, ""):
            query.pop(name, None)
        else:
            query[name] = str(value)
    return f"?{query.urlencode()}"


@register.simple_tag(takes_context=True)
def query_with(context: Context, **changes: Any) -> str:
    """`{% query_with status="open" q=None %}`: this page's query with these set or removed, from its first page."""
    return _address(context, changes)


@register.simple_tag(takes_context=True)
def sort_url(context: Context, field: str) -> str:
    """The address that sorts by `field`; once sorted by it, the other way round (`?sort=-field`)."""
    current = context["request"].GET.get("sort", "")
    return _address(context, {"sort": f"-{field}" if current == field else field})


@register.simple_tag(takes_context=True)
def sort_state(context: Context, field: str) -> str:
    """The value of aria-sort for a column heading."""
    current = context["request"].GET.get("sort", "")
    return {field: "ascending", f"-{field}": "descending"}.get(current, "none")


@register.simple_tag
def languages() -> list[tuple[str, str]]:
    """`{% languages as names %}`: the code of each language that a reader can choose, and what it calls itself."""
    return list(settings.LANGUAGES)


# --- charts and forms --------------------------------------------------------------------------
@register.filter
def marked(form: BaseForm) -> list[BoundField]:
    """The fields that a reader sees something wrong with."""
    return [field for field in form.visible_fields() if field.errors]


@register.simple_tag
def sparkline(values: Sequence[charts.Number], label: str, limit: charts.Number | None = None) -> SafeString:
    """`{% sparkline usage.daily label="API calls, last 30 days" limit=1000 %}`"""
    return charts.sparkline(values, label=label, limit=limit)


@register.simple_tag
def bar_chart(rows: Sequence[tuple[str, charts.Number]], label: str, limit: charts.Number | None = None) -> SafeString:
    """`{% bar_chart rows label="API calls per day" %}` with rows of (name, value)."""
    return charts.bars(rows, label=label, limit=limit)


@register.simple_tag
def course_chart(
    values: Sequence[charts.Number],
    slots: int,
    label: str,
    limit: charts.Number | None = None,
    leads_to: charts.Number | None = None,
) -> SafeString:
    """`{% course_chart usage.values usage.slots label="API calls" limit=1000 leads_to=1240 %}`"""
    return charts.course(values, slots=slots, label=label, limit=limit, leads_to=leads_to)


@register.filter
def field_kind(field: BoundField) -> str:
    """How the field component lays a bound field out: check (one tick box), group (many choices) or control."""
    if isinstance(field.field.widget, CheckboxInput):
        return "check"
    return "group" if field.use_fieldset else "control"
