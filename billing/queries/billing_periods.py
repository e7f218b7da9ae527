"""The billing periods of subscriptions at any instant: before the current one, and after it while its renewal is due.

A subscription's row knows its current period; any other is counted from the anchor of the item that leads it then.
"""

import uuid
from collections.abc import Collection, Iterable, Iterator
from datetime import date, datetime
from itertools import groupby
from operator import attrgetter

from billing import cycles
from billing.cycles import Cycles, Span
from billing.models import Subscription, SubscriptionItem
from gtm.shared import periods, vendors
from gtm.shared.periods import Anchor, Interval

Bounds = tuple[datetime, datetime]


def of_subscriptions(subscription_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Cycles]:
    """By subscription, in two queries; one without items has none."""
    unit = vendors.current().proration_unit
    items = SubscriptionItem.objects.filter(subscription__in=subscription_ids).select_related("price", "subscription")
    found = groupby(items.order_by("subscription", "id"), key=attrgetter("subscription"))
    counted = {subscription.pk: of_items(subscription, theirs, unit=unit) for subscription, theirs in found}
    return {pk: known for pk, known in counted.items() if known is not None}


def of_items(subscription: Subscription, items: Iterable[SubscriptionItem], *, unit: str) -> Cycles | None:
    """The periods of a subscription whose items, ended ones too, were read with their prices."""
    return cycles.of_items([_span(item, subscription, unit) for item in items], start_at=subscription.start_at)


def _span(item: SubscriptionItem, subscription: Subscription, unit: str) -> Span:
    return Span(
        since=item.started_at or subscription.start_at,
        until=item.ended_at,
        anchor=Anchor(item.anchor_at, item.timezone, unit, subscription.alignment),  # type: ignore[arg-type]  # choices
        interval=Interval(item.price.interval, item.price.interval_count),  # type: ignore[arg-type]  # it recurs
        item_id=item.pk,
    )


def containing(subscriptions: Collection[Subscription], at: datetime) -> dict[uuid.UUID, Bounds]:
    """The period of each that holds ``at``: without a query while that is the current one."""
    current = {one.pk: (one.current_period_start, one.current_period_end) for one in subscriptions}
    found = {pk: (start, end) for pk, (start, end) in current.items() if start and end and start <= at < end}
    others = current.keys() - found.keys()
    counted = of_subscriptions(others) if others else {}
    return found | {pk: (period.start, period.end) for pk, known in counted.items() if (period := known.at(at))}


def calendar_month(at: datetime, timezone: str) -> Bounds:
    """The month that holds ``at`` as the zone's calendar has it."""
    first = periods.local_date(at, timezone).replace(day=1)
    following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return periods.start_of_day(first, timezone), periods.start_of_day(following, timezone)


def tiling(*, start: datetime, end: datetime, timezone: str, known: Cycles | None) -> Iterator[Bounds]:
    """The periods that cover [start, end): those of the subscription, and calendar months before it or without one."""
    while start < end:
        if known and start >= known.start_at:
            period = known.at(start)
            bounds = period.start, period.end
        else:
            first, following = calendar_month(start, timezone)
            bounds = first, min(following, known.start_at) if known else following
        yield bounds
        start = bounds[1]
