"""How a customer's use of each counted feature went, day by day of its period: two queries, however many features."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from billing import projection
from billing.models import Customer, Meter
from billing.queries import usage
from billing.queries.entitlements import EntitlementState
from billing.queries.usage_series import days
from gtm.shared import periods

SHOWN = timedelta(days=31)  # of what never starts again
ADDS_UP = (Meter.Aggregation.COUNT, Meter.Aggregation.SUM)
Bounds = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Day:
    """What was used on a day, and since the period's start where such days add up."""

    day: date
    quantity: Decimal
    total: Decimal | None


@dataclass(frozen=True, slots=True)
class Course:
    """A feature's use in its period, until now. ``slots`` are the days of the whole period.

    ``projected`` is what it comes to by the end at this pace, ``reaches`` when the limit is full then; None where
    nothing can be said, or nothing adds up.
    """

    state: EntitlementState
    days: tuple[Day, ...]
    slots: int
    adds_up: bool
    projected: Decimal | None
    reaches: datetime | None


def of_customer(customer: Customer, states: Sequence[EntitlementState], *, at: datetime) -> list[Course]:
    """The course of each state that is counted, in their order."""
    counted = [state for state in states if state.used is not None and state.meter_id is not None]
    bounds = [_bounds(state, at, customer) for state in counted]
    passed = [[one for one in _days(each, customer) if one[0] <= at] for each in bounds]
    windows = [
        usage.Window(customer.pk, state.meter_id, *day)
        for state, listed in zip(counted, passed, strict=True)
        if state.meter_id is not None
        for day in listed
    ]
    totals = iter(usage.totals(windows))
    meters = Meter.objects.in_bulk([state.meter_id for state in counted])
    return [
        _course(customer, state, each, [(day, next(totals)) for day in listed], meters, at)
        for state, each, listed in zip(counted, bounds, passed, strict=True)
    ]


def _bounds(state: EntitlementState, at: datetime, customer: Customer) -> Bounds:
    """The period that counts now; the last month where there is none."""
    if state.resets_at is not None and state.period_start is not None:
        return state.period_start, state.resets_at
    tomorrow = periods.local_date(at, customer.timezone) + timedelta(days=1)
    return at - SHOWN, periods.start_of_day(tomorrow, customer.timezone)


def _days(bounds: Bounds, customer: Customer) -> list[Bounds]:
    start, end = bounds
    return [(max(one, start), min(other, end)) for one, other in days(start, end, customer.timezone)]


def _course(
    customer: Customer,
    state: EntitlementState,
    bounds: Bounds,
    used: Sequence[tuple[Bounds, Decimal]],
    meters: dict[object, Meter],
    at: datetime,
) -> Course:
    start, end = bounds
    adds_up = meters[state.meter_id].aggregation in ADDS_UP
    resets = state.resets_at is not None
    total, listed = Decimal(), []
    for (begins, _ends), quantity in used:
        total += quantity
        listed.append(Day(periods.local_date(begins, customer.timezone), quantity, total if adds_up else None))
    counted = state.used or Decimal()
    foreseen = adds_up and resets
    full = state.limit if foreseen else None
    return Course(
        state=state,
        days=tuple(listed),
        slots=len(_days(bounds, customer)),
        adds_up=adds_up and resets,
        projected=projection.projected(used=counted, start=start, at=at, end=end) if foreseen else None,
        reaches=projection.reaches(used=counted, limit=full, start=start, at=at, end=end) if full is not None else None,
    )
