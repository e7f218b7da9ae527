"""What a subscription costs at least: over which windows that is measured, and what is missing at the end of each.

A window is a billing period of the subscription. It ends early where the subscription or the period does, and what is
due at least then shrinks with its days. Measured is what was charged for service that begins in it, before coupons and
tax, whatever the plan was.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from billing import proration
from billing.cycles import Cycles, Span
from billing.pricing import Step
from billing.proration import Part, part_params
from gtm.shared.money import round_half_up
from gtm.shared.periods import Period

MAX_WINDOWS = 120  # at once; what is left stays due
_DRIFT = timedelta(hours=26)  # as far as two zones are apart


class Amount(NamedTuple):
    """What was charged, or given back, for service that begins at an instant; minor units before discount."""

    begins_at: datetime
    amount: int
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """A window that has ended, the era in which its period is counted, and what part of the period it is.

    ``served_until``: where time is cut that is given back, which is the end of the last day where it ends for good.
    """

    period: Period
    era: Span
    part: Part
    served_until: datetime


@dataclass(frozen=True, slots=True)
class TrueUp:
    """What is missing in minor units, 0 where enough was charged, and why."""

    amount: int
    steps: tuple[Step, ...]


def windows(cycles: Cycles, *, since: datetime, until: datetime, ends_at: datetime | None) -> list[Window]:
    """The windows that end by ``until``, one after the other; none after ``ends_at``."""
    found: list[Window] = []
    while len(found) < MAX_WINDOWS and (ends_at is None or since < ends_at):
        period, era = _begun(cycles, since), cycles.era(since)
        end = period.end if ends_at is None else min(period.end, ends_at)
        if end > until:
            break
        window = Period(since, end, period.index)
        front = period.start if abs(since - period.start) <= _DRIFT else since
        found.append(_window(window, era, front=front, is_end=end == ends_at and end < period.end))
        since = end
    return found


def _begun(cycles: Cycles, since: datetime) -> Period:
    """The period that a window from ``since`` on is for: where a zone has changed, its own start is hours away."""
    period, era = cycles.at(since), cycles.era(since)
    nearly_over = period.end - since <= _DRIFT < since - period.start
    if since > max(era.since, era.anchor.at) and nearly_over and period.end != era.until:
        return cycles.at(period.end)
    return period


def true_up(minimum: int, part: Part, *, rated: int) -> TrueUp:
    """What is missing to the part's share of the minimum, which is rounded once."""
    found = missing(round_half_up(minimum * part.share), rated=rated)
    if part.is_whole:
        return found
    return replace(found, steps=(Step("proration", {**part_params(part), "amount": str(minimum)}), *found.steps))


def missing(committed: int, *, rated: int) -> TrueUp:
    """What is missing to what is due at least."""
    amount = max(0, committed - rated)
    return TrueUp(amount, (Step("commitment", {"committed": committed, "rated": rated, "amount": amount}),))


def _window(period: Period, era: Span, *, front: datetime, is_end: bool) -> Window:
    """The day on which a subscription ends is one of its window. What part it is counts from ``front``."""
    anchor, end = era.anchor, period.end
    if is_end:
        not_after = era.whole(period.index).end
        end = proration.closing(end, unit=anchor.unit, timezone=anchor.timezone, not_after=not_after)
    served = Period(front, end, period.index)
    return Window(period, era, proration.part_of(served, anchor=anchor, interval=era.interval), end)


def served(amounts: Iterable[Amount], window: Window, *, gives_back: bool) -> int:
    """What was charged for service that begins in the window.

    Where it ``gives_back`` what was charged for the time after it, without that.
    """
    within = [one for one in amounts if one.begins_at in window.period]
    given_back = sum(_unused(one, window) for one in within) if gives_back else 0
    return sum(one.amount for one in within) - given_back


def _unused(one: Amount, window: Window) -> int:
    if one.amount <= 0 or one.ends_at is None or one.ends_at <= window.served_until:
        return 0
    anchor = window.era.anchor
    return proration.unused_net(
        one.amount,
        line_start=one.begins_at,
        line_end=one.ends_at,
        from_=window.served_until,
        unit=anchor.unit,
        timezone=anchor.timezone,
    )
