"""Late usage on real connections at once: whatever comes between rating and commit is billed, and nothing twice."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections, transaction

from billing import late_usage, runs, subscriptions, usage
from billing.models import Charge, Customer, Invoice, LateUsage, Plan
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db(transaction=True)
FEB_1 = datetime(2026, 2, 1, tzinfo=UTC)
ISSUED = FEB_1 + timedelta(hours=1)
LATER = FEB_1 + timedelta(days=3)
IN_JANUARY = datetime(2026, 1, 20, 10, 15, tzinfo=UTC)
ROUNDS = 4


@pytest.fixture
def plan() -> Plan:
    made = makers.plan()
    makers.price(plan=made, meter=makers.meter(), timing="in_arrears", model="per_unit", unit_amount=10)
    return made


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=4) as pool:
        yield pool


def billed(plan: Plan, *, customers: int = 1) -> list[Customer]:
    """Customers whose January is issued."""
    made = [makers.customer(name=f"Customer {n}", collection_method="send_invoice") for n in range(customers)]
    for one in made:
        subscriptions.create(customer=one, plan=plan, at=JAN_1)
    for at in (FEB_1, ISSUED):
        runs.bill_due(at=at)
    assert Invoice.objects.exclude(status=Invoice.Status.DRAFT).count() == customers
    return made


def send(customer: Customer, key: str, *, at: datetime = LATER) -> None:
    event = makers.usage_event(customer, f"{key}-{customer.pk}", timestamp=IN_JANUARY)
    assert usage.record(events=[event], at=at).accepted == 1


def apart(threads: ThreadPoolExecutor, call: Callable[[], Any]) -> Future[Any]:
    """On a connection of its own."""

    def act() -> Any:
        try:
            return call()
        finally:
            connections.close_all()

    return threads.submit(act)


class Held:
    """Sends an event in a transaction that stays open until ``release``."""

    def __init__(self, threads: ThreadPoolExecutor, customer: Customer, key: str, *, at: datetime = LATER) -> None:
        self._written, self._go_on = threading.Event(), threading.Event()
        self._future = apart(threads, lambda: self._send(customer, key, at))
        assert self._written.wait(20)

    def _send(self, customer: Customer, key: str, at: datetime) -> None:
        with transaction.atomic():
            send(customer, key, at=at)
            self._written.set()
            assert self._go_on.wait(20)

    def release(self) -> None:
        self._go_on.set()
        self._future.result(timeout=20)


def late() -> list[int]:
    found = Charge.objects.filter(reason="late_usage").exclude(status=Charge.Status.REPLACED)
    return list(found.order_by("pk").values_list("quantity", flat=True))


def test_an_event_that_comes_between_rating_and_commit_waits_and_is_billed_next(
    plan: Plan, threads: ThreadPoolExecutor
) -> None:
    (acme,) = billed(plan)
    send(acme, "first")
    with transaction.atomic():
        assert late_usage.rate_again(payers=[acme], test_clock=None, at=LATER) == 1
        second = apart(threads, lambda: send(acme, "second"))
        time.sleep(0.3)
        assert not second.done()  # it waits for the note that is dealt with
    second.result(timeout=20)
    assert (late(), LateUsage.objects.count()) == ([1], 1)
    runs.bill_due(at=LATER)
    assert (sum(late()), LateUsage.objects.count()) == (2, 0)


def test_a_note_that_somebody_is_writing_is_left_to_the_next_run(plan: Plan, threads: ThreadPoolExecutor) -> None:
    (acme,) = billed(plan)
    send(acme, "first")
    second = Held(threads, acme, "second")
    runs.bill_due(at=LATER)
    assert late() == []
    second.release()
    runs.bill_due(at=LATER)
    assert (late(), LateUsage.objects.count()) == ([2], 0)


def test_an_event_that_comes_while_its_period_is_charged_for_is_on_the_draft(
    plan: Plan, threads: ThreadPoolExecutor
) -> None:
    acme = makers.customer(collection_method="send_invoice")
    subscriptions.create(customer=acme, plan=plan, at=JAN_1)
    held = Held(threads, acme, "a", at=FEB_1)
    runs.bill_due(at=FEB_1)
    assert Charge.objects.get().quantity == 0
    held.release()
    assert not LateUsage.objects.exists()  # there was no charge to be seen when it came
    runs.bill_due(at=ISSUED)
    assert Charge.objects.get().quantity == 1


def test_an_event_that_comes_while_its_invoice_is_issued_is_billed_late(
    plan: Plan, threads: ThreadPoolExecutor
) -> None:
    acme = makers.customer(collection_method="send_invoice")
    subscriptions.create(customer=acme, plan=plan, at=JAN_1)
    runs.bill_due(at=FEB_1)
    held = Held(threads, acme, "a", at=ISSUED)
    runs.bill_due(at=ISSUED)
    assert Charge.objects.get().quantity == 0
    held.release()
    runs.bill_due(at=LATER)
    assert late() == [1]


@transaction.atomic
def rate_and_be_killed(payer: Customer) -> None:
    assert late_usage.rate_again(payers=[payer], test_clock=None, at=LATER) == 1
    raise KeyboardInterrupt


def test_killed_in_between_it_is_as_if_it_had_not_begun(plan: Plan) -> None:
    (acme,) = billed(plan)
    send(acme, "first")
    with pytest.raises(KeyboardInterrupt):
        rate_and_be_killed(acme)
    assert (late(), LateUsage.objects.count()) == ([], 1)
    runs.bill_due(at=LATER)
    assert (late(), LateUsage.objects.count()) == ([1], 0)


def test_two_workers_and_more_events_bill_each_once(plan: Plan, threads: ThreadPoolExecutor) -> None:
    customers = billed(plan, customers=6)
    for number in range(ROUNDS):
        for one in customers:
            send(one, f"{number}-before")
        work: list[Callable[[], Any]] = [lambda: runs.bill_due(at=LATER, batch=2)] * 2
        work += [lambda number=number: [send(one, f"{number}-meanwhile") for one in customers]]  # type: ignore[misc]
        for future in [apart(threads, one) for one in work]:
            future.result(timeout=60)
    runs.bill_due(at=LATER)
    assert sum(late()) == 2 * ROUNDS * len(customers)
    assert len(late()) == len(customers)
    assert not LateUsage.objects.exists()
