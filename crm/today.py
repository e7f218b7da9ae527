"""The steps of Today: a row of any kind is taken, put off, done or found useless, by its own operation, and undone."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db import transaction

from crm import alerts, emails, inbox, lead_steps, owners, todos
from crm.models import Account, Alert, EmailMessage, Lead, Notification, Opportunity, Snooze, Task
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import User

Thing = Alert | Lead | Task | Opportunity | EmailMessage | Notification
Before = dict[str, Any]
CANNOT_UNDO = "That can't be undone."
LEADS_ON = {inbox.TAKE: Lead.Lifecycle.MQL, inbox.DO: Lead.Lifecycle.SQL}
NOT_THAT_STEP: dict[tuple[str, str], str] = {
    (Lead.Lifecycle.LEAD, inbox.DO): "A lead is worth a call or it is rejected.",
    (Lead.Lifecycle.MQL, inbox.TAKE): "It waits for your call: then it is qualified or rejected.",
}
ACCEPT_IT = "Accept it on its own page: that asks what makes it worth it."


@transaction.atomic
def step(
    *, kind: str, thing: Thing, step: str, user: User, at: datetime, until: datetime | None = None, reason: str = ""
) -> Before:
    """Take the step and return what ``undo`` needs; empty where it can't be undone.

    Raises Invalid for a step that the kind has not, a snooze without an end, and uselessness without a reason; what
    the kind's own operation raises goes through.
    """
    if words := inbox.refusal(kind, step):
        raise Invalid(words, code="wrong_step", attr="step")
    if step == inbox.SNOOZE and (until is None or until <= at):
        raise Invalid("Say until when: a later instant.", code="required", attr="until")
    if step == inbox.DISMISS and not reason.strip():
        raise Invalid("Say why it is of no use.", code="required", attr="reason")
    return _ACTS[kind](thing, step, user, at, until, reason.strip())


@transaction.atomic
def undo(*, kind: str, thing: Thing, before: Before, user: User, at: datetime) -> None:
    """Put the row back to where it was. Raises Conflict where it can't be, or somebody has gone on with it since."""
    if not before:
        raise Conflict(CANNOT_UNDO, code="cannot_undo")
    thing.refresh_from_db()
    _UNDOES[kind](thing, before, user, at)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _told(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _claim(account: Account | None, user: User, at: datetime) -> bool:
    """Who takes what nobody owns becomes its owner; True where that was so. Raises Invalid in a dead zone."""
    if account is None or account.owner_id is not None or not owners.may_own(user):
        return False
    if account.dead_zone:
        words = f"{account} lies in a dead zone: take it on its own page, which asks why it is to have an owner."
        raise Invalid(words, code="required", attr="reason")
    owners.take(account=account, owner=user, at=at, reason="taken from Today")
    return True


# --- alerts ------------------------------------------------------------------------------------
STATES = {
    inbox.TAKE: Alert.State.ACKNOWLEDGED,
    inbox.DO: Alert.State.DONE,
    inbox.SNOOZE: Alert.State.SNOOZED,
    inbox.DISMISS: Alert.State.DISMISSED,
    inbox.BACK: Alert.State.OPEN,
}


def _alert(alert: Alert, step: str, user: User, at: datetime, until: datetime | None, reason: str) -> Before:
    before = {"state": alert.state, "until": _told(alert.snoozed_until), "after": STATES[step]}
    feedback = "not_useful" if step == inbox.DISMISS else ""
    claimed = step == inbox.TAKE and _claim(alert.account, user, at)
    until = until if step == inbox.SNOOZE else None
    alerts.transition(alert=alert, to=STATES[step], at=at, until=until, feedback=feedback, reason=reason)
    return {} if claimed else before


def _undo_alert(alert: Alert, before: Before, user: User, at: datetime) -> None:
    _unchanged(alert.state == before["after"])
    if before["state"] in (Alert.State.DONE, Alert.State.DISMISSED):
        alerts.transition(alert=alert, to=before["state"], at=at)
        return
    if alert.state != Alert.State.OPEN:
        alert = alerts.transition(alert=alert, to=Alert.State.OPEN, at=at)
    until = _moment(before["until"])
    if before["state"] == Alert.State.SNOOZED and until and until > at:
        alerts.transition(alert=alert, to=Alert.State.SNOOZED, at=at, until=until)
    elif before["state"] == Alert.State.ACKNOWLEDGED:
        alerts.transition(alert=alert, to=Alert.State.ACKNOWLEDGED, at=at)


def _unchanged(still: bool) -> None:
    if not still:
        raise Conflict("Somebody has gone on with it since.", code="changed_since")


# --- leads and opportunities, which have no snooze of their own --------------------------------
def _lead(lead: Lead, step: str, user: User, at: datetime, until: datetime | None, reason: str) -> Before:
    if step == inbox.SNOOZE:
        return _put_off(user, until, lead=lead)
    if step == inbox.BACK and lead.lifecycle != Lead.Lifecycle.REJECTED:
        return _put_off(user, None, lead=lead)
    before = lead.lifecycle
    if step == inbox.BACK:
        lead_steps.transition(lead=lead, to=Lead.Lifecycle.LEAD, at=at)
        return {}
    if step == inbox.DISMISS:
        lead_steps.reject(lead=lead, at=at, reason_code=reason)
        return {"lifecycle": Lead.Lifecycle.REJECTED} if before == Lead.Lifecycle.LEAD else {}
    if before == Lead.Lifecycle.SQL:
        raise Invalid(ACCEPT_IT, code="wrong_step", attr="step")
    if words := NOT_THAT_STEP.get((before, step)):
        raise Invalid(words, code="wrong_step", attr="step")
    lead_steps.transition(lead=lead, to=LEADS_ON[step], at=at)
    if step == inbox.TAKE:
        _claim(lead.account, user, at)
    return {}


def _undo_lead(lead: Lead, before: Before, user: User, at: datetime) -> None:
    if "until" in before:
        _put_back(user, before, lead=lead)
        return
    _unchanged(lead.lifecycle == before["lifecycle"])
    lead_steps.transition(lead=lead, to=Lead.Lifecycle.LEAD, at=at)


def _opportunity(one: Opportunity, step: str, user: User, at: datetime, until: datetime | None, reason: str) -> Before:
    return _put_off(user, until, opportunity=one)


def _undo_opportunity(one: Opportunity, before: Before, user: User, at: datetime) -> None:
    _put_back(user, before, opportunity=one)


def _put_off(user: User, until: datetime | None, **about: Any) -> Before:
    """Until then, or back at once."""
    known = Snooze.objects.filter(user=user, **about).first()
    if until is None:
        Snooze.objects.filter(user=user, **about).delete()
    else:
        Snooze.objects.update_or_create(user=user, **about, defaults={"until": until})
    return {"until": _told(known.until if known else None)}


def _put_back(user: User, before: Before, **about: Any) -> None:
    Snooze.objects.filter(user=user, **about).delete()
    if until := _moment(before["until"]):
        Snooze.objects.create(user=user, **about, until=until)


# --- tasks -------------------------------------------------------------------------------------
def _task(task: Task, step: str, user: User, at: datetime, until: datetime | None, reason: str) -> Before:
    before = {
        "until": _told(task.snoozed_until),
        "state": {inbox.DO: "done", inbox.DISMISS: "canceled"}.get(step, "open"),
    }
    if step == inbox.DO:
        todos.complete(task=task, at=at)
    elif step == inbox.DISMISS:
        todos.cancel(task=task, at=at, reason=reason)
    else:
        todos.snooze(task=task, at=at, until=until)
    return before


def _undo_task(task: Task, before: Before, user: User, at: datetime) -> None:
    _unchanged(task.state == before["state"])
    if task.state != Task.State.OPEN:
        task = todos.reopen(task=task, at=at)
    until = _moment(before["until"])
    until = until if until and until > at else None
    if task.snoozed_until != until:
        todos.snooze(task=task, at=at, until=until)


# --- replies and mentions ----------------------------------------------------------------------
def _reply(email: EmailMessage, step: str, user: User, at: datetime, until: datetime | None, reason: str) -> Before:
    if step == inbox.BACK and email.answered_at is not None:
        emails.reopen(email=email, at=at)
        return {}
    before = {"until": _told(email.snoozed_until), "closed": step in (inbox.DO, inbox.DISMISS)}
    if not before["closed"]:
        emails.snooze(email=email, at=at, until=until)
    else:
        emails.close(email=email, at=at, reason=reason or "done")
    return before


def _undo_reply(email: EmailMessage, before: Before, user: User, at: datetime) -> None:
    _unchanged((email.answered_at is not None) == before["closed"])
    if before["closed"]:
        emails.reopen(email=email, at=at)
    emails.snooze(email=email, at=at, until=_moment(before["until"]))


def _mention(one: Notification, step: str, user: User, at: datetime, until: datetime | None, reason: str) -> Before:
    before = {"until": _told(one.snoozed_until)}
    read_at = at if step == inbox.DO else None
    changes = {"snoozed_until": until, "read_at": read_at}
    Notification.objects.filter(pk=one.pk, user=user).update(**changes)
    return before


def _undo_mention(one: Notification, before: Before, user: User, at: datetime) -> None:
    changes = {"read_at": None, "snoozed_until": _moment(before["until"])}
    Notification.objects.filter(pk=one.pk, user=user).update(**changes)


_ACTS: dict[str, Callable[..., Before]] = {
    inbox.ALERT: _alert,
    inbox.LEAD: _lead,
    inbox.TASK: _task,
    inbox.OPPORTUNITY: _opportunity,
    inbox.REPLY: _reply,
    inbox.MENTION: _mention,
}
_UNDOES: dict[str, Callable[..., None]] = {
    inbox.ALERT: _undo_alert,
    inbox.LEAD: _undo_lead,
    inbox.TASK: _undo_task,
    inbox.OPPORTUNITY: _undo_opportunity,
    inbox.REPLY: _undo_reply,
    inbox.MENTION: _undo_mention,
}
