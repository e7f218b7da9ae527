"""The bill run is killed half-way; the next one bills what is left, each subscription once, and numbers have no gap."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import Count

from billing import lost_answers, runs
from billing.models import (
    Charge,
    Customer,
    Invoice,
    InvoiceLine,
    NumberSeries,
    Payment,
    PaymentMethod,
    SandboxCharge,
    Subscription,
    SubscriptionItem,
)
from gtm.shared import db
from gtm.shared.models import Event
from tests import children
from tests.billing import makers
from tests.world import JAN_1

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes, pytest.mark.slow]
COUNT = 500
FEB_1 = datetime(2026, 2, 1, tzinfo=UTC)
PATIENCE_SECONDS = 120
BILL = """
from datetime import UTC, datetime
from billing import runs
runs.bill_due(at=datetime(2026, 1, 1, tzinfo=UTC), batch=20, collect={collect})
"""


def subscribed(count: int) -> None:
    """Subscriptions due on 1 January, written at once."""
    makers.legal_entity()
    plan = makers.published_plan()
    payers = [Customer(name=f"Customer {n}", currency="USD", country="US") for n in range(count)]
    Customer.objects.bulk_create(payers)
    card = {"gateway": "sandbox", "gateway_reference": "pm_card_visa", "brand": "visa", "last4": "4242"}
    PaymentMethod.objects.bulk_create(PaymentMethod(customer=payer, is_default=True, **card) for payer in payers)
    terms = {"plan_version": plan.current_version, "currency": "USD", "status": Subscription.Status.ACTIVE}
    due = {"start_at": JAN_1, "next_bill_at": JAN_1}
    bought = [Subscription(customer=payer, payer=payer, **terms, **due) for payer in payers]
    Subscription.objects.bulk_create(bought)
    price, period = plan.prices.get(code="pro-month"), {"current_period_start": JAN_1, "current_period_end": FEB_1}
    SubscriptionItem.objects.bulk_create(
        SubscriptionItem(subscription=one, price=price, anchor_at=JAN_1, next_bill_at=JAN_1, **period) for one in bought
    )


def run_and_kill(*, when: Callable[[], bool], collect: bool) -> None:
    """Start a run in a process of its own, and kill it as soon as it has come so far."""
    process = children.start(BILL.format(collect=collect))
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not when():
            assert process.poll() is None, "the run ended before it was killed"
            assert time.monotonic() < deadline, "the run did not get that far"
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait(30)


def test_killed_half_way_each_is_billed_once_and_numbers_have_no_gap():
    subscribed(COUNT)
    numbered = Invoice.objects.exclude(number=None)
    for part in (COUNT // 4, COUNT // 2):
        run_and_kill(when=lambda part=part: numbered.count() >= part, collect=False)
    assert COUNT // 2 <= Invoice.objects.count() < COUNT
    runs.bill_due(at=JAN_1, collect=False)
    assert set(Subscription.objects.annotate(n=Count("charges")).values_list("n", flat=True)) == {1}
    assert Invoice.objects.count() == InvoiceLine.objects.count() == COUNT
    assert sorted(numbered.values_list("number", flat=True)) == [f"INV-2026-{n:06d}" for n in range(1, COUNT + 1)]
    assert NumberSeries.objects.get().last_number == COUNT
    assert not Charge.objects.exclude(status=Charge.Status.BILLED).exists()
    assert Event.objects.filter(type="billing.invoice.finalized").count() == COUNT
    assert runs.bill_due(at=JAN_1, collect=False)._state.adding


def test_killed_while_charging_cards_each_is_charged_once():
    """The one whose answer was lost is settled by the janitor."""
    subscribed(60)
    run_and_kill(when=lambda: SandboxCharge.objects.count() >= 10, collect=True)
    assert SandboxCharge.objects.count() < 60
    runs.bill_due(at=JAN_1)
    lost_answers.settle_stale(at=db.now() + timedelta(minutes=5))
    assert SandboxCharge.objects.count() == Payment.objects.filter(status="succeeded").count() == 60
    assert not Invoice.objects.exclude(status=Invoice.Status.PAID).exists()
