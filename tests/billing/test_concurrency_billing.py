"""Real connections at once: one winner each, every period once, numbers without a gap."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from django.db import connections

from billing import invoices, payments, runs, subscriptions
from billing.models import Allocation, Charge, Invoice, Payment, PaymentAttempt, SandboxCharge, Subscription
from gtm.shared import ids
from gtm.shared.errors import Conflict, Invalid
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db(transaction=True)
FEB_1 = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture
def two() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=2) as threads:
        yield threads


def at_once(two: ThreadPoolExecutor, *calls: Callable[[], Any]) -> list[Any]:
    """Each call on a connection of its own, all let go at the same moment; a refusal is an answer too."""
    together = threading.Barrier(len(calls))

    def act(call: Callable[[], Any]) -> Any:
        together.wait(timeout=20)
        try:
            return call()
        except (Conflict, Invalid) as refusal:
            return refusal
        finally:
            connections.close_all()

    return [future.result(timeout=60) for future in [two.submit(act, call) for call in calls]]


def refusals(answers: list[Any]) -> list[str]:
    return [answer.code for answer in answers if isinstance(answer, Exception)]


def numbers_of(prefix: str) -> list[int]:
    found = Invoice.objects.filter(number__startswith=prefix).values_list("number", flat=True)
    return sorted(int(number.rpartition("-")[2]) for number in found)


@pytest.fixture
def plan():
    return makers.published_plan()


def test_two_bill_runs_bill_each_period_once(plan, two):
    for number in range(30):
        customer = makers.customer(name=f"Customer {number}")
        subscriptions.create(customer=customer, plan=plan, collection_method="send_invoice", at=JAN_1)
    done = at_once(two, *[lambda: runs.bill_due(at=FEB_1, batch=4)] * 2)
    assert sum(run.subscriptions for run in done) == 30
    assert not any(run.parked for run in done)
    assert Charge.objects.filter(period_index=1).count() == 30
    assert Invoice.objects.filter(gathered_at=FEB_1).count() == 30
    assert numbers_of("INV-2026-") == list(range(1, 61))


def test_two_finalizations_number_a_draft_once(plan, two):
    meter = plan.current_version.entitlements.get().feature.meter
    makers.price(plan=plan, code="calls", meter=meter, timing="in_arrears", model="per_unit", unit_amount=2)
    for _round in range(10):
        customer = makers.customer()
        subscriptions.create(customer=customer, plan=plan, collection_method="send_invoice", at=JAN_1)
        runs.bill_due(at=FEB_1)
        draft = Invoice.objects.get(customer=customer, status=Invoice.Status.DRAFT)
        answers = at_once(two, *[lambda draft=draft: invoices.finalize(invoice=draft, at=FEB_1)] * 2)
        assert refusals(answers) == ["invoice_not_draft"]
    assert numbers_of("INV-2026-") == list(range(1, 21))


def test_two_subscriptions_with_one_idempotency_id_are_one(plan, two):
    customer = makers.customer()
    makers.card(customer)
    key = ids.uuid7()
    buy = {"customer": customer, "plan": plan, "at": JAN_1, "idempotency_id": key}
    answers = at_once(two, *[lambda: subscriptions.create(**buy)] * 2)
    assert {answer.pk for answer in answers} == {key}
    assert Subscription.objects.get().status == Subscription.Status.ACTIVE
    assert Invoice.objects.count() == SandboxCharge.objects.count() == Payment.objects.count() == 1


def test_two_first_subscriptions_fix_one_currency(plan, two):
    makers.price(plan=plan, code="pro-month-eur", currency="EUR")
    prices = plan.current_version.prices.filter(interval="month")
    for _round in range(5):
        customer = makers.customer(currency="")

        def buy(price, customer=customer):
            items = [subscriptions.ItemTerms(price)]
            return subscriptions.create(customer=customer, items=items, collection_method="send_invoice", at=JAN_1)

        answers = at_once(two, *[partial(buy, price) for price in prices])
        assert refusals(answers) == ["currency_differs"]
        customer.refresh_from_db()
        assert Subscription.objects.get(customer=customer).currency == customer.currency


def test_two_collections_charge_a_card_once(plan, two):
    customer = makers.customer()
    makers.card(customer)
    for _round in range(10):
        bought = subscriptions.create(customer=customer, plan=plan, collection_method="send_invoice", at=JAN_1)
        invoice = Invoice.objects.get(lines__subscription=bought)
        answers = at_once(two, *[lambda invoice=invoice: payments.collect(invoice=invoice, at=JAN_1)] * 2)
        assert len(refusals(answers)) == 1
        assert set(refusals(answers)) <= {"payment_in_progress", "nothing_due"}
    assert SandboxCharge.objects.count() == Allocation.objects.count() == 10
    assert not PaymentAttempt.objects.filter(status=PaymentAttempt.Status.LIVE).exists()


def test_void_against_payment_has_one_winner(plan, two):
    customer = makers.customer()
    for _round in range(20):
        bought = subscriptions.create(customer=customer, plan=plan, collection_method="send_invoice", at=JAN_1)
        invoice = Invoice.objects.get(lines__subscription=bought)
        pay = {"customer": customer, "invoices": [invoice], "method": "cheque", "amount": 4900, "paid_at": JAN_1}
        answers = at_once(
            two,
            lambda invoice=invoice: invoices.void(invoice=invoice, at=JAN_1, waive=True),
            lambda pay=pay: payments.record_manual(**pay, at=JAN_1),
        )
        invoice.refresh_from_db()
        assert refusals(answers) == ["invoice_paid" if invoice.status == Invoice.Status.PAID else "nothing_due"]


def test_a_renewal_against_a_cancellation_never_bills_what_is_canceled(plan, two):
    for _round in range(10):
        customer = makers.customer()
        bought = subscriptions.create(customer=customer, plan=plan, collection_method="send_invoice", at=JAN_1)
        at_once(
            two,
            lambda: runs.bill_due(at=FEB_1),
            lambda bought=bought: subscriptions.cancel(subscription=bought, at=FEB_1),
        )
        runs.bill_due(at=FEB_1)
        bought.refresh_from_db()
        periods = Charge.objects.filter(subscription=bought).count()
        ended = bought.status == Subscription.Status.CANCELED
        assert (periods, bought.cancel_at) == ((1, FEB_1) if ended else (2, datetime(2026, 3, 1, tzinfo=UTC)))
