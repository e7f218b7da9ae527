"""What a subscription costs at least: over which windows that is measured, and what is missing at the end of each.

A window is a billing period of the subscription. It ends early where the subscription or the period does, and what is
due at least then shrinks with its days. Measured is what was charged for service that begins in it, before coupons and
tax, whatever the plan was.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from billing import proration
from billing.cycles import Cycles, Span
from billing.pricing import Step
from billing.proration import Part, part_params
from gtm.shared.money import round_half_up
from gtm.shared.periods import Period

MAX_WINDOWS = 120  # at once; what is left stays due


@dataclass(frozen=True, slots=True)
class Window:
    """A window that has ended, the era in which its period is counted, and what part of the period it is."""

    period: Period
    era: Span
    part: Part


@dataclass(frozen=True, slots=True)
class TrueUp:
    """What is missing in minor units, 0 where enough was charged, and why."""

    amount: int
    steps: tuple[Step, ...]


def windows(cycles: Cycles, *, since: datetime, until: datetime, ends_at: datetime | None) -> list[Window]:
    """The windows that end by ``until``, one after the other; none after ``ends_at``."""
    found: list[Window] = []
    while len(found) < MAX_WINDOWS and (ends_at is None or since < ends_at):
        period, era = cycles.at(since), cycles.era(since)
        end = period.end if ends_at is None else min(period.end, ends_at)
        if end > until:
            break
        window = Period(since, end, period.index)
        found.append(Window(window, era, _part(window, era, is_end=end == ends_at and end < period.end)))
        since = end
    return found


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


def _part(window: Period, era: Span, *, is_end: bool) -> Part:
    """The day on which a subscription ends is one of it."""
    end = window.end
    if is_end:
        anchor = era.anchor
        whole = era.whole(window.index)
        end = proration.closing(end, unit=anchor.unit, timezone=anchor.timezone, not_after=whole.end)
    return proration.part_of(Period(window.start, end, window.index), anchor=era.anchor, interval=era.interval)
