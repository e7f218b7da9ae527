"""The walk: every address of the site and every operation of the API, asked by those whom it is not for.

Outsiders are a member of another customer, members with a lesser role, a rep of another team, and keys with a lesser
scope. Each walk goes by what the resolver and the API's document hold, and fails on a route that it doesn't know.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from billing import balances, checkout_sessions, prompts
from billing.models import CreditNote, Customer, Invoice, Payment, Refund, Subscription
from crm import accounts, calls, contacts, emails, notes, scopes, todos
from crm.models import Account, Suggestion
from gtm.shared import db, keys
from gtm.shared.models import Event, User
from gtm.shared.webhooks import endpoints
from tests import world
from tests.billing import makers
from tests.billing.addresses import FOR_PEOPLE, PORTAL, POSTED, RANKS, portal
from tests.billing.visits import visiting
from tests.crm import makers as crm_makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db


# --- the portal --------------------------------------------------------------------------------
@pytest.fixture
def acme() -> Customer:
    """Ann's customer, with something of everything that an address can name."""
    makers.legal_entity()
    at, customer = db.now(), makers.customer(email="billing@acme.example")
    account = accounts.for_customer(customer=customer, at=JAN_1)
    accounts.give(account=account, owner=world.ann(), at=JAN_1)
    customer.refresh_from_db()
    makers.member(customer, "olaf@acme.example")
    makers.subscribed(customer, plan=makers.published_plan(), at=at)
    prompts.show(customer_id=customer.pk, code="usage_80", period="1", text="Near.", link="/pricing/", at=at)
    makers.credited(Invoice.objects.get(), 100, settle="refund")
    balances.adjust(customer=customer, amount=100, reason="An outage", at=at)
    makers.calls(customer, 1, at=at)
    return customer


@pytest.fixture
def other(acme: Customer) -> Customer:
    customer = makers.customer(name="Other")
    makers.member(customer, "zoe@other.example")
    return customer


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def kept(customer: Customer) -> list[Any]:
    """What a walk must leave as it is."""
    return [
        list(customer.members.order_by("pk").values_list("user__email", "role")),
        list(customer.invitations.order_by("pk").values_list("email", "revoked_at", "token_digest")),
        list(customer.prompts.values_list("dismissed_at")),
        list(Subscription.objects.filter(customer=customer).values_list("cancel_at", "status")),
        list(Invoice.objects.filter(customer=customer).order_by("pk").values_list("status", "amount_paid")),
        list(Customer.objects.filter(pk=customer.pk).values_list("version")),
    ]


class TestPortal:
    def test_a_member_of_another_customer_is_refused_everywhere(self, acme: Customer, other: Customer) -> None:
        pages, before = list(portal(acme)), kept(acme)
        zoe = signed_in(other.members.get().user)
        for name, url in pages:
            assert zoe.get(url).status_code == (405 if name in POSTED else 404), url
            assert zoe.post(url, {"role": "owner", "card": "pm_card_visa"}).status_code in {404, 405}, url
            under_own = url.replace(acme.public_id, other.public_id)
            if under_own.count("_") > 1 or name == "portal_dismiss":
                ask = zoe.post if name in POSTED else zoe.get
                assert ask(under_own, {"role": "owner"}).status_code == 404, under_own
        assert kept(acme) == before
        assert len(pages) == len(PORTAL)

    @pytest.mark.parametrize("role", ["viewer", "billing"])
    def test_a_member_with_a_lesser_role_is_refused_what_is_not_for_it(self, acme: Customer, role: str) -> None:
        pages = list(portal(acme))
        vic = signed_in(makers.member(acme, "vic@acme.example", role=role))
        before = kept(acme)
        for name, url in pages:
            if RANKS.index(PORTAL[name]) > RANKS.index(role):
                assert vic.get(url).status_code in {404, 405}, url
                assert vic.post(url, {"role": "owner", "card": "pm_card_visa"}).status_code in {404, 405}, url
            elif name not in POSTED:
                assert vic.get(url).status_code in {200, 302}, url
        assert kept(acme) == before

    @pytest.mark.parametrize("role", ["viewer", "billing", "owner"])
    def test_who_comes_by_a_portal_session_is_a_billing_member_at_most(
        self, acme: Customer, other: Customer, role: str
    ) -> None:
        pages = list(portal(acme))
        makers.member(acme, "vic@acme.example", role=role)
        visitor, most = visiting(acme, email="vic@acme.example"), "viewer" if role == "viewer" else "billing"
        before = kept(acme)
        for name, url in pages:
            if name in FOR_PEOPLE or RANKS.index(PORTAL[name]) > RANKS.index(most):
                assert visitor.get(url).status_code in {404, 405}, url
                assert visitor.post(url, {"role": "owner", "card": "pm_card_visa"}).status_code in {404, 405}, url
            elif name not in POSTED:
                assert visitor.get(url).status_code in {200, 302}, url
            elsewhere = url.replace(acme.public_id, other.public_id)
            if name not in POSTED:
                assert visitor.get(elsewhere)["Location"].startswith("/account/login/"), elsewhere
        assert visitor.get("/api/v1/customers").status_code == 401
        assert kept(acme) == before


# --- the other pages ---------------------------------------------------------------------------
LINKED = {"card", "confirm", "i", "join", "mail", "visit"}  # whose token is what lets one in
PUBLIC = {"", "pricing", "checkout", "contact-sales", "f", "language", "healthz", "readyz"}
SIGN_IN = {"account"}
SIGNED = {"webhooks"}  # by the gateway that calls
STAFF = {"admin", "crm", "health", "help", "reports", "styleguide", "today"}
WALKED_ABOVE, WALKED_BELOW = {"portal"}, {"api"}


def routes(patterns: list[Any] | None = None, prefix: str = "") -> Iterator[str]:
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        text = prefix + str(pattern.pattern).removeprefix("^")
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, text)
        elif isinstance(pattern, URLPattern):
            yield text


def place(route: str) -> str:
    return route.partition("/")[0]


def test_every_address_is_somebodys() -> None:
    known = LINKED | PUBLIC | SIGN_IN | SIGNED | STAFF | WALKED_ABOVE | WALKED_BELOW
    unknown = {place(route) for route in routes()} - known
    assert not unknown, "say in tests/api/test_walk.py whom the new addresses are for"


def test_no_page_of_the_staff_opens_to_customers_and_strangers(acme: Customer) -> None:
    account = Account.objects.get(pk=acme.account_id).public_id
    found = {route.replace("<str:account>", account) for route in routes() if place(route) in STAFF}
    addresses = sorted(f"/{route}" for route in found if not set("<(?") & set(route))
    cora, stranger = signed_in(acme.members.get().user), Client()
    for address in addresses:
        assert cora.get(address).status_code in {404, 405}, address
        assert cora.post(address).status_code in {404, 405}, address
        answer = stranger.get(address)
        assert answer.status_code in {302, 404, 405}, address
        assert answer.status_code != 302 or answer.headers["Location"].startswith("/account/login/"), address
    assert f"/crm/accounts/{account}/edit/" in addresses
    assert len(addresses) > 40


# --- the API -----------------------------------------------------------------------------------
DOCUMENT: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
METHODS = {"get", "post", "patch", "put", "delete"}
OPERATIONS = [(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods if method in METHODS]
EVERYBODYS = {"coupons", "features", "meters", "plans", "prices", "tax_rates", "trigger_rules"}
EVERYBODYS |= {"stages", "teams", "test_clocks", "users"}
NONE = "none"
READS = {"simulations"}  # by POST, and writing nothing
USAGE = {
    ("post", "usage_events"),
    ("post", "usage_events/{id}/void"),
    ("post", "usage_events/{id}/amendment"),
    ("get", "usage_events/{id}"),
    ("post", "customers/{id}/consumption"),
    ("get", "customers/{id}/entitlements"),
    ("get", "customers/{id}/usage"),
}


def objects(acme: Customer) -> dict[str, str]:
    """What the addresses of each resource name: something of Acme's, or of the founder's own."""
    account, lead = Account.objects.get(pk=acme.account_id), crm_makers.lead(email="cora@acme.com")
    hook, _secret = endpoints.create(at=JAN_1, url="https://hooks.example.com/")
    return {
        "accounts": account.public_id,
        "suggestions": suggestion(account),
        "contacts": account.contacts.latest("created_at").public_id,
        "alerts": crm_makers.alert(account=account).public_id,
        **work(account),
        "balance_entries": acme.balance_entries.latest("created_at").public_id,
        "checkout_sessions": checkout_session(acme),
        "credit_notes": CreditNote.objects.latest("created_at").public_id,
        "customers": acme.public_id,
        "disputes": makers.dispute(Payment.objects.filter(customer=acme).latest("created_at")).public_id,
        "events": Event.objects.filter(customer_id=acme.pk).latest("recorded_at").public_id,
        "invoices": Invoice.objects.filter(customer=acme).latest("created_at").public_id,
        "leads": lead.public_id,
        "mrr_movements": NONE,
        "opportunities": crm_makers.opportunity(account=account).public_id,
        "payments": Payment.objects.latest("created_at").public_id,
        "refunds": Refund.objects.latest("created_at").public_id,
        "signals": NONE,
        "simulations": NONE,
        "subscriptions": Subscription.objects.latest("created_at").public_id,
        "usage_events": f"{acme.pk}-{acme.created_at.isoformat()}-0",
        "webhook_deliveries": NONE,
        "webhook_endpoints": hook.public_id,
    }


def suggestion(account: Account) -> str:
    """Of the account and another one of Ann's, with somebody of one domain at each."""
    other = crm_makers.account(domain="acme-labs.example", at=JAN_1)
    for place, name in ((other, "dora"), (account, "emil")):
        contacts.create(account=place, at=JAN_1, name=name, email=f"{name}@acme.example")
    return Suggestion.objects.latest("created_at").public_id


def work(account: Account) -> dict[str, str]:
    """One of each kind of work at the account, Ann's."""
    ann, at = User.objects.get(name="Ann"), db.now()
    contact = account.contacts.create(email="walker@acme.com", name="Walker")
    message = emails.send(account=account, contact=contact, user=ann, subject="Hello", body="Dear Cora", at=at)
    return {
        "calls": calls.log(account=account, at=at, outcome="reached", caller=ann).public_id,
        "emails": message.public_id,
        "notes": notes.write_note(account=account, at=at, text="Met", author=ann).public_id,
        "tasks": todos.create(at=at, title="Call", assignee=ann, account=account).public_id,
    }


def checkout_session(acme: Customer) -> str:
    version = Subscription.objects.get(customer=acme).plan_version
    price = version.prices.get(interval="month")
    return checkout_sessions.create(plan_version=version, price=price, customer=acme, at=JAN_1).public_id


class TestAPI:
    @pytest.fixture
    def named(self, acme: Customer) -> dict[str, str]:
        crm_makers.inbound()
        found = objects(acme)
        unknown = {resource(path) for _method, path in OPERATIONS} - EVERYBODYS - set(found)
        assert not unknown, "say in tests/api/test_walk.py whose rows the new resources are"
        return found

    def test_customers_sessions_are_none(self, acme: Customer, named: dict[str, str]) -> None:
        client = APIClient()
        client.force_login(acme.members.get().user)
        for method, path in OPERATIONS:
            assert ask(client, method, path, named).status_code == 401, (method, path)

    def test_a_rep_of_another_team_finds_nothing_and_changes_nothing(
        self, acme: Customer, named: dict[str, str]
    ) -> None:
        otto, before = caller(world.otto()), kept(acme)
        hidden = [value for value in named.values() if value != NONE]
        for method, path in OPERATIONS:
            answer = ask(otto, method, path, named)
            if method == "get" and (resource(path) in EVERYBODYS or "{" not in path):
                assert not [one for one in hidden if one in answer.content.decode()], path
            else:
                allowed = {403, 404} if "{" in path else {400, 403, 404}
                assert answer.status_code in allowed, (method, path, answer.status_code, answer.content)
        assert kept(acme) == before

    def test_who_only_reads_accounts_changes_nothing(self, acme: Customer, named: dict[str, str]) -> None:
        scopes.create(role="csm", reads="all", writes="none", at=JAN_1)
        reader = caller(world.user(email="vera@vendor.example", roles=("csm",)))
        before, account = kept(acme), Account.objects.filter(pk=acme.account_id).values().get()
        for method, path in OPERATIONS:
            if method != "get" and resource(path) not in READS:
                status = ask(reader, method, path, named).status_code
                assert status in ({403, 404} if "{" in path else {400, 403, 404}), (method, path, status)
        assert reader.get(f"/api/v1/accounts/{named['accounts']}").status_code == 200
        said = {"kind": "demo", "name": "Zed", "email": "zed@zed.com"}
        assert reader.post("/api/v1/leads", said).status_code == 403
        assert kept(acme) == before
        assert Account.objects.filter(pk=acme.account_id).values().get() == account

    @pytest.mark.parametrize("scope", ["read", "usage"])
    def test_a_key_with_a_lesser_scope_is_refused_the_rest(
        self, acme: Customer, named: dict[str, str], scope: str
    ) -> None:
        client, before = caller(scope=scope), kept(acme)
        for method, path in OPERATIONS:
            reads = method == "get" or resource(path) in READS
            allowed = reads if scope == "read" else (method, path.removeprefix("/api/v1/")) in USAGE
            if not allowed:
                assert ask(client, method, path, named).status_code == 403, (method, path)
        assert kept(acme) == before


def resource(path: str) -> str:
    return path.removeprefix("/api/v1/").split("/")[0]


def ask(client: APIClient, method: str, path: str, named: dict[str, str]) -> Any:
    """One operation, on Acme's object and with Acme's objects in its body."""
    url = re.sub(r"{\w+}", "x", path.replace("{id}", named.get(resource(path), "x")))
    body = {
        "customer": named["customers"],
        "invoice": named["invoices"],
        "payment": named["payments"],
        "subscription": named["subscriptions"],
        "amount": 100,
        "reason": "duplicate",
    }
    if path.endswith("/transition"):
        body = {"to": "mql" if resource(path) == "leads" else "done"}
    return getattr(client, method)(url, None if method == "get" else body)


def caller(user: User | None = None, *, scope: str = "write") -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {keys.issue(name='walk', scope=scope, user=user)[1]}")
    return client
