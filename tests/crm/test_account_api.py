"""Contacts, domains, merges and suggestions over the API and at the desk, and who is refused."""

from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from crm import accounts, contacts, custom_fields
from crm.models import Account, Contact, Suggestion
from gtm.shared import keys
from gtm.shared.models import User
from tests import world
from tests.crm import makers

pytestmark = pytest.mark.django_db
V1 = "/api/v1"


def api(user: User | None = None) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {keys.issue(name='test', scope='write', user=user)[1]}")
    return client


@pytest.fixture
def ann() -> User:
    ann = world.ann()
    makers.sales(ann)
    return ann


@pytest.fixture
def pair(ann: User) -> tuple[Account, Account]:
    acme, labs = makers.account(domain="acme.com"), makers.account(domain="acme-labs.com")
    contacts.create(account=labs, at=makers.NOON, name="Dora", email="dora@acme.com")
    return acme, labs


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


class TestApi:
    def test_a_contact_is_made_changed_and_found(self, pair: tuple[Account, Account]) -> None:
        acme, _labs = pair
        custom_fields.create(
            at=makers.NOON, entity="contact", code="tier", label="Tier", kind="choice", choices=["A", "B", "A"]
        )
        body = {"account": acme.public_id, "name": "Emil", "email": "Emil@ACME.com", "buying_role": "champion"}
        made = api().post(f"{V1}/contacts", {**body, "custom": {"tier": "B"}}, format="json")
        assert made.status_code == 201, made.content
        said = made.json()
        assert (said["email"], said["buying_role"], said["custom"]) == ("emil@acme.com", "champion", {"tier": "B"})
        for wrong, attr in (
            ({"custom": {"tier": "C"}}, "custom.tier"),
            ({"custom": {"size": 1}}, "custom.size"),
            ({"email": "dora@acme.com"}, "email"),
            ({"name": " "}, "name"),
            ({"buying_role": "king"}, "buying_role"),
        ):
            answer = api().patch(f"{V1}/contacts/{said['id']}", wrong, format="json")
            assert answer.status_code in {400, 409}, answer.content
            assert answer.json()["errors"][0]["attr"] == attr
        changed = api().patch(f"{V1}/contacts/{said['id']}", {"unsubscribed": True}, format="json").json()
        assert (changed["unsubscribed"], changed["version"]) == (True, 2)
        found = api().get(f"{V1}/contacts?q=emi&account={acme.public_id}").json()["results"]
        assert [row["id"] for row in found] == [said["id"]]

    def test_an_account_is_made_placed_and_knows_its_own_fields(self, ann: User) -> None:
        custom_fields.create(at=makers.NOON, entity="account", code="tier", label="Tier", kind="text")
        above = api().post(f"{V1}/accounts", {"name": "Above"}, format="json").json()
        body = {"name": "Below", "parent": above["id"], "custom": {"tier": "gold"}, "blockers": ["price"]}
        below = api().post(f"{V1}/accounts", body, format="json").json()
        assert (below["parent"], below["custom"], below["blockers"]) == (above["id"], {"tier": "gold"}, ["price"])
        assert below["first_source"] == "api"
        circle = api().patch(f"{V1}/accounts/{above['id']}", {"parent": below["id"]}, format="json")
        assert (circle.status_code, circle.json()["errors"][0]["code"]) == (409, "circle")

    def test_domains_are_added_changed_and_removed(self, pair: tuple[Account, Account]) -> None:
        url = f"{V1}/accounts/{pair[0].public_id}/domains"
        made = api().post(url, {"domain": "https://acme.ac.uk", "verified": True}, format="json")
        assert (made.status_code, made.json()["caution"]) == (201, "education")
        assert api().patch(f"{url}/acme.ac.uk", {"is_primary": True}, format="json").json()["is_primary"]
        assert [row["domain"] for row in api().get(url).json()] == ["acme.ac.uk", "acme.com"]
        assert api().delete(f"{url}/acme.ac.uk").status_code == 204
        taken = api().post(url, {"domain": "acme-labs.com"}, format="json")
        assert (taken.status_code, taken.json()["errors"][0]["code"]) == (409, "domain_taken")

    def test_a_merge_is_seen_done_and_undone(self, pair: tuple[Account, Account]) -> None:
        acme, labs = pair
        (row,) = api().get(f"{V1}/suggestions?state=open").json()["results"]
        assert row["accounts"] == [acme.public_id, labs.public_id]
        url, body = f"{V1}/accounts/{acme.public_id}/merge", {"account": labs.public_id, "fields": {"name": "merged"}}
        shown = api().post(f"{url}/preview", body, format="json").json()
        assert shown["moving"]["contacts"] == 2
        assert api().post(url, body, format="json").json()["name"] == labs.name
        gone = api().get(f"{V1}/accounts/{labs.public_id}")
        assert (gone.status_code, gone.json()["errors"][0]["code"]) == (404, "merged")
        assert acme.public_id in gone.json()["errors"][0]["detail"]
        told = api().get(f"{V1}/accounts/{acme.public_id}/timeline?limit=100").json()["results"]
        assert {"crm.account.merged", "crm.lead.created"} <= {event["type"] for event in told}
        assert {event["account"] for event in told} >= {acme.public_id, labs.public_id}
        assert api().delete(url).json()["name"] == acme.name
        assert api().get(f"{V1}/accounts/{labs.public_id}").status_code == 200
        assert api().delete(url).status_code == 409
        done = api().post(f"{V1}/suggestions/{row['id']}/dismissal", {"reason": "A reseller"}, format="json")
        assert done.json()["state"] == "dismissed"


class TestOutsiders:
    def test_another_reps_accounts_are_merged_by_nobody_else(self, pair: tuple[Account, Account], ann: User) -> None:
        """By URL, by API and by reference, as the one that stays and as the one that goes."""
        acme, labs = pair
        otto = world.otto()
        own = accounts.create(name="Otto's", at=makers.NOON)
        accounts.give(account=own, owner=otto, at=makers.NOON)
        client, desk = api(otto), signed_in(otto)
        row, contact = Suggestion.objects.get().public_id, Contact.objects.get(email="dora@acme.com").public_id
        for one, other in ((acme, labs), (own, acme), (acme, own)):
            url = f"{V1}/accounts/{one.public_id}/merge"
            assert client.post(url, {"account": other.public_id}, format="json").status_code in {400, 404}
            desk.post(f"/crm/accounts/{one.public_id}/merge/", {"other": other.public_id})
        assert Account.objects.count() == 3
        assert client.get(f"{V1}/suggestions").json()["results"] == []
        assert client.get(f"{V1}/contacts").json()["results"] == []
        for url in (f"{V1}/suggestions/{row}", f"{V1}/contacts/{contact}"):
            assert client.get(url).status_code == 404
        for path in (
            *(f"/crm/accounts/{acme.public_id}/{step}/" for step in ("history", "merge", "contacts")),
            *(f"/crm/contacts/{contact}/{step}" for step in ("", "edit/")),
        ):
            assert desk.get(path).status_code == 404, path
        for path in ("domains", "parent", "domains/acme.com"):
            assert desk.post(f"/crm/accounts/{acme.public_id}/{path}/", {"step": "remove"}).status_code == 404
        assert desk.post(f"/crm/suggestions/{row}/dismiss/", {"reason": "x"}).status_code == 404
        assert (
            "acme"
            not in desk.get(f"/crm/accounts/{own.public_id}/merge/?other=acme.com")
            .content.decode()
            .lower()
            .split("value=")[0]
        )
        assert Suggestion.objects.get().state == "open"


class TestDesk:
    def test_contacts_domains_and_the_hierarchy_are_kept_at_the_desk(
        self, pair: tuple[Account, Account], ann: User
    ) -> None:
        acme, labs = pair
        desk, url = signed_in(ann), f"/crm/accounts/{acme.public_id}/"
        custom_fields.create(at=makers.NOON, entity="contact", code="tier", label="Tier", kind="text", is_required=True)
        said: dict[str, Any] = {"name": "Emil", "email": "emil@acme.com", "buying_role": "champion"}
        assert desk.post(f"{url}contacts/", said).status_code == 422
        assert desk.post(f"{url}contacts/", said | {"email": "dora@acme.com", "custom_tier": "A"}).status_code == 422
        made = desk.post(f"{url}contacts/", said | {"custom_tier": "gold"}, follow=True)
        assert "Champion" in made.content.decode()
        assert "gold" in made.content.decode()
        contact = Contact.objects.get(email="emil@acme.com")
        page = desk.post(f"/crm/contacts/{contact.public_id}/edit/", said | {"name": "Emil E", "custom_tier": "A"})
        assert page.status_code == 302
        stale = desk.post(f"/crm/contacts/{contact.public_id}/edit/", said | {"custom_tier": "B", "version": 1})
        assert (stale.status_code, "Somebody else changed this meanwhile" in stale.content.decode()) == (422, True)
        assert "Emil E" in desk.get(f"{url}history/").content.decode()
        desk.post(f"{url}domains/", {"domain": "acme.fr"})
        desk.post(f"{url}domains/acme.fr/", {"step": "primary"})
        desk.post(f"{url}parent/", {"parent": "acme-labs.com"})
        shown = desk.get(url).content.decode()
        assert "acme.fr" in shown
        assert labs.name in shown
        acme.refresh_from_db()
        assert (acme.parent, acme.domains.get(is_primary=True).domain) == (labs, "acme.fr")
        new = desk.post("/crm/accounts/new/", {"name": "New", "domain": "new.io"}, follow=True)
        assert "New" in new.content.decode()
        assert desk.post("/crm/accounts/new/", {"name": "Again", "domain": "new.io"}).status_code == 422

    def test_the_timeline_has_kinds_and_pages(self, pair: tuple[Account, Account], ann: User) -> None:
        acme, _labs = pair
        for n in range(60):
            accounts.change(account=acme, at=makers.NOON, employee_count=300 + n)
        desk, url = signed_in(ann), f"/crm/accounts/{acme.public_id}/"
        first = desk.get(f"{url}?kind=company")
        assert first.context["around"].older
        assert {entry.type.split(".")[1] for entry in first.context["around"].entries} <= {"account", "contact"}
        second = desk.get(f"{url}?kind=company&before={first.context['around'].older}").context["around"]
        assert not {entry.id for entry in first.context["around"].entries} & {entry.id for entry in second.entries}
        assert second.older is None
        assert desk.get(f"{url}?kind=money&before=nonsense").context["around"].entries == []
