"""The pages of the desk: what they show, what their buttons do, and to whom."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing import customers
from crm import accounts
from crm.models import Account, Alert, Lead
from gtm.shared import db
from gtm.shared.models import User
from tests import world
from tests.crm import makers

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann(client: Client) -> User:
    """Ann, in the team and the pool of sales with Bob, signed in."""
    ann = world.ann()
    makers.sales(ann, world.bob(), manager=world.max_manager())
    client.force_login(ann)
    return ann


def text(answer: Any) -> str:
    return str(answer.content.decode())


class TestAccounts:
    def test_search_filter_and_sort_stand_in_the_address(self, client: Client, ann: User) -> None:
        acme, small = makers.account(), makers.account(domain="small.com", employee_count=5)

        def shown(query: str) -> list[Account]:
            return [row["object"] for row in client.get(f"/crm/accounts/{query}").context["rows"]]

        assert shown("") == [acme, small]
        assert shown("?sort=-name") == [small, acme]
        assert shown("?sort=-employee_count") == [acme, small]
        assert shown("?q=ACME") == [acme]
        assert shown("?q=small.c") == [small]
        assert shown("?owner=me") == [acme]
        assert shown("?owner=none") == [small]
        assert shown("?motion=sales_assisted") == [acme]
        assert shown("?segment=smb") == [small]
        assert shown("?q=nothing&page=99&sort=junk") == []

    def test_one_account_tells_why(self, client: Client, ann: User) -> None:
        account = makers.account(needs=["sso"])
        page = text(client.get(f"/crm/accounts/{account.public_id}/"))
        for words in (
            "Asked for: Single sign-on (SAML)",
            "Employees: 250, which is at least 100",
            "Annual recurring revenue: unknown",
            "Rule “Over 100 employees or stated needs” fits",
            "Next in turn in the pool “sales”",
            "10K / 50K ARR, 100 / 1000 employees (v1)",
            "Company size over 100, or stated needs (v1)",
            "Contact request",
        ):
            assert words in page, words

    def test_customers_stand_with_what_they_have(self, client: Client, ann: User) -> None:
        account = accounts.for_customer(customer=makers.customer(traits={"employee_count": 250}), at=makers.NOON)
        page = text(client.get(f"/crm/accounts/{account.public_id}/"))
        assert "No subscription." in page
        assert "Became a customer" in page

    def test_facts_are_edited_and_decide_anew(self, client: Client, ann: User) -> None:
        account = makers.account()
        url = f"/crm/accounts/{account.public_id}/edit/"
        seen = f'name="version" value="{account.version}"'
        assert seen in client.get(url).content.decode()
        assert client.post(url, {"name": ""}).status_code == 422
        answer = client.post(url, {"name": "Acme", "employee_count": "5000", "country": "DE", "needs": ["sso"]})
        account.refresh_from_db()
        assert answer.status_code == 302
        assert (account.name, account.motion, account.needs, account.version > 1) == (
            "Acme",
            "sales_led",
            ["sso"],
            True,
        )
        stale = client.post(url, {"name": "Old", "version": account.version - 1})
        account.refresh_from_db()
        assert (stale.status_code, account.name) == (422, "Acme")
        assert "Somebody else changed this meanwhile" in text(stale)

    def test_what_a_company_may_be_worth_is_typed_in_major_units(self, client: Client, ann: User) -> None:
        account = makers.account()
        url = f"/crm/accounts/{account.public_id}/edit/"
        said = {"name": "Acme", "employee_count": "250"}
        typed = {"expected_value": "2,000", "company_revenue": "1500000.50", "value_currency": "eur"}
        assert client.post(url, said | typed).status_code == 302
        account.refresh_from_db()
        worth = (account.expected_value, account.company_revenue, account.value_currency)
        assert worth == (200_000, 150_000_050, "EUR")
        assert 'value="1500000.50"' in client.get(url).content.decode()
        assert "€2,000" in text(client.get(f"/crm/accounts/{account.public_id}/"))
        for wrong in ({"expected_value": "much"}, {"value_currency": "???"}, {"expected_value": "-5"}):
            assert client.post(url, said | typed | wrong).status_code == 422
        assert client.post(url, said | {"value_currency": "EUR"}).status_code == 302
        account.refresh_from_db()
        assert (account.expected_value, account.company_revenue, account.value_currency) == (None, None, "")

    def test_what_waits_can_be_taken_once(self, client: Client, ann: User) -> None:
        account = makers.account(employee_count=5)
        client.post(f"/crm/accounts/{account.public_id}/take/")
        account.refresh_from_db()
        assert (account.owner, account.queue) == (ann, None)
        assert Lead.objects.get().owner == ann
        client.force_login(User.objects.get(name="Max"))
        client.post(f"/crm/accounts/{account.public_id}/take/")
        account.refresh_from_db()
        assert account.owner == ann


class TestLeads:
    def test_tabs_show_one_lifecycle(self, client: Client, ann: User) -> None:
        makers.lead()
        makers.lead()
        Lead.objects.filter(pk=Lead.objects.order_by("pk")[0].pk).update(lifecycle="mql")
        found = {
            query: client.get(f"/crm/leads/?{query}").context["count"] for query in ("lifecycle=mql", "", "late=1")
        }
        assert found == {"lifecycle=mql": 1, "": 2, "late=1": 1}
        assert client.get("/crm/leads/?q=cora@").context["count"] == 2
        assert client.get("/crm/leads/?q=nobody").context["count"] == 0

    def test_a_lead_is_led_on_with_its_history(self, client: Client, ann: User) -> None:
        lead = makers.lead()
        url = f"/crm/leads/{lead.public_id}/"
        client.post(f"{url}transition/", {"to": "mql"})
        client.post(f"{url}transition/", {"to": "rejected", "reason": "a student"})
        page = text(client.get(url))
        for words in ("LEAD → MQL", "MQL → REJECTED", "a student", "Ann", "Take up again"):
            assert words in page

    def test_a_rejection_without_a_reason_is_told(self, client: Client, ann: User) -> None:
        lead = makers.lead()
        answer = client.post(f"/crm/leads/{lead.public_id}/transition/", {"to": "rejected"}, follow=True)
        assert "Say why the lead is rejected." in text(answer)


class TestAccess:
    def addresses(self) -> list[tuple[str, str]]:
        """Every address of the desk that names something, for one account, lead and alert of Ann's."""
        account = makers.account()
        lead = Lead.objects.get()
        makers.alert(account=account)
        one, person = account.public_id, lead.public_id
        return [
            ("get", f"/crm/accounts/{one}/"),
            ("get", f"/crm/accounts/{one}/edit/"),
            ("post", f"/crm/accounts/{one}/edit/"),
            ("post", f"/crm/accounts/{one}/take/"),
            ("get", f"/crm/leads/{person}/"),
            ("post", f"/crm/leads/{person}/transition/"),
        ]

    def test_otto_is_refused_everywhere(self, client: Client, ann: User) -> None:
        addresses = self.addresses()
        for user in (world.otto(), User.objects.get(name="Bob")):
            client.force_login(user)
            for method, url in addresses:
                assert getattr(client, method)(url, {"to": "done"}).status_code == 404, url
            for listing in ("/today/", "/crm/accounts/", "/crm/leads/"):
                assert "acme" not in text(client.get(listing))
        assert Alert.objects.get().state == "open"

    def test_customers_find_nothing_and_strangers_sign_in(self, client: Client, ann: User) -> None:
        addresses = [*self.addresses(), ("get", "/today/"), ("get", "/crm/accounts/"), ("get", "/crm/leads/")]
        client.logout()
        for method, url in addresses:
            assert "/account/login/" in getattr(client, method)(url)["Location"]
        client.force_login(world.user(email="cora@acme.com"))
        for method, url in addresses:
            assert getattr(client, method)(url).status_code == 404

    def test_founders_see_all(self, client: Client, ann: User) -> None:
        makers.account()
        client.force_login(world.fay())
        assert "acme.com" in text(client.get("/crm/accounts/"))
        assert "Back office" in text(client.get("/today/"))

    def test_what_names_nothing_is_not_found(self, client: Client, ann: User) -> None:
        for name in ("acct_nonsense", "lead_00000000000000000000000000", "x%00y"):
            assert client.get(f"/crm/accounts/{name}/").status_code == 404


class TestQueries:
    def test_no_page_asks_more_often_for_more_rows(self, client: Client, ann: User) -> None:
        def fill(start: int, stop: int) -> None:
            for n in range(start, stop):
                account = makers.account(domain=f"company{n}.com")
                accounts.give(account=account, owner=ann, at=makers.NOON)
                makers.alert(account=account, at=db.now())
                account = accounts.for_customer(customer=makers.customer(email=f"x@company{n}.com"), at=makers.NOON)

        fill(0, 1)
        first = Account.objects.get(name="company0.com")
        pages = {
            "/today/": 13,
            "/today/?tab=done": 10,
            "/crm/accounts/": 25,
            "/crm/contacts/": 13,
            "/crm/leads/": 13,
            "/crm/tasks/": 12,
            f"/crm/accounts/{first.public_id}/": 41,
        }
        for _attempt in range(2):
            asked = {}
            for url in pages:
                with CaptureQueriesContext(connection) as captured:
                    client.get(url)
                asked[url] = len(captured)
            assert asked == pages
            fill(1, 6)
            for n in range(5):
                customer = makers.customer(email=f"p{n}@company0.com")
                accounts.for_customer(customer=customer, at=makers.NOON)
                customers.change(customer=customer, at=makers.NOON + timedelta(days=n), po_number=str(n))
