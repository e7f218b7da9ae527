"""Upgrade or downgrade: what a change of items is, and when it takes effect unless somebody says otherwise.

A longer interval counts at once, from a new anchor. Else the total list price, brought to a month, decides: higher
counts at once, lower with the end of the period, and so does a shorter interval.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Generic, Literal, TypeVar

from billing import pricing
from billing.mrr import RecurringItem
from gtm.shared.periods import Interval

Effective = Literal["now", "period_end"]
Invoicing = Literal["now", "next"]
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Line(Generic[K]):
    """One price at a quantity; ``meter`` names what counts it. Keys are the caller's."""

    price: K
    meter: K | None
    interval: Interval
    in_arrears: bool
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Pair(Generic[K]):
    """What was and what becomes of it; None for what is new, or goes."""

    old: Line[K] | None
    new: Line[K] | None

    @property
    def is_same(self) -> bool:
        return (
            self.old is not None
            and self.new is not None
            and (self.old.price, self.old.quantity) == (self.new.price, self.new.quantity)
        )

    @property
    def is_quantity(self) -> bool:
        """The price stays, at another quantity or the same."""
        return self.old is not None and self.new is not None and self.old.price == self.new.price


def match(old: Sequence[Line[K]], new: Sequence[Line[K]]) -> list[Pair[K]]:
    """Which of the new lines takes over from which of the old.

    The same price; then the same meter; then, of what isn't metered, the same interval and timing, and what is left in
    its order.
    """
    left, wanted = list(old), list(new)
    pairs: list[Pair[K]] = []
    for rule in (_same_price, _same_meter, _same_rhythm, _neither_metered):
        for line in list(wanted):
            found = next((one for one in left if rule(one, line)), None)
            if found is not None:
                left.remove(found)
                wanted.remove(line)
                pairs.append(Pair(found, line))
    return [*pairs, *(Pair(one, None) for one in left), *(Pair(None, one) for one in wanted)]


def _same_price(old: Line[K], new: Line[K]) -> bool:
    return old.price == new.price


def _same_meter(old: Line[K], new: Line[K]) -> bool:
    return old.meter is not None and old.meter == new.meter


def _same_rhythm(old: Line[K], new: Line[K]) -> bool:
    return _neither_metered(old, new) and (old.interval, old.in_arrears) == (new.interval, new.in_arrears)


def _neither_metered(old: Line[K], new: Line[K]) -> bool:
    return old.meter is None and new.meter is None


def effective(pairs: Sequence[Pair[K]], *, old: Iterable[RecurringItem], new: Iterable[RecurringItem]) -> Effective:
    """When a change counts by default; ``old`` and ``new`` are what recurs without a meter, at list price."""
    lengths = [
        (months(pair.old.interval), months(pair.new.interval))
        for pair in pairs
        if pair.old is not None and pair.new is not None and pair.new.meter is None
    ]
    if any(after > before for before, after in lengths):
        return "now"
    if any(after < before for before, after in lengths):
        return "period_end"
    return "period_end" if total_monthly(new) < total_monthly(old) else "now"


def invoicing(pairs: Sequence[Pair[K]]) -> Invoicing:
    """When it is invoiced by default: quantities alone with the next invoice, all else at once."""
    return "next" if is_quantity_alone(pairs) else "now"


def is_quantity_alone(pairs: Sequence[Pair[K]]) -> bool:
    """Whether the prices stay as they are, and nothing is added or goes."""
    return all(pair.is_quantity for pair in pairs)


def total_monthly(items: Iterable[RecurringItem]) -> Fraction:
    """The exact list price a month of all of them together."""
    parts = (pricing.normalised_monthly(pricing.rate(one.terms, one.quantity).amount, one.interval) for one in items)
    return sum(parts, Fraction())


def months(interval: Interval) -> Fraction:
    """How long the interval is, in months."""
    return 1 / pricing.normalised_monthly(1, interval)
