"""How much working time is left until a deadline. Pure."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from crm.business_hours import Schedule


def left(*, now: datetime, due: datetime, schedule: Schedule) -> timedelta:
    """Working time from ``now`` to ``due``, less than nothing when that has passed. By the schedule by which
    ``business_hours.after`` finds a deadline, so that a fresh one of four hours has four hours left.
    """
    if now > due:
        return -left(now=due, due=now, schedule=schedule)
    tz, total = ZoneInfo(schedule.zone), timedelta(0)
    day, last = now.astimezone(tz).date(), due.astimezone(tz).date()
    while day <= last:
        if day.weekday() in schedule.weekdays and day not in schedule.holidays:
            clocks = (schedule.opens, schedule.closes)
            begin, end = (datetime.combine(day, clock, tzinfo=tz).astimezone(UTC) for clock in clocks)
            total += max(min(end, due) - max(begin, now), timedelta(0))
        day += timedelta(days=1)
    return total
