"""Random lives, and what holds in all of them: documents add up, nothing is billed twice, facts tell it all.

The oracle knows nothing of charges and credits: what a subscription owes in the end is the sum of its days (or seconds)
at the price and quantity that held on each, give or take one minor unit for each line and note.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import changes, credit_notes, payments, runs
from billing.credit_notes import LineCredit
from billing.models import (
    Charge,
    CreditNote,
    CreditNoteLine,
    Invoice,
    InvoiceLine,
    LineKind,
    Price,
    Subscription,
    SubscriptionItem,
)
from gtm.shared.errors import DomainError
from gtm.shared.models import Event
from tests.billing import oracle, replay
from tests.billing.cases.payer import Payer, items_of
from tests.billing.lives import local

pytestmark = pytest.mark.django_db
START = local("2024-01-31T10:00")  # the end of a month, before a leap day
ZONES = ["UTC", "America/New_York", "Asia/Kolkata", "Pacific/Auckland"]


@dataclass
class Life:
    """One payer with one subscription, and the instant that it has come to."""

    payer: Payer
    chance: random.Random
    subscription: Subscription
    at: datetime
    plans: list[tuple[Price, Price]]
    done: list[str] = field(default_factory=list)

    def live(self) -> bool:
        self.subscription.refresh_from_db()
        return self.subscription.status not in Subscription.ENDED


def begin(chance: random.Random, unit: str) -> Life:
    """Three plans, of which the last has a longer interval; each prices the same meter."""
    payer = Payer.begin(unit, zone=chance.choice(ZONES), tax=chance.choice(["", "19%", "7.7%"]))
    interval, count = chance.choice([("month", 1), ("month", 2), ("week", 3), ("quarter", 1)])
    seats = [
        payer.price("small", chance.randrange(1, 99_999), model="per_unit", interval=interval, interval_count=count),
        payer.price("large", chance.randrange(1, 99_999), model="per_unit", interval=interval, interval_count=count),
        payer.price("long", chance.randrange(1, 999_999), model="per_unit", interval="year"),
    ]
    first = payer.metered("calls", plan=seats[0].plan, unit_amount="0.7", included_units=100)
    more = {"meter": first.meter, "model": "per_unit", "timing": "in_arrears"}
    calls = [first, *[payer.price(f"calls-{seat.code}", 2, plan=seat.plan, **more) for seat in seats[1:]]]
    alignment = chance.choice(["anniversary", "calendar"])
    plans = list(zip(seats, calls, strict=True))
    subscription = payer.start((seats[0], chance.randrange(1, 9)), calls[0], at=START, alignment=alignment)
    return Life(payer, chance, subscription, START, plans)


# --- what may happen ---------------------------------------------------------------------------
def pass_time(life: Life) -> None:
    life.at += timedelta(hours=life.chance.randrange(1, 24 * 40))
    assert not runs.bill_due(at=life.at).parked


def use(life: Life) -> None:
    life.payer.use(life.plans[0][1], life.chance.randrange(500), at=life.at)


def change(life: Life) -> None:
    """To any of the plans at any quantity; now, at the end of the period, some day, or as the rules have it."""
    seats, calls = life.chance.choice(life.plans)
    some_day = life.at + timedelta(hours=life.chance.randrange(1, 24 * 60))
    effective = life.chance.choice([None, "now", "now", "period_end", some_day])
    terms = {"effective": effective, "invoicing": life.chance.choice([None, "now", "next"]), "at": life.at}
    items = items_of([(seats, life.chance.randrange(1, 9)), calls])
    changes.change(subscription=life.subscription, plan=seats.plan, items=items, **terms)


def pay_all(life: Life) -> None:
    life.payer.pay(at=life.at)


def pay_some(life: Life) -> None:
    """Part of what is due on one invoice, or more than that."""
    unpaid = [one for one in life.payer.invoices() if one.amount_due > 1]
    if unpaid:
        invoice = life.chance.choice(unpaid)
        amount = life.chance.randrange(1, invoice.amount_due * 3 // 2 + 1)
        terms = {"method": "cheque", "paid_at": life.at, "at": life.at}
        payments.record_manual(customer=life.payer.customer, invoices=[invoice], amount=amount, **terms)


def credit(life: Life) -> None:
    """A part of some line, by hand."""
    lines = [one for one in life.payer.lines() if one.amount > 0]
    left = credit_notes.creditable(lines)
    some = [line for line in lines if left[line.pk] > 0]
    if some:
        line = life.chance.choice(some)
        amount = life.chance.randrange(1, left[line.pk] + 1)
        terms = {"settle": life.chance.choice(["balance", "refund"]), "reason": "Goodwill.", "origin": "api"}
        credit_notes.issue(invoice=line.invoice, lines=[LineCredit(line, amount)], at=life.at, **terms)


ACTIONS: list[Callable[[Life], None]] = [pass_time, pass_time, change, change, use, pay_all, pay_some, credit]


def step(life: Life) -> None:
    action = life.chance.choice(ACTIONS)
    life.done.append(action.__name__)
    try:
        with undone(keep=True):
            action(life)
    except DomainError as refusal:
        life.done[-1] += f" refused: {refusal.code}"


def finish(life: Life) -> None:
    """To the end, with what is unused given back."""
    if life.live() and life.subscription.cancel_at is None:
        life.payer.cancel(life.subscription, at=life.at, when="now", credit="prorate")
    life.at += timedelta(days=400)
    assert not runs.bill_due(at=life.at).parked
    assert not life.live()


# --- what holds --------------------------------------------------------------------------------
def every_document_adds_up(life: Life) -> None:
    for invoice in Invoice.objects.filter(finalized_at__isnull=False).prefetch_related(
        "lines", "taxes", "credit_notes"
    ):
        lines = list(invoice.lines.all())
        assert invoice.subtotal == sum(line.amount for line in lines)
        assert invoice.discount_total == sum(line.discount_amount for line in lines)
        assert invoice.tax_total == sum(line.tax_amount for line in lines) == sum(t.amount for t in invoice.taxes.all())
        assert invoice.total == invoice.subtotal - invoice.discount_total + invoice.tax_total >= 0
        assert sum(note.total for note in invoice.credit_notes.all()) == invoice.credit_note_total <= invoice.total
        for line in lines:
            assert line.explanation, "a line says why"


def nothing_is_pending_or_billed_again(life: Life) -> None:
    assert not Charge.objects.filter(status=Charge.Status.PENDING).exists()
    before = (Invoice.objects.count(), Event.objects.count())
    runs.bill_due(at=life.at)
    assert (Invoice.objects.count(), Event.objects.count()) == before


def days_cost_what_they_cost(life: Life) -> None:
    """All that was asked for the time of the items, less what was given back, is the sum of its days."""
    recurring = (LineKind.RECURRING, LineKind.PRORATION_CHARGE, LineKind.PRORATION_CREDIT)
    lines = InvoiceLine.objects.filter(invoice__in=life.payer.invoices(), kind__in=recurring, meter=None)
    notes = CreditNote.objects.filter(customer=life.payer.customer)
    parts = CreditNoteLine.objects.filter(credit_note__in=notes, invoice_line__meter=None)
    nets = [line.amount - line.discount_amount for line in lines]
    given_back = list(parts.values_list("amount", flat=True))
    by_hand = sum(note.subtotal for note in notes if note.reason == "Goodwill.")
    exact = sum(
        (oracle.cost(item, life.payer) for item in SubscriptionItem.objects.filter(price__meter=None)), Fraction()
    )
    asked = sum(nets) - sum(given_back)
    assert exact - by_hand - len(nets) - len(given_back) <= asked <= exact + len(nets) + len(given_back), life.done


@contextmanager
def undone(*, keep: bool = False) -> Iterator[None]:
    """Whatever is written meanwhile is rolled back; with ``keep`` only where it is refused."""
    block = transaction.atomic()
    block._from_testcase = True  # type: ignore[attr-defined]  # as Django's own tests say that durable blocks may nest
    with block:
        yield
        transaction.set_rollback(not keep)


@given(seed=st.integers(0, 2**32), unit=st.sampled_from(["day", "second"]), steps=st.integers(1, 12))
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_happens_the_books_are_right(seed: int, unit: str, steps: int) -> None:
    with undone():
        life = begin(random.Random(seed), unit)  # noqa: S311 -- no secret
        for _step in range(steps):
            if life.live():
                step(life)
        finish(life)
        every_document_adds_up(life)
        nothing_is_pending_or_billed_again(life)
        days_cost_what_they_cost(life)
        replay.agrees()
