"""What is due of items: the periods that are to be charged for, and what each of them comes to.

All usage of many periods is read by one query; the parts of a metered period that a change has cut are rated together,
each at its own price.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

from billing import pricing, proration, rating
from billing.models import Meter, Price, Subscription, SubscriptionItem
from billing.price_terms import PriceTerms
from billing.pricing import Rated, Transaction
from billing.proration import MeteredSegment, Part
from billing.queries import transactions, usage
from billing.schedule import Due
from gtm.shared import periods
from gtm.shared.periods import Anchor, Interval, ProrationUnit

_WHOLE = Part(Fraction(1), Fraction(1), "day")
_ADDS_UP = (Meter.Aggregation.COUNT, Meter.Aggregation.SUM)
_interval = lru_cache(maxsize=128)(Interval)  # there are few


@dataclass(frozen=True, slots=True)
class ItemDue:
    """A period of an item that is to be charged for, and the anchor it is counted from."""

    subscription: Subscription
    item: SubscriptionItem
    due: Due
    anchor: Anchor


class Measure(NamedTuple):
    """What a period is charged for; ``transactions`` where the price looks at each of them."""

    quantity: Decimal
    transactions: Sequence[Transaction] = ()


def interval_of(price: Price) -> Interval:
    return _interval(price.interval, price.interval_count)  # type: ignore[arg-type]  # an item's price always recurs


def closing(item: SubscriptionItem, at: datetime, *, unit: ProrationUnit) -> datetime:
    """Until when an item that ends for good at ``at`` is billed: that day is, within the period it stands in."""
    return proration.closing(at, unit=unit, timezone=item.timezone, not_after=item.current_period_end)


def part_of(item_due: ItemDue) -> Part:
    """What part of the whole period it is; only a first, a last or a changed one can be less."""
    item, due = item_due.item, item_due.due
    if due.period.index and not due.cut and item.ended_at is None and item.started_at != due.period.start:
        return _WHOLE
    segment = due.period
    if due.cut and segment.end == item_due.subscription.cancel_at:  # a pause's has its day already
        segment = replace(segment, end=closing(item, segment.end, unit=item_due.anchor.unit))
    from_start = due.period.index > 0 and item.started_at != due.period.start
    return proration.part_of(segment, anchor=item_due.anchor, interval=interval_of(item.price), from_start=from_start)


def rate(dues: Sequence[ItemDue]) -> list[tuple[Decimal, Rated]]:
    """The quantity and the price of each period, in their order, with one query for all usage.

    One more where a price looks at each transaction. Parts of one metered period must come together: what is included
    is used in the order of time.
    """
    terms = [rating.terms_of(item_due.item.price) for item_due in dues]
    parts = [part_of(item_due) for item_due in dues]
    together = _together(dues)
    measures = _measures(dues, terms, parts, together)
    found: dict[int, Rated] = {}
    for positions in together:
        segments = [MeteredSegment(terms[one], parts[one], *measures[one]) for one in positions]
        found |= dict(zip(positions, proration.rate_segments(segments), strict=True))
    for position in range(len(dues)):
        if position not in found:
            found[position] = proration.prorated(
                pricing.rate(terms[position], measures[position].quantity), parts[position]
            )
    return [(measure.quantity, found[position]) for position, measure in enumerate(measures)]


def _together(dues: Sequence[ItemDue]) -> list[list[int]]:
    """The positions of the parts of each metered period, in the order of time, where parts add up."""
    found: dict[object, list[int]] = defaultdict(list)
    for position, item_due in enumerate(dues):
        if _adds_up(item_due.item.price):
            found[_period_key(item_due)].append(position)
    in_order = (sorted(found[key], key=lambda position: dues[position].due.period.start) for key in found)
    return [run for positions in in_order for run in _runs(positions, dues)]


def _runs(positions: Sequence[int], dues: Sequence[ItemDue]) -> Iterator[list[int]]:
    """The parts without a gap: what was removed is closed and billed by then, though it is added again later."""
    run: list[int] = []
    for position in positions:
        run.append(position)
        item, due = dues[position].item, dues[position].due
        if item.ended_at is not None and due.at == item.ended_at:
            yield run
            run = []
    if run:
        yield run


def _adds_up(price: Price) -> bool:
    """Whether parts of a period have parts of its usage. A largest value holds in all of them, as a quantity does."""
    return price.meter is not None and price.meter.aggregation in _ADDS_UP


def _period_key(item_due: ItemDue) -> tuple[Any, ...]:
    """What the parts of one metered period have in common.

    The anchor's local time stays when the customer's zone changes.
    """
    item, anchor = item_due.item, item_due.anchor
    local = anchor.at.astimezone(periods.zone(anchor.timezone)).replace(tzinfo=None)
    return item.subscription_id, item.price.meter_id, interval_of(item.price), item_due.due.period.index, local


def _measures(
    dues: Sequence[ItemDue], terms: Sequence[PriceTerms], parts: Sequence[Part], together: Sequence[Sequence[int]]
) -> list[Measure]:
    """What each is charged for: the item's quantity, what its meter counted, or each of the transactions."""
    found = _transactions(dues, terms, parts, together)
    metered = [n for n, one in enumerate(dues) if one.item.price.meter_id is not None and n not in found]
    totals = usage.totals([_window(dues[n]) for n in metered])
    found |= {n: Measure(total) for n, total in zip(metered, totals, strict=True)}
    return [found.get(n) or Measure(item_due.item.quantity) for n, item_due in enumerate(dues)]


def _transactions(
    dues: Sequence[ItemDue], terms: Sequence[PriceTerms], parts: Sequence[Part], together: Sequence[Sequence[int]]
) -> dict[int, Measure]:
    """Those of prices that look at each. Their sum is the quantity: roll-ups read an instant later may have more."""
    asked = {}
    for pool, positions in enumerate(together):
        if any(terms[n].needs_transactions for n in positions):
            allowed = proration.pooled([(terms[n], parts[n]) for n in positions])
            for n, own in zip(positions, allowed, strict=True):
                bounds = (*own.free_transactions, *own.bounded_transactions)
                asked[n] = transactions.Asked(_window(dues[n]), *bounds, pool)
    found = zip(asked, transactions.runs(list(asked.values())), strict=True)
    return {n: Measure(sum((total for total, _count in runs), Decimal()), runs) for n, runs in found}


def _window(item_due: ItemDue) -> usage.Window:
    return usage.Window(
        customer_id=item_due.subscription.customer_id,
        meter_id=item_due.item.price.meter_id,  # type: ignore[arg-type]  # metered
        subscription_id=item_due.subscription.id,
        start=item_due.due.period.start,
        end=item_due.due.period.end,
    )
