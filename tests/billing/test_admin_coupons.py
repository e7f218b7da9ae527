"""Coupons, discounts and revenue in the back office."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client

from billing import changes
from billing.models import Coupon, Discount, Plan, Subscription, SubscriptionChange
from tests import world
from tests.backoffice import address, errors, facts, signed_in, submit
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db


@pytest.fixture
def founder() -> Client:
    makers.legal_entity()
    return signed_in(world.fay())


@pytest.fixture
def plan() -> Plan:
    return makers.published_plan()


class TestCoupons:
    def test_an_amount_is_written_in_major_units(self, founder: Client, plan: Plan) -> None:
        submit(
            founder,
            address("billing_coupon_add"),
            code="WELCOME",
            amount_off="5.50",
            currency="USD",
            duration="forever",
            plans=[str(plan.pk)],
        )
        coupon = Coupon.objects.get()
        assert (coupon.amount_off, coupon.currency, list(coupon.plans.all())) == (550, "USD", [plan])

    @pytest.mark.parametrize(
        ("typed", "field"),
        [
            ({}, "percent_off"),
            ({"amount_off": "5"}, "currency"),
            ({"amount_off": "0.005", "currency": "USD"}, "amount_off"),
            ({"percent_off": "5", "duration": "repeating"}, "duration_in_periods"),
        ],
    )
    def test_says_at_the_field_what_is_wrong(self, founder: Client, typed: dict[str, str], field: str) -> None:
        answer = submit(founder, address("billing_coupon_add"), code="X", **typed)
        assert field in errors(answer)
        assert not Coupon.objects.exists()

    def test_plans_can_be_changed_and_terms_cannot(self, founder: Client, plan: Plan) -> None:
        coupon = makers.coupon()
        page = address("billing_coupon_change", coupon.pk)
        submit(founder, page, plans=[str(plan.pk)], percent_off="90")
        coupon.refresh_from_db()
        assert (coupon.percent_off, list(coupon.plans.all())) == (20, [plan])
        submit(founder, address("billing_coupon_archive", coupon.pk))
        coupon.refresh_from_db()
        assert coupon.archived_at is not None
        assert facts("billing.coupon.changed") == ["billing.coupon.changed"] * 2


class TestDiscounts:
    def test_are_redeemed_on_the_page_of_a_subscription_and_taken_away(self, founder: Client, plan: Plan) -> None:
        subscription = makers.subscribed(makers.customer(), plan=plan)
        makers.coupon(duration="forever")
        page = address("billing_subscription_redeem", subscription.pk)
        assert "There is no coupon" in errors(submit(founder, page, coupon="nope"))["coupon"][0]
        submit(founder, page, coupon="summer20", reason="They asked")
        discount = Discount.objects.get()
        change = SubscriptionChange.objects.get(kind="discount_applied")
        assert (change.origin, change.reason, change.mrr_after) == ("admin", "They asked", 3920)
        shown = founder.get(address("billing_discount_change", discount.pk)).content.decode()
        assert "SUMMER20: 20 % off" in shown
        submit(founder, address("billing_discount_take_away", discount.pk))
        discount.refresh_from_db()
        assert discount.end_reason == "removed"


class TestRevenue:
    def test_each_figure_opens_the_rows_that_sum_to_it(self, founder: Client, plan: Plan) -> None:
        bigger = makers.plan(code="bigger")
        makers.price(plan=bigger, code="bigger-month", unit_amount=12000)
        subscription = makers.subscribed(makers.customer(), plan=plan)
        makers.subscribed(makers.customer(name="Other"), plan=plan)
        changes.change(subscription=subscription, plan=bigger, effective="now", at=JAN_1 + timedelta(days=3))
        here = address("billing_subscriptionchange_movements")
        (month,) = founder.get(here).context["months"][-1:] or [None]
        assert month is None or month.closing == 16900
        for kind, sum_, count in (("new", 9800, 2), ("expansion", 7100, 1), ("churn", 0, 0)):
            shown = founder.get(here, {"month": "2026-01", "currency": "USD", "kind": kind}).context
            assert (shown["sum"], len(shown["rows"])) == (sum_, count), kind
        rows = founder.get(
            address("billing_subscriptionchange_changelist"),
            {"payer__id__exact": subscription.payer_id, "booked_on": "2026-01-04"},
        )
        assert [row.kind for row in rows.context["cl"].result_list] == ["changed"]
        assert founder.get(here, {"month": "soon"}).status_code == 404

    def test_a_subscription_s_page_shows_its_revenue(self, founder: Client, plan: Plan) -> None:
        coupon = makers.coupon(percent_off=Decimal(10), duration="forever")
        makers.subscribed(makers.customer(), plan=plan, coupons=[coupon], minimum_amount=9000)
        shown = founder.get(address("billing_subscription_change", Subscription.objects.get().pk)).content.decode()
        assert shown.count("$90.00") >= 2
