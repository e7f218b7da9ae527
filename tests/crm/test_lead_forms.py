"""Forms of the founders' own: on their page, within the vendor's pages, and held where they look like spam."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from crm import embedding, held_leads, lead_forms, spam
from crm.lead_forms import FieldTerms
from crm.models import HeldLead, Lead, LeadForm
from crm.public_forms import opened_at
from crm.spam import Sending
from gtm.shared import context, db
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event
from tests import world
from tests.billing import makers as billing
from tests.crm import makers
from tests.crm.test_contact import INSIDE_WORDS

SITE = "https://www.example.com"


# --- pure --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("www.example.com", "www.example.com"),
        (" https://WWW.example.com/contact?x=1 ", "www.example.com"),
        ("https://user:pw@example.com:8443/", "example.com:8443"),
        ("*.example.com", "*.example.com"),
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("localhost:8000", "localhost:8000"),
        ("http://[", None),
        ("example.com; script-src *", None),
        ("'none'", None),
        ("*", None),
        ("", None),
    ],
)
def test_a_host_is_what_people_paste(text: str, host: str | None) -> None:
    assert embedding.host(text) == host


@pytest.mark.parametrize(
    ("origin", "admitted"),
    [
        ("https://www.example.com", True),
        ("https://shop.acme.io", True),
        ("https://acme.io", False),
        ("https://evilacme.io", False),
        ("https://www.example.com.evil.io", False),
        ("null", False),
        ("", False),
    ],
)
def test_only_pages_of_the_hosts_are_admitted(origin: str, admitted: bool) -> None:
    assert embedding.admits(["www.example.com", "*.acme.io"], origin) == admitted


@pytest.mark.parametrize(
    ("sending", "because"),
    [
        (Sending(age=timedelta(seconds=2)), []),
        (Sending(age=timedelta(seconds=1)), ["too_quick"]),
        (Sending(age=timedelta(days=2)), []),
        (Sending(age=timedelta(days=2, seconds=1)), ["too_old"]),
        (Sending(age=None), ["not_opened"]),
        (Sending(age=None, from_allowed_page=True), []),
        (Sending(age=timedelta(minutes=1), long="https://a.io and https://b.io"), []),
        (Sending(age=timedelta(minutes=1), long="https://a.io www.b.io [url=c]"), ["links"]),
        (Sending(age=timedelta(minutes=1), short="Acme https://a.io"), ["links"]),
        (Sending(age=None, trap="x", one_of_many=True), ["trap", "not_opened", "many"]),
        (Sending(age=timedelta(0), lenient=True), []),
        (Sending(age=timedelta(0), lenient=True, long="see https://a.io"), ["too_quick"]),
    ],
)
def test_what_people_do_not_do_is_suspicious(sending: Sending, because: list[str]) -> None:
    assert spam.suspicions(sending) == because
    assert set(because) <= spam.LABELS.keys()


# --- kept by founders --------------------------------------------------------------------------
def a_form(**said: Any) -> LeadForm:
    asked = [
        FieldTerms("company", required=True),
        FieldTerms("employee_count"),
        FieldTerms("text", "crm_today", "Which CRM do you use?"),
        FieldTerms("choice", "when", "When do you start?", ("This month", "Later"), required=True),
    ]
    terms: dict[str, Any] = {
        "code": "demo",
        "kind": "demo",
        "title": "Request a demo",
        "consent_text": "You may write to me.",
        "allowed_hosts": [SITE],
        "fields": asked,
    }
    return lead_forms.create(at=makers.NOON, **terms | said)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("said", "attr"),
    [
        ({"code": "de mo"}, "code"),
        ({"allowed_hosts": ["www.example.com; script-src *"]}, "allowed_hosts"),
        ({"thanks_url": "https://elsewhere.io/thanks"}, "thanks_url"),
        ({"fields": [FieldTerms("text", "email", "Your other address?")]}, "code"),
        ({"fields": [FieldTerms("text", "a", "A?"), FieldTerms("text", "a", "A?")]}, "code"),
        ({"fields": [FieldTerms("text", "a", " ")]}, "label"),
        ({"fields": [FieldTerms("choice", "a", "A?", ("one",))]}, "choices"),
        ({"fields": [FieldTerms("text", f"q{n}", "?") for n in range(31)]}, "fields"),
    ],
)
def test_what_a_form_cannot_be_is_refused(said: dict[str, Any], attr: str) -> None:
    with pytest.raises(Invalid) as refused:
        a_form(**said)
    assert refused.value.attr == attr
    assert not LeadForm.objects.exists()


@pytest.mark.django_db
def test_a_form_is_changed_and_what_was_used_is_not_removed() -> None:
    makers.sales(world.ann())
    form = a_form()
    form = lead_forms.change(form=form, at=makers.NOON, title="See it", fields=[FieldTerms("message")])
    assert [field.code for field in lead_forms.terms(form)] == ["message"]
    assert Event.objects.get(type="crm.lead_form.changed").data["changed"] == ["fields", "title"]
    lead_forms.remove(form=a_form(code="unused"), at=makers.NOON)
    held_leads.take_in(at=makers.NOON, said={"kind": "demo", "name": "C", "email": "c@acme.com"}, because=[], form=form)
    with pytest.raises(Conflict):
        lead_forms.remove(form=form, at=makers.NOON)


# --- as visitors meet them ---------------------------------------------------------------------
@pytest.fixture
def said(db: None) -> dict[str, Any]:
    """What a person sends who opened the page half a minute ago."""
    makers.sales(world.ann())
    a_form()
    return {
        "name": "Cora",
        "email": "cora@acme.com",
        "company": "Acme",
        "employee_count": "250",
        "crm_today": "A spreadsheet",
        "when": "This month",
        "consent": "on",
        "opened": opened_at("form:demo", now() - timedelta(seconds=30)),
        "referral_code": "",
    }


def now() -> Any:
    return db.now()


def test_a_person_becomes_a_routed_lead_without_a_cookie(client: Client, said: dict[str, Any]) -> None:
    strict = Client(enforce_csrf_checks=True)
    page = strict.get("/f/demo/")
    assert "frame-ancestors 'self' www.example.com" in page.headers["Content-Security-Policy"]
    assert "X-Frame-Options" not in page.headers
    answer = strict.post("/f/demo/", said)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/f/demo/thanks/")
    assert "4 working hours" in strict.get("/f/demo/thanks/").content.decode()
    assert not strict.cookies
    lead = Lead.objects.get()
    assert (lead.kind, lead.source, lead.employee_count, str(lead.owner)) == ("demo", "form:demo", 250, "Ann")
    assert [(one["code"], one["label"], one["answer"]) for one in lead.answers] == [
        ("crm_today", "Which CRM do you use?", "A spreadsheet"),
        ("when", "When do you start?", "This month"),
    ]
    assert lead.consent["text"] == "You may write to me."
    assert Event.objects.get(type="crm.lead.created").actor == "visitor"


def test_what_is_missing_is_said_and_other_pages_may_not_show_it(client: Client, said: dict[str, Any]) -> None:
    answer = client.post("/f/demo/", said | {"when": "Never", "consent": "", "company": ""})
    assert answer.status_code == 422
    assert set(answer.context["form"].errors) == {"when", "consent", "company"}
    LeadForm.objects.update(allowed_hosts=[])
    assert "frame-ancestors 'self';" in client.get("/f/demo/").headers["Content-Security-Policy"] + ";"
    LeadForm.objects.update(active=False)
    assert [client.get(path).status_code for path in ("/f/demo/", "/f/demo/thanks/", "/f/other/")] == [404] * 3
    assert client.get("/contact-sales/").headers["X-Frame-Options"] == "DENY"


def test_a_form_of_the_vendors_own_page_needs_no_stamp(client: Client, said: dict[str, Any]) -> None:
    lead_forms.change(form=LeadForm.objects.get(), at=now(), thanks_url=f"{SITE}/thanks")
    plain = {name: value for name, value in said.items() if name not in ("opened", "referral_code")}
    answer = client.post("/f/demo/", plain, headers={"Origin": SITE})
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{SITE}/thanks")
    assert (
        client.post("/f/demo/", plain, headers={"Origin": "https://evil.io"}).headers["Location"] == "/f/demo/thanks/"
    )
    assert (Lead.objects.count(), HeldLead.objects.get().because) == (1, ["not_opened"])


def test_spam_is_answered_like_everybody_and_nothing_is_lost(client: Client, said: dict[str, Any]) -> None:
    good = client.post("/f/demo/", said)
    odd = [
        said | {"referral_code": "pills"},
        said | {"opened": opened_at("form:demo", now())},
        said | {"opened": opened_at("form:other", now() - timedelta(minutes=1))},
        said | {"crm_today": "https://pills.io"},
    ]
    for one in odd:
        answer = client.post("/f/demo/", one)
        assert (answer.status_code, answer.headers["Location"]) == (good.status_code, good.headers["Location"])
    held = list(HeldLead.objects.order_by("pk"))
    assert [one.because for one in held] == [["trap"], ["too_quick"], ["not_opened"], ["links"]]
    with context.acting("user:usr_x"):
        lead = held_leads.release(held=held[1], at=now())
        held_leads.discard(held=held[0], at=now())
    assert (lead.answers, lead.credited_team) == (Lead.objects.order_by("pk")[0].answers, "marketing")
    for decide in (held_leads.release, held_leads.discard):
        with pytest.raises(Conflict):
            decide(held=held[1], at=now())
    facts = Event.objects.filter(type__startswith="crm.held_lead.").order_by("position")
    assert [one.type.rpartition(".")[2] for one in facts] == ["received"] * 4 + ["released", "discarded"]
    assert "Cora" not in str([one.data for one in facts])


def test_the_page_speaks_the_readers_language_and_asks_for_little(
    client: Client, said: dict[str, Any], django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(4):  # the time, the form, its fields, the vendor
        page = client.get("/f/demo/?language=de").content.decode()
    assert 'lang="de"' in page
    assert not [word for word in INSIDE_WORDS if word in page.lower()]
    assert "Ihr Name" in page
    answer = client.post("/f/demo/?language=de", said)
    assert answer.headers["Location"] == "/f/demo/thanks/?language=de"


def test_no_form_gates_what_is_sold_by_itself(client: Client, said: dict[str, Any]) -> None:
    """S4-22."""
    billing.published_plan(code="pro")
    assert "/checkout/pro/" in client.get("/pricing/").content.decode()
    assert "/pricing/" in client.get("/f/demo/").content.decode()
