"""The form on the company's own site, who came by it, and what became of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from crm import held_leads, lead_forms, leads
from crm.lead_forms import FieldTerms
from crm.models import Lead, LeadForm
from gtm.demo.company import DOMAIN, QUALIFIED
from gtm.shared import context

FIELDS = (
    FieldTerms("company", required=True),
    FieldTerms("employee_count", required=True),
    FieldTerms("country"),
    FieldTerms("text", "documents", "How many documents do you check a month?", required=True),
    FieldTerms("choice", "start", "When would you start?", ("This month", "This quarter", "Later")),
)
ANSWER_AFTER = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who filled in the form, so many days ago, and what sales made of it: a lifecycle, or why it was rejected."""

    name: str
    company: str
    domain: str
    employees: int
    country: str
    days_ago: float
    documents: str
    came_to: str
    amount: int = 0
    note: str = ""


VISITORS = (
    Visitor("Amara Okoye", "Harbor Clinics", "harborclinics", 640, "GB", 27, "about 9,000", "deal", amount=38_400_00),
    Visitor("Jonas Weik", "Weik Logistik", "weiklogistik", 420, "DE", 6, "2,500 or so", "mql"),
    Visitor(
        "Clara Moreau", "Atelier Moreau", "ateliermoreau", 30, "FR", 100, "a handful", "no_pain", note="By hand is fine"
    ),
    Visitor(
        "Budi Santoso",
        "Nusantara Leasing",
        "nusantaraleasing",
        180,
        "ID",
        3,
        "4,000",
        "not_reached",
        note="Called twice",
    ),
)
SPAM = {"name": "RankBoost", "email": "hello@rankboost.example", "company": "RankBoost https://rankboost.example"}


def diary(now: datetime, began: datetime) -> Iterator[tuple[datetime, Callable[[Any, datetime], None]]]:
    yield began, _open
    for visitor in VISITORS:
        yield now - timedelta(days=visitor.days_ago), partial(_fill_in, visitor)
    yield now - timedelta(days=1), _send_spam


def _open(_world: Any, at: datetime) -> None:
    lead_forms.create(
        at=at,
        code="demo",
        title="See it with your own documents",
        intro="Half an hour, with documents that you bring.",
        consent_text="You may write to me about this request.",
        thank_you_text="Thank you. We will suggest two times by mail.",
        allowed_hosts=[f"www.{DOMAIN}"],
        fields=FIELDS,
    )


def _fill_in(visitor: Visitor, _world: Any, at: datetime) -> None:
    said = {
        "name": visitor.name,
        "email": f"{visitor.name.split()[0].lower()}@{visitor.domain}.example",
        "company": visitor.company,
        "employee_count": visitor.employees,
        "country": visitor.country,
        "documents": visitor.documents,
        "start": "This quarter",
        "consent": True,
    }
    form = LeadForm.objects.get(code="demo")
    with context.acting("visitor"):
        lead = held_leads.take_in(at=at, said=lead_forms.as_lead(form, said, at=at), because=[], form=form)
    assert isinstance(lead, Lead)
    _answer(visitor, lead, at + ANSWER_AFTER)


def _answer(visitor: Visitor, lead: Lead, at: datetime) -> None:
    if visitor.came_to == "mql":
        leads.transition(lead=lead, to="mql", at=at)
    elif visitor.came_to == "deal":
        step = {"next_step": "Go through the pilot's results", "next_step_at": at + timedelta(days=30)}
        deal = {"name": f"{visitor.company}, all sites", "amount": visitor.amount, **step}
        leads.accept(lead=lead, at=at, qualification=QUALIFIED, opportunity=deal)
    else:
        leads.reject(lead=lead, at=at, reason_code=visitor.came_to, note=visitor.note)


def _send_spam(_world: Any, at: datetime) -> None:
    form = LeadForm.objects.get(code="demo")
    said = lead_forms.as_lead(form, {**SPAM, "employee_count": 5, "documents": "https://rankboost.example"}, at=at)
    with context.acting("visitor"):
        held_leads.take_in(at=at, said=said, because=["too_quick", "links"], form=form)
