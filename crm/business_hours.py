"""Deadlines in working hours. Pure."""

from collections.abc import Container
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

SATURDAY = 5


def add(
    *,
    start: datetime,
    hours: int,
    zone: str,
    opens: time = time(9),
    closes: time = time(18),
    holidays: Container[date] = frozenset(),
) -> datetime:
    """The instant, in UTC, at which ``hours`` working hours have passed since ``start``.

    Work is done from ``opens`` to ``closes`` by the wall clock of ``zone``, Monday to Friday, never on ``holidays``.
    A deadline that falls on closing time stays on that day.
    """
    tz = ZoneInfo(zone)
    left = timedelta(hours=hours)
    day = start.astimezone(tz).date()
    while True:
        if day.weekday() < SATURDAY and day not in holidays:
            begin = max(start.astimezone(UTC), _instant(day, opens, tz))
            open_for = _instant(day, closes, tz) - begin
            if left <= open_for:
                return begin + left
            left -= max(open_for, timedelta(0))
        day += timedelta(days=1)


def _instant(day: date, clock: time, tz: ZoneInfo) -> datetime:
    """In UTC, because differences of two local times ignore a change of the offset between them."""
    return datetime.combine(day, clock, tzinfo=tz).astimezone(UTC)
