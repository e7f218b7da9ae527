"""What changes come to over whole periods: in arrears, with discounts, and however often somebody changes."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import catalog, changes, runs, subscriptions
from billing.models import Charge, CustomerBalance, Invoice, InvoiceLine, Payment, Price, Subscription
from billing.payments import NoPaymentMethod
from billing.selection import ItemTerms
from gtm.shared import vendors
from gtm.shared.errors import Conflict
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db


def utc(month: int, day: int = 1, hour: int = 0) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


JAN_15, JUN_1, JUN_16, JUL_1 = utc(1, 15), utc(6), utc(6, 16), utc(7)


@pytest.fixture(autouse=True)
def shop() -> None:
    """Seats at 10.00 a month, or 100.00 a year; two plans in arrears, at 100.00 and 200.00; one that is free."""
    team = makers.plan(code="team", name="Team")
    makers.price(plan=team, code="seat", model="per_unit", unit_amount=1000)
    makers.price(plan=team, code="seat-year", interval="year", model="per_unit", unit_amount=10000)
    catalog.publish(plan=team, at=JAN_1)
    for code, amount in (("late", 10000), ("later", 20000)):
        plan = makers.plan(code=code, name=code.title())
        makers.price(plan=plan, code=code, unit_amount=amount, timing="in_arrears")
        catalog.publish(plan=plan, at=JAN_1)
    free = makers.plan(code="free", name="Free")
    makers.price(plan=free, code="free", unit_amount=0)
    catalog.publish(plan=free, at=JAN_1)
    makers.legal_entity()


def of(**quantities: int) -> list[ItemTerms]:
    prices = Price.objects.select_related("plan", "meter")
    return [ItemTerms(prices.get(code=code.replace("_", "-")), quantity) for code, quantity in quantities.items()]


def start(*, at: datetime = JUN_1, terms: dict[str, object] | None = None, **quantities: int) -> Subscription:
    customer = makers.customer()
    makers.card(customer)
    return subscriptions.create(customer=customer, items=of(**quantities), at=at, **terms or {})


def cost(subscription: Subscription) -> int:
    """What the payer has paid and still owes, less what stands to its credit."""
    payer = subscription.payer
    paid = Payment.objects.filter(customer=payer, status=Payment.Status.SUCCEEDED)
    due = sum(one.amount_due for one in Invoice.objects.filter(customer=payer))
    balance = sum(CustomerBalance.objects.filter(customer=payer).values_list("amount", flat=True))
    return sum(paid.values_list("amount", flat=True)) + due - balance


class TestInArrears:
    def test_each_part_is_charged_when_it_ends(self):
        """lago-doc-upgrade-arrears: 14 of 31 days at 100.00 on 15 January, 17 of them at 200.00 at the end."""
        subscription = start(late=1, at=JAN_1)
        changes.change(subscription=subscription, items=of(later=1), at=JAN_15)
        runs.bill_due(at=utc(2))
        found = Invoice.objects.order_by("gathered_at").values_list("gathered_at", "total")
        assert list(found) == [(JAN_15, 4516), (utc(2), 10968)]

    def test_without_proration_the_rest_of_the_period_is_free(self):
        subscription = start(late=1, at=JAN_1)
        changes.change(subscription=subscription, items=of(later=1), prorate=False, at=JAN_15)
        runs.bill_due(at=utc(3))
        found = InvoiceLine.objects.order_by("period_start").values_list("period_start", "amount")
        assert list(found) == [(JAN_1, 4516), (utc(2), 20000)]


class TestDiscounts:
    def test_a_fixed_amount_comes_off_once_in_a_period(self):
        """polar-11556: it was counted again on the seats that came."""
        five = makers.coupon("FIVE", amount_off=500, currency="USD", duration="forever")
        subscription = start(seat=5, terms={"coupons": [five]})
        assert cost(subscription) == 4500
        changes.change(subscription=subscription, items=of(seat=8), invoicing="now", at=JUN_16)
        assert cost(subscription) == 2500 + 4000 - 500
        runs.bill_due(at=JUL_1)
        assert cost(subscription) == 6000 + 8000 - 500

    def test_a_share_comes_off_what_is_charged_and_of_what_is_given_back(self):
        tenth = makers.coupon("TENTH", percent_off=10, duration="forever")
        subscription = start(seat=5, terms={"coupons": [tenth]})
        changes.change(subscription=subscription, items=of(seat=8), invoicing="now", at=JUN_16)
        assert cost(subscription) == (2500 + 4000) * 9 // 10


class TestCards:
    def test_one_is_needed_before_it_costs_more(self):
        subscription = subscriptions.create(customer=makers.customer(), items=of(free=1), at=JUN_1)
        with pytest.raises(NoPaymentMethod):
            changes.change(subscription=subscription, items=of(seat=1), at=JUN_16)
        makers.card(subscription.payer)
        assert changes.change(subscription=subscription, items=of(seat=1), at=JUN_16).mrr == 1000

    def test_a_refused_one_leaves_the_new_plan_past_due(self):
        subscription = start(seat=1)
        makers.card(subscription.payer, "pm_card_chargeDeclined")
        changed = changes.change(subscription=subscription, items=of(seat=9), invoicing="now", at=JUN_16)
        assert (changed.status, changed.mrr) == (Subscription.Status.PAST_DUE, 9000)


def test_a_longer_interval_is_not_begun_before_a_cancellation():
    subscription = start(seat=1)
    subscriptions.cancel(subscription=subscription, at=JUN_1)
    with pytest.raises(Conflict, match="undo its cancellation") as refusal:
        changes.change(subscription=subscription, items=of(seat_year=1), at=JUN_16)
    assert refusal.value.code == "ends_before"
    assert changes.change(subscription=subscription, items=of(seat=2), at=JUN_16).cancel_at == JUL_1


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seats=st.integers(0, 20),
    steps=st.lists(
        st.tuples(st.integers(0, 29 * 24), st.integers(0, 20), st.sampled_from(["now", "next"])), max_size=4
    ),
    unit=st.sampled_from(["day", "second"]),
    by_invoice=st.booleans(),
)
def test_what_is_used_is_paid_once_however_often_it_changes(seats, steps, unit, by_invoice):
    """June costs each number of seats for the time it was held, to a unit a line; July costs what it ended with."""
    vendors.change(proration_unit=unit)
    terms = {"collection_method": "send_invoice"} if by_invoice else {}
    subscription = start(seat=seats, terms=terms)
    held, since, exact = seats, JUN_1, Fraction()
    for hours, quantity, invoicing in sorted(steps):
        at = JUN_1 + timedelta(hours=hours)
        if quantity == held:
            continue
        changes.change(subscription=subscription, items=of(seat=quantity), effective="now", invoicing=invoicing, at=at)
        begins = at if unit == "second" else at.replace(hour=0)
        exact += held * Fraction((begins - since) // timedelta(seconds=1), 86400)
        held, since = quantity, begins
    exact += held * Fraction((JUL_1 - since) // timedelta(seconds=1), 86400)
    runs.bill_due(at=JUL_1)
    assert abs(cost(subscription) - (exact * 1000 / 30 + held * 1000)) <= len(steps) + 1
    assert not Charge.objects.filter(subscription=subscription, status=Charge.Status.PENDING).exists()
