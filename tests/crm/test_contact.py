"""Talk to sales, as a visitor meets it."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from crm.models import HeldLead, Lead
from crm.public_forms import opened_at
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


def test_what_looks_like_spam_is_held_and_thanked_for(client: Client, sent: dict[str, object]) -> None:
    """A quick message is fine unless it holds links."""
    with_link = sent | {"message": "See https://pills.example"}
    for odd in (
        sent | {"referral_code": "cheap pills"},
        with_link,
        with_link | {"opened": ""},
        with_link | {"opened": _opened(timedelta(days=9))},
    ):
        assert "Thank you" in client.post("/contact-sales/", odd, follow=True).content.decode()
    assert not Lead.objects.exists()
    assert [held.because for held in HeldLead.objects.order_by("pk")] == [
        ["trap"],
        ["too_quick"],
        ["not_opened"],
        ["too_old"],
    ]
    assert client.post("/contact-sales/", with_link | {"opened": _opened(timedelta(minutes=3))}).status_code == 302
    assert client.post("/contact-sales/", sent).status_code == 302
    assert Lead.objects.count() == 2


def _opened(ago: timedelta) -> str:
    return opened_at("contact", timezone.now() - ago)


def test_what_one_person_sends_again_and_again_is_held(client: Client, sent: dict[str, object]) -> None:
    answers = [client.post("/contact-sales/", sent).status_code for _message in range(11)]
    assert answers == [302] * 11
    assert (Lead.objects.count(), HeldLead.objects.get().because) == (10, ["many"])


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
    with django_assert_num_queries(2):  # type: ignore[operator]  # the time, and the vendor's row
        client.get("/contact-sales/")
