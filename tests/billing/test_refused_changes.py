"""A scheduled change that can't take effect any more: the run goes on, and nothing is lost."""

from datetime import UTC, datetime

import pytest

from billing import changes, runs, subscriptions
from billing.models import Customer, InvoiceLine, Phase, Price, Subscription, SubscriptionChange
from billing.selection import ItemTerms
from gtm.shared.models import Event
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
FEB_1, FEB_2, MAR_1 = (
    datetime(2026, 2, 1, tzinfo=UTC),
    datetime(2026, 2, 2, tzinfo=UTC),
    datetime(2026, 3, 1, tzinfo=UTC),
)


@pytest.fixture
def taken() -> tuple[Subscription, Price]:
    """49.00 a month, to become a metered price in February whose meter another subscription took in January."""
    makers.legal_entity(timezone="UTC")
    flat, metered = makers.plan(code="flat"), makers.plan(code="metered")
    terms = {"model": "per_unit", "unit_amount": 1, "timing": "in_arrears", "meter": makers.meter()}
    prices = [makers.price(plan=flat, code="flat"), makers.price(plan=metered, code="calls", **terms)]
    customer = makers.customer()
    makers.card(customer)
    one, other = ([ItemTerms(price)] for price in prices)
    subscription = subscriptions.create(customer=customer, items=one, at=JAN_1)
    changes.change(subscription=subscription, items=other, effective=FEB_1, reason="As agreed", at=JAN_1)
    subscriptions.create(customer=customer, items=other, at=datetime(2026, 1, 15, tzinfo=UTC))
    return subscription, prices[1]


def test_it_goes_on_as_it_is(taken: tuple[Subscription, Price]) -> None:
    subscription, price = taken
    run = runs.bill_due(at=FEB_2)
    assert (run.parked, Customer.objects.exclude(parked_at=None).count()) == (0, 0)
    subscription.refresh_from_db()
    assert (subscription.status, subscription.mrr, subscription.next_bill_at) == ("active", 4900, MAR_1)
    assert InvoiceLine.objects.filter(subscription=subscription, period_start=FEB_1).get().amount == 4900
    assert not Phase.objects.filter(applied_at=None).exists()
    fact = Event.objects.get(type="billing.subscription.change_refused")
    assert (fact.reason, fact.data["effective_at"]) == ("meter_in_use", FEB_1.isoformat())
    row = SubscriptionChange.objects.get(kind="change_refused")
    assert (row.reason, row.mrr_before, row.mrr_after) == ("As agreed", 4900, 4900)
    assert row.detail["items"] == [{"price": price.public_id, "quantity": "1"}]


def test_what_a_contract_says_is_not_given_up(taken: tuple[Subscription, Price]) -> None:
    subscription, _price = taken
    Phase.objects.update(locked=True)
    assert runs.bill_due(at=FEB_2).parked == 1
    assert Phase.objects.get(subscription=subscription).applied_at is None
    assert subscription.payer.__class__.objects.get(pk=subscription.payer_id).parked_at is not None
