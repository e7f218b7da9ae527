"""What a subscription's time costs, by nothing but its days (or seconds): no charge, no credit, no line is read."""

from datetime import datetime, timedelta
from fractions import Fraction

from billing.models import SubscriptionItem
from gtm.shared import periods
from gtm.shared.periods import Anchor, Interval, Period
from tests.billing.cases.payer import Payer


def cost(item: SubscriptionItem, payer: Payer, *, until: datetime | None = None) -> Fraction:
    """What the item's time came to, period by period of its grid, each by its share; ``until`` where it goes on."""
    anchor = Anchor(item.anchor_at, item.timezone, payer.unit, item.subscription.alignment)  # type: ignore[arg-type]
    interval = Interval(item.price.interval, item.price.interval_count)  # type: ignore[arg-type]
    begun, end = item.started_at or item.anchor_at, until if item.ended_at is None else _end_of(item, payer)
    assert end is not None
    total, k = Fraction(), 0
    while (period := periods.period(anchor, interval, k)).start < end:
        part = Period(max(period.start, begun), max(min(period.end, end), max(period.start, begun)))
        whole = periods.whole_period(anchor, interval, k)
        share = periods.share(part, whole, unit=anchor.unit, timezone=item.timezone)
        total += min(share, Fraction(1)) * Fraction(item.price.unit_amount) * Fraction(item.quantity)
        k += 1
    return total


def _end_of(item: SubscriptionItem, payer: Payer) -> datetime:
    """Until when an item is paid for: the day of an end for good is, that of a change belongs to what follows."""
    assert item.ended_at is not None
    followed = item.subscription.items.filter(started_at=item.ended_at, pk__gt=item.pk).exists()
    if payer.unit == "second" or followed or item.ended_at != item.subscription.ended_at:
        return item.ended_at
    following = periods.local_date(item.ended_at, item.timezone) + timedelta(days=1)
    return periods.start_of_day(following, item.timezone)
