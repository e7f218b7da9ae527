"""Today: everything that waits in one list, in one order, with true counts; worked off, and undone."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client

from crm import emails, inbox, lead_steps, notes, opportunities, opportunity_forms, todos
from crm.letters import Letter
from crm.lists.opportunities import LISTING
from crm.models import Account, Alert, EmailMessage, Lead, Notification, Opportunity, SlaClock, Task
from crm.queries import inbox as rows
from gtm.shared import db, ids
from gtm.shared.errors import Invalid
from gtm.shared.models import User
from tests import world
from tests.crm import makers

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def ann(client: Client) -> User:
    ann = world.ann()
    makers.sales(ann, world.bob(), manager=world.max_manager())
    client.force_login(ann)
    return ann


def text(answer: Any) -> str:
    return str(answer.content.decode())


def letter(**said: Any) -> Letter:
    defaults: dict[str, Any] = {
        "message_id": "1@acme.com",
        "references": (),
        "sender": "cora@acme.com",
        "recipients": ("ann@vendor.example",),
        "delivered_to": (),
        "subject": "Prices",
        "text": "What does it cost?",
        "sent_at": None,
        "attachment_count": 0,
        "attachment_bytes": 0,
    }
    return Letter(**defaults | said)


def everything(ann: User) -> Account:
    """One row of each kind, and two alerts."""
    at, account = db.now(), makers.account(employee_count=250)
    account.refresh_from_db()
    Account.objects.filter(pk=account.pk).update(owner=ann, queue=None)
    Lead.objects.update(owner=ann, queue=None)
    account.refresh_from_db()
    makers.alert(account=account, severity="low", value_at_stake=900, at=at)
    makers.alert(account=account, severity="high", value_at_stake=2, at=at)
    deal = opportunities.create(
        account=account, at=at, name="Acme seats", owner=ann, amount=500_000, currency="USD",
        next_step="Send the offer", next_step_at=at - timedelta(hours=1),
    )  # fmt: skip
    todos.create(at=at, title="Call Cora", assignee=ann, created_by=ann, opportunity=deal, due_at=at)
    emails.receive(letter=letter(), user=ann, at=at)
    max_ = User.objects.get(name="Max")
    notes.write_note(account=account, at=at, text="@ann please look", author=max_)
    return account


def keys(page: Any) -> list[str]:
    return [row["key"].partition(":")[0] for row in page.context["rows"]]


class TestNow:
    def test_all_kinds_stand_in_one_order_with_why_value_and_play(self, client: Client, ann: User) -> None:
        everything(ann)
        page = client.get("/today/")
        body = text(page)
        for words in (
            "used 842 of 1,000 API calls", "Offer the next plan", "Next step: Send the offer", "$5,000.00",
            "Call Cora", "What does it cost?", "please look", "late since", "Cora",
        ):  # fmt: skip
            assert words in body, words
        found = keys(page)
        assert found[0] == "lead"  # it should have been answered
        assert sorted(found) == ["alert", "alert", "lead", "mention", "opportunity", "reply", "task"]
        assert found[-1] == "alert"
        counts = page.context["counts"]
        assert (counts.now, counts.snoozed, counts.done) == (len(found), 0, 0)
        assert f'id="nav-today">{len(found)}</span>' in body

    def test_an_alert_says_by_when_it_is_to_be_answered(self, client: Client, ann: User) -> None:
        everything(ann)
        clock = SlaClock.objects.exclude(alert=None).earliest("recorded_at")
        assert clock.alert is not None
        shown = {row["key"]: row for row in client.get("/today/").context["rows"]}
        row = shown[f"alert:{clock.alert.public_id}"]
        assert (row["due_at"], row["late"]) == (clock.due_at, clock.due_at <= db.now())

    def test_the_database_sorts_as_the_rule_says(self, ann: User) -> None:
        everything(ann)
        at = db.now()
        found = rows.listed(rows.desk(ann, at=at), "now").rows
        severity = {row.thing.pk: row.thing.severity for row in found if row.kind == "alert"}
        ruled = [inbox.Row(r.kind, r.thing.pk, r.since, severity.get(r.thing.pk, ""), r.due_at, r.worth) for r in found]
        assert [row.id for row in sorted(ruled, key=lambda row: inbox.place(row, at))] == [r.thing.pk for r in found]
        assert [row.band for row in found] == [inbox.band(r.kind, r.severity, r.due_at, at) for r in ruled]

    def test_pages_follow_each_other_and_ask_as_often(
        self, client: Client, ann: User, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
    ) -> None:
        account = everything(ann)
        whole = [row["key"] for row in client.get("/today/").context["rows"]]
        monkeypatch.setattr(rows, "PAGE", 3)
        url, seen = "/today/", []
        while url:
            page = client.get(url)
            seen += [row["key"] for row in page.context["rows"]]
            url = f"/today/{page.context['next_url']}" if page.context["next_url"] else ""
        assert seen == whole
        monkeypatch.setattr(rows, "PAGE", 50)
        assert client.get("/today/?tab=now&after=nonsense").status_code == 200
        client.get("/today/")
        with django_assert_num_queries(17):
            client.get("/today/")
        for _n in range(5):
            makers.alert(account=account, at=db.now())
            todos.create(at=db.now(), title="More", assignee=ann, account=account, due_at=db.now())
        with django_assert_num_queries(17):
            client.get("/today/")

    def test_a_free_desk_says_what_comes_next(self, client: Client, ann: User) -> None:
        assert "You are through" in text(client.get("/today/"))

    def test_others_see_nothing_of_it(self, client: Client, ann: User) -> None:
        everything(ann)
        named = [row["key"] for row in client.get("/today/").context["rows"]]
        client.force_login(world.otto())
        assert not client.get("/today/").context["rows"]
        for key in named:
            assert client.post("/today/step/", {"row": key, "step": "done"}).status_code == 403
        deal = Opportunity.objects.get()
        assert client.post(f"/today/next-step/{deal.public_id}/", {}).status_code == 404
        assert set(Alert.objects.values_list("state", flat=True)) == {"open"}


class TestSteps:
    def steps(self, client: Client, kind: str) -> str:
        return next(row["key"] for row in client.get("/today/").context["rows"] if row["key"].startswith(kind))

    @pytest.mark.parametrize(
        ("kind", "step", "tab"),
        [
            ("alert", "done", "done"),
            ("alert", "snooze:3d", "snoozed"),
            ("alert", "not_useful:known", "done"),
            ("alert", "take", "now"),
            ("lead", "snooze:1d", "snoozed"),
            ("lead", "not_useful:spam", "done"),
            ("task", "done", "done"),
            ("task", "snooze:7d", "snoozed"),
            ("task", "not_useful:not_needed", "done"),
            ("opportunity", "snooze:1d", "snoozed"),
            ("reply", "done", "done"),
            ("reply", "snooze:1d", "snoozed"),
            ("mention", "done", "done"),
            ("mention", "snooze:1d", "snoozed"),
        ],
    )
    def test_a_step_moves_the_row_and_is_undone(
        self, client: Client, ann: User, kind: str, step: str, tab: str
    ) -> None:
        everything(ann)
        key = self.steps(client, kind)
        before = client.get("/today/").context["counts"]
        client.post("/today/step/", {"row": key, "step": step})
        moved = client.get(f"/today/?tab={tab}")
        assert key in [row["key"] for row in moved.context["rows"]]
        counts = moved.context["counts"]
        assert getattr(counts, tab) == getattr(before, tab) + (tab != "now")
        assert counts.now == before.now - (tab != "now")
        client.post("/today/undo/", headers=HTMX)
        assert client.get("/today/").context["counts"] == before
        assert client.get("/today/").context["undo_label"] == ""

    def test_several_rows_at_once_and_what_is_refused_is_told(self, client: Client, ann: User) -> None:
        everything(ann)
        named = [row["key"] for row in client.get("/today/").context["rows"]]
        answer = client.post("/today/step/?tab=now", {"row": named, "step": "done"}, headers=HTMX)
        assert answer["HX-Retarget"] == "#today"
        body = text(answer)
        assert "A lead is worth a call or it is rejected." in body
        assert "Write the next step" in body
        assert "Done: 5 rows. 2 rows left." in body
        assert '<span class="count" id="nav-today" hx-swap-oob="true">2</span>' in body
        client.post("/today/undo/")
        assert client.get("/today/").context["counts"].now == 7
        assert Task.objects.get().state == "open"

    def test_a_refusal_keeps_everything(self, client: Client, ann: User) -> None:
        everything(ann)
        key = self.steps(client, "task")
        for step in ("snooze:9d", "not_useful", "nonsense"):
            client.post("/today/step/", {"row": [key, "x:y", "task:nonsense"], "step": step})
        client.post("/today/step/", {})
        assert client.get("/today/").context["counts"].now == 7
        assert "There is nothing to undo." in text(client.post("/today/undo/", follow=True))

    def test_undo_leaves_what_somebody_has_gone_on_with(self, client: Client, ann: User) -> None:
        everything(ann)
        client.post("/today/step/", {"row": self.steps(client, "task"), "step": "done"})
        todos.reopen(task=Task.objects.get(), at=db.now())
        assert "Somebody has gone on with it since." in text(client.post("/today/undo/", headers=HTMX))

    def test_a_next_step_is_followed_by_another(self, client: Client, ann: User) -> None:
        everything(ann)
        deal = Opportunity.objects.get()
        url = f"/today/next-step/{deal.public_id}/"
        assert "Say what the next step is" in text(client.post(url, {"next_step": "x"}, headers=HTMX))
        client.post(url, {"next_step": "Sign", "next_step_on": f"{db.now() + timedelta(days=9):%Y-%m-%d}"})
        deal.refresh_from_db()
        assert deal.next_step == "Sign"
        due = deal.next_step_at
        assert due is not None
        assert due.astimezone(ZoneInfo(ann.timezone)).hour == 17
        assert client.get("/today/").context["counts"].now == 6

    def test_who_takes_what_nobody_owns_becomes_its_owner(self, client: Client, ann: User) -> None:
        account = makers.account(employee_count=5)
        assert account.owner is None
        client.post("/today/step/", {"row": self.steps(client, "lead"), "step": "take"})
        account.refresh_from_db()
        assert account.owner == ann
        assert Lead.objects.get().lifecycle == "mql"

    def test_a_request_is_late_until_it_is_answered_and_stays_until_it_is_qualified(
        self, client: Client, ann: User
    ) -> None:
        account = makers.account(employee_count=250)
        Account.objects.filter(pk=account.pk).update(owner=ann, queue=None)
        at = db.now()
        Lead.objects.update(owner=ann, queue=None, sla_due_at=at - timedelta(hours=1))
        SlaClock.objects.update(due_at=at - timedelta(hours=1))
        lead = Lead.objects.get()

        def row() -> tuple[bool, int, str]:
            found = rows.listed(rows.desk(ann, at=db.now()), "now").rows[0]
            shown = client.get("/today/").context["rows"][0]
            return shown["late"], found.band, shown["play"]

        late = "/crm/leads/?late=1"
        assert row()[:2] == (True, inbox.BURNING)
        assert lead.public_id in text(client.get(late))
        lead_steps.answer(lead=lead, at=at)
        assert row() == (False, inbox.TODAY, "It was answered: say whether it is worth a call.")
        assert lead.public_id not in text(client.get(late))
        client.post("/today/step/", {"row": f"lead:{lead.public_id}", "step": "take"})
        assert row() == (False, inbox.TODAY, "Call, then qualify or reject it.")
        client.post("/today/step/", {"row": f"lead:{lead.public_id}", "step": "done"})
        assert row() == (False, inbox.URGENT, "Accept or reject it: it has been qualified for you.")
        assert client.get("/today/").context["counts"].now == 1

    def test_a_step_that_is_saved_for_the_same_day_stays_due_when_it_was(self, client: Client, ann: User) -> None:
        everything(ann)
        User.objects.filter(pk=ann.pk).update(timezone="America/Los_Angeles")
        ann.refresh_from_db()
        deal = Opportunity.objects.get()
        before, shown = deal.next_step_at, opportunity_forms.shown(deal, ann) | {"name": "Renamed", "owner": ann.pk}
        data = {name: "" if value is None else value for name, value in shown.items()}
        form = opportunity_forms.OpportunityForm(data, user=ann, deal=deal, initial=opportunity_forms.shown(deal, ann))
        assert form.is_valid(), form.errors
        assert "next_step_at" not in form.values()
        column = LISTING.column("next_step_at")
        assert column is not None
        assert column.edit is not None
        day = column.edit.value(deal)
        column.edit.write(deal, day, db.now())
        assert Opportunity.objects.get().next_step_at == before
        column.edit.write(Opportunity.objects.get(), day + timedelta(days=9), db.now())
        moved = Opportunity.objects.get()
        assert moved.next_step_at == opportunity_forms.end_of_work(day + timedelta(days=9), ann)
        assert column.edit.value(moved) == day + timedelta(days=9)

    def test_several_rows_are_put_away_for_a_reason_that_is_theirs(self, client: Client, ann: User) -> None:
        everything(ann)
        page = client.get("/today/")
        offered = {one["label"]: one["value"] for one in page.context["reasons"]}
        assert offered["Nothing to gain"] == "not_useful:alert,task/no_value"
        assert offered["No funded project in sight"].startswith("not_useful:lead/")
        named = [row["key"] for row in page.context["rows"]]
        answer = client.post("/today/step/", {"row": named, "step": offered["I knew already"]}, headers=HTMX)
        assert "5 rows stay" in text(answer)
        assert "Choose why" not in text(answer)
        assert set(Alert.objects.values_list("state", "feedback_reason")) == {("dismissed", "known")}
        client.post("/today/step/", {"row": named, "step": offered["No funded project in sight"]}, headers=HTMX)
        assert Lead.objects.get().lifecycle == "rejected"

    def test_in_a_dead_zone_nobody_becomes_the_owner_without_a_reason(self, client: Client, ann: User) -> None:
        account = makers.account(employee_count=5)
        Account.objects.filter(pk=account.pk).update(dead_zone="dead")
        makers.alert(account=account, at=db.now())
        lead = Lead.objects.get()
        for kind in ("lead", "alert"):
            answer = client.post("/today/step/", {"row": self.steps(client, kind), "step": "take"}, headers=HTMX)
            assert "which asks why" in text(answer)
        client.post(f"/crm/leads/{lead.public_id}/give/", {"owner": ann.public_id})
        account.refresh_from_db()
        assert account.owner is None
        assert Lead.objects.get().lifecycle == "lead"
        qualified = {
            "lead": lead,
            "qualification": {**makers.QUALIFIED, "months_to_project": 1},
            "by": ann,
            "at": db.now(),
        }
        with pytest.raises(Invalid, match="dead zone"):
            lead_steps.accept(**qualified)
        lead_steps.accept(**qualified, reason="They are to grow")
        account.refresh_from_db()
        assert account.owner == ann
        client.post(
            f"/crm/leads/{lead.public_id}/give/",
            {"owner": User.objects.get(name="Bob").public_id, "reason": "Bob knows them"},
        )
        account.refresh_from_db()
        assert str(account.owner) == "Bob"

    def test_what_has_no_room_on_the_accounts_page_stands_in_the_lists(self, client: Client, ann: User) -> None:
        account = everything(ann)
        deal = Opportunity.objects.get()
        for n in range(9):
            deal.pk, deal.name, deal._state.adding = ids.uuid7(), f"Deal {n}", True
            deal.save(force_insert=True)
        assert f"/crm/opportunities/?account={account.public_id}" in text(
            client.get(f"/crm/accounts/{account.public_id}/")
        )
        for name in ("contacts", "leads", "opportunities"):
            for of, count in ((account.public_id, 10 if name == "opportunities" else 1), ("acc_x", 0)):
                assert len(client.get(f"/crm/{name}/?account={of}").context["rows"]) == count, name

    def test_a_day_that_is_none_is_told(self, client: Client, ann: User) -> None:
        account = everything(ann)
        for step in ("override", "lock"):
            answer = client.post(f"/crm/accounts/{account.public_id}/{step}/", {"until": "someday"}, follow=True)
            assert "Until: Enter a valid date." in text(answer)

    def test_a_manager_sees_what_sales_leads(self, client: Client, ann: User) -> None:
        led = makers.alert(account=makers.account(employee_count=5000), at=db.now())
        makers.alert(account=makers.account(domain="mid.com"), at=db.now())
        client.force_login(User.objects.get(name="Max"))
        assert [row["key"] for row in client.get("/today/").context["rows"]] == [f"alert:{led.public_id}"]

    def test_what_is_answered_leaves_and_what_comes_late_returns(self, client: Client, ann: User) -> None:
        account = everything(ann)
        reply = EmailMessage.objects.get()
        contact = account.contacts.get()
        emails.send(
            account=account, contact=contact, user=ann, subject="Re: Prices", body="Ten.", at=db.now(), answers=reply
        )
        assert "reply" not in keys(client.get("/today/"))
        Notification.objects.filter(kind="mention").update(snoozed_until=db.now() - timedelta(minutes=1))
        assert "mention" in keys(client.get("/today/"))
