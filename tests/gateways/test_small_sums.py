"""Sums that Stripe doesn't take by themselves: nobody is behind with them, and the next charge takes them along."""

from datetime import UTC, datetime

import pytest

from billing import catalog, customers, deferrals, dunning_runs, payments, runs, subscriptions
from billing.gateways import ChargeResult
from billing.models import DunningCase, Invoice, Payment, Subscription
from gtm.shared.models import Event
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
FEB_1, FEB_2, MAR_1 = (datetime(2026, month, day, tzinfo=UTC) for month, day in ((2, 1), (2, 2), (3, 1)))
DECLINES = "4000000000000341"


@pytest.fixture
def acme(double):
    makers.legal_entity()
    customer = makers.customer(currency="USD")
    carded(customer, double)
    return customer


def carded(customer, double, number: str = "4242424242424242") -> None:
    customers.attach_payment_method(customer=customer, gateway_token=double.card(number), at=JAN_1)


def states() -> list[tuple[int, str, str]]:
    return list(Invoice.objects.order_by("pk").values_list("total", "status", "payment_status"))


def charged(double) -> list[int]:
    return sorted(one["amount"] for one in double.charges())


def test_cents_of_usage_wait_for_the_next_charge_and_nobody_is_dunned(acme, double):
    subscription = makers.subscribed(acme, plan=makers.published_plan())
    little = makers.invoiced(acme, 20, subscription=subscription)
    payments.collect_all(invoices=[little], at=JAN_1)
    subscription.refresh_from_db()
    payment = Payment.objects.get(status="failed")
    assert (subscription.status, states()[1]) == ("active", (20, "open", "deferred"))
    assert (payment.failure_code, payment.failure_message[:24]) == ("amount_too_small", "This amount is too small")
    assert not DunningCase.objects.exists()
    assert not Event.objects.filter(type="billing.payment.failed").exists()
    assert Event.objects.filter(type="billing.payment.deferred", customer_id=acme.pk).count() == 1
    runs.collect_waiting(at=FEB_1)
    assert charged(double) == [4900]
    runs.bill_due(at=FEB_1)
    assert charged(double) == [4900, 4920]
    assert {row[1:] for row in states()} == {("paid", "paid")}
    assert Payment.objects.get(amount=4920).allocations.count() == 2


def test_a_first_order_of_cents_begins_and_is_paid_once_there_is_enough(acme, double):
    plan = makers.plan(code="tiny")
    makers.price(plan=plan, code="tiny-month", unit_amount=20)
    catalog.publish(plan=plan, at=JAN_1)
    bought = subscriptions.create(customer=acme, plan=plan, at=JAN_1)
    assert (bought.status, states()) == ("active", [(20, "open", "deferred")])
    for month, taken in ((FEB_1, []), (MAR_1, [60])):
        runs.bill_due(at=month)
        assert charged(double) == taken
    assert states() == [(20, "paid", "paid")] * 3


def test_what_came_along_with_a_declined_charge_is_deferred_again(acme, double):
    little, big = makers.invoiced(acme, 20), makers.invoiced(acme, 4900)
    payments.collect_all(invoices=[little], at=JAN_1)
    carded(acme, double, DECLINES)
    payments.collect_all(invoices=[big], at=JAN_1)
    assert [row[2] for row in states()] == ["deferred", "failed"]
    assert list(DunningCase.objects.values_list("invoices", flat=True)) == [big.pk]
    assert Event.objects.get(type="billing.payment.failed").data["invoices"] == [big.public_id]
    carded(acme, double)
    dunning_runs.run_due(at=FEB_2)
    assert charged(double) == [4920]


def test_whoever_looks_on_pays_what_is_shown(acme, double):
    little, big = makers.invoiced(acme, 20), makers.invoiced(acme, 4900)
    payments.collect_all(invoices=[little], at=JAN_1)
    payments.collect_all(invoices=[big], on_session=True, at=JAN_1)
    assert charged(double) == [4900]


def test_cents_that_are_left_of_a_failed_bill_leave_nobody_behind(acme, double):
    subscription = makers.subscribed(acme, plan=makers.published_plan())
    carded(acme, double, DECLINES)
    runs.bill_due(at=FEB_1)
    failed = Invoice.objects.get(status="open")
    payments.record_manual(customer=acme, invoices=[failed], method="transfer", amount=4880, paid_at=FEB_1, at=FEB_1)
    assert Subscription.objects.get().status == "past_due"
    dunning_runs.run_due(at=FEB_2)
    subscription.refresh_from_db()
    assert (subscription.status, states()[1][1:]) == ("active", ("open", "deferred"))
    assert DunningCase.objects.get().status == "closed"


def test_what_would_make_the_sum_too_fine_is_not_taken_along(double):
    makers.legal_entity()
    kuwait = makers.customer(currency="KWD", name="Kuwait")
    carded(kuwait, double)
    fine, round_one = makers.invoiced(kuwait, 11), makers.invoiced(kuwait, 4900)
    Invoice.objects.filter(pk=fine.pk).update(payment_status="deferred")
    payments.collect_all(invoices=[round_one], at=JAN_1)
    assert [row[1:] for row in states()] == [("open", "deferred"), ("paid", "paid")]
    assert charged(double) == [4900]


@pytest.mark.parametrize(
    ("code", "collection_method", "deferred"),
    [
        ("amount_too_small", "charge_automatically", True),
        ("amount_too_small", "send_invoice", False),  # or its reminders would stop
        ("amount_not_chargeable", "charge_automatically", False),  # or service would go on for nothing
        ("card_declined", "charge_automatically", False),
    ],
)
def test_what_is_nobodys_fault(code, collection_method, deferred):
    result = ChargeResult("failed", "", failure_code=code)
    assert deferrals.is_deferred(result, [Invoice(collection_method=collection_method)]) is deferred
