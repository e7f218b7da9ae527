"""How monthly recurring revenue moved: what each payer's day comes to, by kind.

A payer's changes of one day count together, so that an upgrade that is taken back the same day is no movement. What the
movements of any days sum to is what revenue rose by in them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Literal, NamedTuple
from uuid import UUID

Kind = Literal["new", "expansion", "contraction", "churn", "reactivation"]
KINDS: tuple[Kind, ...] = ("new", "expansion", "reactivation", "contraction", "churn")


class Account(NamedTuple):
    """A payer, in one currency."""

    payer_id: UUID
    currency: str


class Day(NamedTuple):
    """By how much a payer's monthly revenue changed in a day's books, in minor units."""

    account: Account
    booked_on: date
    delta: int


@dataclass(frozen=True, slots=True)
class Movement:
    """What a payer's day comes to: monthly minor units, and the revenue after it."""

    account: Account
    booked_on: date
    kind: Kind
    amount: int
    mrr_after: int


def movements(days: Iterable[Day]) -> list[Movement]:
    """The movements of payers whose days are given from the first one on, in the order of time."""
    found = []
    for account, theirs in groupby(sorted(days), key=lambda day: day.account):
        revenue, paid_before = 0, False
        for day in theirs:
            before, revenue = revenue, revenue + day.delta
            if revenue != before:
                kind = _kind(before, revenue, paid_before=paid_before)
                found.append(Movement(account, day.booked_on, kind, revenue - before, revenue))
            paid_before = paid_before or revenue > 0
    return sorted(found, key=lambda one: (one.booked_on, one.account))


def _kind(before: int, after: int, *, paid_before: bool) -> Kind:
    if before == 0:
        return "reactivation" if paid_before else "new"
    if after == 0:
        return "churn"
    return "expansion" if after > before else "contraction"
