"""The billing periods of subscriptions at any instant: before the current one, and after it while its renewal is due.

A subscription's row knows its current period; any other is counted from the anchor of the item that leads it.
"""

import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime

from billing.models import Subscription, SubscriptionItem
from gtm.shared import periods, vendors
from gtm.shared.periods import Anchor, Interval

Bounds = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class BillingPeriods:
    """The periods of one item, and the trial before them."""

    start_at: datetime
    anchor: Anchor
    interval: Interval

    def at(self, instant: datetime) -> Bounds:
        """The period that holds ``instant``; before the first one, the trial or the first."""
        if instant < self.anchor.at:
            first = periods.period(self.anchor, self.interval, 0)
            return (self.start_at, first.start) if self.start_at < first.start else (first.start, first.end)
        found = periods.period_at(self.anchor, self.interval, instant)
        return found.start, found.end


def of_subscriptions(subscription_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, BillingPeriods]:
    """By subscription, in two queries; one without items has none. Live items lead, and among them the longest."""
    unit = vendors.current().proration_unit
    items = SubscriptionItem.objects.filter(subscription__in=subscription_ids).select_related("price", "subscription")
    leading = sorted(items, key=lambda item: (item.ended_at is None, item.current_period_end, item.pk))
    return {
        item.subscription_id: BillingPeriods(
            start_at=item.subscription.start_at,
            anchor=Anchor(item.anchor_at, item.timezone, unit, item.subscription.alignment),  # type: ignore[arg-type]  # choices
            interval=Interval(item.price.interval, item.price.interval_count),  # type: ignore[arg-type]  # it recurs
        )
        for item in leading
    }


def containing(subscriptions: Collection[Subscription], at: datetime) -> dict[uuid.UUID, Bounds]:
    """The period of each that holds ``at``: without a query while that is the current one."""
    current = {one.pk: (one.current_period_start, one.current_period_end) for one in subscriptions}
    found = {pk: (start, end) for pk, (start, end) in current.items() if start and end and start <= at < end}
    others = current.keys() - found.keys()
    counted = of_subscriptions(others) if others else {}
    return found | {pk: known.at(at) for pk, known in counted.items()}


def calendar_month(at: datetime, timezone: str) -> Bounds:
    """The month that holds ``at`` as the zone's calendar has it."""
    first = periods.local_date(at, timezone).replace(day=1)
    following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return periods.start_of_day(first, timezone), periods.start_of_day(following, timezone)


def tiling(*, start: datetime, end: datetime, timezone: str, known: BillingPeriods | None) -> Iterator[Bounds]:
    """The periods that cover [start, end): those of the subscription, and calendar months before it or without one."""
    while start < end:
        if known and start >= known.start_at:
            bounds = known.at(start)
        else:
            first, following = calendar_month(start, timezone)
            bounds = first, min(following, known.start_at) if known else following
        yield bounds
        start = bounds[1]
