"""Discounts at work: how long they hold, what they take off invoices, and what they do to revenue."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing import discounts, invoices, runs, subscriptions
from billing.models import DiscountUse, Invoice, Plan, Subscription, SubscriptionChange
from gtm.shared import vendors
from gtm.shared.errors import Conflict
from gtm.shared.models import Event
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
JAN_15, FEB_1, MAR_1, APR_1, MAY_1 = (
    datetime(2026, *day, tzinfo=UTC) for day in ((1, 15), (2, 1), (3, 1), (4, 1), (5, 1))
)


@pytest.fixture(params=["day", "second"])
def unit(request: pytest.FixtureRequest) -> str:
    vendors.change(proration_unit=request.param)
    return str(request.param)


@pytest.fixture
def plan() -> Plan:
    """49.00 USD a month."""
    makers.legal_entity()
    return makers.published_plan()


def subscribed(plan: Plan, *, at: datetime = JAN_1, **terms: Any) -> Subscription:
    given = {name: terms.pop(name) for name in ("start_at", "trial_days", "alignment") if name in terms}
    coupon = makers.coupon(**terms)
    return makers.subscribed(makers.customer(), plan=plan, coupons=[coupon], at=at, **given)


def taken_off(subscription: Subscription) -> list[int]:
    """By invoice, the oldest first."""
    found = Invoice.objects.filter(lines__subscription=subscription).exclude(status=Invoice.Status.VOID).distinct()
    return list(found.order_by("gathered_at", "pk").values_list("discount_total", flat=True))


def bill(*times: datetime) -> None:
    for at in times:
        runs.bill_due(at=at)


class TestDuration:
    @pytest.mark.parametrize(
        ("terms", "off"),
        [
            ({}, [980, 0, 0, 0]),
            ({"duration": "repeating", "duration_in_periods": 2}, [980, 980, 0, 0]),
            ({"duration": "forever"}, [980, 980, 980, 980]),
            ({"amount_off": 500, "currency": "USD"}, [500, 0, 0, 0]),
            ({"amount_off": 6000, "currency": "USD"}, [4900, 1100, 0, 0]),
            ({"amount_off": 6000, "currency": "USD", "duration": "forever"}, [4900, 4900, 4900, 4900]),
            (
                {"amount_off": 500, "currency": "USD", "duration": "repeating", "duration_in_periods": 3},
                [500, 500, 500, 0],
            ),
        ],
    )
    @pytest.mark.usefixtures("unit")
    def test_counts_periods_in_time(self, plan: Plan, terms: dict[str, Any], off: list[int]) -> None:
        subscription = subscribed(plan, **terms)
        bill(FEB_1, MAR_1, APR_1)
        assert taken_off(subscription) == off

    @pytest.mark.usefixtures("unit")
    def test_begins_with_the_next_period_on_a_running_subscription(self, plan: Plan) -> None:
        subscription = makers.subscribed(makers.customer(), plan=plan)
        coupon = makers.coupon(duration="repeating", duration_in_periods=2)
        discount = discounts.redeem(coupon=coupon, subscription=subscription, at=JAN_15)
        assert discount.ends_at == APR_1
        bill(FEB_1, MAR_1, APR_1)
        assert taken_off(subscription) == [0, 980, 980, 0]

    def test_a_trial_uses_nothing_up(self, plan: Plan) -> None:
        subscription = subscribed(plan, trial_days=14)
        bill(JAN_15, JAN_15 + timedelta(days=31))
        assert taken_off(subscription) == [980, 0]

    def test_what_started_in_the_past_is_discounted_from_then_on(self, plan: Plan) -> None:
        terms = {"duration": "repeating", "duration_in_periods": 2}
        subscription = subscribed(plan, at=MAR_1 + timedelta(days=1), start_at=JAN_1, **terms)
        assert taken_off(subscription) == [2 * 980]
        assert list(subscription.discounts.values_list("starts_at", "ends_at")) == [(JAN_1, MAR_1)]

    def test_what_is_taken_away_holds_for_what_had_begun(self, plan: Plan) -> None:
        subscription = subscribed(plan, duration="forever")
        discounts.remove(discount=subscription.discounts.get(), at=JAN_15)
        bill(FEB_1)
        assert taken_off(subscription) == [980, 0]
        with pytest.raises(Conflict):
            discounts.remove(discount=subscription.discounts.get(), at=JAN_15)

    def test_comes_back_when_its_invoice_is_void(self, plan: Plan) -> None:
        customer = makers.customer(collection_method="send_invoice")
        coupon = makers.coupon(amount_off=6000, currency="USD")
        subscription = makers.subscribed(customer, plan=plan, coupons=[coupon])
        bill(FEB_1)
        assert subscription.discounts.get().end_reason == "used_up"
        invoice = Invoice.objects.get(gathered_at=FEB_1)
        invoices.void(invoice=invoice, at=FEB_1)
        bill(MAR_1)
        assert taken_off(subscription) == [4900, 1100]
        assert subscription.discounts.get().end_reason == "used_up"
        assert [event.reason for event in Event.objects.filter(type="billing.discount.ended")] == ["used_up"]


class TestUses:
    def test_stand_with_their_lines_and_in_their_period(self, plan: Plan) -> None:
        subscription = subscribed(plan, amount_off=500, currency="USD", duration="forever")
        bill(FEB_1)
        rows = DiscountUse.objects.filter(discount__subscription=subscription).order_by("period_start")
        assert list(rows.values_list("period_start", "amount")) == [(JAN_1, 500), (FEB_1, 500)]
        for line in subscription.items.get().price.items.get().charges.values_list("invoice_line", flat=True):
            assert DiscountUse.objects.get(invoice_line=line).amount == 500

    def test_are_drawn_up_again_with_late_usage(self, plan: Plan) -> None:
        meter = plan.current_version.entitlements.get().feature.meter
        makers.price(plan=plan, code="calls", meter=meter, timing="in_arrears", model="per_unit", unit_amount=100)
        subscription = subscribed(plan, amount_off=6000, currency="USD", duration="forever")
        makers.calls(subscription.customer, 3, at=JAN_15)
        bill(FEB_1)
        draft = Invoice.objects.get(status="draft")
        uses = DiscountUse.objects.filter(invoice_line__invoice=draft).order_by("period_start")
        assert list(uses.values_list("period_start", "amount")) == [(JAN_1, 300), (FEB_1, 4900)]
        makers.calls(subscription.customer, 10, at=JAN_15 + timedelta(hours=1))
        bill(FEB_1 + timedelta(hours=2))
        assert list(uses.values_list("period_start", "amount")) == [(JAN_1, 1100), (FEB_1, 4900)]
        draft.refresh_from_db()
        assert (draft.subtotal, draft.discount_total, draft.total) == (1300 + 4900, 6000, 200)

    def test_the_work_does_not_grow_with_the_batch(self, plan: Plan) -> None:
        coupon = makers.coupon(amount_off=500, currency="USD", duration="repeating", duration_in_periods=2)
        share = makers.coupon("SHARE", duration="forever")

        def add(count: int) -> None:
            for number in range(count):
                customer = makers.customer(name=f"Customer {number}")
                makers.subscribed(customer, plan=plan, coupons=[coupon, share])

        def queries(at: datetime) -> int:
            with CaptureQueriesContext(
                connection,
            ) as captured:
                runs.bill_due(at=at, collect=False)
            return len(captured)

        add(1)
        one, one_with_ends = queries(FEB_1), queries(MAR_1)
        add(4)
        assert queries(FEB_1) <= one  # the first run made the year's number series, too
        assert queries(MAR_1) <= one_with_ends
        assert {invoice.discount_total for invoice in Invoice.objects.filter(gathered_at=FEB_1)} == {980 + 500}


class TestRevenue:
    def test_is_net_of_what_lasts_and_moves_when_it_ends(self, plan: Plan) -> None:
        subscription = subscribed(plan, duration="repeating", duration_in_periods=2)
        subscription.refresh_from_db()
        assert (subscription.mrr, subscription.next_bill_at) == (3920, FEB_1)
        bill(FEB_1, MAR_1)
        subscription.refresh_from_db()
        change = SubscriptionChange.objects.get(kind="discount_ended")
        assert (change.mrr_before, change.mrr_after, change.effective_at) == (3920, 4900, MAR_1)
        assert subscription.mrr == 4900
        assert Event.objects.get(type="billing.discount.ended").reason == "over"

    def test_an_end_between_periods_is_due_at_its_time(self, plan: Plan) -> None:
        """Its monthly periods were counted before it became a yearly one."""
        subscription = subscribed(plan, duration="repeating", duration_in_periods=1)
        discount = subscription.discounts.get()
        discount.ends_at = JAN_15
        discount.save()
        discounts.redeem(coupon=makers.coupon("OTHER"), subscription=subscription, at=JAN_1)
        subscription.refresh_from_db()
        assert subscription.next_bill_at == JAN_15
        bill(JAN_15)
        subscription.refresh_from_db()
        assert (subscription.mrr, subscription.next_bill_at) == (4900, FEB_1)
        assert Invoice.objects.count() == 1

    @pytest.mark.parametrize(
        ("terms", "revenue"),
        [
            ({}, 4900),
            ({"duration": "forever"}, 3920),
            ({"amount_off": 500, "currency": "USD"}, 4900),
            ({"amount_off": 500, "currency": "USD", "duration": "forever"}, 4400),
            ({"amount_off": 9999, "currency": "USD", "duration": "forever"}, 0),
        ],
    )
    def test_a_start_and_a_removal_write_what_they_do(self, plan: Plan, terms: dict[str, Any], revenue: int) -> None:
        subscription = makers.subscribed(makers.customer(), plan=plan)
        discount = discounts.redeem(coupon=makers.coupon(**terms), subscription=subscription, at=JAN_15)
        discounts.remove(discount=discount, at=FEB_1 - timedelta(days=1))
        rows = subscription.changes.filter(kind__startswith="discount").order_by("recorded_at", "pk")
        assert [(row.kind, row.mrr_before, row.mrr_after) for row in rows] == [
            ("discount_applied", 4900, revenue),
            ("discount_removed", revenue, 4900),
        ]

    def test_facts_hold_codes_and_amounts(self, plan: Plan) -> None:
        subscription = subscribed(plan, percent_off=Decimal("12.5"))
        event = Event.objects.get(type="billing.discount.applied")
        assert event.customer_id == subscription.customer_id
        assert event.data == {
            "coupon": "SUMMER20",
            "subscription": subscription.public_id,
            "percent_off": "12.5",
            "amount_off": None,
            "currency": "USD",
            "duration": "once",
        }


def test_two_subscriptions_on_one_invoice_have_each_their_own(plan: Plan) -> None:
    customer, other = makers.customer(), makers.published_plan(code="other")
    makers.subscribed(customer, plan=plan, coupons=[makers.coupon(duration="forever")])
    subscriptions.create(customer=customer, plan=other, at=JAN_1)
    bill(FEB_1)
    invoice = Invoice.objects.get(gathered_at=FEB_1)
    assert sorted(invoice.lines.values_list("amount", "discount_amount")) == [(4900, 0), (4900, 980)]
