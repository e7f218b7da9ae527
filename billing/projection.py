"""Where use leads: what it comes to by its period's end at this pace, and when its limit is reached."""

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

LEAST = timedelta(days=1)  # of a period before anything is said of its end
_TICK = timedelta(seconds=1)


def projected(*, used: Decimal, start: datetime, at: datetime, end: datetime) -> Decimal | None:
    """The use by ``end`` at the pace since ``start``, in whole units; None while there is too little to go by."""
    if not start + LEAST <= at < end:
        return None
    return Decimal(round(Fraction(used) * Fraction((end - start) // _TICK, (at - start) // _TICK)))


def reaches(*, used: Decimal, limit: Decimal, start: datetime, at: datetime, end: datetime) -> datetime | None:
    """When the limit is reached at this pace; None where it isn't before ``end``, or is already."""
    if used <= 0 or used >= limit or not start + LEAST <= at < end:
        return None
    when = at + timedelta(seconds=float(Fraction(limit - used) / Fraction(used)) * (at - start).total_seconds())
    return when if when < end else None
