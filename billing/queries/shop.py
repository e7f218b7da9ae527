"""What the price page and the checkout show."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Prefetch
from django.utils.translation import gettext as _

from billing import wording
from billing.models import Entitlement, Feature, Plan, PlanVersion, Price
from gtm.shared.templatetags.tandem import quantity

SWITCH = ("month", "year")  # what the price page can be turned to
INTERVALS = ("week", "month", "quarter", "year")


@dataclass(frozen=True)
class Saving:
    """What a year paid at once costs less than twelve months: ``amount`` in minor units, ``months`` where it is whole
    months, ``percent`` rounded down.
    """

    amount: int
    months: int
    percent: int


@dataclass(frozen=True)
class Offer:
    """A plan on the price page. ``buyable`` is the invariant: it depends on the plan alone, never on who looks."""

    code: str
    name: str
    description: str
    purchase_mode: str
    buyable: bool
    talk_to_us: bool
    trial_days: int
    price_lines: list[dict[str, Any]]
    features: list[dict[str, str]]
    intervals: tuple[str, ...] = field(default=())
    currency: str = ""
    saving: Saving | None = None
    currencies: tuple[str, ...] = field(default=())


def current_versions(plans: Any) -> list[PlanVersion]:
    """The newest version of each plan, with its published prices and entitlements, in order: three queries."""
    prices = Price.objects.filter(published=True).select_related("meter").order_by("meter_id", "created_at", "id")
    newest = PlanVersion.objects.filter(plan__in=plans).order_by("plan_id", "-number").distinct("plan_id").values("pk")
    return list(
        PlanVersion.objects.filter(pk__in=newest)
        .select_related("plan")
        .prefetch_related(
            Prefetch("prices", queryset=prices, to_attr="published_prices"),
            Prefetch(
                "entitlements", queryset=Entitlement.objects.select_related("feature__meter").order_by("feature__name")
            ),
        )
        .order_by("plan__position", "plan__code")
    )


def offers(*, interval: str, currency: str, base: str) -> list[Offer]:
    """Every plan for sale, priced by ``interval`` and in ``currency`` where it has such a price, else by one it has."""
    return [
        offer(version, interval=interval, currency=currency_of(version, currency, base))
        for version in current_versions(Plan.objects.for_sale())
    ]


def offer(version: PlanVersion, *, interval: str, currency: str) -> Offer:
    plan, prices = version.plan, published(version, currency)
    shown = base_prices(prices, interval)
    per = next((wording.per_interval(price.interval, price.interval_count) for price in shown if _licensed(price)), "")
    return Offer(
        code=plan.code,
        name=plan.name,
        description=plan.description,
        purchase_mode=plan.purchase_mode,
        buyable=is_buyable(plan, prices),
        talk_to_us=talks(plan),
        trial_days=version.trial_days,
        price_lines=[wording.price_line(price) for price in shown],
        features=[feature_line(granted, per=per) for granted in version.entitlements.all() if granted.granted],
        intervals=intervals(prices),
        currency=currency,
        saving=saving(prices),
        currencies=tuple(currencies(version)),
    )


def saving(prices: Sequence[Price]) -> Saving | None:
    """Of a single unit; None where there is none, or no one price for each interval."""
    by_interval = {name: [one for one in prices if _licensed(one) and one.interval == name] for name in SWITCH}
    if any(len(found) != 1 or found[0].interval_count != 1 for found in by_interval.values()):
        return None
    month, year = (wording.price_line(by_interval[name][0])["amount"] for name in SWITCH)
    if not month or year is None or year >= 12 * month:
        return None
    less = 12 * month - year
    return Saving(
        amount=int(less), months=int(less // month) if less % month == 0 else 0, percent=int(100 * less // (12 * month))
    )


def comparison(shown: Sequence[Offer]) -> list[dict[str, Any]]:
    """A row for each feature that any of the plans has: its ``name`` and, by plan, what it gives (None: nothing)."""
    names = sorted({line["name"] for offer in shown for line in offer.features})
    given = [{line["name"]: line["value"] for line in offer.features} for offer in shown]
    return [{"name": name, "cells": [plan.get(name) for plan in given]} for name in names]


def published(version: PlanVersion, currency: str) -> list[Price]:
    """The prices of one of ``current_versions`` that make up a purchase in that currency."""
    prices: list[Price] = version.published_prices  # type: ignore[attr-defined]  # prefetched
    return [price for price in prices if price.currency == currency and not price.add_on]


def add_ons(version: PlanVersion, currency: str) -> list[Price]:
    """What can be added to a purchase in that currency: what recurs, or is used."""
    prices: list[Price] = version.published_prices  # type: ignore[attr-defined]  # prefetched
    once = Price.Interval.ONE_TIME
    return [price for price in prices if price.currency == currency and price.add_on and price.interval != once]


def currencies(version: PlanVersion) -> list[str]:
    """In what the plan can be bought, in order."""
    prices: list[Price] = version.published_prices  # type: ignore[attr-defined]  # prefetched
    once = Price.Interval.ONE_TIME
    return sorted({price.currency for price in prices if not price.add_on and price.interval != once})


def currency_of(version: PlanVersion, *wanted: str) -> str:
    """The first of the wanted currencies that the plan has a price in; else any that it has."""
    known = currencies(version)
    return next((one for one in wanted if one in known), known[0] if known else wanted[-1])


def is_buyable(plan: Plan, prices: Sequence[Price]) -> bool:
    """A plan with a published price is bought alone, unless it is sold by quote, or asks for a demo first.

    A self-serve plan does neither.
    """
    needs_demo = plan.purchase_mode != Plan.PurchaseMode.SELF_SERVE and plan.demo_policy == Plan.DemoPolicy.REQUIRED
    recurs = any(price.interval != Price.Interval.ONE_TIME for price in prices)
    return recurs and plan.purchase_mode != Plan.PurchaseMode.QUOTE_ONLY and not needs_demo


def talks(plan: Plan) -> bool:
    """Whether "Talk to sales" stands beside the buy button, or in its place."""
    return plan.talk_to_us or plan.purchase_mode != Plan.PurchaseMode.SELF_SERVE


def intervals(prices: Sequence[Price]) -> tuple[str, ...]:
    """By what a plan with these prices can be bought, the shortest first; empty where all of it is metered."""
    licensed = {price.interval for price in prices if _licensed(price)}
    return tuple(name for name in INTERVALS if name in licensed)


def base_prices(prices: Sequence[Price], interval: str) -> list[Price]:
    """What a purchase by ``interval`` consists of, or by the shortest one there is: licensed prices, then metered."""
    known = intervals(prices)
    shown = interval if interval in known else next(iter(known), "")
    chosen = [price for price in prices if _licensed(price) and price.interval == shown]
    return chosen + [price for price in prices if price.meter_id is not None]


def _licensed(price: Price) -> bool:
    return price.meter_id is None and price.interval != Price.Interval.ONE_TIME


def feature_line(entitlement: Entitlement, *, per: str = "") -> dict[str, str]:
    """A feature and what the plan gives of it, in words. ``per`` names its billing period: ``per month``."""
    feature = entitlement.feature
    if feature.type == Feature.Type.BOOLEAN:
        return {"name": feature.name, "value": ""}
    if entitlement.limit is None:
        return {"name": feature.name, "value": _("unlimited")}
    resets = {"month": _("per month"), "billing_period": per or _("each billing period"), "never": ""}
    return {"name": feature.name, "value": f"{quantity(entitlement.limit)} {resets[entitlement.reset]}".rstrip()}
