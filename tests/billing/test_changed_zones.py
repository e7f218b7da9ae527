"""A customer who has moved to another time zone: the period that the move has bent is counted alike both ways."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import catalog, changes, customers, runs, subscriptions
from billing.models import Customer, Subscription
from gtm.shared import vendors
from tests.billing import makers
from tests.billing.test_changes_money import cost, of
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
JUN_1, JUN_20, JUL_3, AUG_3 = (datetime(2026, *day, 12, tzinfo=UTC) for day in ((6, 1), (6, 20), (7, 3), (8, 3)))
MOVES = [
    ("Asia/Tokyo", "America/New_York"),
    ("America/New_York", "Asia/Tokyo"),
    ("Pacific/Kiritimati", "Pacific/Pago_Pago"),
    ("Pacific/Pago_Pago", "Pacific/Kiritimati"),
]


@pytest.fixture(autouse=True)
def shop() -> None:
    """Seats at 10.33 a month, in advance and in arrears."""
    makers.legal_entity()
    team = makers.plan(code="team", name="Team")
    makers.price(plan=team, code="seat", model="per_unit", unit_amount=1033)
    makers.price(plan=team, code="late", model="per_unit", unit_amount=1033, timing="in_arrears")
    catalog.publish(plan=team, at=JAN_1)


def moved(price: str, move: tuple[str, str]) -> Subscription:
    """Since June in one zone, and from July on in the other."""
    before, after = move
    customer = makers.customer(timezone=before)
    makers.card(customer)
    subscription = subscriptions.create(customer=customer, items=of(**{price: 7}), at=JUN_1)
    customers.change(customer=customer, timezone=after, at=JUN_20)
    runs.bill_due(at=JUL_3)
    assert Customer.objects.get(pk=customer.pk).timezone == after
    return Subscription.objects.get(pk=subscription.pk)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    move=st.sampled_from(MOVES),
    unit=st.sampled_from(["day", "second"]),
    hours=st.integers(0, 27 * 24),
    seats=st.integers(8, 20),
    price=st.sampled_from(["seat", "late"]),
)
def test_an_upgrade_and_back_leaves_a_unit_at_most(
    move: tuple[str, str], unit: str, hours: int, seats: int, price: str
) -> None:
    vendors.change(proration_unit=unit)
    subscription, at = moved(price, move), JUL_3 + timedelta(hours=hours)
    for quantity in (seats, 7):
        wanted = of(**{price: quantity})
        changes.change(subscription=subscription, items=wanted, effective="now", invoicing="now", at=at)
    runs.bill_due(at=AUG_3)
    periods = 3 if price == "seat" else 2
    assert abs(cost(subscription) - periods * 7 * 1033) <= 1


@pytest.mark.parametrize("move", MOVES)
def test_a_downgrade_gives_back_what_an_upgrade_costs(move: tuple[str, str]) -> None:
    """From the middle of the bent period to its end, once at a third of its days."""
    subscription = moved("seat", move)
    before = cost(subscription)
    up, back = (datetime(2026, 7, day, 12, tzinfo=UTC) for day in (11, 21))
    changes.change(subscription=subscription, items=of(seat=14), invoicing="now", at=up)
    changes.change(subscription=subscription, items=of(seat=7), effective="now", invoicing="now", at=back)
    assert abs(cost(subscription) - before - 7 * 1033 * 10 / 31) <= 2
