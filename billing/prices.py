"""Prices: checked when they are made, and never changed once somebody could have bought them."""

from collections.abc import Iterable, Mapping
from copy import copy
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils.formats import date_format

from billing.models import Meter, Plan, PlanVersion, PlanVersionPrice, Price, SubscriptionItem
from billing.plan_versions import draft_of
from billing.price_terms import validate_terms
from billing.rating import terms_of
from gtm.shared import db, money, outbox, saving
from gtm.shared.errors import Conflict, Invalid

ALWAYS_CHANGEABLE = frozenset({"published", "metadata", "external_id"})
_FIXED = frozenset({"plan", "code", "test_clock"})


@transaction.atomic
def create_price(*, plan: Plan, at: datetime, code: str, currency: str, **terms: Any) -> Price:
    """Add a price to the plan's newest version; where that has been sold, to the next one.

    Amounts are in minor units, rates Decimals of them; a tier is ``{"up_to", "unit_amount", "flat_amount"}``. A price
    with a meter is in arrears unless ``timing`` says otherwise, which is refused. Raises Invalid, and Conflict where
    the plan is archived.
    """
    plan = db.lock_one(plan)
    if plan.archived_at is not None:
        raise Conflict(f"{plan} is archived and takes no new prices.", code="plan_archived", attr="plan")
    if terms.get("meter") is not None:
        terms = {"timing": Price.Timing.IN_ARREARS} | terms
    price = Price(plan=plan, code=code, currency=currency, test_clock_id=plan.test_clock_id, **terms)
    _check(price)
    saving.insert(price)
    version = draft_of(plan=plan)
    PlanVersionPrice.objects.create(plan_version=version, price=price)
    data = {"code": code, "plan": plan.public_id, "plan_version": version.public_id, "currency": price.currency}
    outbox.publish("billing.price.created", price, at=at, data=data)
    return price


@transaction.atomic
def change_price(*, price: Price, at: datetime, **changes: Any) -> Price:
    """Publish or withdraw a price, or correct one that nobody can have bought yet.

    Raises Conflict (code ``price_in_use``) with the reason where other fields of a used price would change.
    """
    assert _FIXED.isdisjoint(changes), "a price stays with its plan, under its code"
    price = _locked(price)
    wished = copy(price)
    for name, value in changes.items():
        setattr(wished, name, value)
    _check(wished)
    changed = {name for name in changes if getattr(wished, name) != getattr(price, name)}
    fixed = sorted(changed - ALWAYS_CHANGEABLE)
    if fixed and (reason := why_frozen(price=price)):
        raise Conflict(reason, code="price_in_use", attr=fixed[0])
    if saving.change(price, **{name: getattr(wished, name) for name in changed}):
        data = {"code": price.code, "changed": sorted(changed), "published": price.published}
        outbox.publish("billing.price.changed", price, at=at, data=data)
    return price


@transaction.atomic
def delete_price(*, price: Price, at: datetime) -> None:
    """Take a price that nobody can have bought out of the catalogue. Raises Conflict (``price_in_use``) for others."""
    price = _locked(price)
    if reason := why_frozen(price=price):
        raise Conflict(reason, code="price_in_use")
    outbox.publish("billing.price.deleted", price, at=at, data={"code": price.code, "plan": price.plan.public_id})
    price.version_rows.all().delete()
    price.delete()


def why_frozen(*, price: Price) -> str:
    """Why the terms of a price can't change, in a sentence with what to do instead; nothing where they can."""
    sold = PlanVersion.objects.filter(price_rows__price=price, sealed_at__isnull=False).order_by("number").first()
    instead = "Make a new price and withdraw this one; whoever bought keeps what they bought."
    if sold is not None and sold.sealed_at is not None:
        since = date_format(sold.sealed_at, "j F Y")
        return f"{price} is part of version {sold.number} of {price.plan}, which has been sold since {since}. {instead}"
    if SubscriptionItem.objects.filter(price=price).exists():
        return f"{price} is used by a subscription. {instead}"
    return ""


def _locked(price: Price) -> Price:
    """The plan's lock keeps its version from being sealed meanwhile."""
    db.lock_one(price.plan)
    return Price.objects.select_related("plan", "meter").get(pk=price.pk)


def _check(price: Price) -> None:
    price.tiers = _tiers(price.tiers)
    price.currency = _currency(price.currency)
    saving.clean(price)
    one_time = price.interval == Price.Interval.ONE_TIME
    terms = terms_of(price)
    validate_terms(terms, metered=price.meter_id is not None, timing=price.timing, one_time=one_time)  # type: ignore[arg-type]
    if price.meter is not None and terms.needs_transactions and price.meter.aggregation != Meter.Aggregation.SUM:
        raise Invalid("What is charged per transaction needs a meter that sums their amounts.", attr="meter")
    if one_time and price.interval_count != 1:
        raise Invalid("A one-time price has no interval to count.", attr="interval_count")
    if one_time and price.timing != Price.Timing.IN_ADVANCE:
        raise Invalid("A one-time price is charged at once, in advance.", attr="timing")
    if not 1 <= price.interval_count <= 120:
        raise Invalid("Give 1 to 120 intervals.", attr="interval_count")


def _currency(code: str) -> str:
    try:
        money.exponent(code.upper())
    except ValueError as error:
        raise Invalid(f"{code!r} is not a currency code of ISO 4217.", attr="currency") from error
    return code.upper()


def _tiers(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Tiers as the column keeps them: exact rates as text, bounds as integers. Raises Invalid for anything else."""
    try:
        return [
            {
                "up_to": None if row["up_to"] is None else _whole(row["up_to"]),
                "unit_amount": _text(row.get("unit_amount")),
                "flat_amount": _text(row.get("flat_amount")),
            }
            for row in rows
        ]
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise Invalid(
            "A tier has up_to (a whole number, or null), unit_amount and flat_amount.", attr="tiers"
        ) from error


def _whole(value: Any) -> int:
    if int(value) != Decimal(str(value)):
        raise ValueError(value)
    return int(value)


def _text(value: Any) -> str:
    return format(Decimal(str(value or 0)), "f")
