"""Tasks: given to somebody, done by a time, and put off or canceled with a reason.

(``crm.tasks`` is the background work.)
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from crm import notifications
from crm.models import Account, Contact, EmailMessage, Lead, Notification, Opportunity, Task
from gtm.shared import context, db, outbox, saving
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import User, write

CHANGEABLE = frozenset({"title", "description", "kind", "due_at", "remind_at", "assignee", "external_id", "metadata"})
TOLD = frozenset({"kind", "due_at", "remind_at"})
REMIND_BATCH = 500
OPEN, DONE, CANCELED = Task.State


# --- made --------------------------------------------------------------------------------------
@transaction.atomic
def create(
    *,
    at: datetime,
    title: str,
    assignee: User,
    created_by: User | None = None,
    account: Account | None = None,
    contact: Contact | None = None,
    lead: Lead | None = None,
    opportunity: Opportunity | None = None,
    **fields: Any,
) -> Task:
    """Give somebody a task; publishes ``crm.task.created``, and tells the assignee unless it is their own.

    Without an account it is the opportunity's, the lead's or the person's. Raises Invalid for somebody who does not
    see the account, and for a person, a request or a deal of another account.
    """
    account = account or account_of(contact, lead, opportunity)
    check_related(account, contact=contact, lead=lead, opportunity=opportunity)
    task = Task(
        title=title.strip(),
        assignee=assignee,
        created_by=created_by,
        account=account,
        contact=contact,
        lead=lead,
        opportunity=opportunity,
        test_clock_id=account.test_clock_id if account else None,
        **fields,
    )
    _check(task)
    saving.insert(task)
    data = {
        "kind": task.kind,
        "assignee": assignee.public_id,
        "due_at": _told(task.due_at),
        "origin": task.origin or "",
    }
    _tell(task, "crm.task.created", at=at, data=data)
    if created_by != assignee:
        _notify([task], Notification.Kind.TASK, at)
    return task


def account_of(
    contact: Contact | None = None, lead: Lead | None = None, opportunity: Opportunity | None = None
) -> Account | None:
    """The account that a deal, a request or a person is of."""
    about = opportunity or lead or contact
    return about.account if about is not None else None


def check_related(account: Account | None, **related: Contact | Lead | Opportunity | None) -> None:
    """Refuse what belongs to another account."""
    for name, thing in related.items():
        if thing is not None and (account is None or thing.account_id != account.pk):
            raise Invalid("That belongs to another account.", attr=name)


def _check(task: Task) -> None:
    if not task.title.strip():
        raise Invalid("Say what is to be done.", code="required", attr="title")
    _check_assignee(task)


def _check_assignee(task: Task) -> None:
    assignee = task.assignee
    if not (assignee.sells or assignee.sees_all):
        raise Invalid(f"{assignee} does not work at the desk.", attr="assignee")
    if task.account_id and not Account.objects.visible_to(assignee).filter(pk=task.account_id).exists():
        raise Invalid(f"{assignee} does not see this account.", attr="assignee")


# --- changed -----------------------------------------------------------------------------------
@transaction.atomic
def change(*, task: Task, at: datetime, **changes: Any) -> Task:
    """Set what is given; publishes ``crm.task.changed``. A new time to be reminded reminds anew.

    Raises Invalid, and Conflict for a task that is closed.
    """
    if unknown := set(changes) - CHANGEABLE:
        raise Invalid("That can't be changed.", attr=min(unknown))
    task = _open(task)
    if "title" in changes and not changes["title"].strip():
        raise Invalid("Say what is to be done.", code="required", attr="title")
    before_assignee = task.assignee
    if changes.get("assignee", before_assignee) != before_assignee:
        task.assignee = changes["assignee"]
        _check_assignee(task)
        task.assignee = before_assignee
    if "remind_at" in changes and changes["remind_at"] != task.remind_at:
        task.reminded_at = None
        Task.objects.filter(pk=task.pk).update(reminded_at=None)
    previous = saving.change(task, **changes)
    if not previous:
        return task
    data = {"changed": sorted(previous), "assignee": task.assignee.public_id, "due_at": _told(task.due_at)}
    _tell(task, "crm.task.changed", at=at, data=data, previous=_previous(previous))
    if "assignee" in previous and context.actor() != f"user:{task.assignee.public_id}":
        _notify([task], Notification.Kind.TASK, at)
    return task


def _previous(previous: dict[str, Any]) -> dict[str, Any]:
    told = {name: _told(value) for name, value in previous.items() if name in TOLD}
    return told | ({"assignee": previous["assignee"].public_id} if "assignee" in previous else {})


@transaction.atomic
def complete(*, task: Task, at: datetime, outcome: str = "") -> Task:
    """It is done; publishes ``crm.task.done``. Raises Conflict where it is closed already."""
    return _close(_open(task), DONE, "crm.task.done", at, outcome)


@transaction.atomic
def cancel(*, task: Task, at: datetime, reason: str) -> Task:
    """It needn't be done; publishes ``crm.task.canceled``. Raises Invalid without a reason."""
    if not reason.strip():
        raise Invalid("Say why it needn't be done.", code="required", attr="reason")
    return _close(_open(task), CANCELED, "crm.task.canceled", at, reason)


def _close(task: Task, state: str, fact: str, at: datetime, outcome: str) -> Task:
    write(task, state=state, done_at=at, outcome=outcome.strip()[:500], snoozed_until=None)
    _tell(task, fact, at=at, data={"state": state}, previous={"state": OPEN})
    return task


@transaction.atomic
def reopen(*, task: Task, at: datetime) -> Task:
    """Take it up again; publishes ``crm.task.reopened``. Raises Conflict for one that is open."""
    task = db.lock_one(task)
    if task.state == OPEN:
        raise Conflict("This task is open.", code="wrong_state")
    before = task.state
    write(task, state=OPEN, done_at=None, outcome="")
    _tell(task, "crm.task.reopened", at=at, data={"state": OPEN}, previous={"state": before})
    return task


@transaction.atomic
def snooze(*, task: Task, at: datetime, until: datetime | None) -> Task:
    """Off Today until a later instant, or back at once; publishes ``crm.task.changed``. The due time stays."""
    if until is not None and until <= at:
        raise Invalid("Say until when: a later instant.", code="required", attr="until")
    task = _open(task)
    previous = task.snoozed_until
    write(task, snoozed_until=until)
    data = {"changed": ["snoozed_until"], "until": _told(until)}
    _tell(task, "crm.task.changed", at=at, data=data, previous={"until": _told(previous)})
    return task


def _open(task: Task) -> Task:
    task = db.lock_one(task)
    if task.state != OPEN:
        raise Conflict(f"This task is {task.get_state_display().lower()}.", code="wrong_state")
    return task


# --- by time, and by what becomes of the account -----------------------------------------------
@transaction.atomic
def remind(*, at: datetime, test_clock_id: UUID | None = None) -> int:
    """Tell the assignees of open tasks whose time to be reminded has come by ``at``; how many tasks, in one batch."""
    due = Task.objects.filter(state=OPEN, reminded_at=None, remind_at__lte=at, test_clock=test_clock_id)
    found = list(due.order_by("remind_at", "pk").select_for_update(of=("self",), skip_locked=True)[:REMIND_BATCH])
    Task.objects.filter(pk__in=[task.pk for task in found]).update(reminded_at=at)
    facts = [_fact(task, "crm.task.reminded", at, {"assignee_id": str(task.assignee_id)}) for task in found]
    outbox.publish_many(facts)
    _notify(found, Notification.Kind.REMINDER, at)
    return len(found)


@transaction.atomic
def follow_owner(*, account: Account, at: datetime) -> int:
    """Open tasks and unanswered mail of people who see the account no more go to its owner; how many tasks."""
    owner = account.owner
    if owner is None:
        return 0
    tasks = list(Task.objects.filter(account=account, state=OPEN).exclude(assignee=owner).select_related("assignee"))
    blind = {user for user in {task.assignee for task in tasks} if not _sees(user, account)}
    left = [task for task in tasks if task.assignee in blind]
    for task in left:
        task.assignee = owner
    moved = {"assignee": owner, "version": F("version") + 1, "updated_at": Now()}
    Task.objects.filter(pk__in=[task.pk for task in left]).update(**moved)
    outbox.publish_many(
        _fact(task, "crm.task.changed", at, {"changed": ["assignee"], "assignee": owner.public_id}) for task in left
    )
    waiting = EmailMessage.objects.filter(account=account, direction=EmailMessage.Direction.IN, answered_at=None)
    waiting.exclude(user=owner).update(user=owner, version=F("version") + 1, updated_at=Now())
    return len(left)


def _sees(user: User, account: Account) -> bool:
    return Account.objects.visible_to(user).filter(pk=account.pk).exists()


def _notify(tasks: list[Task], kind: str, at: datetime) -> None:
    actor = context.actor()
    notifications.tell(
        notifications.new(
            user_id=task.assignee_id,
            kind=kind,
            at=at,
            actor=actor,
            account_id=task.account_id,
            task_id=task.pk,
            test_clock_id=task.test_clock_id,
        )
        for task in tasks
    )


def _told(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _fact(task: Task, name: str, at: datetime, data: dict[str, Any]) -> Any:
    return outbox.fact(name, task, at=at, account_id=task.account_id, data=data)


def _tell(task: Task, fact: str, *, at: datetime, data: dict[str, Any], previous: dict[str, Any] | None = None) -> None:
    """What is to be done is free text, and stays in the task."""
    outbox.publish(fact, task, at=at, account_id=task.account_id, data=data, previous=previous)
