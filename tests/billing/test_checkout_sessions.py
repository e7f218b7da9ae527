"""Buying from within the vendor's product: begun by the API or by a link, and back with a word that can be verified."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client

from billing import checkout_sessions, returns
from billing.models import Checkout, Customer, Invoice, Plan, PlanVersion, Subscription
from gtm.shared import db, vendors
from gtm.shared.models import Event, User
from tests import world
from tests.billing import makers
from tests.billing.api import BASE, caller

pytestmark = pytest.mark.django_db
SESSIONS = f"{BASE}/checkout_sessions"
SHOP = "https://app.acme.example/billing/done?team=7"


@pytest.fixture
def plan() -> Plan:
    makers.legal_entity()
    vendors.change(return_hosts=["app.acme.example"])
    return makers.published_plan(at=db.now())


def begun(wanted: dict[str, Any]) -> dict[str, Any]:
    """A session that an integrator has begun."""
    answer = caller().post(SESSIONS, wanted)
    assert answer.status_code == 201, answer.content
    made: dict[str, Any] = answer.json()
    return made


def said(location: str) -> dict[str, Any]:
    """What the buyer brings back, verified as the manual says."""
    body, _dot, signature = parse_qs(urlsplit(location).query)[returns.PARAMETER][0].partition(".")
    assert hmac.compare_digest(
        signature, hmac.new(vendors.return_secret().encode(), body.encode(), hashlib.sha256).hexdigest()
    )
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return found


def buy(client: Client, path: str, **changes: Any) -> Any:
    form = client.get(path).context["form"]
    hidden = {field.name: field.value() for field in form.hidden_fields()}
    typed = {
        "interval": form["interval"].value(),
        "email": "cora@acme.example",
        "password": world.PASSWORD,
        "name": "Acme",
        "country": "US",
        "card": "pm_card_visa",
    }
    return client.post(path, hidden | typed | changes)


def path_of(session: dict[str, Any]) -> str:
    parts = urlsplit(session["url"])
    return f"{parts.path}?{parts.query}"


class TestSession:
    def test_a_new_buyer_signs_up_and_comes_back_as_whom_the_product_knows(self, client: Client, plan: Plan) -> None:
        makers.coupon("HALF", percent_off=50)
        wanted = {"plan": "pro", "interval": "year", "coupon": "half", "external_id": "team-7", "return_url": SHOP}
        session = begun(wanted | {"email": "Cora@Acme.example"})
        assert (session["status"], session["customer"], session["email"]) == ("open", None, "cora@acme.example")
        assert Event.objects.filter(type="billing.checkout.created").count() == 1

        page = client.get(path_of(session))
        form = page.context["form"]
        assert [form[name].value() for name in ("interval", "email", "coupon")] == ["year", "cora@acme.example", "HALF"]
        assert (
            "https://app.acme.example" in page["Content-Security-Policy"].partition("form-action")[2].partition(";")[0]
        )
        back = buy(client, path_of(session), coupon="HALF").headers["Location"]
        assert back.startswith("https://app.acme.example/billing/done?team=7&checkout_token=")
        customer = Customer.objects.get()
        assert {**said(back), "at": 0} == {
            "checkout": session["id"],
            "customer": customer.public_id,
            "external_id": "team-7",
            "status": "completed",
            "at": 0,
        }
        assert Invoice.objects.get().total == 24500
        after = caller().get(f"{SESSIONS}/{session['id']}").json()
        assert (after["status"], after["customer"], after["url"]) == ("completed", customer.public_id, None)
        assert after["subscription"] == Subscription.objects.get().public_id
        assert client.get(path_of(session)).headers["Location"].startswith("https://app.acme.example/")

    def test_a_known_customer_buys_without_signing_in(self, client: Client, plan: Plan) -> None:
        acme = makers.customer(external_id="team-7", email="billing@acme.example")
        session = begun({"plan": "pro", "customer": "external_id:team-7"})
        asked = {field.name for field in client.get(path_of(session)).context["form"].visible_fields()}
        assert asked == {"interval", "card"}
        declined = buy(client, path_of(session), card="pm_card_chargeDeclined").headers["Location"]
        assert "Your card was declined." in client.get(declined).content.decode()
        page = buy(client, declined, interval="year")  # another order: the integrator's id stays
        assert "You are subscribed to Pro." in page.content.decode()
        assert (Subscription.objects.live().get().customer, User.objects.count()) == (acme, 0)
        assert caller().get(f"{SESSIONS}/{session['id']}").json()["status"] == "completed"
        assert caller().get(SESSIONS).json()["results"][0]["id"] == session["id"]

    def test_the_form_alone_opens_nobodys_session(self, client: Client, plan: Plan) -> None:
        makers.customer(external_id="team-7")
        begun({"plan": "pro", "customer": "external_id:team-7"})
        answer = buy(client, "/checkout/pro/", checkout=str(Checkout.objects.get().pk))
        assert (answer.status_code, Subscription.objects.count(), User.objects.count()) == (422, 0, 0)

    @pytest.mark.parametrize(
        ("wanted", "attr"),
        [
            ({"return_url": "https://evil.example/"}, "return_url"),
            ({"return_url": "http://app.acme.example/"}, "return_url"),
            ({"return_url": "https://app.acme.example@evil.example/"}, "return_url"),
            ({"return_url": "javascript:alert(1)"}, "return_url"),
            ({"price": "other-month"}, "price"),
            ({"interval": "week"}, "interval"),
            ({"external_id": "known"}, "external_id"),
            ({"plan": "talk"}, "plan"),
            ({"add_ons": [{"price": "pro-month"}]}, "add_ons.0.price"),
        ],
    )
    def test_what_can_not_be_sold_like_that_is_refused(self, plan: Plan, wanted: dict[str, Any], attr: str) -> None:
        makers.customer(external_id="known")
        makers.published_plan(code="other", name="Other")
        makers.price(plan=makers.plan(code="talk", purchase_mode="quote_only"), code="talk-month")
        answer = caller().post(SESSIONS, {"plan": "pro"} | wanted)
        assert answer.status_code in {400, 409}
        assert answer.json()["errors"][0]["attr"] == attr
        assert not Checkout.objects.exists()

    def test_its_link_ends_and_leads_to_its_own_plan_alone(self, client: Client, plan: Plan) -> None:
        version: PlanVersion = plan.current_version
        long_ago = db.now() - timedelta(days=9)
        old = checkout_sessions.create(plan_version=version, price=version.prices.all()[0], at=long_ago)
        assert client.get(checkout_sessions.path(old, at=long_ago)).status_code == 410
        makers.published_plan(code="other", name="Other")
        path = checkout_sessions.path(old, at=db.now())
        assert client.get(path.replace("/pro/", "/other/")).status_code == 404
        assert client.get(path[:-2]).status_code == 404


class TestLink:
    def test_it_says_what_is_bought_and_for_whom(self, client: Client, plan: Plan) -> None:
        link = f"/checkout/pro/?price=pro-year&email=cora@acme.example&external_id=team-7&return_url={SHOP}"
        form = client.get(link).context["form"]
        assert [form[name].value() for name in ("interval", "email")] == ["year", "cora@acme.example"]
        assert said(buy(client, link).headers["Location"])["external_id"] == "team-7"
        assert Customer.objects.get().external_id == "team-7"

    def test_a_host_that_is_not_listed_is_no_place_to_go(self, client: Client, plan: Plan) -> None:
        answer = buy(client, "/checkout/pro/?return_url=https://evil.example/")
        assert answer.headers["Location"].startswith("/portal/")

    def test_whoever_claims_to_be_somebody_known_signs_in(self, client: Client, plan: Plan) -> None:
        acme = makers.customer(external_id="team-7")
        answer = buy(client, "/checkout/pro/?external_id=team-7")
        assert "There is an account for you already. Sign in with it to buy." in answer.content.decode()
        assert not User.objects.exists()
        client.force_login(makers.member(acme, "cora@acme.example"))
        assert buy(client, "/checkout/pro/?external_id=team-7").status_code == 302
        assert Subscription.objects.get().customer == acme

    def test_a_second_team_of_one_user_is_a_customer_of_its_own(self, client: Client, plan: Plan) -> None:
        client.force_login(makers.member(makers.customer(external_id="team-7"), "cora@acme.example"))
        buy(client, "/checkout/pro/?external_id=team-8")
        assert Subscription.objects.get().customer.external_id == "team-8"


@pytest.mark.parametrize(
    ("url", "listed"),
    [
        ("https://app.example.com/x", True),
        ("https://APP.example.com/", True),
        ("https://app.example.com:8443/", True),
        ("http://localhost:3000/", True),
        ("https://app.example.com.evil.example/", False),
        ("https://evil.example/app.example.com", False),
        ("//app.example.com/", False),
        ("https:app.example.com", False),
        ("https://app.example.com\\@evil.example/", False),
        ("https://user@app.example.com/", False),
        ("ftp://app.example.com/", False),
        ("https://[::1", False),
        ("", False),
    ],
)
def test_only_listed_hosts_are_returned_to(url: str, listed: bool) -> None:
    assert returns.is_allowed(url, ["app.example.com", "localhost:3000"]) is listed
