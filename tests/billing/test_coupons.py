"""Coupons: sound terms, counted redemptions, and what is refused in words."""

import threading
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from billing import coupons, discounts, first_payments, subscriptions
from billing.coupons import NotRedeemable
from billing.models import Coupon, Discount, Plan, Subscription
from gtm import clocks
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
FEB_1 = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture
def plan() -> Plan:
    makers.legal_entity()
    return makers.published_plan()


class TestCreate:
    def test_publishes_its_terms(self) -> None:
        coupon = makers.coupon(amount_off=500, currency="USD", duration="repeating", duration_in_periods=3)
        event = Event.objects.get(type="billing.coupon.created")
        assert event.object_id == coupon.pk
        assert event.data == {
            "code": "SUMMER20",
            "percent_off": None,
            "amount_off": 500,
            "currency": "USD",
            "duration": "repeating",
            "duration_in_periods": 3,
            "max_redemptions": None,
        }

    @pytest.mark.parametrize(
        ("terms", "attr"),
        [
            ({"percent_off": None}, "percent_off"),
            ({"percent_off": Decimal(5), "amount_off": 5, "currency": "USD"}, "percent_off"),
            ({"percent_off": Decimal(0)}, "percent_off"),
            ({"percent_off": Decimal("100.5")}, "percent_off"),
            ({"percent_off": Decimal(5), "currency": "USD"}, "currency"),
            ({"amount_off": 0, "currency": "USD"}, "amount_off"),
            ({"amount_off": 5}, "currency"),
            ({"amount_off": 5, "currency": "XXX"}, "currency"),
            ({"duration": "repeating"}, "duration_in_periods"),
            ({"duration": "repeating", "duration_in_periods": 121}, "duration_in_periods"),
            ({"duration_in_periods": 3}, "duration_in_periods"),
            ({"duration": "always"}, "duration"),
            ({"max_redemptions": 0}, "max_redemptions"),
            ({"expires_at": JAN_1}, "expires_at"),
            ({"code": ""}, "code"),
            ({"code": "20 %"}, "code"),
        ],
    )
    def test_refuses_what_makes_no_coupon(self, terms: dict[str, Any], attr: str) -> None:
        with pytest.raises(Invalid) as refused:
            makers.coupon(**terms)
        assert refused.value.attr == attr
        assert not Coupon.objects.exists()

    def test_a_code_is_taken_in_capital_and_small_letters(self) -> None:
        makers.coupon("Summer20")
        with pytest.raises(Invalid) as refused:
            makers.coupon("SUMMER20")
        assert (refused.value.code, refused.value.attr) == ("unique", "code")
        assert coupons.named(" summer20 ").code == "Summer20"


class TestChange:
    def test_tells_what_changed_and_keeps_names_to_itself(self, plan: Plan) -> None:
        coupon = coupons.change(coupon=makers.coupon(), at=JAN_1, name="Friends", max_redemptions=5, plans=[plan])
        event = Event.objects.get(type="billing.coupon.changed")
        assert event.data["changed"] == ["max_redemptions", "name", "plans"]
        assert event.previous == {"max_redemptions": None, "plans": None}
        assert coupon.version == 3
        coupons.change(coupon=coupon, at=JAN_1, plans=[plan], name="Friends")
        assert Event.objects.filter(type="billing.coupon.changed").count() == 1

    def test_never_allows_fewer_than_there_were(self, plan: Plan) -> None:
        coupon = makers.coupon()
        makers.subscribed(makers.customer(), plan=plan, coupons=[coupon])
        with pytest.raises(Invalid, match="redeemed 1 times"):
            coupons.change(coupon=coupon, at=JAN_1, max_redemptions=0)

    def test_an_archived_one_stays_as_it_is(self) -> None:
        coupon = coupons.archive(coupon=makers.coupon(), at=JAN_1)
        with pytest.raises(Conflict):
            coupons.change(coupon=coupon, at=JAN_1, name="x")
        assert coupons.archive(coupon=coupon, at=FEB_1).archived_at == JAN_1


class TestRedeem:
    @pytest.mark.parametrize(
        ("terms", "at", "code", "words"),
        [
            ({"expires_at": FEB_1}, FEB_1, "coupon_expired", "SUMMER20 has expired."),
            ({"amount_off": 5, "currency": "EUR"}, JAN_1, "coupon_currency_differs", "only for payments in EUR"),
        ],
    )
    def test_refuses_in_a_buyer_s_words(
        self, plan: Plan, terms: dict[str, Any], at: datetime, code: str, words: str
    ) -> None:
        coupon = makers.coupon(**terms)
        with pytest.raises(NotRedeemable, match=words) as refused:
            makers.subscribed(makers.customer(), plan=plan, coupons=[coupon], at=at)
        assert (refused.value.code, refused.value.attr) == (code, "coupon")
        assert not Subscription.objects.exists()

    def test_refuses_an_unknown_code(self) -> None:
        for code in ("NOPE", "x" * 200, "no such", "", "\0"):
            with pytest.raises(NotRedeemable) as refused:
                coupons.named(code)
            assert (refused.value.code, refused.value.attr) == ("unknown_coupon", "coupon")

    def test_refuses_another_plan_and_one_that_is_archived(self, plan: Plan) -> None:
        other = makers.coupon("OTHER", plans=[makers.plan(code="other")])
        archived = coupons.archive(coupon=makers.coupon("OLD"), at=JAN_1)
        for coupon, code in ((other, "coupon_of_other_plan"), (archived, "coupon_archived")):
            with pytest.raises(NotRedeemable) as refused:
                makers.subscribed(makers.customer(), plan=plan, coupons=[coupon])
            assert refused.value.code == code

    def test_counts_and_refuses_what_is_used_up(self, plan: Plan) -> None:
        coupon = makers.coupon(max_redemptions=1)
        makers.subscribed(makers.customer(), plan=plan, coupons=[coupon])
        with pytest.raises(NotRedeemable, match="used up"):
            makers.subscribed(makers.customer(name="Other"), plan=plan, coupons=[coupon])
        coupon.refresh_from_db()
        assert coupon.times_redeemed == 1

    def test_a_subscription_has_it_once(self, plan: Plan) -> None:
        coupon = makers.coupon()
        subscription = makers.subscribed(makers.customer(), plan=plan, coupons=[coupon])
        with pytest.raises(NotRedeemable, match="already"):
            discounts.redeem(coupon=coupon, subscription=subscription, at=FEB_1)

    def test_not_for_one_that_has_ended(self, plan: Plan) -> None:
        subscription = makers.subscribed(makers.customer(), plan=plan)
        subscription = subscriptions.cancel(subscription=subscription, when="now", at=JAN_1)
        with pytest.raises(Conflict, match="ended"):
            discounts.redeem(coupon=makers.coupon(), subscription=subscription, at=FEB_1)

    def test_one_that_never_began_leaves_it_to_others(self, plan: Plan) -> None:
        customer = makers.customer()
        makers.card(customer, "pm_card_chargeDeclined")
        coupon = makers.coupon(max_redemptions=1)
        subscription = subscriptions.create(customer=customer, plan=plan, coupons=[coupon], at=JAN_1)
        first_payments.abandon(subscription=subscription, at=JAN_1, reason="order_changed")
        assert Event.objects.get(type="billing.discount.ended").reason == "subscription_expired"
        assert makers.subscribed(makers.customer(name="Other"), plan=plan, coupons=[coupon]).status == "active"

    def test_what_stands_on_a_deleted_clock_was_never_redeemed(self, plan: Plan) -> None:
        clock = makers.clock()
        coupon = makers.coupon()
        makers.subscribed(makers.customer(test_clock=clock), plan=plan, coupons=[coupon])
        clocks.delete(clock=clock)
        coupon.refresh_from_db()
        assert (coupon.times_redeemed, Discount.objects.count()) == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_the_last_redemption_has_one_winner() -> None:
    makers.legal_entity()
    plan, coupon = makers.published_plan(), makers.coupon(max_redemptions=1)
    buyers = [makers.customer(name=f"Customer {number}") for number in range(4)]
    for buyer in buyers:
        makers.card(buyer)
    refused: list[str] = []
    start = threading.Barrier(len(buyers))

    def buy(number: int) -> None:
        start.wait()
        try:
            subscriptions.create(customer=buyers[number], plan=plan, coupons=[coupon], at=JAN_1)
        except NotRedeemable as refusal:
            refused.append(refusal.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=buy, args=(number,)) for number in range(len(buyers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    coupon.refresh_from_db()
    assert refused == ["coupon_used_up"] * 3
    assert (coupon.times_redeemed, Discount.objects.count(), Subscription.objects.count()) == (1, 1, 1)
