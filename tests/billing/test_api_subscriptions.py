"""Subscriptions and test clocks over the API."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from billing.models import Charge, Invoice, SandboxCharge, Subscription
from gtm import clocks_api
from gtm.shared import keys
from gtm.shared.models import TestClock
from tests.billing import makers

pytestmark = pytest.mark.django_db
SUBSCRIPTIONS = "/api/v1/subscriptions"


@pytest.fixture
def api() -> APIClient:
    _, plaintext = keys.issue(name="Tests", scope="write")
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {plaintext}")
    return client


@pytest.fixture
def plan():
    return makers.published_plan()


@pytest.fixture
def acme():
    customer = makers.customer(external_id="acme")
    makers.card(customer)
    return customer


def created(api: APIClient, **body: Any) -> dict[str, Any]:
    response = api.post(SUBSCRIPTIONS, body)
    assert response.status_code == 201, response.data
    return response.json()


def problem(response: Any, status: int) -> tuple[str, str | None]:
    assert response.status_code == status, response.data
    error = response.json()["errors"][0]
    return error["code"], error["attr"]


class TestCreate:
    def test_by_card_answers_when_it_is_paid(self, api, plan, acme):
        body = created(api, customer="external_id:acme", plan="pro")
        assert body["status"] == "active"
        assert body["customer"] == body["payer"] == acme.public_id
        assert body["plan_version"] == plan.current_version.public_id
        (item,) = body["items"]
        assert item["price"] == plan.prices.get(code="pro-month").public_id
        assert (item["quantity"], item["billed_until"]) == (1, item["current_period_end"])
        assert body["next_bill_at"] == body["current_period_end"]
        assert body["latest_invoice"] == Invoice.objects.get().public_id
        assert (body["phases"], body["contract"], body["previous_subscription"]) == ([], None, None)

    def test_a_declined_card_is_answered_as_incomplete(self, api, plan):
        customer = makers.customer()
        makers.card(customer, "pm_card_chargeDeclined")
        body = created(api, customer=customer.public_id, plan="pro")
        assert body["status"] == "incomplete"
        invoice = api.get(f"/api/v1/invoices/{body['latest_invoice']}").json()
        assert (invoice["status"], invoice["payment_status"]) == ("open", "failed")
        good = makers.card(customer)
        invoice = api.post(f"/api/v1/invoices/{invoice['id']}/collection", {"payment_method": good.public_id}).json()
        assert (invoice["status"], invoice["payment_status"]) == ("paid", "paid")
        assert api.get(f"{SUBSCRIPTIONS}/{body['id']}").json()["status"] == "active"

    def test_to_be_invoiced_is_active_with_its_due_date(self, api, plan, acme):
        body = created(api, customer=acme.public_id, plan="pro", collection_method="send_invoice", net_terms_days=45)
        invoice = api.get(f"/api/v1/invoices/{body['latest_invoice']}").json()
        assert (body["status"], invoice["status"], invoice["amount_due"]) == ("active", "open", 4900)

    def test_takes_prices_with_quantities(self, api, plan, acme):
        seat = makers.price(plan=plan, code="seat", model="per_unit", unit_amount=1000)
        body = created(api, customer=acme.public_id, items=[{"price": "seat", "quantity": 3}], po_number="PO-9")
        assert [(item["price"], item["quantity"]) for item in body["items"]] == [(seat.public_id, 3)]
        invoice = api.get(f"/api/v1/invoices/{body['latest_invoice']}").json()
        assert (invoice["total"], invoice["po_number"]) == (3000, "PO-9")

    def test_the_same_key_gives_the_same_answer_and_charges_once(self, api, plan, acme):
        body = {"customer": acme.public_id, "plan": "pro"}
        first = api.post(SUBSCRIPTIONS, body, headers={"Idempotency-Key": "k-1"})
        again = api.post(SUBSCRIPTIONS, body, headers={"Idempotency-Key": "k-1"})
        assert again.content == first.content
        assert again["Idempotency-Replayed"] == "true"
        assert Subscription.objects.count() == SandboxCharge.objects.count() == 1

    @pytest.mark.parametrize(
        ("changes", "code", "attr"),
        [
            ({"customer": "cus_nobody"}, "not_found", "customer"),
            ({"plan": "nothing"}, "not_found", "plan"),
            ({"plan": None}, "required", "plan"),
            ({"interval": "century"}, "invalid_choice", "interval"),
            ({"interval": "week"}, "no_price", "interval"),
            ({"items": [{"price": "pro-month", "quantity": -1}]}, "min_value", "items.0.quantity"),
            ({"items": [{"price": "nothing"}]}, "not_found", "items.0.price"),
            ({"items": []}, "empty", "items"),
            ({"start_at": "9999-12-31T00:00:00Z"}, "out_of_range", "start_at"),
            ({"start_at": "2900-01-01T00:00:00Z"}, "invalid", "start_at"),
            ({"start_at": "1970-01-01T00:00:00Z"}, "invalid", "start_at"),
            ({"start_at": "2026-01-01"}, "invalid", "start_at"),
            ({"trial_days": 100000}, "max_value", "trial_days"),
            ({"colour": "blue"}, "unknown_field", "colour"),
        ],
    )
    def test_bad_input_is_refused_with_the_field_and_nothing_is_written(self, api, plan, acme, changes, code, attr):
        response = api.post(SUBSCRIPTIONS, {"customer": acme.public_id, "plan": "pro"} | changes)
        assert problem(response, 400) == (code, attr)
        assert not Subscription.objects.exists()
        assert not Charge.objects.exists()

    def test_needs_a_card_to_charge(self, api, plan):
        response = api.post(SUBSCRIPTIONS, {"customer": makers.customer().public_id, "plan": "pro"})
        assert problem(response, 409) == ("no_payment_method", "payment_method")

    def test_a_key_that_only_reads_may_not(self, plan, acme):
        _, plaintext = keys.issue(name="Reader", scope="read")
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {plaintext}")
        assert client.post(SUBSCRIPTIONS, {"customer": acme.public_id, "plan": "pro"}).status_code == 403
        assert client.get(SUBSCRIPTIONS).status_code == 200


class TestList:
    def test_is_filtered_by_its_fields(self, api, plan, acme):
        body = created(api, customer=acme.public_id, plan="pro")
        other = makers.customer(name="Other")
        for query, found in [
            (f"customer={acme.public_id}", 1),
            (f"customer={other.public_id}", 0),
            ("plan=pro", 1),
            ("status=active", 1),
            ("status=canceled", 0),
            ("updated_at[gte]=2020-01-01T00:00:00Z", 1),
        ]:
            results = api.get(f"{SUBSCRIPTIONS}?{query}").json()["results"]
            assert len(results) == found, query
        assert body["id"] == api.get(SUBSCRIPTIONS).json()["results"][0]["id"]

    def test_asks_a_constant_number_of_queries(self, api, plan, acme):
        counts = []
        for _ in range(2):
            created(api, customer=acme.public_id, plan="pro")
            with CaptureQueriesContext(connection) as queries:
                api.get(SUBSCRIPTIONS)
            counts.append(len(queries))
        assert counts[0] == counts[1]


class TestCancellation:
    def test_at_the_end_of_the_period_and_undone(self, api, plan, acme):
        body = created(api, customer=acme.public_id, plan="pro")
        address = f"{SUBSCRIPTIONS}/{body['id']}/cancellation"
        canceled = api.post(address, {"reason": "moving on"}).json()
        assert (canceled["status"], canceled["cancel_at"]) == ("active", body["current_period_end"])
        assert canceled["canceled_at"]
        restored = api.delete(address).json()
        assert (restored["cancel_at"], restored["canceled_at"]) == (None, None)
        assert problem(api.delete(address), 409)[0] == "not_scheduled"

    def test_now(self, api, plan, acme):
        body = created(api, customer=acme.public_id, plan="pro")
        canceled = api.post(f"{SUBSCRIPTIONS}/{body['id']}/cancellation", {"when": "now"}).json()
        assert (canceled["status"], canceled["next_bill_at"]) == ("canceled", None)

    @pytest.mark.parametrize("when", ["soon", "2020-01-01T00:00:00Z", 5])
    def test_at_no_sensible_time_is_refused(self, api, plan, acme, when):
        body = created(api, customer=acme.public_id, plan="pro")
        assert problem(api.post(f"{SUBSCRIPTIONS}/{body['id']}/cancellation", {"when": when}), 400)[1] == "when"


class TestClocks:
    """``test_clocks``: made, advanced, deleted."""

    @pytest.fixture
    def clock(self, api) -> dict[str, Any]:
        return api.post("/api/v1/test_clocks", {"name": "Year", "frozen_time": "2026-01-31T10:00:00Z"}).json()

    def test_takes_a_customer_through_months(self, api, plan, clock):
        assert (clock["status"], clock["frozen_time"]) == ("ready", "2026-01-31T10:00:00Z")
        customer = makers.customer(test_clock=TestClock.objects.get())
        makers.card(customer)
        body = created(api, customer=customer.public_id, plan="pro")
        assert (body["start_at"], body["test_clock"]) == ("2026-01-31T10:00:00Z", clock["id"])
        response = api.post(f"/api/v1/test_clocks/{clock['id']}/advance", {"frozen_time": "2026-04-30T00:00:00Z"})
        assert response.status_code == 200
        assert response.json()["frozen_time"] == "2026-04-30T00:00:00Z"
        dates = [one["issue_date"] for one in api.get(f"/api/v1/invoices?test_clock={clock['id']}").json()["results"]]
        assert dates == ["2026-04-30", "2026-03-31", "2026-02-28", "2026-01-31"]

    def test_never_goes_back(self, api, clock):
        response = api.post(f"/api/v1/test_clocks/{clock['id']}/advance", {"frozen_time": "2026-01-01T00:00:00Z"})
        assert problem(response, 409) == ("clock_backwards", "frozen_time")

    def test_refuses_other_writes_while_it_advances(self, api, plan, clock):
        customer = makers.customer(test_clock=TestClock.objects.get())
        TestClock.objects.update(status="advancing")
        response = api.post(SUBSCRIPTIONS, {"customer": customer.public_id, "plan": "pro"})
        assert problem(response, 409)[0] == "clock_advancing"

    def test_is_read_like_any_other_while_it_advances(self, api, plan, clock):
        customer = makers.customer(test_clock=TestClock.objects.get())
        makers.card(customer)
        body = created(api, customer=customer.public_id, plan="pro")
        (invoice,) = api.get(f"/api/v1/invoices?test_clock={clock['id']}").json()["results"]
        TestClock.objects.update(status="advancing")
        addresses = (
            f"test_clocks/{clock['id']}",
            f"customers/{customer.public_id}",
            f"customers/{customer.public_id}/entitlements",
            f"customers/{customer.public_id}/usage?meter=api_calls",
            f"subscriptions/{body['id']}",
            f"invoices/{invoice['id']}",
            f"invoices/{invoice['id']}/pdf",
            f"payments?customer={customer.public_id}",
            f"events?customer={customer.public_id}",
            "accounts",
        )
        for address in addresses:
            assert api.get(f"/api/v1/{address}").status_code == 200, address

    def test_takes_longer_than_one_waits(self, api, plan, clock, monkeypatch):
        monkeypatch.setattr(clocks_api, "PATIENCE", timedelta(0))
        customer = makers.customer(test_clock=TestClock.objects.get())
        makers.card(customer)
        created(api, customer=customer.public_id, plan="pro")
        response = api.post(f"/api/v1/test_clocks/{clock['id']}/advance", {"frozen_time": "2026-04-30T00:00:00Z"})
        assert (response.status_code, response.json()["status"]) == (202, "advancing")

    def test_is_deleted_with_all_that_stands_on_it(self, api, plan, clock):
        customer = makers.customer(test_clock=TestClock.objects.get())
        makers.card(customer)
        created(api, customer=customer.public_id, plan="pro")
        assert api.delete(f"/api/v1/test_clocks/{clock['id']}").status_code == 204
        assert not Subscription.objects.exists()
        assert api.get(f"/api/v1/test_clocks/{clock['id']}").status_code == 404
