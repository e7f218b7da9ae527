"""The plans that a customer may change to alone, and those that are sold by quote: a constant number of queries."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from billing import comparison, item_dues, rating
from billing.models import Plan, PlanVersion, Price, QuoteRequest, Subscription
from billing.mrr import RecurringItem
from billing.queries import shop
from gtm.shared.money import round_half_up


@dataclass(frozen=True, slots=True)
class PlanOption:
    """A plan by an interval, as it would cost this customer at ``seats``.

    ``monthly`` is its list price brought to a month, in minor units; ``saving`` what a year by the year saves against
    twelve months. ``is_present``: what the customer has, by the interval it has it. ``asked_at`` is when a quote was
    asked for.
    """

    code: str
    name: str
    description: str
    price_lines: list[dict[str, Any]]
    features: list[dict[str, str]]
    intervals: tuple[str, ...]
    interval: str
    saving: int
    currency: str
    is_own: bool
    is_present: bool
    by_quote: bool
    asked_at: Any = None


def options(subscription: Subscription, *, interval: str, present: str, seats: int) -> list[PlanOption]:
    """Those for sale in the subscription's currency, in the shop's order; those by quote come last."""
    versions = shop.current_versions(Plan.objects.for_sale())
    asked = dict(
        QuoteRequest.objects.filter(customer=subscription.customer_id)
        .order_by("requested_at")
        .values_list("plan", "requested_at")
    )
    found = [
        _option(
            version, subscription, interval=interval, present=present, seats=seats, asked_at=asked.get(version.plan_id)
        )
        for version in versions
        if _is_offered(version, subscription)
    ]
    return sorted(found, key=lambda option: option.by_quote)


def _is_offered(version: PlanVersion, subscription: Subscription) -> bool:
    by_quote = version.plan.purchase_mode == Plan.PurchaseMode.QUOTE_ONLY
    return by_quote or shop.is_buyable(version.plan, shop.published(version, subscription.currency))


def _option(
    version: PlanVersion, subscription: Subscription, *, interval: str, present: str, seats: int, asked_at: Any
) -> PlanOption:
    prices = shop.published(version, subscription.currency)
    offer = shop.offer(version, interval=interval, currency=subscription.currency)
    is_own = version.plan_id == subscription.plan_version.plan_id
    known = offer.intervals or (interval,)
    shown = interval if interval in known else known[0]
    return PlanOption(
        code=offer.code,
        name=offer.name,
        description=offer.description,
        price_lines=offer.price_lines,
        features=offer.features,
        intervals=offer.intervals,
        interval=shown,
        saving=yearly_saving(prices, seats=seats) if shown == Price.Interval.YEAR else 0,
        currency=subscription.currency,
        is_own=is_own,
        is_present=is_own and shown == present,
        by_quote=offer.purchase_mode == Plan.PurchaseMode.QUOTE_ONLY,
        asked_at=asked_at,
    )


def yearly_saving(prices: list[Price], *, seats: int) -> int:
    """Minor units that a year by the year costs less than twelve months, at so many seats; 0 where it doesn't."""
    yearly, monthly = (_a_month(prices, interval, seats) for interval in ("year", "month"))
    return max(round_half_up((monthly - yearly) * 12), 0) if yearly and monthly else 0


def _a_month(prices: list[Price], interval: str, seats: int) -> Any:
    chosen = [price for price in prices if price.meter_id is None and price.interval == interval]
    return comparison.total_monthly(
        RecurringItem(
            rating.terms_of(price),
            Decimal(1) if price.model == Price.Model.FLAT else Decimal(seats),
            item_dues.interval_of(price),
        )
        for price in chosen
    )
