"""What falls due on a subscription, and when: the walk of an item from period to period.

An item stands in one period. In advance a period is due at its start, in arrears at its end; ``billed_until`` says how
far money has been asked for, or won't be. A window before the anchor (a trial) is never billed. The k-th period is
counted from the anchor; where the customer's zone changed, the one under way keeps its stored end and the next starts
there, so that periods always tile. An item that a change made stands in the rest of a period, from the change on.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from gtm.shared import periods
from gtm.shared.periods import Anchor, Interval, Period

_MONTHS = {"month": 1, "quarter": 3, "year": 12}
MAX_PERIODS = 120  # that one walk goes through; what is left stays due and the next walk goes on


@dataclass(frozen=True, slots=True)
class ItemState:
    """Where an item stands. ``timezone`` is the customer's now, which the next period follows."""

    anchor: Anchor
    interval: Interval
    in_arrears: bool
    index: int
    start: datetime
    end: datetime
    billed_until: datetime | None
    timezone: str

    @property
    def before_anchor(self) -> bool:
        return self.end <= self.anchor.at


@dataclass(frozen=True, slots=True)
class Due:
    """A period to charge for, and the instant at which it became due.

    ``cut`` where it ends before its time for good: the day of that is billed. What a change cuts ends without it.
    """

    period: Period
    at: datetime
    cut: bool = False


def opening(*, anchor: Anchor, interval: Interval, in_arrears: bool, start_at: datetime) -> ItemState:
    """A new item: in its first period, or in the window between ``start_at`` and a later anchor (a trial)."""
    first = periods.period(anchor, interval, 0)
    start, end = (first.start, first.end) if start_at >= anchor.at else (start_at, anchor.at)
    return ItemState(anchor, interval, in_arrears, 0, start, end, None, anchor.timezone)


def next_bill_at(item: ItemState, *, ends_at: datetime | None) -> datetime | None:
    """When the item has something to bill next; None when it ends before that."""
    if item.before_anchor or _is_billed(item):
        due = item.end
    elif item.in_arrears:
        return _arrears_due(item, ends_at)
    else:
        due = item.start
    return due if ends_at is None or due < ends_at else None


def walk(
    item: ItemState, *, until: datetime, ends_at: datetime | None = None, renewing: bool = True
) -> tuple[list[Due], ItemState]:
    """All that is due by ``until`` (inclusive), at most MAX_PERIODS of it, and where the item stands after.

    Without ``renewing`` what begins at ``until`` itself is left: something else happens at that instant before it.
    """
    found: list[Due] = []
    while (at := next_bill_at(item, ends_at=ends_at)) is not None and at <= until and len(found) < MAX_PERIODS:
        if at == until and not renewing and (item.before_anchor or not item.in_arrears):
            break
        if item.before_anchor or _is_billed(item):
            item = moved(item)
            continue
        cut = item.in_arrears and at < item.end
        found.append(Due(Period(item.start, at if item.in_arrears else item.end, item.index), at, cut))
        item = replace(item, billed_until=at if item.in_arrears else item.end)
        if item.in_arrears and at != ends_at:
            item = moved(item)
    return found, item


def rest(item: ItemState, *, from_: datetime, in_arrears: bool) -> ItemState:
    """A new item in the rest of the period that another stands in: on its grid, and nothing of it billed.

    From the end of the period on, it is the next one.
    """
    standing = item if from_ < item.end else moved(item)
    return replace(standing, in_arrears=in_arrears, start=max(from_, standing.start), billed_until=None)


def within(item: ItemState, interval: Interval, *, from_: datetime, in_arrears: bool) -> ItemState | None:
    """A new item on the grid of one with a longer interval, so that their bounds meet; None where none would."""
    if interval.unit == "week" or item.interval.unit == "week" or item.before_anchor:
        return None
    longer, own = (_MONTHS[one.unit] * one.count for one in (item.interval, interval))
    if longer % own or from_ < item.anchor.at:
        return None
    found = periods.period_at(item.anchor, interval, from_)
    return replace(
        item,
        interval=interval,
        in_arrears=in_arrears,
        index=found.index,
        start=max(from_, found.start),
        end=found.end,
        billed_until=None,
    )


def natural_start(item: ItemState) -> datetime:
    """Where the period that an item stands in begins, though the item may stand in its rest."""
    return periods.period(item.anchor, item.interval, item.index).start


def next_due(times: Iterable[datetime | None]) -> datetime | None:
    """When the subscription is due next: the earliest of all that is known to come; None where nothing is."""
    return min((time for time in times if time is not None), default=None)


def periods_begun(item: ItemState, at: datetime) -> int:
    """How many periods have begun at ``at``: what starting in the past costs."""
    if at < item.anchor.at:
        return 0
    return periods.period_at(item.anchor, item.interval, at).index + 1


def _arrears_due(item: ItemState, ends_at: datetime | None) -> datetime | None:
    due = item.end if ends_at is None else min(item.end, ends_at)
    return due if due > item.start and (item.billed_until is None or item.billed_until < due) else None


def _is_billed(item: ItemState) -> bool:
    return item.billed_until is not None and item.billed_until >= item.end


def moved(item: ItemState) -> ItemState:
    """The item in the period after the one it stands in."""
    anchor = item.anchor
    if item.timezone != anchor.timezone and not item.before_anchor:
        anchor = periods.in_timezone(anchor, item.timezone)
    index = 0 if item.before_anchor else item.index + 1
    following = periods.period(anchor, item.interval, index)
    return replace(item, anchor=anchor, index=index, start=item.end, end=following.end)
