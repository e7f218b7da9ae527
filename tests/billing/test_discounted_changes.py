"""Coupons through changes within a period: an amount is spent once, and going up and back gains nothing."""

import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import changes, runs
from billing.models import CreditNote, Customer, DiscountUse, Invoice, Plan
from gtm.shared import vendors
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
JAN_16, FEB_1 = datetime(2026, 1, 16, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
numbers = itertools.count()


@pytest.fixture
def plans() -> tuple[Plan, Plan]:
    """49.00 USD and 120.00 USD a month."""
    makers.legal_entity()
    vendors.change(proration_unit="second")
    bigger = makers.plan(code="bigger", published=False)
    makers.price(plan=bigger, code="bigger-month", unit_amount=12000)
    return makers.published_plan(), bigger


def owed(customer: Customer) -> int:
    """All that was asked for, less what was given back."""
    asked = Invoice.objects.filter(customer=customer).aggregate(sum=Sum("total", default=0))["sum"]
    return int(asked - CreditNote.objects.filter(customer=customer).aggregate(sum=Sum("total", default=0))["sum"])


TERMS: list[dict[str, Any]] = [
    {"percent_off": Decimal(20)},
    {"percent_off": Decimal(100), "duration": "forever"},
    {"percent_off": Decimal("33.33"), "duration": "repeating", "duration_in_periods": 2},
    {"amount_off": 1000, "currency": "USD"},
    {"amount_off": 6000, "currency": "USD"},
    {"amount_off": 1000, "currency": "USD", "duration": "forever"},
    {"amount_off": 4900, "currency": "USD", "duration": "forever"},
    {"amount_off": 6000, "currency": "USD", "duration": "repeating", "duration_in_periods": 3},
]


@given(
    st.sampled_from(TERMS), st.integers(0, 31 * 24 * 60 - 1), st.sampled_from(["charge_automatically", "send_invoice"])
)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_up_and_back_leaves_at_most_one_minor_unit(
    plans: tuple[Plan, Plan], terms: dict[str, Any], minute: int, method: str
) -> None:
    plan, bigger = plans
    customer = makers.customer(name=f"Customer {next(numbers)}", collection_method=method)
    coupon = makers.coupon(f"C{next(numbers)}", **terms)
    subscription = makers.subscribed(customer, plan=plan, coupons=[coupon])
    before, at = owed(customer), JAN_1 + timedelta(minutes=minute)
    changes.change(subscription=subscription, plan=bigger, effective="now", invoicing="now", at=at)
    changes.change(subscription=subscription, plan=plan, effective="now", invoicing="now", at=at)
    assert abs(owed(customer) - before) <= 1


@pytest.mark.parametrize(
    ("case", "terms", "january"),
    [
        ("a share of what was used", {"percent_off": Decimal(10)}, 4050 + 2430 - 2025),
        (
            "an amount once",
            {"amount_off": 1000, "currency": "USD", "duration": "forever"},
            4500 // 2 + 5400 // 2 - 1000,
        ),
        ("one that covers what was there", {"amount_off": 4500, "currency": "USD"}, 4500 // 2 + 5400 // 2 - 4500),
    ],
)
def test_a_change_of_seats_spends_an_amount_once(case: str, terms: dict[str, Any], january: int) -> None:
    """polar-11556: the discount is the period's, not the change's."""
    makers.legal_entity()
    vendors.change(proration_unit="second")
    plan = makers.plan()
    seat = makers.price(plan=plan, code="seat", model="per_unit", unit_amount=900)
    terms = {"duration": "forever"} | terms
    customer, half = makers.customer(), JAN_1 + timedelta(days=15.5)
    subscription = makers.subscribed(
        customer, plan=plan, items=[changes.ItemTerms(seat, 5)], coupons=[makers.coupon(**terms)]
    )
    changes.change(
        subscription=subscription, items=[changes.ItemTerms(seat, 6)], effective="now", invoicing="now", at=half
    )
    assert owed(customer) == january, case
    if "amount_off" in terms:
        used = DiscountUse.objects.filter(discount__subscription=subscription).aggregate(sum=Sum("amount"))["sum"]
        assert used == terms["amount_off"]
    runs.bill_due(at=FEB_1)
    assert Invoice.objects.get(gathered_at=FEB_1).discount_total == min(5400, terms.get("amount_off", 540))
