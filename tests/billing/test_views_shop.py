"""The price page and the checkout: what they offer, to whom, and how they take what is typed."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth import get_user
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from billing import catalog, customers, payments, subscriptions
from billing.catalog import EntitlementTerms
from billing.gateways.sandbox import SandboxGateway
from billing.models import (
    Checkout,
    Customer,
    Feature,
    Invoice,
    Meter,
    Payment,
    PaymentAttempt,
    Plan,
    Subscription,
    TaxRate,
)
from gtm.shared import ids, outbox
from gtm.shared.models import User
from tests import world
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
PRICING, CHECKOUT = "/pricing/", "/checkout/pro/"
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def seller() -> None:
    makers.legal_entity()


@pytest.fixture
def plan() -> Plan:
    return makers.published_plan()


@pytest.fixture
def team(plan: Plan) -> Plan:
    """Paid for by the unit, with metered calls on top; sold with help."""
    team = makers.plan(code="team", name="Team", purchase_mode="sales_assisted")
    makers.price(plan=team, code="team-month", model="per_unit", unit_amount=1500)
    tiers = [{"up_to": 1000, "unit_amount": "0"}, {"up_to": None, "unit_amount": "0.2"}]
    meter = Feature.objects.get(code="api_calls").meter
    makers.price(plan=team, code="team-calls", model="graduated", unit_amount=None, tiers=tiers, meter=meter)
    return catalog.publish(plan=team, at=JAN_1)


def vat(country: str = "DE", percentage: int = 19, **fields: Any) -> TaxRate:
    code = f"{country}-{percentage}-{fields.get('region', '')}".lower().strip("-")
    return TaxRate.objects.create(
        code=code, name="VAT", percentage=percentage, country=country, valid_from="2020-01-01", **fields
    )


def typed(**changes: Any) -> dict[str, Any]:
    """What a new visitor types to buy Pro."""
    known = {
        "checkout": str(ids.uuid7()),
        "interval": "month",
        "email": "cora@acme.example",
        "password": world.PASSWORD,
        "name": "Acme",
        "country": "US",
        "card": "pm_card_visa",
    }
    return {name: value for name, value in (known | changes).items() if value is not None}


def text(answer: Any) -> str:
    return str(answer.content.decode())


class TestPricing:
    def test_shows_each_interval_with_what_it_gives(self, client: Client, plan: Plan) -> None:
        month, year = text(client.get(PRICING)), text(client.get(PRICING, {"interval": "year"}))
        for page, words in (
            (month, ("$49", "per month", "1,000 per month", "/checkout/pro/?interval=month")),
            (year, ("$490", "per year", "1,000 per year", "/checkout/pro/?interval=year")),
        ):
            for word in words:
                assert word in page

    def test_a_plan_without_a_yearly_price_keeps_its_monthly_one(self, client: Client, team: Plan) -> None:
        page = text(client.get(PRICING, {"interval": "year"}))
        assert "/checkout/team/?interval=month" in page
        assert "$15" in page

    def test_usage_is_priced_in_words(self, client: Client, team: Plan) -> None:
        assert "up to 1,000 API calls: free; beyond that: $0.002 each" in text(client.get(PRICING))

    def test_a_rate_finer_than_a_cent_is_shown_in_full(self, client: Client) -> None:
        fine = makers.plan(code="fine")
        makers.price(plan=fine, code="fine-month", model="per_unit", unit_amount="12.5")
        catalog.publish(plan=fine, at=JAN_1)
        assert "$0.125 per unit per month" in text(client.get(PRICING))

    @pytest.mark.parametrize("demo_policy", ["none", "optional"])
    def test_every_published_self_serve_plan_with_a_price_can_be_bought(self, client: Client, demo_policy: str) -> None:
        """Whoever looks, and whatever sales has made of them."""
        for n in range(3):
            made = makers.plan(code=f"plan-{n}", talk_to_us=bool(n % 2), demo_policy=demo_policy)
            makers.price(plan=made, code=f"price-{n}", interval=["month", "year", "quarter"][n])
            catalog.publish(plan=made, at=JAN_1)
        acme = makers.customer(country="US")
        customers.change(customer=acme, at=JAN_1, traits={"employee_count": 5000})
        Customer.objects.filter(pk=acme.pk).update(managed=True, allowed_collection=["send_invoice"])
        cora = makers.member(acme, "cora@acme.example")
        for user in (None, cora, world.fay(), world.ann()):
            if user:
                client.force_login(user)
            offered = client.get(PRICING)
            for n in range(3):
                assert f'href="/checkout/plan-{n}/' in text(offered)
                assert client.get(f"/checkout/plan-{n}/").status_code == 200

    def test_talking_stands_beside_buying_and_never_instead(self, client: Client, plan: Plan, team: Plan) -> None:
        cards = {card["code"]: card for card in client.get(PRICING).context["plans"]}
        assert (bool(cards["pro"]["buy_url"]), cards["pro"]["talk_url"]) == (True, "")
        assert bool(cards["team"]["buy_url"])
        assert cards["team"]["talk_url"] == "/contact-sales/?plan=team"

    def test_a_plan_by_quote_stands_apart_and_can_not_be_bought(self, client: Client, plan: Plan) -> None:
        makers.plan(code="enterprise", name="Enterprise", purchase_mode="quote_only", published=True)
        page = client.get(PRICING)
        assert [card["code"] for card in page.context["quote_plans"]] == ["enterprise"]
        assert page.context["quote_plans"][0]["buy_url"] == ""
        assert client.get("/checkout/enterprise/").status_code == 404

    def test_a_required_demo_takes_the_button_away(self, client: Client) -> None:
        shown = makers.plan(code="shown", purchase_mode="sales_assisted", demo_policy="required")
        makers.price(plan=shown, code="shown-month")
        catalog.publish(plan=shown, at=JAN_1)
        assert client.get(PRICING).context["plans"][0]["buy_url"] == ""
        assert client.get("/checkout/shown/").status_code == 404

    @pytest.mark.parametrize("state", ["draft", "archived"])
    def test_what_is_not_on_sale_is_neither_shown_nor_sold(self, client: Client, plan: Plan, state: str) -> None:
        if state == "archived":
            catalog.archive(plan=plan, at=JAN_1)
        else:
            catalog.withdraw(plan=plan, at=JAN_1)
        assert "Buy Pro" not in text(client.get(PRICING))
        assert client.get(CHECKOUT).status_code == 404

    def test_the_number_of_queries_does_not_grow_with_the_plans(
        self, client: Client, plan: Plan, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        with django_assert_num_queries(5):
            client.get(PRICING)
        for n in range(5):
            makers.published_plan(code=f"more-{n}")
        with django_assert_num_queries(5):
            client.get(PRICING)


class TestCheckoutPage:
    def test_asks_a_stranger_for_what_is_needed_and_no_more(self, client: Client, plan: Plan) -> None:
        page = client.get(CHECKOUT)
        asked = {field.name for field in page.context["form"].visible_fields()}
        address = {"line1", "line2", "postal_code", "city"}
        assert asked == {"interval", "email", "password", "name", "country", "card", *address}
        assert "/account/login/?next=%2Fcheckout%2Fpro%2F" in text(page)

    def test_asks_a_known_buyer_for_the_card_alone(self, client: Client, plan: Plan) -> None:
        client.force_login(makers.member(makers.customer(), "cora@acme.example"))
        page = client.get(CHECKOUT, {"interval": "year"})
        assert {field.name for field in page.context["form"].visible_fields()} == {"interval", "card"}
        assert page.context["form"]["interval"].value() == "year"
        assert "For Acme" in text(page)

    def test_a_viewer_of_a_company_does_not_buy_for_it(self, client: Client, plan: Plan) -> None:
        client.force_login(makers.member(makers.customer(), "vic@acme.example", role="viewer"))
        assert "name" in client.get(CHECKOUT).context["form"].fields

    def test_asks_for_the_state_where_the_vendor_taxes_by_it(self, client: Client, plan: Plan) -> None:
        vat("US", 8, region="CA")
        assert "state" in client.get(CHECKOUT).context["form"].fields
        answer = client.post(CHECKOUT, typed())
        assert answer.status_code == 422
        assert answer.context["form"].errors["state"] == ["Needed to work out the tax."]
        assert not User.objects.exists()
        client.post(CHECKOUT, typed(state="CA"))
        assert Invoice.objects.get().tax_total == 392

    def test_free_plans_ask_for_no_card(self, client: Client) -> None:
        free = makers.plan(code="free", name="Free")
        makers.price(plan=free, code="free-month", unit_amount=0)
        catalog.publish(plan=free, at=JAN_1)
        assert "card" not in client.get("/checkout/free/").context["form"].fields
        client.post("/checkout/free/", typed(card=None))
        assert Subscription.objects.get().status == "active"

    def test_a_plan_of_usage_alone_can_be_bought(self, client: Client, plan: Plan) -> None:
        metered = makers.plan(code="metered", name="Metered")
        meter = Feature.objects.get(code="api_calls").meter
        makers.price(plan=metered, code="metered-calls", model="per_unit", unit_amount=2, meter=meter)
        catalog.publish(plan=metered, at=JAN_1)
        assert "API calls: $0.02 each" in text(client.get(PRICING))
        client.post("/checkout/metered/", typed())
        assert Subscription.objects.get().status == "active"

    def test_a_buyer_who_has_the_plan_is_told_so(self, client: Client, plan: Plan) -> None:
        client.post(CHECKOUT, typed())
        assert "You have Pro already" in text(client.get(CHECKOUT))

    def test_a_buyer_in_a_currency_without_a_price_is_told_so(self, client: Client, plan: Plan) -> None:
        client.force_login(makers.member(makers.customer(currency="EUR"), "cora@acme.example"))
        assert "Pro has no price in EUR yet" in text(client.get(CHECKOUT))

    def test_a_buyer_pays_in_the_currency_of_the_account(self, client: Client, plan: Plan) -> None:
        makers.price(plan=plan, code="pro-eur", currency="EUR", unit_amount=4500)
        client.force_login(makers.member(makers.customer(currency="EUR"), "cora@acme.example"))
        assert "€45.00" in text(client.get(CHECKOUT))
        client.post(CHECKOUT, typed(email=None, password=None, name=None, country=None))
        assert (Invoice.objects.get().currency, Invoice.objects.get().total) == ("EUR", 4500)

    def test_nothing_of_it_is_kept_by_caches(self, client: Client, plan: Plan) -> None:
        assert "no-store" in client.get(CHECKOUT)["Cache-Control"]

    def test_the_number_of_queries_is_fixed(
        self, client: Client, team: Plan, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        vat("DE", 19)
        with django_assert_num_queries(17):
            client.get(CHECKOUT)
        for n in range(4):
            vat("DE", 10 + n)
            makers.published_plan(code=f"more-{n}")
        with django_assert_num_queries(17):
            client.get(CHECKOUT)


class TestTrial:
    @pytest.fixture(autouse=True)
    def tried(self, plan: Plan) -> None:
        catalog.change_plan(plan=plan, at=JAN_1, trial_days=14)

    def test_costs_nothing_today_and_says_what_follows(self, client: Client) -> None:
        page = client.get(CHECKOUT)
        assert page.context["order"]["total"] == 0
        for words in ("$49 per month", "Nothing is charged for 14 days", "Start the trial"):
            assert words in text(page)

    def test_who_had_it_sees_what_is_charged(self, client: Client, plan: Plan) -> None:
        acme = makers.customer()
        client.force_login(makers.member(acme, "cora@acme.example"))
        first = makers.subscribed(acme, plan=plan)
        subscriptions.cancel(subscription=first, when="now", at=JAN_1 + timedelta(days=3))
        assert client.get(CHECKOUT).context["order"]["total"] == 4900

    def test_without_a_card_where_none_is_required(self, client: Client, plan: Plan) -> None:
        catalog.change_plan(plan=plan, at=JAN_1, trial_requires_payment_method=False)
        assert "card" not in client.get(CHECKOUT).context["form"].fields
        client.post(CHECKOUT, typed(card=None))
        assert Subscription.objects.get().status == "trialing"


class TestOrder:
    def test_the_country_changes_it_and_the_invoice_agrees(self, client: Client, team: Plan) -> None:
        vat("DE", 19)
        vat("FR", 20)
        for country, total in (("DE", "$53.55"), ("FR", "$54.00"), ("US", "$45.00")):
            wanted = typed(country=country, quantity="3", preview="1")
            fragment = text(client.post("/checkout/team/", wanted, headers=HTMX))
            assert f"<dd data-total>{total}</dd>" in fragment
            assert "<form" not in fragment
        client.post("/checkout/team/", typed(country="FR", quantity="3"))
        invoice = Invoice.objects.get()
        assert (invoice.total, invoice.tax_total, invoice.amount_paid) == (5400, 900, 5400)

    def test_without_scripts_the_page_updates_it_and_marks_nothing(self, client: Client, team: Plan) -> None:
        page = client.post("/checkout/team/", {"interval": "month", "quantity": "3", "preview": "1", "name": "Acme"})
        assert page.status_code == 200
        assert "$45.00" in text(page)
        assert 'value="Acme"' in text(page)
        assert 'class="error"' not in text(page)
        assert not Checkout.objects.exists()

    @pytest.mark.parametrize("quantity", ["0", "-1", "x", "", "9" * 30, "²"])
    def test_nonsense_does_not_break_it(self, client: Client, team: Plan, quantity: str) -> None:
        wanted = {"interval": "fortnight", "quantity": quantity, "preview": "1", "country": "??"}
        assert client.post("/checkout/team/", wanted, headers=HTMX).status_code == 200
        assert client.get("/checkout/team/", {"quantity": quantity, "resume": quantity}).status_code == 200


class TestBuying:
    def test_signs_up_pays_and_shows_the_account(self, client: Client, plan: Plan) -> None:
        answer = client.post(CHECKOUT, typed())
        customer = Customer.objects.get()
        assert answer.headers["Location"] == f"/portal/{customer.public_id}/"
        page = text(client.get(answer.headers["Location"]))
        for words in ("You are subscribed to Pro.", "Active", "Paid", "$49.00", "Visa ending in 4242"):
            assert words in page
        assert get_user(client) == customer.members.get().user

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("email", "no address"),
            ("password", "short"),
            ("password", "password123"),
            ("name", ""),
            ("country", "XX"),
            ("card", "4242424242424242"),
            ("interval", "week"),
        ],
    )
    def test_bad_input_is_refused_and_the_rest_is_kept(
        self, client: Client, plan: Plan, field: str, value: str
    ) -> None:
        answer = client.post(CHECKOUT, typed(**{field: value}))
        assert answer.status_code == 422
        assert set(answer.context["form"].errors) == {field}
        for name, kept in typed().items():
            if name not in {field, "password", "checkout"}:
                assert answer.context["form"][name].value() == kept
        assert not User.objects.exists()

    def test_the_password_does_not_come_back(self, client: Client, plan: Plan) -> None:
        assert world.PASSWORD not in text(client.post(CHECKOUT, typed(country="")))

    def test_a_known_address_is_asked_to_sign_in(self, client: Client, plan: Plan) -> None:
        world.user(email="cora@acme.example")
        answer = client.post(CHECKOUT, typed(email="Cora@acme.example"))
        assert answer.context["form"].errors["email"] == [
            "There is an account with this address already. Sign in to buy with it."
        ]

    def test_a_changed_price_is_shown_before_it_is_paid(self, client: Client, plan: Plan) -> None:
        seen = client.get(CHECKOUT).context["form"]["offer"].value()
        makers.price(plan=plan, code="pro-extra", unit_amount=700)
        answer = client.post(CHECKOUT, typed(offer=seen))
        assert answer.status_code == 422
        assert "The price has changed" in text(answer)
        assert answer.context["order"]["total"] == 5600
        client.post(CHECKOUT, typed(offer=answer.context["form"]["offer"].value()))
        assert Invoice.objects.get().total == 5600

    def test_a_customer_without_a_country_gets_the_one_that_is_typed(self, client: Client, plan: Plan) -> None:
        vat("DE", 19)
        acme = makers.customer(country="")
        client.force_login(makers.member(acme, "cora@acme.example"))
        client.post(CHECKOUT, typed(country="DE", email=None, password=None, name=None))
        acme.refresh_from_db()
        assert (acme.country, Invoice.objects.get().total) == ("DE", 5831)


class TestDeclined:
    @pytest.fixture
    def declined(self, client: Client, plan: Plan) -> Any:
        return client.post(CHECKOUT, typed(card="pm_card_chargeDeclined"))

    def test_says_why_and_keeps_the_order(self, client: Client, declined: Any) -> None:
        page = client.get(declined.headers["Location"])
        assert "Your card was declined." in text(page)
        assert "Nothing was charged. Try another card." in text(page)
        assert {field.name for field in page.context["form"].visible_fields()} == {"interval", "card"}
        assert Subscription.objects.get().status == "incomplete"
        assert not Invoice.objects.filter(status="paid").exists()

    def test_the_second_try_works_once(self, client: Client, declined: Any) -> None:
        page = client.get(declined.headers["Location"])
        again = {"interval": "month", "card": "pm_card_visa", "checkout": page.context["form"]["checkout"].value()}
        client.post(declined.headers["Location"], again)
        client.post(declined.headers["Location"], again)
        assert (Subscription.objects.get().status, Invoice.objects.get().status) == ("active", "paid")

    def test_another_order_takes_the_place_of_the_declined_one(self, client: Client, declined: Any) -> None:
        page = client.get(declined.headers["Location"])
        again = {"interval": "year", "card": "pm_card_visa", "checkout": page.context["form"]["checkout"].value()}
        client.post(declined.headers["Location"], again)
        assert Subscription.objects.live().get().items.get().price.interval == "year"
        assert dict(Invoice.objects.values_list("status", "total")) == {"void": 4900, "paid": 49000}

    def test_its_address_lets_nobody_else_in(self, client: Client, declined: Any) -> None:
        stranger = Client()
        assert "was declined" not in text(stranger.get(declined.headers["Location"]))
        checkout = Checkout.objects.get().pk
        answer = stranger.post(CHECKOUT, typed(checkout=str(checkout), password="another pass phrase"))
        assert answer.status_code == 422
        assert get_user(stranger).is_anonymous

    def test_the_first_of_two_clicks_signs_the_second_in(self, plan: Plan) -> None:
        clicked = typed(checkout=str(UUID(int=7)))
        first, second = Client(), Client()
        first.post(CHECKOUT, clicked)
        assert second.post(CHECKOUT, clicked).status_code == 302
        assert get_user(second).email == "cora@acme.example"  # type: ignore[union-attr]
        assert (Subscription.objects.count(), Invoice.objects.count()) == (1, 1)


class TestConfirmation:
    """The bank asks its holder. Whoever learns of the answer first settles it, and nobody settles it again."""

    @pytest.fixture
    def asked(self, client: Client, plan: Plan) -> str:
        """Where the buyer is asked."""
        answer = client.post(CHECKOUT, typed(card="pm_card_authenticationRequired"))
        assert "Confirm your payment" in text(client.get(answer.headers["Location"]))
        assert Subscription.objects.get().status == "incomplete"
        return str(answer.headers["Location"])

    def test_confirmed_it_is_bought_once(self, client: Client, asked: str) -> None:
        for _ in range(2):
            answer = client.post(asked, {"answer": "accept"})
            assert answer.headers["Location"] == f"/portal/{Customer.objects.get().public_id}/"
        assert (Subscription.objects.get().status, Invoice.objects.get().amount_paid) == ("active", 4900)
        assert Checkout.objects.get().status == "completed"

    def test_refused_it_asks_for_another_card(self, client: Client, asked: str) -> None:
        page = client.post(asked, {"answer": "refuse"}, follow=True)
        assert "The payment was not confirmed." in text(page)
        client.post(
            page.redirect_chain[-1][0], {"interval": "month", "card": "pm_card_visa", "checkout": resumed(page)}
        )
        assert (Subscription.objects.get().status, Payment.objects.filter(status="succeeded").count()) == ("active", 1)

    def test_the_second_of_two_clicks_is_asked_the_same(self, client: Client, asked: str) -> None:
        again = typed(card="pm_card_authenticationRequired", checkout=str(Checkout.objects.get().pk))
        assert client.post(CHECKOUT, again).headers["Location"].split("/")[1] == "confirm"
        assert PaymentAttempt.objects.count() == 1

    def test_told_by_the_gateway_first_the_return_finds_it_settled(self, client: Client, asked: str) -> None:
        attempt = PaymentAttempt.objects.get()
        SandboxGateway().confirm(reference=attempt.gateway_reference, accepted=True)
        payments.refresh(payment=attempt.payment, at=JAN_1)  # as a webhook does
        outbox.relay()
        assert Checkout.objects.get().status == "completed"
        assert client.get(asked).headers["Location"] == f"/portal/{Customer.objects.get().public_id}/"
        assert Payment.objects.filter(status="succeeded").count() == 1

    def test_nobody_signed_in_is_told_what_became_of_it(self, asked: str) -> None:
        assert "You are subscribed to Pro." in text(Client().post(asked, {"answer": "accept"}))

    def test_other_links_lead_nowhere(self, client: Client, asked: str) -> None:
        assert client.get(asked[:-3] + "xy/").status_code == 404


def resumed(page: Any) -> str:
    return str(page.context["form"]["checkout"].value())


def test_limits_that_never_reset_name_no_period(client: Client) -> None:
    seats = makers.feature(code="seats", name="Seats", type=Feature.Type.LIMIT)
    made = makers.plan(code="seats")
    makers.price(plan=made, code="seats-month")
    catalog.set_entitlements(
        plan=made, entitlements=[EntitlementTerms(feature=seats, limit=5, reset="never")], at=JAN_1
    )
    catalog.publish(plan=made, at=JAN_1)
    assert client.get(PRICING).context["plans"][0]["features"] == [{"name": "Seats", "value": "5"}]


def test_a_second_plan_comes_in_addition_and_says_so(client: Client, plan: Plan) -> None:
    makers.published_plan(code="more", name="More")
    acme = makers.customer()
    makers.subscribed(acme, plan=plan)
    client.force_login(makers.member(acme, "cora@acme.example"))
    assert "Acme has Pro. More is bought in addition to it." in text(client.get("/checkout/more/"))


def test_usage_that_another_subscription_bills_is_refused_in_words(client: Client, team: Plan) -> None:
    other = makers.plan(code="other")
    makers.price(plan=other, code="other-calls", model="per_unit", unit_amount=1, meter=Meter.objects.get())
    catalog.publish(plan=other, at=JAN_1)
    acme = makers.customer()
    makers.subscribed(acme, plan=team)
    client.force_login(makers.member(acme, "cora@acme.example"))
    answer = client.post("/checkout/other/", typed())
    assert answer.status_code == 422
    assert "Another subscription of yours bills this usage already." in text(answer)


def test_the_terms_of_a_held_up_account_are_not_told_in_our_words(client: Client, plan: Plan) -> None:
    acme = makers.customer()
    Customer.objects.filter(pk=acme.pk).update(parked_at=JAN_1, parked_reason="cus_1 lacks a region")
    client.force_login(makers.member(acme, "cora@acme.example"))
    page = text(client.post(CHECKOUT, typed()))
    assert "Billing of your account is held up." in page
    assert "cus_1" not in page
