"""A customer's use of a meter over time, by hours, by days of its calendar, or by billing periods."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from billing.cycles import Cycles
from billing.models import Customer, Meter, Subscription
from billing.queries import billing_periods, usage
from billing.queries.billing_periods import Bounds
from gtm.shared import periods
from gtm.shared.errors import Invalid

GRANULARITIES = ("hour", "day", "period")
MAX_BUCKETS = 1000


@dataclass(frozen=True, slots=True)
class Bucket:
    """What was used on [start, end)."""

    start: datetime
    end: datetime
    quantity: Decimal


def series(
    *,
    customer: Customer,
    meter: Meter,
    granularity: str,
    at: datetime,
    start: datetime | None = None,
    end: datetime | None = None,
) -> list[Bucket]:
    """The use on [start, end), of the billing period at ``at`` where a bound is not given, in at most 1,000 buckets.

    The first and the last are cut by the bounds. Raises Invalid for bounds that hold nothing or too much.
    """
    known = _periods_of(customer)
    current = next(
        billing_periods.tiling(start=at, end=at + timedelta(seconds=1), timezone=customer.timezone, known=known)
    )
    start, end = start or current[0], end or current[1]
    if end <= start:
        raise Invalid("The end must lie after the start.", attr="to")
    if granularity == "period":
        bounds: Iterable[Bounds] = billing_periods.tiling(start=start, end=end, timezone=customer.timezone, known=known)
    else:
        bounds = hours(start, end) if granularity == "hour" else days(start, end, customer.timezone)
    cut = [(max(start, one), min(end, other)) for one, other in at_most(bounds)]
    windows = [usage.Window(customer.pk, meter.pk, *bucket) for bucket in cut]
    return [Bucket(*bucket, quantity) for bucket, quantity in zip(cut, usage.totals(windows), strict=True)]


def _periods_of(customer: Customer) -> Cycles | None:
    """Those of the newest live subscription."""
    newest = Subscription.objects.live().filter(customer=customer).order_by("-id").values_list("pk", flat=True).first()
    return billing_periods.of_subscriptions([newest]).get(newest) if newest else None


def hours(start: datetime, end: datetime) -> Iterator[Bounds]:
    hour = start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    while hour < end:
        yield hour, hour + timedelta(hours=1)
        hour += timedelta(hours=1)


def days(start: datetime, end: datetime, timezone: str) -> Iterator[Bounds]:
    """Days may have 23 or 25 hours, so the calendar is asked for each."""
    day = periods.local_date(start, timezone)
    while (midnight := periods.start_of_day(day, timezone)) < end:
        day += timedelta(days=1)
        yield midnight, periods.start_of_day(day, timezone)


def at_most(bounds: Iterable[Bounds]) -> Iterator[Bounds]:
    for number, bucket in enumerate(bounds):
        if number == MAX_BUCKETS:
            raise Invalid(
                f"That is more than {MAX_BUCKETS:,} buckets. Ask for less time, or a larger granularity.", attr="to"
            )
        yield bucket
