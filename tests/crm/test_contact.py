"""Talk to sales, as a visitor meets it."""

from datetime import timedelta

import pytest
from django.core import signing
from django.test import Client
from django.utils import timezone

from crm.forms import ContactForm
from crm.models import Lead
from gtm.shared.models import Event
from tests import world
from tests.billing import makers as billing
from tests.crm import makers

pytestmark = pytest.mark.django_db
INSIDE_WORDS = ("lead", "score", "owner", "segment", "motion", "routing", "queue", "crm/")


@pytest.fixture
def sent(client: Client) -> dict[str, object]:
    """A message as a browser sends it."""
    makers.sales(world.ann())
    page = client.get("/contact-sales/")
    opened = page.context["form"]["opened"].value()
    return {
        "name": "Cora",
        "email": "cora@acme.com",
        "company": "Acme",
        "employee_count": "250",
        "country": "DE",
        "needs": ["sso"],
        "message": "Can we talk?",
        "opened": opened,
        "plan": "",
        "referral_code": "",
    }


def test_a_large_company_gets_an_owner_and_a_promise(client: Client, sent: dict[str, object]) -> None:
    answer = client.post("/contact-sales/", sent, follow=True)
    lead = Lead.objects.get()
    assert (lead.owner.name if lead.owner else "", lead.kind, lead.needs) == ("Ann", "contact_sales", ["sso"])
    assert "within 4 working hours" in answer.content.decode()
    assert "Buy now" not in answer.content.decode()
    assert Event.objects.get(type="crm.lead.created").actor == "visitor"


@pytest.mark.parametrize(
    ("employees", "needs", "offered"), [("20", [], True), ("100", [], True), ("101", [], False), ("20", ["sso"], False)]
)
def test_a_small_company_is_offered_to_buy_at_once(
    client: Client, sent: dict[str, object], employees: str, needs: list[str], offered: bool
) -> None:
    answer = client.post("/contact-sales/", sent | {"employee_count": employees, "needs": needs}, follow=True)
    assert ("Buy now" in answer.content.decode()) == offered
    assert Lead.objects.count() == 1


def test_no_word_of_the_inside_is_said(client: Client, sent: dict[str, object]) -> None:
    pages = [
        client.get("/contact-sales/?plan=team"),
        client.post("/contact-sales/", {}),
        client.post("/contact-sales/", sent, follow=True),
        client.get("/contact-sales/thanks/"),
    ]
    for page in pages:
        text = page.content.decode().lower()
        assert not [word for word in INSIDE_WORDS if word in text.replace("leave this empty", "")]


def test_what_is_missing_is_said_in_the_form(client: Client, sent: dict[str, object]) -> None:
    answer = client.post("/contact-sales/", sent | {"email": "nobody", "employee_count": "many"})
    assert answer.status_code == 422
    assert {"email", "employee_count"} == set(answer.context["form"].errors)
    assert 'value="Acme"' in answer.content.decode()
    assert not Lead.objects.exists()


def test_a_sprung_trap_looks_like_success_and_leaves_nothing(client: Client, sent: dict[str, object]) -> None:
    answer = client.post("/contact-sales/", sent | {"referral_code": "cheap pills"}, follow=True)
    assert "Thank you" in answer.content.decode()
    assert not Lead.objects.exists()


def test_a_quick_message_is_fine_unless_it_holds_links(client: Client, sent: dict[str, object]) -> None:
    with_link = sent | {"message": "See https://pills.example"}
    assert client.post("/contact-sales/", with_link).status_code == 422
    assert client.post("/contact-sales/", with_link | {"opened": ""}).status_code == 422
    assert client.post("/contact-sales/", with_link | {"opened": _opened(timedelta(days=9))}).status_code == 422
    assert not Lead.objects.exists()
    assert client.post("/contact-sales/", with_link | {"opened": _opened(timedelta(minutes=3))}).status_code == 302
    assert client.post("/contact-sales/", sent).status_code == 302
    assert Lead.objects.count() == 2


def _opened(ago: timedelta) -> str:
    """The mark of a page that was opened some time ago."""
    signer = signing.TimestampSigner(salt="crm.contact")
    stamp = signing.b62_encode(int((timezone.now() - ago).timestamp()))
    value = f"page{signer.sep}{stamp}"
    signed = f"{value}{signer.sep}{signer.signature(value)}"
    form = ContactForm()
    assert form.fields["opened"].initial.count(signer.sep) == signed.count(signer.sep)
    return signed


def test_one_person_cannot_flood_us(client: Client, sent: dict[str, object]) -> None:
    answers = [client.post("/contact-sales/", sent).status_code for _message in range(11)]
    assert answers == [302] * 10 + [429]


@pytest.mark.parametrize("plan", ["no-such-plan", "x\0y", "'; drop", "x" * 300])
def test_a_plan_that_is_none_is_no_error(client: Client, sent: dict[str, object], plan: str) -> None:
    assert client.get("/contact-sales/", {"plan": plan}).status_code == 200
    assert client.post("/contact-sales/", {"plan": plan}).status_code == 422
    assert client.post("/contact-sales/", sent | {"plan": "no-such-plan"}).status_code == 302


def test_a_plan_that_can_be_bought_is_offered_at_its_checkout(client: Client, sent: dict[str, object]) -> None:
    billing.published_plan(code="pro")
    page = client.get("/contact-sales/?plan=pro").content.decode()
    assert "what you need from Pro" in page
    assert "/checkout/pro/" in page
    small = sent | {"plan": "pro", "employee_count": "20", "needs": []}
    assert "/checkout/pro/" in client.post("/contact-sales/", small, follow=True).content.decode()
    assert Lead.objects.get().metadata == {"plan": "pro"}


def test_who_sent_nothing_is_not_thanked(client: Client) -> None:
    assert client.get("/contact-sales/thanks/").status_code == 302


def test_the_page_is_constant_in_queries(client: Client, django_assert_num_queries: object) -> None:
    with django_assert_num_queries(1):  # type: ignore[operator]  # the vendor's row
        client.get("/contact-sales/")
