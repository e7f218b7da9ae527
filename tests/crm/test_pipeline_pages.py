"""The board and the opportunity's page, as reps use them without scripts and with htmx."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from crm import accounts, opportunities, stakeholders
from crm.models import Account, Call, Contact, LossReason, Opportunity, Stage, StageRequirement
from crm.queries import pipeline as queries
from gtm.shared import db, exchange_rates
from gtm.shared.models import User
from tests import world
from tests.crm import makers

pytestmark = pytest.mark.django_db
BOARD = "/crm/pipeline/"


@pytest.fixture
def ann() -> User:
    ann = world.ann()
    makers.sales(ann)
    return ann


@pytest.fixture
def desk(ann: User) -> Client:
    client = Client()
    client.force_login(ann)
    return client


def deal(**said: Any) -> Opportunity:
    return makers.opportunity(at=db.now(), **said)


def text(answer: Any, status: int = 200) -> str:
    assert answer.status_code == status, answer.content[:500]
    return " ".join(answer.content.decode().split())


def url(deal: Opportunity, rest: str = "") -> str:
    return f"/crm/opportunities/{deal.public_id}/{rest}"


class TestBoard:
    def test_columns_stand_under_their_phases_with_count_and_sum(self, desk: Client, ann: User) -> None:
        account = makers.account(at=db.now())
        for amount in (100_000, 250_050):
            deal(account=account, owner=ann, amount=amount, name=f"Deal {amount}")
        shown = text(desk.get(BOARD))
        assert shown.index("Conversations") < shown.index("Funded projects") < shown.index("Vendor of choice")
        assert "$3,500.50" in shown
        assert "2 deals" in shown
        assert "2 criteria open" in shown
        assert "on time, 0 days" in shown

    def test_other_currencies_are_brought_over_and_without_a_rate_there_are_words(
        self, desk: Client, ann: User
    ) -> None:
        account = makers.account(at=db.now())
        deal(account=account, owner=ann, amount=100_000)
        deal(account=account, owner=ann, amount=90_000, currency="EUR")
        assert "no exchange rate for EUR" in text(desk.get(BOARD))
        yesterday = db.now().date() - timedelta(days=1)
        exchange_rates.create(at=db.now(), date=yesterday, currency="EUR", rate=Decimal("0.9"))
        assert "$2,000.00" in text(desk.get(BOARD))

    def test_filters_stand_in_the_address(self, desk: Client, ann: User) -> None:
        account = makers.account(at=db.now())
        soon = db.now().date()
        deal(account=account, owner=ann, name="Mine", close_date=soon)
        deal(account=account, owner=world.bob(), name="Theirs", close_date=soon + timedelta(days=400))
        everything = text(desk.get(BOARD))
        assert "Mine" in everything
        assert "Theirs" in everything
        for query in ("owner=me", f"owner={ann.public_id}", "period=this_quarter"):
            shown = text(desk.get(f"{BOARD}?{query}"))
            assert ("Mine" in shown, "Theirs" in shown) == (True, False), query
        assert "Mine" not in text(desk.get(f"{BOARD}?segment=nowhere"))
        for odd in ("owner=x", "period=x", "pipeline=x", "column=x&page=x", "page=-1", "owner=%00"):
            assert desk.get(f"{BOARD}?{odd}").status_code == 200

    def test_it_asks_as_much_for_many_deals_and_pages_its_columns(
        self, desk: Client, ann: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queries, "CARDS", 3)
        account, counts = makers.account(at=db.now()), []
        desk.get(BOARD)
        for n in range(2):
            for m in range(4):
                deal(account=account, owner=ann, name=f"Deal {n}-{m}")
            with CaptureQueriesContext(connection) as seen:
                shown = text(desk.get(BOARD))
            counts.append(len(seen))
        assert counts[0] == counts[1] <= 22
        assert shown.count('class="board-card"') == 3
        assert "8 deals" in shown
        more = text(desk.get(f"{BOARD}?column=understanding&page=3", headers={"HX-Request": "true"}))
        assert more.count('class="board-card"') == 2
        assert "Show more" not in more

    def test_steps_back_are_listed_with_who_and_why(self, desk: Client, ann: User) -> None:  # S2-29
        assert "No steps back" in text(desk.get(f"{BOARD}steps-back/"))
        found = deal(owner=ann, close_date_basis="go_live")
        asked = StageRequirement.objects.filter(stage__position__lt=2, required=True)
        said = {f"confirm_{one.public_id}": "on" for one in asked} | {"version": "1"}
        assert desk.post(url(found, "move/"), said | {"to": "evaluation"}).status_code == 302
        back = {"to": "understanding", "version": "2"}
        assert "Why does it go back?" in text(desk.post(url(found, "move/"), back), 422)
        assert desk.post(url(found, "move/"), back | {"reason": "Their CFO left"}).status_code == 302
        shown = text(desk.get(f"{BOARD}steps-back/"))
        for words in ("Running an evaluation → Understanding the offerings", "Their CFO left", "Ann"):
            assert words in shown
        assert "stage=stg_" in text(desk.get(BOARD)), "a column's count leads to its deals"

    def test_a_rep_of_another_team_sees_and_moves_nothing(self, ann: User) -> None:
        found = deal(owner=ann)
        client = Client()
        client.force_login(world.otto())
        assert found.name not in text(client.get(BOARD))
        for rest in ("", "edit/", "move/"):
            assert client.get(url(found, rest)).status_code == 404
        assert client.post(url(found, "move/"), {"to": "lost"}).status_code == 404


class TestMoving:
    def test_a_drag_to_lost_without_a_reason_comes_back_as_the_form(self, desk: Client, ann: User) -> None:  # A44
        found = deal(owner=ann)
        htmx = {"HX-Request": "true"}
        refused = text(desk.post(url(found, "move/"), {"to": "lost", "version": "1"}, headers=htmx), 422)
        assert "Why was it lost?" in refused
        assert "<html" not in refused
        assert Opportunity.objects.get().version == 1
        why = LossReason.objects.get(code="competitor_won")
        said = {"to": "lost", "version": "1", "lost_reason": str(why.pk)}
        assert "Who won it?" in text(desk.post(url(found, "move/"), said, headers=htmx), 422)
        done = desk.post(url(found, "move/"), said | {"competitor": "Rival"}, headers=htmx)
        assert (done.status_code, done.headers["HX-Trigger"]) == (204, "pipeline:moved")
        found.refresh_from_db()
        assert (found.state, found.version) == ("lost", 2)

    def test_all_that_is_missing_is_asked_for_at_once_and_sent_at_once(self, desk: Client, ann: User) -> None:
        found = deal(owner=ann, amount=None)
        asked = text(desk.get(url(found, "move/"), {"to": "evaluation"}))
        for words in ("How much is it worth?", "close date rest on", "The buyer has to confirm"):
            assert words in asked
        asked_for = StageRequirement.objects.filter(stage__position__lt=2, required=True)
        said = {f"confirm_{one.public_id}": "on" for one in asked_for}
        said |= {"to": "evaluation", "amount": "12,000.50", "close_date_basis": "go_live", "version": "1"}
        answer = desk.post(url(found, "move/"), said)
        assert answer.headers["Location"] == url(found)
        found.refresh_from_db()
        assert (found.stage.code, found.amount, found.version) == ("evaluation", 1_200_050, 2)
        assert found.confirmations.count() == asked_for.count()

    def test_who_drags_a_card_that_was_moved_meanwhile_is_told(self, desk: Client, ann: User) -> None:
        found = deal(owner=ann)
        opportunities.change(opportunity=found, at=db.now(), next_step="Write")
        said = {"to": "lost", "lost_reason": str(LossReason.objects.get(code="no_fit").pk), "version": "1"}
        assert "Somebody else changed this meanwhile" in text(desk.post(url(found, "move/"), said), 422)


class TestOpportunity:
    def test_it_is_made_on_an_account_and_shown_from_all_sides(self, desk: Client, ann: User) -> None:
        account = makers.account(at=db.now())
        accounts.give(account=account, owner=ann, at=db.now())
        new = f"/crm/accounts/{account.public_id}/opportunities/new/"
        assert "What is the next step?" in text(desk.post(new, {"name": "Acme", "kind": "new", "currency": "USD"}), 422)
        said = {"name": "Acme", "kind": "new", "currency": "USD", "amount": "5000", "next_step": "Call"}
        answer = desk.post(new, said | {"next_step_on": "2030-01-31", "owner": str(ann.pk)})
        found = Opportunity.objects.get()
        assert answer.headers["Location"] == url(found)
        shown = text(desk.get(url(found)))
        for words in ("$5,000.00", "Understanding the offerings", "The buyer confirms", "Rests on", "Created:"):
            assert words in shown
        assert "Acme" in text(desk.get(f"/crm/accounts/{account.public_id}/"))

    def test_its_facts_people_criteria_and_risks_are_kept(self, desk: Client, ann: User) -> None:
        found = deal(owner=ann)
        page = desk.get(url(found, "edit/"))
        said = {name: field.value() for name, field in ((f.name, f) for f in page.context["form"])}
        said = {name: "" if value is None else value for name, value in said.items()} | {"owner": str(ann.pk)}
        assert desk.post(url(found, "edit/"), said | {"next_step": "Send the quote"}).status_code == 302
        assert "Somebody else" in text(desk.post(url(found, "edit/"), said | {"name": "Other"}), 422)
        assert "When is the next step due?" in text(desk.post(url(found, "edit/"), said | {"next_step_on": ""}), 422)
        asked = StageRequirement.objects.filter(stage=found.stage)[0]
        desk.post(url(found, f"criteria/{asked.public_id}/"), {"evidence": "Mail of 3 March"})
        cora = Contact.objects.get(account=found.account)
        desk.post(url(found, "stakeholders/"), {"contact": cora.pk, "role": "champion", "stance": "for"})
        assert "Say which requirement" in text(
            desk.post(url(found, "risks/"), {"text": "No SOC 2", "kind": "blocker"}), 422
        )
        desk.post(url(found, "risks/"), {"text": "No SOC 2", "kind": "blocker", "requirement": "soc2"})
        shown = text(desk.get(url(found)))
        for words in ("Send the quote", "Mail of 3 March", "Champion", "soc2", "confirmed"):
            assert words in shown
        assert [(name, total.amount) for name, total in queries.blocked_amounts(user=ann, at=db.now())] == [
            ("soc2", 100_000)
        ]
        assert "/crm/pipeline/blocked/" in text(desk.get("/crm/pipeline/"))
        assert "$1,000.00" in text(desk.get("/crm/pipeline/blocked/"))
        desk.post(url(found, f"risks/{found.risks.get().public_id}/resolve/"))
        desk.post(url(found, f"stakeholders/{found.stakeholders.get().public_id}/remove/"))
        desk.post(url(found, f"criteria/{asked.public_id}/"), {"withdraw": "1"})
        assert (found.confirmations.count(), found.stakeholders.count()) == (0, 0)
        assert queries.blocked_amounts(user=ann, at=db.now()) == []
        for rest in ("criteria/x/", "risks/x/resolve/", "stakeholders/x/remove/"):
            assert desk.post(url(found, rest)).status_code == 404

    def test_what_to_look_at_is_said(self, desk: Client, ann: User) -> None:
        found = deal(owner=ann)
        long_ago = db.now() - timedelta(days=60)
        Opportunity.objects.filter(pk=found.pk).update(
            stage_entered_at=long_ago, category="commit", next_step_at=long_ago, close_date=long_ago.date()
        )
        shown = text(desk.get(url(found)))
        for words in ("Commit at risk", "close date is over", "next step is overdue", "lack persuasion", "Show value"):
            assert words in shown
        assert "stuck, 60 days" in text(desk.get(BOARD))

    def test_silence_is_suggested_and_any_word_of_theirs_ends_it(self, desk: Client, ann: User) -> None:  # S2-41
        found = makers.opportunity(at=db.now() - timedelta(days=30), owner=ann)
        page = url(found)
        assert "Mark as unresponsive?" in text(desk.get(page))
        told = {"account": found.account, "outcome": "reached", "caller": ann, "called_at": db.now()}
        Call.objects.create(**told)
        assert "Mark as unresponsive?" not in text(desk.get(page))


def test_stakeholders_of_merged_worlds_stay_with_their_deal(ann: User) -> None:
    """A contact that goes takes its seat at the table along, and nothing else."""
    found = deal(owner=ann)
    extra = Contact.objects.create(account=Account.objects.get(pk=found.account_id), name="Carl")
    stakeholders.put(opportunity=found, contact=extra, role="user", at=db.now())
    extra.delete()
    assert Stage.objects.filter(opportunities=found).exists()
    assert found.stakeholders.count() == 0
