"""Coupons over the API: offered, redeemed in a new order or on what runs, and shown where they took something off."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from billing.models import Coupon, Customer, Discount, Plan
from gtm.shared.models import Event
from tests.billing import makers
from tests.billing.api import BASE, caller, problem

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> APIClient:
    makers.legal_entity()
    return caller()


@pytest.fixture
def plan() -> Plan:
    return makers.published_plan()


@pytest.fixture
def customer() -> Customer:
    customer = makers.customer()
    makers.card(customer)
    return customer


def post(client: APIClient, path: str, **body: Any) -> Any:
    return client.post(f"{BASE}/{path}", body)


class TestCoupons:
    def test_are_made_changed_and_archived(self, client: APIClient, plan: Plan) -> None:
        answer = post(client, "coupons", code="summer20", percent_off="20", plans=["pro"], max_redemptions=5)
        assert answer.status_code == 201, answer.content
        made = answer.json()
        assert made["id"].startswith("cpn_")
        assert {
            name: made[name] for name in ("code", "percent_off", "amount_off", "currency", "duration", "plans")
        } == {
            "code": "summer20",
            "percent_off": "20",
            "amount_off": None,
            "currency": "",
            "duration": "once",
            "plans": [plan.public_id],
        }
        changed = client.patch(f"{BASE}/coupons/summer20", {"max_redemptions": 7, "name": "Summer", "plans": []}).json()
        assert (changed["max_redemptions"], changed["name"], changed["plans"]) == (7, "Summer", [])
        whole = client.patch(f"{BASE}/coupons/{made['id']}", changed)
        assert whole.status_code == 200, whole.content
        assert post(client, f"coupons/{made['id']}/archive").json()["archived_at"]
        listed = [client.get(f"{BASE}/coupons", {"archived": flag}).json()["results"] for flag in ("true", "false")]
        assert [len(found) for found in listed] == [1, 0]
        assert client.get(f"{BASE}/coupons", {"code": "SUMMER20"}).json()["results"][0]["id"] == made["id"]

    @pytest.mark.parametrize(
        ("body", "attr"),
        [
            ({"code": "A"}, "percent_off"),
            ({"code": "A", "percent_off": "101"}, "percent_off"),
            ({"code": "A", "percent_off": "5", "amount_off": 5, "currency": "USD"}, "percent_off"),
            ({"code": "A", "amount_off": 5}, "currency"),
            ({"code": "A", "amount_off": -5, "currency": "USD"}, "amount_off"),
            ({"code": "A", "percent_off": "5", "duration": "repeating"}, "duration_in_periods"),
            ({"code": "A b", "percent_off": "5"}, "code"),
            ({"code": "A", "percent_off": "5", "plans": ["nope"]}, "plans.0"),
        ],
    )
    def test_name_the_field_that_is_wrong(self, client: APIClient, body: dict[str, Any], attr: str) -> None:
        answer = post(client, "coupons", **body)
        assert problem(answer, status=400)[1] in (attr, attr.partition(".")[0])
        assert not Coupon.objects.exists()

    def test_what_one_takes_off_stays(self, client: APIClient) -> None:
        makers.coupon()
        answer = client.patch(f"{BASE}/coupons/SUMMER20", {"percent_off": "50"})
        assert problem(answer, status=400) == ("read_only", "percent_off")


@pytest.mark.django_db(transaction=True)
class TestSubscriptions:
    def test_begin_with_one_that_the_invoice_names(self, client: APIClient, plan: Plan, customer: Customer) -> None:
        makers.coupon(duration="repeating", duration_in_periods=3)
        answer = post(client, "subscriptions", customer=customer.public_id, plan="pro", coupon="summer20")
        assert answer.status_code == 201, answer.content
        (discount,) = answer.json()["discounts"]
        assert (discount["code"], discount["percent_off"], discount["duration"]) == ("SUMMER20", "20", "repeating")
        assert discount["description"].startswith("SUMMER20: 20 % off, until ")
        invoice = client.get(f"{BASE}/invoices/{answer.json()['latest_invoice']}").json()
        assert (invoice["subtotal"], invoice["discount_total"], invoice["total"]) == (4900, 980, 3920)
        taken = {"discount": discount["id"], "coupon": "SUMMER20", "amount": 980}
        assert invoice["discounts"] == [taken | {"description": discount["description"]}]
        assert invoice["lines"][0]["discounts"] == invoice["discounts"]

    @pytest.mark.parametrize(
        ("coupon", "code"), [("nope", "unknown_coupon"), ("OLD", "coupon_archived"), (7, "incorrect_type")]
    )
    def test_refuse_what_is_no_coupon(
        self, client: APIClient, plan: Plan, customer: Customer, coupon: Any, code: str
    ) -> None:
        post(client, f"coupons/{makers.coupon('OLD').public_id}/archive")
        answer = post(client, "subscriptions", customer=customer.public_id, plan="pro", coupon=coupon)
        assert problem(answer, status=400) == (code, "coupon")

    def test_take_a_minimum(self, client: APIClient, plan: Plan, customer: Customer) -> None:
        asked = {"customer": customer.public_id, "plan": "pro"}
        assert problem(post(client, "subscriptions", **asked, minimum_amount=-1), status=400)[1] == "minimum_amount"
        made = post(client, "subscriptions", **asked, minimum_amount=10000).json()
        assert made["minimum_amount"] == 10000

    def test_get_one_while_they_run_and_lose_it(self, client: APIClient, plan: Plan, customer: Customer) -> None:
        makers.coupon(duration="forever")
        made = post(client, "subscriptions", customer=customer.public_id, plan="pro").json()
        address = f"subscriptions/{made['id']}/discounts"
        given = post(client, address, coupon="Summer20", reason="They asked")
        assert given.status_code == 201, given.content
        assert problem(post(client, address, coupon="SUMMER20"), status=400) == ("coupon_already_applied", "coupon")
        discount = given.json()
        assert client.get(f"{BASE}/{address}").json() == [discount]
        taken = client.delete(f"{BASE}/{address}/{discount['id']}")
        assert taken.status_code == 200, taken.content
        assert taken.json()["end_reason"] == "removed"
        assert problem(client.delete(f"{BASE}/{address}/{discount['id']}"), status=409)[0] == "discount_ended"
        assert client.delete(f"{BASE}/{address}/di_nope").status_code == 404
        assert [event.type for event in Event.objects.filter(type__startswith="billing.discount").order_by("position")]
        timeline = client.get(f"{BASE}/subscriptions/{made['id']}/timeline").json()["results"]
        assert {"discount_applied", "discount_removed"} <= {row["kind"] for row in timeline}
        assert Discount.objects.get().ended_at
