"""The billing periods of a subscription: those of its leading item, whichever that was at the time.

The item with the longest interval leads. Another leader, or another anchor of the same one, begins an era; a changed
quantity or price goes on in the old one. Within an era periods are counted from its anchor, and where it ends early
its last period is cut, so that all of them tile.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from gtm.shared import periods
from gtm.shared.periods import Anchor, Interval, Period

_LENGTHS = {"week": 7, "month": 30, "quarter": 91, "year": 365}  # in days or so, to see which is the longest


@dataclass(frozen=True, slots=True)
class Span:
    """An item, or an era that one begins: on [since, until) (None: open) its periods are counted from the anchor."""

    since: datetime
    until: datetime | None
    anchor: Anchor
    interval: Interval
    item_id: UUID | None = None

    def holds(self, instant: datetime) -> bool:
        return self.since <= instant and (self.until is None or instant < self.until)

    def whole(self, index: int) -> Period:
        """The period of that index with nothing cut off: the denominator of a share of it."""
        return periods.whole_period(self.anchor, self.interval, index)


@dataclass(frozen=True, slots=True)
class Cycles:
    """The eras of a subscription that started at ``start_at``; at least one."""

    start_at: datetime
    eras: tuple[Span, ...]

    def era(self, instant: datetime) -> Span:
        """The one that holds the instant; the first before it, the last after it."""
        begun = [era for era in self.eras if era.since <= instant]
        return begun[-1] if begun else self.eras[0]

    def at(self, instant: datetime) -> Period:
        """The period that holds ``instant``, as the era's bounds cut it; before the first one, the trial or the first.

        A trial, and what a pause leaves of its last day, have the index of the period that follows.
        """
        era = self.era(instant)
        if instant < era.anchor.at:
            first = periods.period(era.anchor, era.interval, 0)
            return Period(era.since, first.start) if era.since < first.start else first
        found = periods.period_at(era.anchor, era.interval, instant)
        end = found.end if era.until is None else min(found.end, era.until)
        return Period(max(found.start, min(era.since, instant)), end, found.index)

    def end_of(self, count: int, *, after: datetime) -> datetime:
        """When the last of ``count`` periods ends, of which the first is the next that starts at ``after`` or later.

        Raises ValueError where that lies absurdly far ahead.
        """
        era = self.era(after)
        if after <= era.anchor.at:
            return periods.period(era.anchor, era.interval, count - 1).end
        current = periods.period_at(era.anchor, era.interval, after)
        first = current.index if current.start >= after else current.index + 1
        return periods.period(era.anchor, era.interval, first + count - 1).end


def of_items(items: Sequence[Span], *, start_at: datetime) -> Cycles | None:
    """The eras that the items make; None without any. While none is present, the last leader's periods go on."""
    if not (leaders := _leaders(items)):
        return None
    ends = [*(leader.since for leader in leaders[1:]), None]
    return Cycles(start_at, tuple(replace(leader, until=end) for leader, end in zip(leaders, ends, strict=True)))


def _leaders(items: Sequence[Span]) -> list[Span]:
    """Who leads from when on."""
    found: list[Span] = []
    for bound in sorted({bound for item in items for bound in (item.since, item.until) if bound is not None}):
        present = [item for item in items if item.holds(bound)]
        leader = max(present, key=_precedence, default=None)
        if leader is not None and not (found and _counts_alike(found[-1], leader)):
            found.append(replace(leader, since=bound))
    return found


def _counts_alike(one: Span, other: Span) -> bool:
    return (one.anchor, one.interval) == (other.anchor, other.interval)


def _precedence(item: Span) -> tuple[int, float]:
    """The longest interval first, then the one that is counted from the earliest anchor."""
    return _length(item.interval), -item.anchor.at.timestamp()


def longest(intervals: Iterable[Interval]) -> Interval | None:
    """The one that leads; None without any."""
    return max(intervals, key=_length, default=None)


def _length(interval: Interval) -> int:
    return _LENGTHS[interval.unit] * interval.count
