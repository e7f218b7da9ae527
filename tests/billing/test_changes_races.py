"""Changes on real connections at once: one after the other, nothing charged twice, and nobody deadlocks."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from django.db import connections

from billing import catalog, changes, runs, subscriptions
from billing.models import Charge, CustomerBalance, Invoice, Payment, Price, Subscription, SubscriptionItem
from billing.selection import ItemTerms
from gtm.shared.errors import Conflict, Invalid
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db(transaction=True)
JAN_16, FEB_1 = (datetime(2026, *day, tzinfo=UTC) for day in ((1, 16), (2, 1)))
ROUNDS = 8


@pytest.fixture(autouse=True)
def shop() -> None:
    for code, amount in (("basic", 10000), ("pro", 20000), ("max", 30000)):
        plan = makers.plan(code=code, name=code.title())
        makers.price(plan=plan, code=code, unit_amount=amount)
        catalog.publish(plan=plan, at=JAN_1)
    makers.legal_entity()


def bought() -> Subscription:
    return makers.subscribed(makers.customer(), plan=Price.objects.get(code="basic").plan)


def to(subscription: Subscription, code: str, at: datetime = JAN_16) -> Callable[[], Any]:
    items = [ItemTerms(Price.objects.select_related("plan", "meter").get(code=code))]
    return lambda: changes.change(subscription=subscription, items=items, effective="now", at=at)


def at_once(*calls: Callable[[], Any]) -> list[str]:
    """Each call on a connection of its own; the code of what refused, or nothing."""
    together = threading.Barrier(len(calls), timeout=30)

    def act(call: Callable[[], Any]) -> str:
        try:
            together.wait()
            call()
        except (Conflict, Invalid) as refusal:
            return refusal.code
        finally:
            connections.close_all()
        return ""

    with ThreadPoolExecutor(max_workers=len(calls)) as threads:
        return [done.result(timeout=60) for done in [threads.submit(act, call) for call in calls]]


def cost(subscription: Subscription) -> int:
    """What the payer has paid and still owes, less what stands to its credit: a card may be charged meanwhile."""
    payer = subscription.payer
    paid = Payment.objects.filter(customer=payer, status=Payment.Status.SUCCEEDED)
    due = sum(one.amount_due for one in Invoice.objects.filter(customer=payer))
    balance = CustomerBalance.objects.filter(customer=payer).first()
    return sum(paid.values_list("amount", flat=True)) + due - (balance.amount if balance else 0)


def live(subscription: Subscription) -> str:
    """The one price that it has now; the rows before it tile the time until then."""
    rows = list(SubscriptionItem.objects.filter(subscription=subscription).order_by("pk").select_related("price"))
    assert all(row.replaces_id is None or row.started_at == row.replaces.ended_at for row in rows)
    (last,) = [row for row in rows if row.ended_at is None]
    return last.price.code


def test_two_changes_come_one_after_the_other():
    for _round in range(ROUNDS):
        one = bought()
        assert at_once(to(one, "pro"), to(one, "max")) == ["", ""]
        assert one.changes.filter(kind="changed").count() == 2
        # 16 of 31 days at the new price, 15 at the old one, whichever came last
        assert cost(one) == {"pro": 10000 - 5161 + 10323, "max": 10000 - 5161 + 15484}[live(one)]


def test_the_same_change_twice_is_made_once():
    for _round in range(ROUNDS):
        one = bought()
        assert sorted(at_once(to(one, "pro"), to(one, "pro"))) == ["", "nothing_changes"]
        assert (cost(one), live(one)) == (10000 - 5161 + 10323, "pro")


def test_a_change_and_the_bill_run_charge_the_period_once():
    for _round in range(ROUNDS):
        one = bought()
        assert at_once(to(one, "max", FEB_1), lambda: runs.bill_due(at=FEB_1)) == ["", ""]
        runs.bill_due(at=FEB_1)
        assert (cost(one), live(one)) == (10000 + 30000, "max")
        assert not Charge.objects.filter(subscription=one, status=Charge.Status.PENDING).exists()


def test_a_change_and_a_cancellation_agree_on_one_order():
    for _round in range(ROUNDS):
        one = bought()
        end = partial(subscriptions.cancel, subscription=one, when="now", credit="prorate", at=JAN_16)
        answers = at_once(to(one, "max"), end)
        assert answers in (["", ""], ["not_changeable", ""])
        one.refresh_from_db()
        assert one.status == Subscription.Status.CANCELED
        # the day of the end is billed, at the price of the plan that it had then
        assert cost(one) == (10000 - 5161 + 968 if answers[0] == "" else 10000 - 4839)
