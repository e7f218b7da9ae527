"""Tasks, notes, calls, renewals and the bell: what they keep, whom they tell, and to whom they stay closed."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import Price, SubscriptionItem
from crm import accounts, calls, clock, notes, notifications, plays, renewals, todos
from crm.models import Account, Call, Lead, Note, Notification, Task
from gtm import clocks
from gtm.shared import context, db, outbox
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event, Mail, User
from tests import world
from tests.billing import makers as billing
from tests.crm import makers

pytestmark = pytest.mark.django_db
NOON = makers.NOON
LATER = NOON + timedelta(hours=1)


@pytest.fixture
def ann() -> User:
    ann = world.ann()
    makers.sales(ann, world.bob(), manager=world.max_manager())
    return ann


@pytest.fixture
def acme(ann: User) -> Account:
    account = makers.account()
    accounts.give(account=account, owner=ann, at=NOON)
    outbox.relay()
    account.refresh_from_db()
    return account


def facts(prefix: str) -> list[str]:
    return list(Event.objects.filter(type__startswith=prefix).order_by("position").values_list("type", flat=True))


class TestTasks:
    def test_a_task_goes_through_its_life_and_says_nothing_free_in_facts(self, ann: User, acme: Account) -> None:
        task = todos.create(
            at=NOON, title="Secret plan", assignee=ann, created_by=ann, account=acme, due_at=LATER, remind_at=NOON
        )
        todos.change(task=task, at=NOON, title="Secret plan B", due_at=LATER + timedelta(days=1))
        todos.complete(task=task, at=LATER, outcome="Secretly done")
        with pytest.raises(Conflict):
            todos.complete(task=task, at=LATER)
        todos.reopen(task=task, at=LATER)
        todos.snooze(task=task, at=LATER, until=LATER + timedelta(days=1))
        with pytest.raises(Invalid):
            todos.cancel(task=task, at=LATER, reason=" ")
        todos.cancel(task=task, at=LATER, reason="Secret reason")
        assert facts("crm.task.") == [
            f"crm.task.{what}" for what in ("created", "changed", "done", "reopened", "changed", "canceled")
        ]
        told = str(list(Event.objects.filter(type__startswith="crm.task").values_list("data", "previous", "reason")))
        assert "ecret" not in told
        task.refresh_from_db()
        assert (task.state, task.done_at, task.outcome, task.title) == (
            "canceled", LATER, "Secret reason", "Secret plan B",
        )  # fmt: skip

    def test_it_is_given_only_to_who_sees_the_account(self, ann: User, acme: Account) -> None:
        otto, other = world.otto(), makers.account(domain="other.com")
        with pytest.raises(Invalid, match="Otto does not see this account") as refused:
            todos.create(at=NOON, title="x", assignee=otto, account=acme)
        assert refused.value.attr == "assignee"
        with pytest.raises(Invalid, match="another account"):
            todos.create(at=NOON, title="x", assignee=ann, account=acme, contact=other.contacts.get())
        with pytest.raises(Invalid, match="what is to be done"):
            todos.create(at=NOON, title=" ", assignee=ann)
        assert not Task.objects.exists()
        alone = todos.create(at=NOON, title="x", assignee=otto, created_by=otto)
        assert [list(Task.objects.visible_to(user)) for user in (otto, ann)] == [[alone], []]

    def test_who_is_given_one_is_told_and_reminded_once(self, ann: User, acme: Account) -> None:
        max_ = User.objects.get(name="Max")
        todos.create(at=NOON, title="Call", assignee=ann, created_by=max_, account=acme, remind_at=LATER)
        assert todos.remind(at=NOON) == 0
        assert todos.remind(at=LATER) == 1
        assert todos.remind(at=LATER) == 0
        assert sorted(notifications.of(ann).values_list("kind", flat=True)) == ["reminder", "task"]
        task = Task.objects.get()
        todos.change(task=task, at=LATER, remind_at=LATER + timedelta(hours=1))
        assert todos.remind(at=LATER + timedelta(hours=2)) == 1

    def test_open_work_goes_with_the_account(self, ann: User, acme: Account) -> None:
        task = todos.create(at=NOON, title="Call", assignee=ann, created_by=ann, account=acme)
        bob = User.objects.get(name="Bob")
        with context.acting(f"user:{User.objects.get(name='Max').public_id}"):
            accounts.give(account=acme, owner=bob, at=LATER)
        outbox.relay()
        task.refresh_from_db()
        assert task.assignee == bob
        assert list(notifications.of(bob).values_list("kind", flat=True)) == ["account"]


class TestNotesAndCalls:
    def test_a_note_tells_whom_it_names_if_they_see_the_account(self, ann: User, acme: Account) -> None:
        world.otto()
        max_ = User.objects.get(name="Max")
        with pytest.raises(Invalid, match="Otto does not see this account and is not told"):
            notes.write_note(account=acme, at=NOON, text="@otto @max look", author=ann)
        assert not Note.objects.exists()
        note = notes.write_note(account=acme, at=NOON, text=" @max and @ann: 10@3pm, mail@otto.com ", author=ann)
        notes.change(note=note, at=LATER, text="@max again")
        told = notifications.of(max_).get()
        assert (told.kind, told.note, notifications.unread(ann)) == ("mention", note, 0)
        assert [event.data for event in Event.objects.filter(type="crm.note.written")] == [
            {"mentions": [max_.public_id, ann.public_id]}
        ]

    def test_a_call_keeps_how_it_ended_and_makes_the_next_task(self, ann: User, acme: Account) -> None:
        contact = acme.contacts.get()
        next_task = {"title": "Send the offer", "due_at": LATER}
        calls.log(
            account=acme, at=NOON, outcome="reached", caller=ann, minutes=12, contact=contact, next_task=next_task
        )
        task = Task.objects.get()
        assert (task.assignee, task.contact, task.account) == (ann, contact, acme)
        assert Event.objects.get(type="crm.call.logged").data == {
            "outcome": "reached", "minutes": 12, "task": task.public_id,
        }  # fmt: skip
        for wrong in (
            {"outcome": "x"},
            {"outcome": "reached", "minutes": 2000},
            {"outcome": "reached", "called_at": LATER},
        ):
            with pytest.raises(Invalid):
                calls.log(account=acme, at=NOON, caller=ann, **wrong)
        assert Call.objects.count() == 1


class TestNotifications:
    def test_kinds_are_muted_or_mailed_and_a_digest_comes_once_a_morning(self, ann: User, acme: Account) -> None:
        max_ = User.objects.get(name="Max")
        for wrong in ({"muted": ["x"], "mailed": []}, {"muted": ["task"], "mailed": ["task"]}):
            with pytest.raises(Invalid):
                notifications.choose(user=max_, digest=False, **wrong)
        notifications.choose(user=max_, muted=["task"], mailed=["mention"], digest=True)
        todos.create(at=NOON, title="Call", assignee=max_, created_by=ann, account=acme)
        Mail.objects.all().delete()
        notes.write_note(account=acme, at=NOON, text="@max", author=ann)
        assert [one.kind for one in notifications.of(max_)] == ["mention"]
        early = NOON.replace(hour=6)
        assert [notifications.send_digests(at=at) for at in (early, NOON, LATER)] == [0, 1, 0]
        assert sorted(Mail.objects.values_list("template", "recipient")) == [
            ("digest", "max@vendor.example"), ("notification", "max@vendor.example"),
        ]  # fmt: skip
        assert "1" in Mail.objects.get(template="digest").text
        assert "Acme" not in str(list(Mail.objects.values_list("text", "subject")))
        notifications.read(user=max_, at=LATER)
        assert notifications.send_digests(at=NOON + timedelta(days=1)) == 0
        assert notifications.sweep(at=LATER + timedelta(days=91)) == 1

    def test_the_bell_over_the_web(self, client: Client, ann: User, acme: Account) -> None:
        notes.write_note(account=acme, at=NOON, text="@ann", author=User.objects.get(name="Max"))
        client.force_login(ann)
        page = client.get("/crm/notifications/").content.decode()
        assert 'id="nav-unread">1</span>' in page
        one = Notification.objects.get()
        client.force_login(world.otto())
        assert client.post(f"/crm/notifications/{one.public_id}/").status_code == 404
        client.force_login(ann)
        answer = client.post(f"/crm/notifications/{one.public_id}/")
        assert answer["Location"] == f"/crm/accounts/{acme.public_id}/#work"
        client.post("/crm/notifications/settings/", {"told": ["mention"], "mailed": ["mention", "task"]})
        assert notifications.setting_of(ann).mailed == ["mention"]
        client.post("/crm/notifications/read/")
        assert notifications.unread(ann) == 0


class TestRenewals:
    def test_a_yearly_term_makes_three_tasks_once_each(self, ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
        billing.legal_entity()
        customer = makers.customer(traits={"employee_count": 250})
        billing.subscribed(customer, plan=billing.published_plan(), interval="year", at=NOON)
        account = accounts.for_customer(customer=customer, at=NOON)
        accounts.give(account=account, owner=ann, at=NOON)
        ends = SubscriptionItem.objects.get(price__interval="year").current_period_end
        Price.objects.filter(interval="year").update(interval="month", interval_count=12)  # a year all the same
        monkeypatch.setattr(plays, "PROCUREMENT_FROM", 1)
        made = [renewals.prepare(at=ends - timedelta(days=days)) for days in (91, 90, 89, 60, 60, 30, 1)]
        assert made == [0, 1, 0, 1, 0, 1, 0]
        task = Task.objects.order_by("pk")[0]
        assert (task.assignee, task.account, task.kind) == (ann, account, "renewal")
        assert "in 90 days" in task.why
        assert task.value_at_stake
        assert task.play
        assert "purchasing" in task.description
        assert renewals.prepare(at=ends + timedelta(days=1)) == 0

    def test_a_test_clock_makes_them_as_it_passes(self, ann: User) -> None:
        billing.legal_entity()
        one = billing.clock(frozen_time=NOON)
        customer = makers.customer(test_clock=one, traits={"employee_count": 250})
        billing.subscribed(customer, plan=billing.published_plan(), interval="year", at=NOON)
        account = accounts.for_customer(customer=customer, at=NOON)
        accounts.give(account=account, owner=ann, at=NOON)
        todos.create(at=NOON, title="x", assignee=ann, account=account, remind_at=LATER)
        assert clock.next_due(clock=one) == LATER
        ends = SubscriptionItem.objects.get(price__interval="year").current_period_end
        clocks.advance(clock=one, to=ends - timedelta(days=89))
        assert Task.objects.filter(kind="renewal").count() == 1
        assert Task.objects.get(title="x").reminded_at == LATER


class TestPages:
    def test_work_is_done_from_the_account(self, client: Client, ann: User, acme: Account) -> None:
        client.force_login(ann)
        url = f"/crm/accounts/{acme.public_id}/"
        client.post(f"{url}notes/", {"text": "Met at the fair"})
        client.post(f"{url}calls/", {"outcome": "voicemail", "next_title": "Try again", "next_on": "2026-12-01"})
        client.post("/crm/tasks/new/", {
            "account": acme.public_id, "title": "Offer", "kind": "todo", "assignee": str(ann.pk),
            "due_on": "2026-12-02", "due_time": "09:30", "remind": "hour",
        })  # fmt: skip
        task = Task.objects.get(title="Offer")
        assert (task.due_at, task.due_at and task.due_at - (task.remind_at or task.due_at)) == (
            datetime(2026, 12, 2, 9, 30, tzinfo=timezone.UTC if hasattr(timezone, "UTC") else task.due_at.tzinfo),
            timedelta(hours=1),
        )
        page = client.get(url).content.decode()
        for words in ("Met at the fair", "Try again", "Offer", "Left a message"):
            assert words in page, words
        refused = client.post(f"{url}notes/", {"text": "@bob look"}, follow=True).content.decode()
        assert "Bob does not see this account" in refused
        assert ">@bob look</textarea>" in refused
        client.post(f"/crm/tasks/{task.public_id}/", {"title": "Offer 2", "kind": "call", "assignee": str(ann.pk)})
        client.post(f"/crm/tasks/{task.public_id}/close/", {"step": "done", "outcome": "Sent"})
        task.refresh_from_db()
        assert (task.title, task.state, task.outcome) == ("Offer 2", "done", "Sent")
        listed = client.get("/crm/tasks/?assignee=me&state=open").content.decode()
        assert "Try again" in listed
        assert "Offer 2" not in listed
        named = {"title": "x", "kind": "todo", "assignee": str(ann.pk), "account_name": "acme.com"}
        client.post("/crm/tasks/new/", named)
        assert Task.objects.get(title="x").account == acme
        assert client.post("/crm/tasks/new/", named | {"account_name": "nobody"}).status_code == 422

    def test_others_find_none_of_it(self, client: Client, ann: User, acme: Account) -> None:
        task = todos.create(at=NOON, title="Offer", assignee=ann, account=acme)
        lead = Lead.objects.get()
        client.force_login(world.otto())
        url = f"/crm/accounts/{acme.public_id}"
        posts = [f"{url}/notes/", f"{url}/calls/", f"{url}/mail/", f"/crm/tasks/{task.public_id}/close/"]
        for address in posts:
            assert client.post(address, {"text": "x", "outcome": "reached"}).status_code == 404, address
        for address in (f"/crm/tasks/{task.public_id}/", f"/crm/tasks/new/?lead={lead.public_id}", f"{url}/mail/"):
            assert client.get(address).status_code == 404, address
        assert "Offer" not in client.get("/crm/tasks/").content.decode()
        assert not Note.objects.exists()


def test_free_text_is_joined_when_the_timeline_is_shown(client: Client, ann: User, acme: Account) -> None:
    notes.write_note(account=acme, at=db.now(), text="They moved offices", author=ann)
    client.force_login(ann)
    page: Any = client.get(f"/crm/accounts/{acme.public_id}/").content.decode()
    assert page.count("They moved offices") == 2  # as a note, and in the story
