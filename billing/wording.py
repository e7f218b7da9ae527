"""How amounts explain themselves to customers, in the reader's language.

Explanations are stored as data, ``[{"code": "tier", "quantity": "500", ...}, ...]`` (the steps of ``billing.pricing``),
and become sentences only when shown, so that an invoice from last year can be read in another language today.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.models import Coupon, Discount, Price
from billing.pricing import Step
from gtm.shared.templatetags.tandem import day_text, money, price, quantity, unit_price

Values = Mapping[str, Any]


def stored(steps: Iterable[Step]) -> list[dict[str, Any]]:
    """The steps as an invoice line keeps them."""
    return [{"code": step.code, **step.params} for step in steps]


def explain(explanation: Iterable[Values], currency: str) -> list[str]:
    """One sentence for each step that is worth saying."""
    steps = list(explanation)
    sentences = {**_SENTENCES, **_OF_MONEY} if _is_of_money(steps) else _SENTENCES
    return [sentences[step["code"]](step, currency) for step in steps if step.get("code") in sentences]


def measured(number: Any, explanation: Iterable[Values], currency: str) -> str:
    """What a line's quantity is, as it is read: 12,500, or €4,410.00 where a percentage of money is charged."""
    return _rate(number, currency) if _is_of_money(explanation) else quantity(number)


def _is_of_money(explanation: Iterable[Values]) -> bool:
    return any(step.get("code") == "percentage" for step in explanation)


def _units(value: Any) -> str:
    """A number that days may have divided: at most three places from 1 on, for the amount was made of all of them."""
    number = Decimal(str(value)) if value is not None else None
    return quantity(round(number, 3) if number is not None and abs(number) >= 1 else number)


def _rate(value: Any, currency: str) -> str:
    return unit_price(Decimal(str(value)), currency)


def _flat(step: Values, currency: str) -> str:
    return _("Fixed price of %(amount)s") % {"amount": _rate(step["amount"], currency)}


def _per_unit(step: Values, currency: str) -> str:
    values = {
        "units": quantity(step["quantity"]),
        "rate": _rate(step["unit_amount"], currency),
        "amount": _rate(step["amount"], currency),
    }
    return _("%(units)s × %(rate)s = %(amount)s") % values


def _package(step: Values, currency: str) -> str:
    values = {
        "units": quantity(step["quantity"]),
        "packages": quantity(step["packages"]),
        "size": quantity(step["package_size"]),
        "rate": _rate(step["unit_amount"], currency),
        "amount": _rate(step["amount"], currency),
    }
    return _("%(units)s units are %(packages)s packages of %(size)s, × %(rate)s = %(amount)s") % values


def _tier(step: Values, currency: str) -> str:
    values = {
        "above": _units(step["above"]),
        "up_to": _units(step.get("up_to")),
        "units": _units(step["quantity"]),
        "rate": _rate(step["unit_amount"], currency),
        "amount": _rate(step["amount"], currency),
    }
    bounds = _("Above %(above)s, up to %(up_to)s") if "up_to" in step else _("Above %(above)s")
    fee = _fee(step, currency)
    return f"{bounds % values}: " + (_("%(units)s × %(rate)s") % values) + fee + f" = {values['amount']}"


def _volume_tier(step: Values, currency: str) -> str:
    values = {
        "units": _units(step["quantity"]),
        "rate": _rate(step["unit_amount"], currency),
        "amount": _rate(step["amount"], currency),
    }
    return (
        _("All %(units)s at the price of the tier they reach, %(rate)s each") % values
        + _fee(step, currency)
        + f" = {values['amount']}"
    )


def _fee(step: Values, currency: str) -> str:
    if not Decimal(str(step.get("flat_amount") or 0)):
        return ""
    return " " + _("plus %(fee)s") % {"fee": _rate(step["flat_amount"], currency)}


def _included(step: Values, currency: str) -> str:
    values = {"units": _units(step["quantity"]), "included": _units(step["included"]), "rest": _units(step["rest"])}
    return _("Of %(units)s, %(included)s are included; %(rest)s are charged") % values


def _included_money(step: Values, currency: str) -> str:
    values = {name: _rate(step[name], currency) for name in ("quantity", "included", "rest")}
    return _("Of %(quantity)s, %(included)s is free; a fee is charged on %(rest)s") % values


def _flat_amount(step: Values, currency: str) -> str:
    return _("Base fee of %(amount)s") % {"amount": _rate(step["amount"], currency)}


def _percentage(step: Values, currency: str) -> str:
    values = {
        "percentage": quantity(step["percentage"]),
        "base": _rate(step["base"], currency),
        "amount": _rate(step["amount"], currency),
    }
    return _("%(percentage)s %% of %(base)s = %(amount)s") % values


def _transactions(step: Values, currency: str) -> str:
    """``6 transactions, 2 of them free; 4 × €0.10 each; 3 held down to the highest fee; €19.15 in all``."""
    count, free = int(step["count"]), int(step["free"])
    text = ngettext("%(count)s transaction", "%(count)s transactions", count) % {"count": quantity(count)}
    text += _(", %(free)s of them free") % {"free": quantity(free)} if free else ""
    fees = _transaction_fees(step, count - free, currency)
    total = [_("%(amount)s in all") % {"amount": _rate(step["amount"], currency)}] if fees and "amount" in step else []
    return "; ".join([text, *fees, *total])


def _transaction_fees(step: Values, charged: int, currency: str) -> list[str]:
    """What single transactions change in the percentage of them all."""
    fixed, raised, capped = (step.get(name) or 0 for name in ("fixed_amount", "raised", "capped"))
    fees = []
    if Decimal(str(fixed)) and charged:
        fees.append(_("plus %(units)s × %(rate)s") % {"units": quantity(charged), "rate": _rate(fixed, currency)})
    if raised and "lowest" in step:
        values = {"count": quantity(raised), "amount": _rate(step["lowest"], currency)}
        fees.append(_("%(count)s raised to %(amount)s") % values)
    if capped and "highest" in step:
        values = {"count": quantity(capped), "amount": _rate(step["highest"], currency)}
        fees.append(_("%(count)s held down to %(amount)s") % values)
    return fees


def _minimum(step: Values, currency: str) -> str:
    return _("Raised to the minimum of %(amount)s") % {"amount": _rate(step["minimum_amount"], currency)}


def _part(step: Values, currency: str) -> str:
    values = {"part": quantity(step["part"]), "of": quantity(step["whole"])}
    if step.get("unit", "day") == "day":
        return _("For %(part)s of %(of)s days: what is included, tiers and fees count in that proportion") % values
    return _("For %(part)s of %(of)s seconds: what is included, tiers and fees count in that proportion") % values


def _unused(step: Values, currency: str) -> str:
    values = {"days": quantity(step["part"]), "of": quantity(step["whole"]), "amount": _rate(step["amount"], currency)}
    if step.get("unit", "day") == "day":
        return _("Unused: %(days)s of %(of)s days of the %(amount)s charged") % values
    return _("Unused: %(days)s of %(of)s seconds of the %(amount)s charged") % values


def _commitment(step: Values, currency: str) -> str:
    values = {name: money(int(step[name]), currency) for name in ("committed", "rated", "amount")}
    return _("At least %(committed)s is due for this period, of which %(rated)s was charged: %(amount)s more") % values


def _proration(step: Values, currency: str) -> str:
    values = {"days": quantity(step["part"]), "of": quantity(step["whole"]), "amount": _rate(step["amount"], currency)}
    unit = (
        _("%(days)s of %(of)s days of %(amount)s")
        if step.get("unit", "day") == "day"
        else _("%(days)s of %(of)s seconds of %(amount)s")
    )
    return unit % values


def _late(step: Values, currency: str) -> str:
    return _late_by(step, quantity(step["billed"]), quantity(step["now"]))


def _late_money(step: Values, currency: str) -> str:
    return _late_by(step, _rate(step["billed"], currency), _rate(step["now"], currency))


def _late_by(step: Values, billed: str, now: str) -> str:
    values = {
        "from": day_text(date.fromisoformat(step["from"])),
        "to": day_text(date.fromisoformat(step["to"])),
        "billed": billed,
        "now": now,
    }
    return _("Usage from %(from)s to %(to)s was %(now)s; %(billed)s was billed before") % values


def _billed_before(step: Values, currency: str) -> str:
    values = {"total": _rate(step["total"], currency), "amount": _rate(step["amount"], currency)}
    return _("%(total)s in all, less the %(amount)s that was billed before") % values


_SENTENCES: dict[str, Callable[[Values, str], str]] = {
    "flat": _flat,
    "per_unit": _per_unit,
    "package": _package,
    "tier": _tier,
    "volume_tier": _volume_tier,
    "late": _late,
    "billed_before": _billed_before,
    "included": _included,
    "flat_amount": _flat_amount,
    "percentage": _percentage,
    "transactions": _transactions,
    "minimum": _minimum,
    "commitment": _commitment,
    "part": _part,
    "proration": _proration,
    "unused": _unused,
}
_OF_MONEY = {"included": _included_money, "late": _late_money}


# --- discounts ---------------------------------------------------------------------------------
def discount(applied: Discount) -> str:
    """``SUMMER20: 20 % off, until 3 May``; the discount's coupon and customer are read along."""
    text = offer(applied.coupon)
    if applied.ends_at is None:
        return text
    day = day_text(applied.ends_at, applied.customer.timezone)
    return _("%(offer)s, until %(day)s") % {"offer": text, "day": day}


def offer(coupon: Coupon) -> str:
    """``WELCOME: $10.00 off each billing period``."""
    values = {"code": coupon.code, "percent": quantity(coupon.percent_off)}
    if coupon.amount_off is None:
        return _("%(code)s: %(percent)s %% off") % values
    values["amount"] = money(coupon.amount_off, coupon.currency)
    if coupon.duration == Coupon.Duration.ONCE:
        return _("%(code)s: %(amount)s off once") % values
    return _("%(code)s: %(amount)s off each billing period") % values


# --- prices as they are advertised -------------------------------------------------------------
def per_interval(interval: str, count: int) -> str:
    """``per month``, ``every 3 months``, ``once``."""
    if count == 1:
        return {
            "week": _("per week"),
            "month": _("per month"),
            "quarter": _("per quarter"),
            "year": _("per year"),
            "one_time": _("once"),
        }[interval]
    words = {
        "week": ngettext("every %(n)s week", "every %(n)s weeks", count),
        "month": ngettext("every %(n)s month", "every %(n)s months", count),
        "quarter": ngettext("every %(n)s quarter", "every %(n)s quarters", count),
        "year": ngettext("every %(n)s year", "every %(n)s years", count),
        "one_time": _("once"),
    }
    return words[interval] % {"n": count}


def billed(interval: str, count: int) -> str:
    """``billed monthly`` and the like, for summaries."""
    if count == 1:
        return {
            "week": _("billed weekly"),
            "month": _("billed monthly"),
            "quarter": _("billed quarterly"),
            "year": _("billed yearly"),
            "one_time": _("billed once"),
        }[interval]
    return _("billed %(interval)s") % {"interval": per_interval(interval, count)}


def interval_name(interval: str) -> str:
    """``Monthly`` and the like, for what one chooses."""
    return {"week": _("Weekly"), "month": _("Monthly"), "quarter": _("Quarterly"), "year": _("Yearly")}[interval]


def is_per_seat(item: Price) -> bool:
    """Charged for a quantity that the buyer chooses."""
    return item.meter_id is None and item.model != Price.Model.FLAT


def price_line(item: Price) -> dict[str, Any]:
    """A price as the price page shows it: ``amount`` (minor units; None: text), ``currency``, ``per``, ``text``."""
    per = per_interval(item.interval, item.interval_count)
    if item.meter_id is None and item.model == Price.Model.FLAT:
        return {"amount": _whole(item.unit_amount), "currency": item.currency, "per": per, "text": ""}
    if item.meter_id is None and item.model == Price.Model.PER_UNIT:
        per_seat = _("per unit %(interval)s") % {"interval": per}
        amount, included = _whole(item.unit_amount), _included_text(item, _("units"))
        exact = f"{unit_price(item.unit_amount, item.currency)} {per_seat}" if amount is None else ""
        text = "; ".join(filter(None, [exact, included]))
        return {"amount": amount, "currency": item.currency, "per": per_seat, "text": text}
    text = "; ".join(_usage_text(item)) + ("" if item.meter_id else f", {per}")
    return {"amount": None, "currency": item.currency, "per": per, "text": text}


def price_text(item: Price) -> str:
    """The same as a sentence: ``$15 per unit per month``."""
    line = price_line(item)
    amount = f"{price(line['amount'], item.currency)} {line['per']}" if line["amount"] is not None else ""
    return "; ".join(filter(None, [amount, line["text"]]))


def _whole(amount: Decimal | None) -> int | None:
    return int(amount) if amount is not None and amount == amount.to_integral_value() else None


def _included_text(item: Price, unit: str) -> str:
    values = {"number": quantity(item.included_units), "unit": unit}
    return _("%(number)s %(unit)s included") % values if item.included_units else ""


def _usage_text(item: Price) -> list[str]:
    unit = item.meter.unit or item.meter.name if item.meter else _("units")
    return [text for text in [_included_text(item, unit), *_model_texts(item, unit)] if text]


def _model_texts(item: Price, unit: str) -> list[str]:
    rate = unit_price(item.unit_amount, item.currency) if item.unit_amount is not None else ""
    if item.model in {Price.Model.GRADUATED, Price.Model.VOLUME}:
        return [_tier_text(tier, item.currency, unit) for tier in item.tiers]
    if item.model == Price.Model.PACKAGE:
        return [
            _("%(rate)s for each %(size)s %(unit)s") % {"rate": rate, "size": quantity(item.package_size), "unit": unit}
        ]
    if item.model == Price.Model.PERCENTAGE:
        return [_("%(percentage)s %% of %(unit)s") % {"percentage": quantity(item.percentage), "unit": unit}]
    each = _("beyond that: %(rate)s each") if item.included_units else _("%(unit)s: %(rate)s each")
    return [each % {"rate": rate, "unit": unit}]


def _tier_text(tier: Values, currency: str, unit: str) -> str:
    rate, fee = Decimal(str(tier.get("unit_amount") or 0)), Decimal(str(tier.get("flat_amount") or 0))
    each = _("%(rate)s each") % {"rate": unit_price(rate, currency)}
    costs = [*([unit_price(fee, currency)] if fee else []), *([each] if rate else [])]
    values = {"up_to": quantity(tier.get("up_to")), "unit": unit, "cost": " + ".join(costs) or _("free")}
    bounded = tier.get("up_to") is not None
    return (_("up to %(up_to)s %(unit)s: %(cost)s") if bounded else _("beyond that: %(cost)s")) % values


def role_name(role: str) -> str:
    return {"owner": _("Owner"), "billing": _("Billing"), "viewer": _("Viewer")}[role]


def role_powers(role: str) -> str:
    """What a member of that role may do, as the portal says it."""
    return {
        "owner": _("Does everything, and decides who else has access."),
        "billing": _("Changes the plan, pays, and keeps the billing details; doesn't decide who has access."),
        "viewer": _("Sees usage, plan and invoices, and changes nothing."),
    }[role]
