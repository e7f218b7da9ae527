"""Leads at the desk: the queue, the acceptance form with the account by domain first, rejection, and what was held."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from crm import countdown, held_leads, leads, owners
from crm.business_hours import Schedule
from crm.models import Account, HeldLead, Lead, Opportunity, RejectReason
from crm.queries.leads import candidates
from gtm.shared import db
from gtm.shared.models import User
from tests import world
from tests.crm import makers

FRI_1730 = datetime(2026, 11, 20, 17, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "due", "minutes"),
    [
        (FRI_1730, FRI_1730 + timedelta(minutes=20), 20),
        (FRI_1730, datetime(2026, 11, 23, 12, 30, tzinfo=UTC), 240),
        (datetime(2026, 11, 21, 9, tzinfo=UTC), datetime(2026, 11, 23, 12, 30, tzinfo=UTC), 210),
        (datetime(2026, 11, 23, 10, tzinfo=UTC), FRI_1730, -90),
        (FRI_1730, FRI_1730, 0),
    ],
)
def test_the_countdown_counts_working_time(now: datetime, due: datetime, minutes: int) -> None:
    assert countdown.left(now=now, due=due, schedule=Schedule("UTC")) == timedelta(minutes=minutes)


@pytest.fixture
def ann(db: None) -> User:
    ann = world.ann()
    makers.sales(ann, manager=world.max_manager())
    return ann


@pytest.fixture
def desk(client: Client, ann: User) -> Client:
    client.force_login(ann)
    return client


def said(lead: Lead, **more: Any) -> dict[str, Any]:
    assert lead.account is not None
    qualified = {name: value for name, value in makers.QUALIFIED.items() if value is not True}
    ticked = {name: "on" for name, value in makers.QUALIFIED.items() if value is True}
    deal = {"make_deal": "on", "amount": "12000.50", "next_step": "Call", "next_step_at": "2026-12-01T09:00"}
    return qualified | ticked | deal | {"account": lead.account.public_id} | more


class TestQueue:
    def test_each_column_holds_its_leads_and_the_time_that_is_left(
        self, desk: Client, django_assert_max_num_queries: Any
    ) -> None:
        at = db.now()
        new, mql, sal, later = (makers.lead(email=f"x@company{n}.com", at=at) for n in range(4))
        leads.transition(lead=mql, to="mql", at=at)
        leads.accept(lead=sal, at=at, qualification=makers.QUALIFIED)
        leads.reject(lead=later, at=at - timedelta(days=100), reason_code="no_pain")
        with django_assert_max_num_queries(19):
            page = desk.get("/crm/leads/queue/")
        found = {column["lifecycle"]: column for column in page.context["columns"]}
        assert [found[name]["count"] for name in ("lead", "mql", "sql", "sal", "rejected")] == [1, 1, 0, 1, 1]
        assert [card["lead"] for card in found["rejected"]["cards"]] == [later]
        assert found["lead"]["cards"][0]["clock"]["words"] == "4 h 0 min" or at.weekday() < 5
        assert found["mql"]["cards"][0]["clock"] is None
        assert new.public_id in page.content.decode()
        desk.force_login(world.otto())
        assert not any(column["count"] for column in desk.get("/crm/leads/queue/").context["columns"])


class TestAccept:
    def test_the_form_makes_a_deal_of_the_account_of_the_domain(self, desk: Client, ann: User) -> None:
        known = makers.account(domain="umbra.com")
        lead = makers.lead(email="dan@umbra.com", company="Umbra Ltd")
        url = f"/crm/leads/{lead.public_id}/accept/"
        page = desk.get(url)
        assert page.context["form"].fields["account"].initial == known.public_id
        assert "same domain" in page.content.decode()
        refused = desk.post(url, said(lead, months_to_project="13", connects_with_power="", next_step=""))
        assert refused.status_code == 422
        assert set(refused.context["form"].errors) == {"months_to_project", "has_power", "next_step"}
        for _click in range(2):
            assert desk.post(url, said(lead)).status_code == 302
        deal = Opportunity.objects.get()
        assert (deal.account, deal.owner, deal.amount, deal.lead) == (known, ann, 1_200_050, lead)
        shown = desk.get(f"/crm/leads/{lead.public_id}/").content.decode()
        for words in ("Why it was accepted", "The old contract ends in spring", deal.public_id):
            assert words in shown

    def test_accounts_of_others_are_neither_offered_nor_taken(self, desk: Client, ann: User) -> None:
        lead = makers.lead()
        theirs = makers.account(domain="umbra.com", employee_count=20)
        owners.give(account=theirs, owner=world.otto(), at=makers.NOON)
        Lead.objects.filter(pk=lead.pk).update(company=theirs.name)
        lead.refresh_from_db()
        offered = candidates(lead, ann, words="umbra")
        assert [(one.account, one.because) for one in offered] == [(lead.account, "domain")]
        url = f"/crm/leads/{lead.public_id}/accept/"
        assert theirs.public_id not in desk.get(f"{url}?words=umbra").content.decode()
        answer = desk.post(url, said(lead, account=theirs.public_id, words="umbra"))
        assert (answer.status_code, set(answer.context["form"].errors)) == (422, {"account"})

    def test_somebody_elses_lead_is_nowhere(self, client: Client, ann: User) -> None:
        lead = makers.lead()
        client.force_login(world.otto())
        url = f"/crm/leads/{lead.public_id}/"
        assert client.get(f"{url}accept/").status_code == 404
        for step in ("accept/", "reject/", "give/", "transition/"):
            assert client.post(url + step, said(lead, reason_code="no_fit", to="mql")).status_code == 404, step
        lead.refresh_from_db()
        assert lead.lifecycle == "lead"


class TestOthers:
    def test_a_lead_is_rejected_taken_up_again_and_given_away(self, desk: Client, ann: User) -> None:
        bob, lead = world.bob(), makers.lead()
        twin = makers.lead(email="dan@acme.com")
        url = f"/crm/leads/{lead.public_id}/"
        assert twin.public_id in desk.get(url).content.decode()
        desk.post(f"{url}reject/", {"reason_code": "no_pain", "note": "a student"})
        page = desk.get(url).content.decode()
        for words in ("No compelling event and no pain", "a student", "Take up again", "Worth another look"):
            assert words in page
        assert "Choose why" in desk.post(f"{url}reject/", {}, follow=True).content.decode()
        desk.post(f"{url}transition/", {"to": "lead"})
        desk.post(f"{url}give/", {"owner": bob.public_id})
        lead.refresh_from_db()
        assert (lead.lifecycle, lead.owner, Account.objects.get().owner) == ("lead", bob, bob)

    def test_held_messages_are_decided_by_who_watches_the_catch_all(self, desk: Client, ann: User) -> None:
        sent = {"kind": "demo", "name": "Eve", "email": "eve@umbra.com", "message": "Buy"}
        for _each in range(2):
            held_leads.take_in(at=db.now(), said=sent, because=["links"])
        assert "Full of links" in desk.get("/crm/leads/held/").content.decode()
        first, second = HeldLead.objects.order_by("pk")
        desk.post(f"/crm/leads/held/{first.public_id}/release/")
        desk.post(f"/crm/leads/held/{second.public_id}/discard/")
        assert Lead.objects.get().email == "eve@umbra.com"
        assert [one.state for one in HeldLead.objects.order_by("pk")] == ["released", "discarded"]
        desk.force_login(world.otto())
        assert desk.get("/crm/leads/held/").status_code == 404
        assert desk.post(f"/crm/leads/held/{first.public_id}/discard/").status_code == 404


class TestPages:
    def test_a_rejection_is_told_on_the_account_and_the_lead_has_its_work(self, desk: Client, ann: User) -> None:
        lead = makers.lead(at=db.now(), email="ada@porto.example", employee_count=500)
        leads.reject(lead=lead, at=db.now(), reason_code="no_pain")
        assert lead.account is not None
        story = desk.get(f"/crm/accounts/{lead.account.public_id}/").content.decode()
        assert RejectReason.objects.get(code="no_pain").label in story
        page = desk.get(f"/crm/leads/{lead.public_id}/").content.decode()
        assert f"?lead={lead.public_id}" in page
