"""The order of what is due on a subscription: each at its time, and at one instant always in the same order."""

from datetime import UTC, datetime

import pytest

from billing import catalog, changes, pauses, runs, subscriptions
from billing.models import Customer, CustomerBalance, InvoiceLine, Payment, Phase, Price, Subscription
from billing.selection import ItemTerms
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
Status = Subscription.Status


def utc(month: int, day: int = 1) -> datetime:
    return datetime(2026, month, day, tzinfo=UTC)


FEB_1, MAR_1, APR_1 = utc(2), utc(3), utc(4)


@pytest.fixture(autouse=True)
def shop() -> None:
    """Three plans in steps of 31.00 a month, so that a day of January is a whole amount."""
    for code, amount in (("one", 3100), ("two", 6200), ("three", 9300)):
        plan = makers.plan(code=code, name=code.title())
        makers.price(plan=plan, code=code, unit_amount=amount)
        catalog.publish(plan=plan, at=JAN_1)
    makers.legal_entity()


@pytest.fixture
def acme() -> Customer:
    customer = makers.customer()
    makers.card(customer)
    return customer


def of(code: str) -> list[ItemTerms]:
    return [ItemTerms(Price.objects.select_related("plan", "meter").get(code=code))]


def start(customer: Customer, code: str, **terms: object) -> Subscription:
    return subscriptions.create(customer=customer, items=of(code), at=JAN_1, **terms)


def billed() -> list[tuple[str, datetime, int]]:
    """What was billed in the order of its periods: the plan, the period's start, the amount."""
    lines = InvoiceLine.objects.order_by("period_start", "amount").select_related("price")
    return [(line.price.code, line.period_start, line.amount) for line in lines]


def spent(customer: Customer) -> int:
    paid = Payment.objects.filter(customer=customer).values_list("amount", flat=True)
    return sum(paid) - sum(CustomerBalance.objects.filter(customer=customer).values_list("amount", flat=True))


def test_one_late_run_comes_through_all_of_it_as_runs_in_time_would(acme):
    """The end of a trial, a change within the period, a renewal, a change with a renewal."""
    subscription = start(acme, "one", trial_days=15)
    changes.change(subscription=subscription, items=of("two"), effective=utc(1, 26), at=JAN_1)
    changes.change(subscription=subscription, items=of("one"), effective=utc(2, 16), at=JAN_1)
    runs.bill_due(at=APR_1)
    found = Subscription.objects.get()
    assert (found.status, found.plan_version.plan.code, found.next_bill_at) == (Status.ACTIVE, "one", utc(4, 16))
    assert billed() == [
        ("one", utc(1, 16), 1000),  # nothing asked for the rest of it yet
        ("two", utc(1, 26), 4200),
        ("one", utc(2, 16), 3100),
        ("one", utc(3, 16), 3100),
    ]
    assert list(found.changes.order_by("recorded_at", "pk").values_list("kind", flat=True)) == [
        "created",
        "change_scheduled",
        "change_scheduled",
        "activated",
        "changed",
        "changed",
    ]


def test_runs_in_time_bill_the_same(acme):
    subscription = start(acme, "one", trial_days=15)
    changes.change(subscription=subscription, items=of("two"), effective=utc(1, 26), at=JAN_1)
    changes.change(subscription=subscription, items=of("one"), effective=utc(2, 16), at=JAN_1)
    for at in (utc(1, 16), utc(1, 26), utc(2, 16), utc(3, 16), APR_1):
        runs.bill_due(at=at)
    assert [amount for _code, _start, amount in billed()] == [3100, -2100, 4200, 3100, 3100]


def test_a_change_comes_before_the_pause_of_the_same_instant(acme):
    subscription = start(acme, "three")
    changes.change(subscription=subscription, items=of("one"), at=JAN_1)
    pauses.pause(subscription=subscription, when="period_end", at=JAN_1)
    runs.bill_due(at=FEB_1)
    found = Subscription.objects.get()
    assert (found.status, found.plan_version.plan.code) == (Status.PAUSED, "one")
    assert billed() == [("three", JAN_1, 9300)]
    pauses.resume(subscription=found, at=MAR_1)
    assert billed()[1:] == [("one", MAR_1, 3100)]


def test_a_change_waits_while_the_subscription_is_paused(acme):
    subscription = start(acme, "three")
    changes.change(subscription=subscription, items=of("one"), effective=utc(2, 10), at=JAN_1)
    pauses.pause(subscription=subscription, when="period_end", at=JAN_1)
    runs.bill_due(at=MAR_1)
    assert Phase.objects.get().applied_at is None
    pauses.resume(subscription=Subscription.objects.get(), at=MAR_1)
    runs.bill_due(at=MAR_1)
    found = Subscription.objects.get()
    assert (found.plan_version.plan.code, found.mrr) == ("one", 3100)
    assert spent(acme) == 9300 + 3100


def test_nothing_is_changed_at_the_end(acme):
    subscription = start(acme, "three")
    changes.change(subscription=subscription, items=of("one"), at=JAN_1)
    subscriptions.cancel(subscription=subscription, at=JAN_1)
    runs.bill_due(at=FEB_1)
    found = Subscription.objects.get()
    assert (found.status, found.plan_version.plan.code) == (Status.CANCELED, "three")
    assert billed() == [("three", JAN_1, 9300)]
