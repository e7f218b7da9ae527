"""Periods: half-open, in UTC, the k-th always derived from the anchor and never from the end of the one before.

Adding a month to the last end drifts (31 January, 28 February, 28 March); counting from the anchor and clamping last
does not (31 January, 28 February, 31 March), and makes periods tile by construction: the end of the k-th is the
start of the next, because both are the same bound.

With the proration unit "day" bounds are local midnights in the customer's zone; the first period starts at its
instant and counts that whole day. With "second" bounds keep the anchor's local clock time. A local time that the
clocks skip is the first instant after the gap; one that they repeat is the first of the two.
"""

from calendar import monthrange
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

IntervalUnit = Literal["week", "month", "quarter", "year"]
ProrationUnit = Literal["day", "second"]
Alignment = Literal["anniversary", "calendar"]

FIRST_YEAR = 1970
LAST_YEAR = 9000
MAX_COUNT = 120
MAX_INDEX = 500_000  # more weeks than there are between the first and the last year
MAX_DAYS = 36_600

_MONTHS: dict[str, int] = {"month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True, slots=True)
class Interval:
    """`count` weeks, months, quarters or years."""

    unit: IntervalUnit
    count: int = 1

    def __post_init__(self) -> None:
        _require(self.unit == "week" or self.unit in _MONTHS, "unit", "must be week, month, quarter or year")
        _require(1 <= self.count <= MAX_COUNT, "count", f"must be 1 to {MAX_COUNT}")


@dataclass(frozen=True, slots=True)
class Anchor:
    """The instant that all periods of an item are counted from, and where and how its days are counted."""

    at: datetime
    timezone: str
    unit: ProrationUnit = "day"
    alignment: Alignment = "anniversary"

    def __post_init__(self) -> None:
        _require_instant(self.at, "at")
        zone(self.timezone)
        _require(self.unit in ("day", "second"), "unit", "must be day or second")
        _require(self.alignment in ("anniversary", "calendar"), "alignment", "must be anniversary or calendar")


@dataclass(frozen=True, slots=True)
class Period:
    """[start, end) in UTC; `index` counts from the anchor, the first is 0."""

    start: datetime
    end: datetime
    index: int = 0

    def __post_init__(self) -> None:
        _require_aware(self.start, "start")
        _require_aware(self.end, "end")
        _require(self.start <= self.end, "end", "must not lie before start")

    def __contains__(self, instant: datetime) -> bool:
        return self.start <= instant < self.end


@lru_cache(maxsize=4096)
def period(anchor: Anchor, interval: Interval, k: int) -> Period:
    """The k-th period. Raises ValueError for an index below 0 and for a period that ends after the year 9000."""
    _require(0 <= k <= MAX_INDEX, "index", f"must be 0 to {MAX_INDEX}")
    grid = _grid(anchor, interval)
    start = anchor.at.astimezone(UTC) if k == 0 else grid.bound(k)
    return Period(start=start, end=grid.bound(k + 1), index=k)


def period_at(anchor: Anchor, interval: Interval, instant: datetime) -> Period:
    """The period that holds `instant`. Raises ValueError for an instant before the anchor or after the year 9000."""
    _require_instant(instant, "instant")
    _require(instant >= anchor.at, "instant", "lies before the anchor")
    estimate = _grid(anchor, interval).estimate(instant)
    # Clamping and the clock time put the estimate one too high at times, a repeated midnight one too low.
    for k in (estimate, estimate - 1, estimate + 1):
        if k >= 0 and instant in (candidate := period(anchor, interval, k)):
            return candidate
    raise AssertionError(f"no period of {anchor} near the index {estimate} holds {instant}")


def whole_period(anchor: Anchor, interval: Interval, k: int) -> Period:
    """The k-th period with nothing cut off its front: the denominator of proration.

    A stub before the first calendar bound is part of the full interval that ends there; counted in days, the first
    period goes back to midnight of its first day.
    """
    found = period(anchor, interval, k)
    if k > 0 or (anchor.unit == "second" and anchor.alignment == "anniversary"):
        return found
    return Period(start=_grid(anchor, interval).bound(0), end=found.end, index=0)


def in_timezone(anchor: Anchor, timezone: str) -> Anchor:
    """The anchor at the same local date and clock time elsewhere, for a customer that changed its zone.

    Later periods keep their day of the month. The period under way keeps its stored end; the next starts there.
    """
    local = anchor.at.astimezone(zone(anchor.timezone)).replace(tzinfo=None, fold=0)
    return replace(anchor, at=_resolve(local, timezone), timezone=timezone)


def days(period: Period, timezone: str) -> int:
    """Local calendar days from the day of the start up to, and without, the day of the end.

    Days of parts add up to those of the whole, at whatever hour the parts meet and whatever the clocks do.
    """
    return (local_date(period.end, timezone) - local_date(period.start, timezone)).days


def length(period: Period, *, unit: ProrationUnit, timezone: str) -> Fraction:
    """How long the period is, in local days or in elapsed seconds."""
    if unit == "day":
        return Fraction(days(period, timezone))
    return Fraction((period.end - period.start) // timedelta(microseconds=1), 1_000_000)


def share(part: Period, whole: Period, *, unit: ProrationUnit, timezone: str) -> Fraction:
    """What proportion of `whole` the `part` is. Raises ValueError where the whole has no length."""
    denominator = length(whole, unit=unit, timezone=timezone)
    _require(denominator > 0, "whole", "has no length")
    return length(part, unit=unit, timezone=timezone) / denominator


def trial_end(start: datetime, days: int, timezone: str) -> datetime:
    """The instant at which a trial of whole days ends: the same local clock time, `days` later."""
    _require(days >= 0, "days", "must not be negative")
    return add_days(start, days, timezone)


def add_days(instant: datetime, days: int, timezone: str) -> datetime:
    """The same local clock time `days` calendar days later, or earlier where negative; in UTC."""
    _require_instant(instant, "instant")
    _require(abs(days) <= MAX_DAYS, "days", f"must be at most {MAX_DAYS}")
    if days == 0:
        return instant.astimezone(UTC)
    local = instant.astimezone(zone(timezone)).replace(tzinfo=None, fold=0)
    return _resolve(local + timedelta(days=days), timezone)


@lru_cache(maxsize=4096)
def local_date(instant: datetime, timezone: str) -> date:
    """The calendar date that an instant falls on in a zone."""
    _require_aware(instant, "instant")
    return instant.astimezone(zone(timezone)).date()


def start_of_day(day: date, timezone: str) -> datetime:
    """The first instant of a local date, in UTC: midnight, or what follows where the clocks skip it."""
    return _resolve(datetime.combine(day, time()), timezone)


def zone(timezone: str) -> ZoneInfo:
    """The zone of an IANA name. Raises ValueError for an unknown one."""
    try:
        return ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"timezone: unknown zone {timezone!r}") from None


@dataclass(frozen=True, slots=True)
class _Grid:
    """Bounds as local dates at one clock time: bound `offset` falls on `origin`, every other is counted from it."""

    origin: date
    offset: int
    clock_time: time
    interval: Interval
    timezone: str

    def bound(self, k: int) -> datetime:
        day = _add(self.origin, self.interval.unit, (k - self.offset) * self.interval.count)
        return _resolve(datetime.combine(day, self.clock_time), self.timezone)

    def estimate(self, instant: datetime) -> int:
        """The index of the period that holds the instant, off by one at most."""
        day = local_date(instant, self.timezone)
        if self.interval.unit == "week":
            return (day - self.origin).days // (7 * self.interval.count) + self.offset
        months = (day.year - self.origin.year) * 12 + day.month - self.origin.month
        return months // (_MONTHS[self.interval.unit] * self.interval.count) + self.offset


def _grid(anchor: Anchor, interval: Interval) -> _Grid:
    local = anchor.at.astimezone(zone(anchor.timezone))
    if anchor.alignment == "anniversary":
        clock_time = local.time() if anchor.unit == "second" else time()
        return _Grid(local.date(), 0, clock_time, interval, anchor.timezone)
    opening = _calendar_start(local.date(), interval.unit)
    begins_there = local.date() == opening and (anchor.unit == "day" or local.time() == time())
    if begins_there:
        return _Grid(opening, 0, time(), interval, anchor.timezone)
    return _Grid(_add(opening, interval.unit, 1), 1, time(), interval, anchor.timezone)


def _calendar_start(day: date, unit: IntervalUnit) -> date:
    """The first day of the week (Monday), month, quarter or year that holds `day`."""
    if unit == "week":
        return day - timedelta(days=day.weekday())
    months = _MONTHS[unit]
    return day.replace(month=(day.month - 1) // months * months + 1, day=1)


def _add(day: date, unit: IntervalUnit, units: int) -> date:
    """`day` plus weeks, or plus months with the day clamped to the month it lands in."""
    if unit == "week":
        weeks_left = (date(LAST_YEAR, 12, 31) - day).days // 7
        _require(units <= weeks_left, "index", f"leads beyond the year {LAST_YEAR}")
        return day + timedelta(weeks=units)
    months = day.year * 12 + day.month - 1 + units * _MONTHS[unit]
    year, month = divmod(months, 12)
    _require(year <= LAST_YEAR, "index", f"leads beyond the year {LAST_YEAR}")
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _resolve(local: datetime, timezone: str) -> datetime:
    """The instant of a naive local time, in UTC: the first of two, or the first one after a gap."""
    here = zone(timezone)
    instant = local.replace(tzinfo=here).astimezone(UTC)
    if instant.astimezone(here).replace(tzinfo=None, fold=0) == local:
        return instant
    return _end_of_gap(local, here)


def _end_of_gap(local: datetime, here: ZoneInfo) -> datetime:
    """The transition that skips `local`: read with the new offset it lies before, with the old one after."""
    before = local.replace(tzinfo=here, fold=1, microsecond=0).astimezone(UTC)
    after = local.replace(tzinfo=here, fold=0, microsecond=0).astimezone(UTC)
    old_offset = before.astimezone(here).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // timedelta(seconds=2) * timedelta(seconds=1)
        if middle.astimezone(here).utcoffset() == old_offset:
            before = middle
        else:
            after = middle
    return after


def _require_instant(value: datetime, field: str) -> None:
    _require_aware(value, field)
    _require(FIRST_YEAR <= value.year <= LAST_YEAR, field, f"must lie in the years {FIRST_YEAR} to {LAST_YEAR}")


def _require_aware(value: datetime, field: str) -> None:
    _require(value.utcoffset() is not None, field, "must have a time zone")


def _require(condition: bool, field: str, problem: str) -> None:
    if not condition:
        raise ValueError(f"{field}: {problem}")
