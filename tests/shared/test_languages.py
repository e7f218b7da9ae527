"""Customers read their language, staff and programs read English."""

import pytest
from django.test import Client
from django.urls import reverse

from gtm.shared import keys, languages
from tests import world
from tests.billing import makers

pytestmark = pytest.mark.django_db
GERMAN = {"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"}


def text(answer: object) -> str:
    return str(answer.content.decode())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("locale", "language"), [("de-AT", "de"), ("pt-BR", "en"), ("id", "id"), ("fr_CA", "fr"), ("", "en"), (None, "en")]
)
def test_a_locale_without_a_catalogue_reads_english(locale: str | None, language: str) -> None:
    assert languages.supported(locale) == language


class TestShop:
    def test_it_speaks_as_the_browser_asks(self, client: Client) -> None:
        page = text(client.get("/pricing/", headers=GERMAN))
        assert '<html lang="de"' in page
        assert "Preise" in page

    def test_the_switch_is_remembered(self, client: Client) -> None:
        answer = client.post(reverse("set_language"), {"language": "fr", "next": "/pricing/"})
        assert answer["Location"] == "/pricing/"
        page = text(client.get("/pricing/", headers=GERMAN))
        assert '<html lang="fr"' in page
        assert '<button name="language" value="fr" lang="fr" aria-current="true">Français</button>' in page
        assert '<button name="language" value="en" lang="en">English</button>' in page

    def test_the_switch_leads_nowhere_else(self, client: Client) -> None:
        answer = client.post(reverse("set_language"), {"language": "fr", "next": "https://elsewhere.example/"})
        assert answer["Location"] == "/"

    def test_mistakes_are_told_in_it_too(self, client: Client) -> None:
        assert "Seite nicht gefunden" in text(client.get("/no-such-page/", headers=GERMAN))


class TestPortal:
    @pytest.fixture
    def overview(self, client: Client) -> str:
        customer = makers.customer(preferred_locale="id")
        client.force_login(makers.member(customer, "budi@acme.example"))
        return reverse("portal_overview", args=[customer.public_id])

    def test_it_speaks_the_customers_language(self, client: Client, overview: str) -> None:
        page = text(client.get(overview, headers=GERMAN))
        assert "Yang terjadi berikutnya" in page

    def test_a_reader_may_choose_another(self, client: Client, overview: str) -> None:
        client.post(reverse("set_language"), {"language": "de", "next": overview})
        assert "Was als Nächstes geschieht" in text(client.get(overview))

    def test_the_next_page_is_the_readers_again(self, client: Client, overview: str) -> None:
        client.get(overview)
        assert '<html lang="de"' in text(client.get("/pricing/", headers=GERMAN))


class TestStaff:
    @pytest.mark.parametrize("page", ["/admin/", "/today/", "/crm/accounts/", "/health/", "/help/"])
    def test_its_pages_are_english(self, client: Client, page: str) -> None:
        client.force_login(world.fay())
        answer = client.get(page, headers=GERMAN)
        assert answer.status_code == 200
        assert answer["Content-Language"] == "en"

    def test_so_is_the_api(self, client: Client) -> None:
        bearer = {"Authorization": f"Bearer {keys.issue(name='reader', scope='write')[1]}"}
        answer = client.post("/api/v1/customers", {}, content_type="application/json", headers={**bearer, **GERMAN})
        assert answer.json()["errors"][0]["detail"] == "This field is required."
