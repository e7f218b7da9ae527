"""Search over everything: by words, domain, address and number; of what one sees; by indexes."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client

from crm import accounts, contacts
from crm.models import Account, Contact, Lead, words
from crm.models.words import DigitsBackwards, Words
from crm.queries import search
from gtm.shared.models import User
from tests import world
from tests.crm import makers


@pytest.mark.parametrize(
    ("text", "backwards"),
    [
        ("030 123 45", "5432103"),
        ("+49 (30) 12345", "543210394"),
        ("1234", None),
        ("12345x", None),
        ("acme", None),
    ],
)
def test_a_number_is_read_from_its_end(text: str, backwards: str | None) -> None:
    assert words.digits_backwards(text) == backwards


@pytest.fixture
def ann(client: Client) -> User:
    ann = world.ann()
    makers.sales(ann, world.bob())
    client.force_login(ann)
    return ann


@pytest.fixture
def acme(ann: User) -> Account:
    acme = accounts.give(account=makers.account(), owner=ann, at=makers.NOON)
    accounts.change(account=acme, at=makers.NOON, name="Müller & Söhne")
    said: dict[str, Any] = {"email": "petra@other.example", "phone": "+49 30 123456", "title": "CFO"}
    contacts.create(account=acme, at=makers.NOON, name="Petra Öz", **said)
    return acme


def labels(user: User, text: str) -> list[str]:
    return [hit.label for group in search.find(user, text, limit=5) for hit in group.hits]


@pytest.mark.django_db
class TestSearch:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("muller", ["Müller & Söhne"]),
            ("söh mül", ["Müller & Söhne"]),
            ("acme.c", ["Müller & Söhne", "Cora", "acme.com"]),
            ("petra@oth", ["Petra Öz"]),
            ("oz", ["Petra Öz"]),
            ("030 123456", ["Petra Öz"]),
            ("+49 30/12 34 56", ["Petra Öz"]),
            ("m", []),
            ("\0'&|!():*\\", []),
        ],
    )
    def test_by_the_beginnings_of_words(self, ann: User, acme: Account, text: str, found: list[str]) -> None:
        assert labels(ann, text) == found

    def test_others_find_nothing(self, ann: User, acme: Account, client: Client) -> None:
        for user in (world.otto(), User.objects.get(name="Bob")):
            assert labels(user, "muller") == labels(user, "petra") == labels(user, "cora@acme.com") == []
            client.force_login(user)
            assert b"petra" not in client.get("/crm/search/?q=petra@").content.split(b"</form>")[-1]
            assert client.get("/crm/search/palette/?q=petra").json() == {"entries": []}
        client.logout()
        assert client.get("/crm/search/?q=x").status_code == client.get("/crm/search/palette/").status_code == 302

    def test_a_page_and_the_palette_show_it(self, ann: User, acme: Account, client: Client) -> None:
        page = client.get("/crm/search/?q=petra").content.decode()
        petra = Contact.objects.get(email="petra@other.example")
        assert f'<a href="/crm/contacts/{petra.public_id}/" data-key-open>Petra Öz</a>' in page
        entries = client.get("/crm/search/palette/?q=acc").json()["entries"]
        commands = [entry["label"] for entry in entries if entry["kind"] == "Command"]
        assert commands == ["Go to accounts", "My accounts", "New account"]

    def test_each_kind_is_one_query_by_an_index(self, ann: User, acme: Account, django_assert_num_queries: Any) -> None:
        with django_assert_num_queries(8):  # each asks how far Ann sees, where no request remembers it
            search.find(ann, "petra", limit=5)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
        wanted = words.query("petra")
        for model, index in ((Account, "crm_account_words"), (Contact, "crm_contact_words"), (Lead, "crm_lead_words")):
            rows: Any = getattr(model, "everything", model._default_manager)
            found = rows.annotate(words_of=Words("name_key")).filter(words_of=wanted)
            assert index in found.explain(), model
        numbered = Contact.objects.annotate(n=DigitsBackwards("phone")).exclude(phone="").filter(n__startswith="654")
        assert "crm_contact_by_phone" in numbered.explain()
