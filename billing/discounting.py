"""Which of a subscription's discounts come off which lines, and how much of each is left to take.

A discount holds for service that begins within its time. A percentage comes off each such line. A fixed amount comes
off once in each billing period of the subscription, however many invoices and lines fall into that; one that holds
once is a single amount, and what is not spent of it waits for the next line. What a credit for unused time gave back
was not spent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from billing.invoicing import Discount, DiscountSum

Purse = tuple[UUID, datetime | None]
"""A discount, and the period whose amount it is; None where it is one amount for good."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A coupon on a subscription, for service that begins on [starts_at, ends_at). ``once``: one amount for good."""

    id: UUID
    subscription_id: UUID
    code: str
    starts_at: datetime
    ends_at: datetime | None = None
    percent_off: Decimal | None = None
    amount_off: int | None = None
    once: bool = False

    def covers(self, line: "Service") -> bool:
        """Whether it comes off the line: a charge of its subscription, for service that begins in its time."""
        begins_in_time = self.starts_at <= line.begins_at and (self.ends_at is None or line.begins_at < self.ends_at)
        return line.subscription_id == self.subscription_id and line.amount > 0 and begins_in_time

    def purse(self, period_start: datetime) -> Purse:
        """Where the uses of that period are counted."""
        return self.id, None if self.once or self.amount_off is None else period_start


@dataclass(frozen=True, slots=True)
class Service:
    """What a line is for: when it begins, and when the subscription's billing period that it falls into began."""

    subscription_id: UUID | None
    amount: int
    begins_at: datetime
    period_start: datetime


@dataclass(frozen=True, slots=True)
class Share:
    """What may come off some lines of a document, as ``invoicing.assemble`` takes it, and what it is a part of."""

    purse: Purse
    discount: Discount


@dataclass(frozen=True, slots=True)
class Use:
    """What a discount took off the line at ``position``."""

    purse: Purse
    position: int
    period_start: datetime
    amount: int


def shares(lines: Sequence[Service], discounts: Iterable[Applied], *, used: Mapping[Purse, int]) -> list[Share]:
    """What the discounts may take off a document's lines, the oldest first. ``used``: what they took already."""
    found = []
    for applied in sorted(discounts, key=lambda one: (one.starts_at, one.id)):
        for purse, positions in _by_purse(applied, lines).items():
            found.append(Share(purse, _discount(applied, frozenset(positions), used.get(purse, 0))))
    return found


def uses(lines: Sequence[Service], taken: Iterable[tuple[Share, DiscountSum]]) -> list[Use]:
    """What each share took off each line."""
    return [
        Use(share.purse, position, lines[position].period_start, amount)
        for share, came_to in taken
        for position, amount in enumerate(came_to.by_line)
        if amount
    ]


def _by_purse(applied: Applied, lines: Sequence[Service]) -> dict[Purse, list[int]]:
    found: dict[Purse, list[int]] = {}
    for position, line in enumerate(lines):
        if applied.covers(line):
            found.setdefault(applied.purse(line.period_start), []).append(position)
    return found


def _discount(applied: Applied, lines: frozenset[int], used: int) -> Discount:
    if applied.amount_off is None:
        return Discount(applied.code, percent_off=applied.percent_off, lines=lines)
    return Discount(applied.code, amount_off=max(0, applied.amount_off - used), lines=lines)
