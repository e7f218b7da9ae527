"""How much working time is left until a deadline. Pure."""

from collections.abc import Container
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

SATURDAY = 5


def left(
    *,
    now: datetime,
    due: datetime,
    zone: str,
    opens: time = time(9),
    closes: time = time(18),
    holidays: Container[date] = frozenset(),
) -> timedelta:
    """Working time from ``now`` to ``due``, less than nothing when that has passed. The hours are those by which
    ``business_hours.add`` finds a deadline, so that a fresh one of four hours has four hours left.
    """
    if now > due:
        return -left(now=due, due=now, zone=zone, opens=opens, closes=closes, holidays=holidays)
    tz, total = ZoneInfo(zone), timedelta(0)
    day, last = now.astimezone(tz).date(), due.astimezone(tz).date()
    while day <= last:
        if day.weekday() < SATURDAY and day not in holidays:
            begin, end = (datetime.combine(day, clock, tzinfo=tz).astimezone(UTC) for clock in (opens, closes))
            total += max(min(end, due) - max(begin, now), timedelta(0))
        day += timedelta(days=1)
    return total
