"""A test clock takes a customer from 31 January through a year: an invoice at each month's end, and none twice."""

from datetime import UTC, date, datetime
from itertools import pairwise

import pytest

from billing import runs, subscriptions
from billing.models import Charge, Invoice, Payment, Subscription
from gtm import clocks
from gtm.shared.models import Event
from tests.billing import makers

pytestmark = pytest.mark.django_db
JAN_31 = datetime(2026, 1, 31, 10, tzinfo=UTC)
ENDS = [(1, 31), (2, 28), (3, 31), (4, 30), (5, 31), (6, 30), (7, 31), (8, 31), (9, 30), (10, 31), (11, 30), (12, 31)]


@pytest.fixture
def clock():
    return clocks.create(name="A year", frozen_time=JAN_31)


@pytest.fixture
def acme(clock):
    customer = makers.customer(test_clock=clock, at=JAN_31)
    makers.card(customer, at=JAN_31)
    return customer


def issued() -> list[date]:
    return list(Invoice.objects.order_by("number").values_list("issue_date", flat=True))


def test_monthly(clock, acme):
    subscription = subscriptions.create(customer=acme, plan=makers.published_plan(at=JAN_31), at=JAN_31)
    clocks.advance(clock=clock, to=datetime(2027, 1, 30, tzinfo=UTC))
    assert issued() == [date(2026, month, day) for month, day in ENDS]
    assert set(Invoice.objects.values_list("status", "total")) == {("paid", 4900)}
    assert Payment.objects.filter(status="succeeded").count() == 12
    numbers = list(Invoice.objects.order_by("number").values_list("number", flat=True))
    assert numbers == [f"TEST-INV-2026-{n:06d}" for n in range(1, 13)]
    subscription.refresh_from_db()
    assert subscription.status == Subscription.Status.ACTIVE
    assert subscription.next_bill_at == datetime(2027, 1, 31, tzinfo=UTC)
    periods = Charge.objects.order_by("period_index").values_list("period_start", "period_end")
    assert all(before[1] == after[0] for before, after in pairwise(periods))
    assert Event.objects.filter(type="billing.subscription.renewed").count() == 11


def test_running_again_bills_nothing(clock, acme):
    subscriptions.create(customer=acme, plan=makers.published_plan(at=JAN_31), at=JAN_31)
    clocks.advance(clock=clock, to=datetime(2027, 1, 30, tzinfo=UTC))
    clocks.advance(clock=clock, to=datetime(2027, 1, 30, tzinfo=UTC))
    assert runs.bill_due(at=datetime(2027, 1, 30, tzinfo=UTC), test_clock=clock)._state.adding
    assert len(issued()) == 12


def test_in_steps_it_comes_to_the_same(clock, acme):
    subscriptions.create(customer=acme, plan=makers.published_plan(at=JAN_31), at=JAN_31)
    for month in range(2, 13):
        clocks.advance(clock=clock, to=datetime(2026, month, 15, 7, 30, tzinfo=UTC))
    clocks.advance(clock=clock, to=datetime(2027, 1, 30, tzinfo=UTC))
    assert issued() == [date(2026, month, day) for month, day in ENDS]


def test_through_a_leap_year_it_reaches_29_february():
    start = datetime(2027, 1, 31, 10, tzinfo=UTC)
    clock = clocks.create(name="Leap", frozen_time=start)
    customer = makers.customer(test_clock=clock, at=start)
    makers.card(customer, at=start)
    subscriptions.create(customer=customer, plan=makers.published_plan(at=start), at=start)
    clocks.advance(clock=clock, to=datetime(2028, 3, 31, tzinfo=UTC))
    assert date(2027, 2, 28) in issued()
    assert issued()[-2:] == [date(2028, 2, 29), date(2028, 3, 31)]


def test_with_usage_each_month_is_billed_for_what_was_used_in_it(clock, acme):
    plan = makers.published_plan(at=JAN_31)
    meter = plan.current_version.entitlements.get().feature.meter
    makers.price(plan=plan, code="calls", meter=meter, timing="in_arrears", model="per_unit", unit_amount=10)
    subscriptions.create(customer=acme, plan=plan, at=JAN_31)
    for month, count in ((2, 3), (3, 5)):
        clocks.advance(clock=clock, to=datetime(2026, month, 15, tzinfo=UTC))
        makers.calls(acme, count, at=datetime(2026, month, 14, tzinfo=UTC))
    clocks.advance(clock=clock, to=datetime(2026, 3, 31, 2, tzinfo=UTC))
    totals = list(Invoice.objects.order_by("number").values_list("total", flat=True))
    assert totals == [4900, 4930, 4950]
    assert Invoice.objects.order_by("number").last().finalized_at == datetime(2026, 3, 31, 1, tzinfo=UTC)
