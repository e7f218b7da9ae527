"""Monthly recurring revenue in the books: how it moved between days, and what it was on one.

Everything is by the day on which a change was booked, in the vendor's reporting zone. What stands on a test clock is a
world of its own.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from django.db.models import F, QuerySet, Sum

from billing import revenue
from billing.models import SubscriptionChange
from billing.revenue import KINDS, Account, Day, Movement
from gtm.shared.models import TestClock


@dataclass(frozen=True, slots=True)
class Month:
    """A month of one currency: revenue when it began, what each kind of movement came to, revenue when it ended."""

    start: date
    currency: str
    opening: int
    sums: dict[str, int]
    closing: int


_DELTA = F("mrr_after") - F("mrr_before")


def between(*, start: date, end: date, test_clock: TestClock | None = None) -> list[Movement]:
    """The movements booked on days from ``start`` up to, and without, ``end``; one query."""
    booked = _booked(test_clock)
    moved = booked.filter(booked_on__gte=start, booked_on__lt=end).values("payer")
    days = booked.filter(payer__in=moved, booked_on__lt=end).values_list("payer", "currency", "booked_on")
    found = revenue.movements(
        Day(Account(payer, currency), booked_on, delta)
        for payer, currency, booked_on, delta in days.annotate(delta=Sum(_DELTA))
    )
    return [movement for movement in found if movement.booked_on >= start]


def revenue_before(day: date, *, test_clock: TestClock | None = None) -> dict[str, int]:
    """Monthly minor units by currency as the books had them when the day began."""
    found = _booked(test_clock).filter(booked_on__lt=day).values_list("currency").annotate(sum=Sum(_DELTA))
    return {currency: amount for currency, amount in found.order_by("currency") if amount}


def months_after(first: date, number: int) -> date:
    """The first day of the month so many months after (before, where negative) that of ``first``."""
    year, month = divmod(first.year * 12 + first.month - 1 + number, 12)
    return date(year, month + 1, 1)


def months(*, first: date, count: int) -> list[Month]:
    """What each month came to, by currency, the latest first; months in which nothing moved and nothing is left out.

    Two queries.
    """
    starts = [months_after(first, number) for number in range(count + 1)]
    standing: dict[str, int] = defaultdict(int, revenue_before(first))
    found = between(start=first, end=starts[-1])
    shown = []
    for start, end in pairwise(starts):
        moved = sums(one for one in found if start <= one.booked_on < end)
        for currency in sorted(standing.keys() | moved.keys()):
            kinds = moved.get(currency) or dict.fromkeys(KINDS, 0)
            opening, standing[currency] = standing[currency], standing[currency] + sum(kinds.values())
            shown.append(Month(start, currency, opening, kinds, standing[currency]))
    return [month for month in reversed(shown) if month.opening or any(month.sums.values())]


def sums(movements: Iterable[Movement]) -> dict[str, dict[str, int]]:
    """By currency, what the movements of each kind sum to; every kind is there."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(KINDS, 0))
    for movement in movements:
        found[movement.account.currency][movement.kind] += movement.amount
    return dict(sorted(found.items()))


def _booked(test_clock: TestClock | None) -> QuerySet[SubscriptionChange]:
    return SubscriptionChange.objects.filter(subscription__test_clock=test_clock).exclude(mrr_after=F("mrr_before"))
