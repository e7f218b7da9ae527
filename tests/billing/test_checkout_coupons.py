"""A code at the checkout: what it takes off is what the invoice says, with scripts and without."""

from decimal import Decimal
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import Client, RequestFactory

from billing import checkout, coupons
from billing.checkout_summary import order_of
from billing.models import Checkout, Coupon, Customer, Discount, Invoice, Plan, Subscription
from gtm.shared.flooding import is_flooded
from gtm.shared.models import User
from tests import world
from tests.billing import makers
from tests.billing.test_checkout import purchase
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
CHECKOUT = "/checkout/pro/"


@pytest.fixture
def plan() -> Plan:
    makers.legal_entity()
    makers.tax_rate("19", country="DE")
    return makers.published_plan()


@pytest.fixture
def coupon(plan: Plan) -> Coupon:
    """33.33 % off, which leaves no round sum."""
    return makers.coupon("Third", percent_off=Decimal("33.33"))


def typed(**changes: Any) -> dict[str, Any]:
    fields = {
        "interval": "month",
        "email": "cora@acme.example",
        "password": world.PASSWORD,
        "name": "Acme",
        "country": "DE",
        "card": "pm_card_visa",
        "coupon": "THIRD",
    }
    return {name: value for name, value in (fields | changes).items() if value is not None}


def code_tried() -> HttpRequest:
    return RequestFactory().post(CHECKOUT)


def sent(client: Client, **changes: Any) -> Any:
    """The form as the page gave it, filled in and sent."""
    form = client.get(CHECKOUT).context["form"]
    hidden = {field.name: field.value() for field in form.hidden_fields()}
    return client.post(CHECKOUT, hidden | typed(**changes))


@pytest.mark.usefixtures("coupon")
class TestOrder:
    def test_is_the_invoice_to_the_cent(self, client: Client) -> None:
        shown = sent(client, preview="1").context["order"]
        off = round(4900 * 0.3333)
        (discount,) = shown["discounts"]
        assert discount["amount"] == off
        assert discount["text"].startswith("Third: 33.33 % off, until ")
        sent(client)
        invoice = Invoice.objects.get()
        assert (invoice.discount_total, invoice.tax_total, invoice.total) == (off, shown["tax"], shown["total"])

    @pytest.mark.parametrize(
        ("code", "words"), [("nope", "There is no coupon nope."), ("OLD", "OLD is no longer offered.")]
    )
    def test_says_why_a_code_counts_for_nothing(self, client: Client, code: str, words: str) -> None:
        coupons.archive(coupon=makers.coupon("OLD"), at=JAN_1)
        shown = sent(client, preview="1", coupon=code).context["order"]
        assert (shown["coupon_problem"], shown["discounts"]) == (words, [])
        answer = sent(client, coupon=code)
        assert answer.status_code == 422
        assert answer.context["form"].errors["coupon"] == [words]
        assert not User.objects.exists()
        assert not Checkout.objects.exists()

    def test_a_link_can_bring_the_code(self, client: Client) -> None:
        page = client.get(CHECKOUT, {"coupon": "third"})
        assert page.context["form"]["coupon"].value() == "third"
        assert page.context["order"]["discounts"]

    def test_names_it_before_a_trial(self, client: Client, plan: Plan) -> None:
        shown = order_of(
            purchase=purchase(plan.current_version, coupon="third"),
            buyer=Customer(name="", country="DE"),
            trial_days=14,
            at=JAN_1,
        )
        assert shown["discounts"] == [{"text": "Third: 33.33 % off", "amount": None}]

    def test_codes_are_not_for_trying_out(self, client: Client) -> None:
        for number in range(120):
            assert not is_flooded(code_tried(), page="coupon", senders=[("address", "127.0.0.1", "120/h")]), number
        shown = sent(client, preview="1").context["order"]
        assert (shown["discounts"], shown["coupon_problem"][:8]) == ([], "Too many")


def test_nobody_is_asked_for_a_code_where_there_is_none(client: Client, plan: Plan) -> None:
    assert "coupon" not in client.get(CHECKOUT).context["form"].fields


class TestPurchase:
    def test_the_last_redemption_is_the_buyer_s_through_a_declined_card(self, plan: Plan) -> None:
        makers.coupon("LAST", max_redemptions=1)
        first = purchase(plan.current_version, coupon="last", card="pm_card_chargeDeclined")
        outcome = checkout.complete(purchase=first, at=JAN_1)
        assert outcome.failure
        again = checkout.interrupted(checkout_id=first.id, user=outcome.user)
        assert again is not None
        assert again.coupon == "last"
        second = purchase(plan.current_version, id=first.id, coupon="LAST", user=outcome.user)
        assert checkout.complete(purchase=second, at=JAN_1).subscription.status == "active"
        assert Invoice.objects.get().total == 3920

    def test_an_order_without_it_is_another_order(self, plan: Plan) -> None:
        coupon = makers.coupon("LAST", max_redemptions=1)
        first = purchase(plan.current_version, coupon="last", card="pm_card_chargeDeclined")
        outcome = checkout.complete(purchase=first, at=JAN_1)
        second = purchase(plan.current_version, id=first.id, user=outcome.user)
        checkout.complete(purchase=second, at=JAN_1)
        assert Invoice.objects.get(status="paid").total == 4900
        assert Subscription.objects.get(status="active").discounts.count() == 0
        coupon.refresh_from_db()
        assert coupon.times_redeemed == 0


def test_the_portal_says_it_on_its_pages(client: Client, plan: Plan) -> None:
    customer = makers.customer()
    client.force_login(makers.member(customer, "cora@acme.example"))
    coupon = makers.coupon("SUMMER20", duration="repeating", duration_in_periods=4)
    makers.subscribed(customer, plan=plan, coupons=[coupon])
    words = "SUMMER20: 20 % off, until May 1, 2026"
    home = f"/portal/{customer.public_id}/"
    invoice = Invoice.objects.get()
    for address in (home, f"{home}plan/", f"{home}invoices/{invoice.public_id}/"):
        assert words in client.get(address).content.decode(), address
    Discount.objects.update(ended_at=JAN_1, end_reason="removed")
    assert words not in client.get(home).content.decode()
