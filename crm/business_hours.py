"""Deadlines in working hours. Pure."""

from collections.abc import Container
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

MONDAY_TO_FRIDAY = frozenset(range(5))


@dataclass(frozen=True, slots=True)
class Schedule:
    """Work is done from ``opens`` to ``closes`` by the wall clock of ``zone`` on ``weekdays`` (0 is Monday), never on
    ``holidays``.
    """

    zone: str
    opens: time = time(9)
    closes: time = time(18)
    weekdays: Container[int] = MONDAY_TO_FRIDAY
    holidays: Container[date] = frozenset()


def add(
    *,
    start: datetime,
    hours: int,
    zone: str,
    opens: time = time(9),
    closes: time = time(18),
    holidays: Container[date] = frozenset(),
) -> datetime:
    """The instant, in UTC, at which ``hours`` working hours have passed since ``start``, Monday to Friday."""
    return after(start, minutes=hours * 60, schedule=Schedule(zone, opens, closes, holidays=holidays))


def after(start: datetime, *, minutes: int, schedule: Schedule) -> datetime:
    """The instant, in UTC, at which so many working minutes have passed. A deadline that falls on closing time stays on
    that day.
    """
    tz = ZoneInfo(schedule.zone)
    left = timedelta(minutes=minutes)
    day = start.astimezone(tz).date()
    while True:
        if day.weekday() in schedule.weekdays and day not in schedule.holidays:
            begin = max(start.astimezone(UTC), _instant(day, schedule.opens, tz))
            open_for = _instant(day, schedule.closes, tz) - begin
            if left <= open_for:
                return begin + left
            left -= max(open_for, timedelta(0))
        day += timedelta(days=1)


def _instant(day: date, clock: time, tz: ZoneInfo) -> datetime:
    """In UTC, because differences of two local times ignore a change of the offset between them."""
    return datetime.combine(day, clock, tzinfo=tz).astimezone(UTC)
