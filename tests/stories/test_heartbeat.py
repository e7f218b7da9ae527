"""The heartbeat, end to end in one process: plan, purchase, request, usage, alert. Nothing is called but addresses.

Fay sets up a plan. Cora of Acme buys it alone. Acme, of 250, asks for sales and gets an owner. Fay's product reports
usage, and the owner is told when it passes 80 % of the limit.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from rest_framework.test import APIClient

from gtm import env
from gtm.shared import keys, mail, outbox
from gtm.shared.models import ApiKey, User
from tests import world
from tests.crm import makers as crm
from tests.smtp import PostOffice, post_office

SECRETS_OF_SALES = re.compile(r"\b(lead|leads|score|owner|owned|motion|segment|alert)\b", re.IGNORECASE)
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def office(settings: LazySettings) -> Iterator[PostOffice]:
    with post_office() as office:
        settings.EMAIL_URL = office.url
        for name, value in env.email(office.url).items():
            setattr(settings, name, value)
        yield office


class TestTheHeartbeat:
    def test_it_beats(self, office: PostOffice) -> None:
        ann, max_manager = world.ann(), world.max_manager()
        crm.sales(ann, manager=max_manager)
        api = _api(world.fay())
        self._fay_sets_up_a_plan(api)
        cora, portal = self._cora_buys_it_alone()
        customer = api.get("/api/v1/customers").json()["results"][0]["id"]
        self._the_account_serves_itself(api, customer)
        self._acme_asks_for_sales_and_gets_ann(api, customer)
        self._ann_finds_the_request_on_today(ann)
        self._usage_passes_the_threshold(api, customer)
        self._ann_is_told_once_by_mail_and_on_today(ann, office)
        self._ann_works_the_alert_off(api, ann)
        self._cora_sees_nothing_of_it(cora, portal)
        self._another_team_finds_nothing(api)

    def _fay_sets_up_a_plan(self, api: APIClient) -> None:
        made = _made(api, "meters", code="calls", name="API calls", event_name="api.call", unit="API calls")
        assert made["aggregation"] == "count"
        _made(api, "features", code="calls", name="API calls", type="limit", meter="calls")
        limit = {"feature": "calls", "limit": 1000, "reset": "billing_period"}
        plan = _made(api, "plans", code="pro", name="Pro", purchase_mode="self_serve", entitlements=[limit])
        for code, interval, amount in (("pro-month", "month", 4900), ("pro-year", "year", 49000)):
            terms = {"currency": "USD", "interval": interval, "model": "flat", "unit_amount": str(amount)}
            _made(api, "prices", plan="pro", code=code, published=True, **terms)
        answer = api.patch(f"/api/v1/plans/{plan['id']}", {"published": True})
        assert answer.status_code == 200, answer.content

    def _cora_buys_it_alone(self) -> tuple[Client, str]:
        cora = Client()
        assert "Pro" in _page(cora, "/pricing/")
        form = _hidden(_page(cora, "/checkout/pro/"))
        filled = form | {
            "interval": "month",
            "email": "cora@acme-widgets.com",
            "password": world.PASSWORD,
            "name": "Acme Widgets",
            "country": "US",
            "state": "NY",
            "card": "pm_card_visa",
        }
        answer = cora.post("/checkout/pro/", filled, follow=True)
        portal = answer.request["PATH_INFO"]
        assert answer.status_code == 200
        assert portal.startswith("/portal/cus_")
        assert "Active" in answer.content.decode()
        assert "Paid" in _page(cora, f"{portal}invoices/")
        return cora, portal

    def _the_account_serves_itself(self, api: APIClient, customer: str) -> None:
        outbox.relay()
        account = api.get(f"/api/v1/customers/{customer}").json()["account"]
        shown = api.get(f"/api/v1/accounts/{account}").json()
        assert (shown["motion"], shown["domain"]) == ("self_serve", "acme-widgets.com")

    def _acme_asks_for_sales_and_gets_ann(self, api: APIClient, customer: str) -> None:
        visitor = Client()
        form = _hidden(_page(visitor, "/contact-sales/"))
        filled = form | {
            "name": "Carl",
            "email": "carl@acme-widgets.com",
            "company": "Acme Widgets",
            "employee_count": "250",
            "country": "US",
            "message": "We want this for all of our sites.",
        }
        answer = visitor.post("/contact-sales/", filled, follow=True)
        assert answer.status_code == 200
        outbox.relay()
        account = api.get(f"/api/v1/customers/{customer}").json()["account"]
        routing = api.get(f"/api/v1/accounts/{account}/routing").json()
        assert routing["motion"] == "sales_assisted"
        assert routing["owner"] == User.objects.get(email="ann@vendor.example").public_id
        assert routing["reasons"]

    def _ann_finds_the_request_on_today(self, ann: User) -> None:
        text = _page(_desk(ann), "/today/")
        assert "Acme Widgets" in text
        assert "We want this for all of our sites." in text

    def _usage_passes_the_threshold(self, api: APIClient, customer: str) -> None:
        _use(api, customer, range(800))
        outbox.relay()
        assert _alerts(api) == []
        _use(api, customer, range(800, 842))
        outbox.relay()
        assert [alert["rule"] for alert in _alerts(api)] == ["usage_over_80"]
        repeated = api.post("/api/v1/usage_events", {"events": _events(customer, range(842))}).json()
        assert (repeated["accepted"], repeated["duplicates"], repeated["rejected"]) == (0, 842, [])
        outbox.relay()
        assert len(_alerts(api)) == 1

    def _ann_is_told_once_by_mail_and_on_today(self, ann: User, office: PostOffice) -> None:
        mail.send_queued()
        mail.send_queued()
        told = [message for message in office.delivered if "used 842 of 1,000 API calls (84.2 %)" in _text(message)]
        assert [message["To"] for message in told] == ["ann@vendor.example"]
        assert "used 842 of 1,000 API calls (84.2 %)" in _page(_desk(ann), "/today/")

    def _ann_works_the_alert_off(self, api: APIClient, ann: User) -> None:
        alert = _alerts(api)[0]
        for state in ("acknowledged", "done"):
            answer = _api(ann).post(f"/api/v1/alerts/{alert['id']}/transition", {"to": state})
            assert answer.json()["state"] == state
        assert "used 842 of 1,000" not in _page(_desk(ann), "/today/")
        assert "used 842 of 1,000" in _page(_desk(ann), "/today/?tab=done")

    def _cora_sees_nothing_of_it(self, cora: Client, portal: str) -> None:
        for address in ("/pricing/", "/contact-sales/", portal, f"{portal}usage/", f"{portal}plan/"):
            words = re.sub(r"<[^>]+>", " ", _page(cora, address))
            assert not SECRETS_OF_SALES.search(words), (address, SECRETS_OF_SALES.findall(words))
        assert cora.get("/today/").status_code == 404

    def _another_team_finds_nothing(self, api: APIClient) -> None:
        otto = world.otto()
        account = api.get("/api/v1/accounts").json()["results"][0]["id"]
        assert _desk(otto).get(f"/crm/accounts/{account}/").status_code == 404
        assert _api(otto).get(f"/api/v1/accounts/{account}").status_code == 404
        assert _alerts(_api(otto)) == []


def _api(user: User) -> APIClient:
    client = APIClient()
    _key, text = keys.issue(name="story", scope=ApiKey.Scope.WRITE, user=user)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return client


def _desk(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def _made(api: APIClient, resource: str, **body: Any) -> dict[str, Any]:
    answer = api.post(f"/api/v1/{resource}", body)
    assert answer.status_code == 201, answer.content
    return dict(answer.json())


def _page(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, (address, answer.status_code)
    return answer.content.decode()


def _hidden(page: str) -> dict[str, str]:
    """The hidden fields that a browser would send along."""
    fields = re.findall(r"<input[^>]*type=\"hidden\"[^>]*>", page)
    named = [(re.search(r'name="([^"]+)"', one), re.search(r'value="([^"]*)"', one)) for one in fields]
    return {name[1]: value[1] if value else "" for name, value in named if name and name[1] != "csrfmiddlewaretoken"}


def _events(customer: str, numbers: range) -> list[dict[str, Any]]:
    return [{"id": f"call-{number}", "name": "api.call", "customer": customer} for number in numbers]


def _use(api: APIClient, customer: str, numbers: range) -> None:
    answer = api.post("/api/v1/usage_events", {"events": _events(customer, numbers)})
    assert answer.json()["accepted"] == len(numbers), answer.content


def _alerts(api: APIClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get("/api/v1/alerts").json()["results"]
    return found


def _text(message: Any) -> str:
    parts = [part for part in message.walk() if part.get_content_type() == "text/plain"]
    return " ".join(part.get_payload(decode=True).decode() for part in parts)
