"""Customers over the API, with their payment methods and what they may use."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing import subscriptions
from billing.models import Customer, Grant, PaymentMethod
from tests import world
from tests.billing import makers
from tests.billing.api import BASE, caller, problem
from tests.world import JAN_1

CUSTOMERS = f"{BASE}/customers"
pytestmark = pytest.mark.django_db


class TestCustomers:
    def test_it_has_all_that_was_given_and_what_follows(self) -> None:
        body: dict[str, Any] = {
            "name": "Acme",
            "email": "jo@acme.example",
            "billing_emails": ["books@acme.example"],
            "external_id": "acme-1",
            "currency": "EUR",
            "timezone": "Europe/Berlin",
            "country": "DE",
            "tax_id": "DE136695976",
            "tax_exempt": "none",
            "tax_rates": [],
            "preferred_locale": "de",
            "billing_address": {"line1": "Hauptstr. 1", "city": "Berlin", "postal_code": "10115", "country": "DE"},
            "collection_method": "send_invoice",
            "net_terms_days": 30,
            "po_number": "PO-7",
            "traits": {"employee_count": 250, "domain": "acme.example", "mood": "good"},
            "metadata": {"a": "b"},
        }

        response = caller().post(CUSTOMERS, body)

        assert response.status_code == 201
        shown = response.json()
        assert {name: shown[name] for name in body} == body
        assert shown["id"].startswith("cus_")
        assert (shown["credit_balance"], shown["account"], shown["test_clock"], shown["version"]) == (0, None, None, 1)
        assert caller().get(f"{CUSTOMERS}/external_id:acme-1").json() == shown

    def test_a_name_is_enough(self) -> None:
        shown = caller().post(CUSTOMERS, {"name": "Acme"}).json()

        assert (shown["currency"], shown["timezone"], shown["collection_method"]) == ("", "UTC", "charge_automatically")

    def test_it_is_made_on_a_test_clock_and_stays_there(self) -> None:
        clock, api = makers.clock(), caller()

        shown = api.post(CUSTOMERS, {"name": "Acme", "test_clock": clock.public_id}).json()

        assert shown["test_clock"] == clock.public_id
        refused = api.patch(f"{CUSTOMERS}/{shown['id']}", {"test_clock": None})
        assert problem(refused, status=400) == ("read_only", "test_clock")

    @pytest.mark.parametrize(
        ("change", "attr"),
        [
            ({"name": ""}, "name"),
            ({"email": "x"}, "email"),
            ({"timezone": "Mars"}, "timezone"),
            ({"country": "XX"}, "country"),
            ({"currency": "ZZZ"}, "currency"),
            ({"billing_address": {"country": "Germany"}}, "billing_address.country"),
            ({"billing_address": {"street": "x"}}, "billing_address.street"),
            ({"traits": {"users_count": "x"}}, "traits.users_count"),
            ({"tax_rates": ["none"]}, "tax_rates"),
            ({"country": "FR", "tax_id": "1"}, "tax_id"),
            ({"net_terms_days": 1.5}, "net_terms_days"),
            ({"account": "acct_x"}, "account"),
            ({"test_clock": "clock_x"}, "test_clock"),
        ],
    )
    def test_it_refuses_what_is_no_such_thing(self, change: dict[str, Any], attr: str) -> None:
        assert problem(caller().post(CUSTOMERS, {"name": "Acme"} | change), status=400)[1] == attr
        assert not Customer.objects.exists()

    def test_an_external_id_is_taken_once(self) -> None:
        makers.customer(external_id="a")

        response = caller().post(CUSTOMERS, {"name": "Acme", "external_id": "a"})

        assert problem(response, status=400) == ("unique", "external_id")

    def test_a_change_leaves_the_rest_as_it_was(self) -> None:
        acme = makers.customer(traits={"users_count": 3})
        address = f"{CUSTOMERS}/{acme.public_id}"

        shown = caller().patch(address, {"traits": {"users_count": 4}}).json()

        assert (shown["traits"], shown["name"], shown["version"]) == ({"users_count": 4}, "Acme", 2)
        assert caller().patch(address, shown).json()["version"] == 2

    def test_the_same_key_makes_one(self) -> None:
        api = caller()

        first, again = (api.post(CUSTOMERS, {"name": "Acme"}, headers={"Idempotency-Key": "k"}) for _ in range(2))

        assert first.json() == again.json()
        assert again["Idempotency-Replayed"] == "true"

    def test_a_list_is_a_fixed_number_of_queries(self) -> None:
        api = caller()
        for n in range(7):
            makers.customer(name=f"C{n}", test_clock=makers.clock())

        with CaptureQueriesContext(connection) as captured:
            page = api.get(CUSTOMERS, {"limit": 5}).json()

        assert (len(page["results"]), page["previous"]) == (5, None)
        assert len(api.get(page["next"]).json()["results"]) == 2
        assert len(captured) <= 3

    def test_a_rep_reads_and_does_not_write(self) -> None:
        rep = caller(user=world.ann())
        makers.customer()

        assert rep.get(CUSTOMERS).status_code == 200
        assert problem(rep.post(CUSTOMERS, {"name": "Mine"}), status=403)


class TestPaymentMethods:
    @pytest.fixture
    def address(self) -> str:
        return f"{CUSTOMERS}/{makers.customer(external_id='acme').public_id}/payment_methods"

    def test_a_card_is_attached_and_listed(self, address: str) -> None:
        api = caller()
        response = api.post(address, {"gateway_token": "pm_card_visa"})

        assert response.status_code == 201
        card = response.json()
        assert card["id"].startswith("pm_")
        assert (card["brand"], card["last4"], card["default"]) == ("visa", "4242", True)
        api.post(address, {"gateway_token": "pm_card_mastercard", "default": False})
        assert [one["default"] for one in api.get(address).json()["results"]] == [True, False]

    def test_an_unknown_token_is_refused(self, address: str) -> None:
        response = caller().post(address, {"gateway_token": "pm_card_nonsense"})

        assert problem(response, status=400) == ("unknown_token", "gateway_token")

    @pytest.mark.django_db(transaction=True)
    def test_the_same_key_attaches_once(self, address: str) -> None:
        api, key = caller(), {"Idempotency-Key": "k"}

        first, again = (api.post(address, {"gateway_token": "pm_card_visa"}, headers=key) for _ in range(2))

        assert first.json() == again.json()
        assert PaymentMethod.objects.count() == 1


class TestEntitlements:
    @pytest.fixture
    def acme(self) -> Customer:
        makers.legal_entity()
        customer = makers.customer(collection_method="send_invoice", test_clock=makers.clock())
        subscriptions.create(customer=customer, plan=makers.published_plan(), at=JAN_1)
        return customer

    def test_it_says_how_much_is_left_and_when_it_resets(self, acme: Customer) -> None:
        api = caller(scope="usage")
        event = {"id": "a", "name": "api.call", "customer": acme.public_id}
        api.post(f"{BASE}/usage_events", {"events": [event]})

        found = api.get(f"{CUSTOMERS}/{acme.public_id}/entitlements").json()

        assert found == {
            "results": [
                {
                    "feature": "api_calls",
                    "type": "limit",
                    "granted": True,
                    "reason": None,
                    "limit": 1000,
                    "used": 1,
                    "remaining": 999,
                    "hard": False,
                    "resets_at": "2026-02-01T00:00:00Z",
                    "source": "plan",
                    "access_until": None,
                }
            ]
        }

    def test_one_feature_can_be_asked_for(self, acme: Customer) -> None:
        makers.feature(code="sso", name="SSO")
        api, address = caller(), f"{CUSTOMERS}/{acme.public_id}/entitlements"

        (only,) = api.get(address, {"feature": "sso"}).json()["results"]

        assert (only["granted"], only["reason"], only["limit"]) == (False, "feature_not_in_plan", None)
        assert problem(api.get(address, {"feature": "nothing"}), status=404)[1] == "feature"
        assert problem(api.get(address, {"featur": "sso"}), status=400) == ("unknown_parameter", "featur")

    def test_an_unknown_customer_is_not_found(self) -> None:
        assert problem(caller().get(f"{CUSTOMERS}/cus_x/entitlements"), status=404)


class TestConsumption:
    def test_it_takes_until_the_limit_is_reached(self) -> None:
        acme, api = makers.customer(), caller(scope="usage")
        feature = makers.feature(meter=makers.meter(aggregation="sum"))
        Grant.objects.create(customer=acme, feature=feature, source="manual", limit=5, hard=True, reset="month")
        address = f"{CUSTOMERS}/{acme.public_id}/consumption"

        first = api.post(address, {"feature": "api_calls", "quantity": 4, "id": "a"})
        again = api.post(address, {"feature": "api_calls", "quantity": 4, "id": "a"})
        refused = api.post(address, {"feature": "api_calls", "quantity": 2, "id": "b"})

        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json() == again.json()
        assert (first.json()["used"], first.json()["remaining"]) == (4, 1)
        assert problem(refused, status=409)[0] == "limit_reached"

    def test_a_key_that_only_reads_may_not(self) -> None:
        address = f"{CUSTOMERS}/{makers.customer().public_id}/consumption"

        assert problem(caller(scope="read").post(address, {"feature": "x", "id": "a"}), status=403)
