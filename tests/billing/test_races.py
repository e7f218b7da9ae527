"""Two hundred rounds of each race that money has, on real connections: one winner, and nobody deadlocks.

What is raced for is made beforehand, so that a round is the race alone.
"""

from collections import Counter
from datetime import timedelta
from functools import partial

import pytest
from django.db import transaction

from billing import balances, credit_notes, invoices, payments, refunds
from billing import credits as giving_back
from billing.credit_notes import LineCredit
from billing.models import (
    Allocation,
    BalanceEntry,
    CreditNote,
    Customer,
    CustomerBalance,
    Invoice,
    InvoiceLine,
    Refund,
    Subscription,
)
from gtm.shared import db
from tests.billing.cases.payer import Payer
from tests.billing.lives import local
from tests.billing.racing import race

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 200
QUICK = 20
START = local("2024-01-01")
WEEK = timedelta(days=7)


def open_invoices(count: int) -> list[Invoice]:
    """Of one payer, over 10.00 each."""
    payer = Payer.begin("day")
    price = payer.price("weekly", 1000, interval="week")
    for number in range(10):  # a purchase order has its own invoices
        payer.start(price, at=START, po_number=f"PO-{number}")
    for week in range(1, count // 10):
        payer.bill(START + week * WEEK)
    found = payer.invoices()
    assert [one.total for one in found] == [1000] * count
    return found


def test_void_against_payment() -> None:
    found = open_invoices(ROUNDS)
    at = START + 30 * WEEK

    def pay(invoice: Invoice) -> None:
        terms = {"method": "cheque", "amount": 1000, "paid_at": at, "at": at}
        payments.record_manual(customer=invoice.customer, invoices=[invoice], **terms)

    void = partial(invoices.void, at=at, waive=True)
    answers = race([(partial(void, invoice=one), partial(pay, one)) for one in found])
    assert set(answers) <= {("invoice_paid", ""), ("", "nothing_due")}
    statuses = Counter(Invoice.objects.values_list("status", "amount_paid"))
    assert statuses == Counter(("paid", 1000) if refused else ("void", 0) for refused, _paid in answers)
    assert Allocation.objects.count() == statuses["paid", 1000]


def test_one_line_is_credited_once() -> None:
    found = open_invoices(ROUNDS)
    lines = {line.invoice_id: line for line in InvoiceLine.objects.select_related("invoice__customer")}
    terms = {"settle": "balance", "reason": "Twice.", "origin": "api", "at": START + 30 * WEEK}

    def credit(invoice: Invoice) -> None:
        credit_notes.issue(invoice=invoice, lines=[LineCredit(lines[invoice.pk], 600)], **terms)

    answers = race([(partial(credit, one), partial(credit, one)) for one in found])
    assert {tuple(sorted(one)) for one in answers} == {("", "more_than_creditable")}
    assert CreditNote.objects.count() == ROUNDS
    assert set(Invoice.objects.values_list("credit_note_total", flat=True)) == {600}


def test_what_stands_to_the_credit_pays_once() -> None:
    """Drafts over 7.00 are finalized two at a time, by a payer who has too little to its credit for all of them."""
    payer = Payer.begin("day", draft_grace_minutes=10**6)
    for number in range(10):
        price = payer.metered(f"meter{number}", unit_amount=1, minimum_amount=700, interval="week")
        payer.start(price, at=START, po_number=f"PO-{number}")
    for week in range(1, ROUNDS // 5 + 1):
        payer.bill(START + week * WEEK)
    at = START + 60 * WEEK
    balances.adjust(customer=payer.customer, amount=700 * ROUNDS + 250, reason="Goodwill.", at=at)
    drafts = list(Invoice.objects.filter(status=Invoice.Status.DRAFT).order_by("pk"))
    assert len(drafts) == 2 * ROUNDS
    finalize = partial(invoices.finalize, at=at)
    answers = race([tuple(partial(finalize, invoice=one) for one in drafts[n::ROUNDS]) for n in range(ROUNDS)])
    assert set(answers) == {("", "")}
    applied = list(Invoice.objects.order_by("number").values_list("balance_applied", flat=True))
    assert applied == [*[700] * ROUNDS, 250, *[0] * (ROUNDS - 1)]
    assert CustomerBalance.objects.get().amount == 0
    assert sum(BalanceEntry.objects.values_list("amount", flat=True)) == 0


def test_what_stands_to_the_credit_is_refunded_once() -> None:
    (invoice, *_others) = open_invoices(10)
    at = START + 30 * WEEK
    payer = invoice.customer
    by_hand = {"customer": payer, "method": "cheque", "paid_at": at, "at": at}
    sent = [payments.record_manual(invoices=[], amount=100, **by_hand) for _round in range(QUICK)]
    balances.adjust(customer=payer, amount=-50 * QUICK, reason="Half of it is spent.", at=at)
    answers = race([(partial(refunds.create, payment=one, amount=50, at=at),) * 2 for one in sent])
    assert sum(answer.count("") for answer in answers) == QUICK
    assert CustomerBalance.objects.get().amount == 0
    assert Refund.objects.count() == QUICK


def test_credits_and_payments_of_invoices_that_share_subscriptions() -> None:
    """Giving back locks a payer's things in one order, and so does settling: nobody waits in a circle."""
    found = open_invoices(2 * QUICK)
    at = START + 30 * WEEK
    lines = {line.invoice_id: line for line in InvoiceLine.objects.select_related("invoice__customer")}

    def give_back(invoice: Invoice) -> None:
        with transaction.atomic():
            db.lock(Customer, [invoice.customer_id])
            db.lock(Subscription, [lines[invoice.pk].subscription_id])
            given = [LineCredit(lines[invoice.pk], 1000)]
            terms = {"invoice_at": at, "reason": "subscription_end", "origin": "api", "at": at}
            giving_back.give_back(credits=given, settle="balance", **terms)

    def pay(first: Invoice, second: Invoice) -> None:
        terms = {"method": "cheque", "amount": 1500, "paid_at": at, "at": at}
        payments.record_manual(customer=first.customer, invoices=[second, first], **terms)

    pairs = list(zip(found[::2], found[1::2], strict=True))
    answers = race([(partial(give_back, first), partial(pay, first, second)) for first, second in pairs])
    assert {one for answer in answers for one in answer} <= {"", "nothing_due"}
    owed = sum(one.amount_due for one in Invoice.objects.all())
    held = sum(CustomerBalance.objects.values_list("amount", flat=True))
    paid = sum(1500 for _given, refused in answers if not refused)
    assert held - owed == paid + 1000 * len(pairs) - 1000 * len(found)
