"""Alerts: raised for an account's owner or the team of its queue, told by mail, worked off on Today."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from billing.models import Customer
from crm import owners, sla
from crm.models import Account, Alert, Motion, TeamMembership
from gtm.shared import db, mail, outbox
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import SALES_ROLES, Event, User, write

WAKE_BATCH = 500
OPEN, ACKNOWLEDGED, SNOOZED, DONE, DISMISSED = Alert.State
IN_NOW = (OPEN, ACKNOWLEDGED)
STEPS: dict[str, frozenset[str]] = {
    OPEN: frozenset({ACKNOWLEDGED, SNOOZED, DONE, DISMISSED}),
    ACKNOWLEDGED: frozenset({OPEN, SNOOZED, DONE, DISMISSED}),
    SNOOZED: frozenset({OPEN, ACKNOWLEDGED, SNOOZED, DONE, DISMISSED}),
    DONE: frozenset({OPEN}),
    DISMISSED: frozenset({OPEN}),
}
FEEDBACK = ("useful", "not_useful")


# --- raised ------------------------------------------------------------------------------------
@transaction.atomic
def raise_alert(
    *,
    account: Account,
    customer: Customer | None,
    rule_code: str,
    rule_name: str,
    rule_version: int,
    signal_id: UUID,
    severity: str,
    evidence: str,
    value_at_stake: int | None,
    currency: str,
    play: str,
    at: datetime,
) -> Alert:
    """Put an alert on the desk of the account's owner, or of its queue's team, and queue the mail that tells of it.

    Publishes ``crm.alert.raised``. Once per signal: the alert that it raised before is returned. An owner who has left
    is replaced by the rules first.
    """
    known = Alert.objects.filter(signal_id=signal_id).first()
    if known is not None:
        return known
    account = _with_active_owner(account, at)
    alert = Alert.objects.create(
        account=account,
        customer=customer,
        owner=account.owner,
        queue=account.queue,
        rule_code=rule_code,
        rule_name=rule_name,
        rule_version=rule_version,
        signal_id=signal_id,
        severity=severity,
        evidence=evidence[:500],
        value_at_stake=value_at_stake,
        currency=currency if value_at_stake is not None else "",
        play=play[:500],
        raised_at=at,
        test_clock_id=account.test_clock_id,
    )
    data = {"rule": rule_code, "rule_version": rule_version, "severity": severity, "value_at_stake": value_at_stake}
    event = _tell(alert, "crm.alert.raised", at=at, data=data)
    sla.start(subject=alert, at=at)
    _queue_mail(alert, event)
    return alert


def _with_active_owner(account: Account, at: datetime) -> Account:
    """Locked, and placed with somebody who is there. Whether a new owner is needed is known before any lock."""
    account = Account.objects.select_related("owner").get(pk=account.pk)
    if owners.is_placed(account):
        return db.lock_one(account)
    return owners.assign(account=account, at=at, trigger="owner_left").account


def _queue_mail(alert: Alert, event: Event) -> None:
    address = settings.BASE_URL + reverse("crm_account", args=[alert.account.public_id])
    for user in _recipients(alert):
        mail.queue(
            event=event,
            recipient=user.email,
            template="alert",
            context={"alert": alert, "account": alert.account, "reader": user, "address": address},
            locale=user.locale,
            customer_id=alert.customer_id,
            account_id=alert.account_id,
            test_clock_id=alert.test_clock_id,
        )


def _recipients(alert: Alert) -> Iterable[User]:
    """The owner, and of a sales-led account the owner's managers too; without an owner, the team of the queue."""
    if alert.owner is None:
        teams = TeamMembership.objects.filter(team__queues=alert.queue)
        selling = User.objects.filter(pk__in=teams.values("user"), is_active=True, roles__overlap=list(SALES_ROLES))
        return selling.order_by("pk")
    managers: Iterable[User] = ()
    if alert.account.motion == Motion.SALES_LED:
        teams = TeamMembership.objects.filter(team__memberships__user=alert.owner, is_manager=True)
        managers = User.objects.filter(pk__in=teams.values("user"), is_active=True).exclude(pk=alert.owner.pk)
    return [alert.owner, *managers]


# --- worked off --------------------------------------------------------------------------------
@transaction.atomic
def transition(
    *, alert: Alert, to: str, at: datetime, until: datetime | None = None, feedback: str = "", reason: str = ""
) -> Alert:
    """Acknowledge, snooze (``until`` a later instant), finish or dismiss an alert; publishes ``crm.alert.changed``.

    Raises Invalid for an unknown state or feedback, or a snooze without an end; Conflict for a step that does not
    follow. What is done or dismissed can be opened again.
    """
    _check(to, at, until, feedback)
    alert = db.lock_one(alert)
    before = alert.state
    if to not in STEPS[before]:
        raise Conflict(f"An alert that is {before} does not become {to}.", code="wrong_state", attr="to")
    changes: dict[str, Any] = {
        "state": to,
        "snoozed_until": until if to == SNOOZED else None,
        "closed_at": at if to in (DONE, DISMISSED) else None,
    }
    if feedback:
        changes |= {"feedback": feedback, "feedback_reason": reason.strip()[:500]}
    write(alert, **changes)
    if to != OPEN:
        sla.meet(subject=alert, at=at)
    data = {"state": to, "until": until.isoformat() if until else None, "feedback": feedback}
    _tell(alert, "crm.alert.changed", at=at, data=data, previous={"state": before})
    return alert


def _check(to: str, at: datetime, until: datetime | None, feedback: str) -> None:
    if to not in Alert.State.values:
        raise Invalid(f"An alert becomes one of {', '.join(Alert.State.values)}.", attr="to")
    if to == SNOOZED and (until is None or until <= at):
        raise Invalid("Say until when: a later instant.", code="required", attr="until")
    if to != SNOOZED and until is not None:
        raise Invalid("Only a snooze has an end.", attr="until")
    if feedback and feedback not in FEEDBACK:
        raise Invalid(f"The feedback is one of {', '.join(FEEDBACK)}.", attr="feedback")


@transaction.atomic
def wake(*, at: datetime, test_clock_id: UUID | None = None) -> int:
    """Open the alerts whose snooze ended by ``at``, unclocked ones or those of one test clock; how many they were."""
    due = Alert.objects.filter(state=SNOOZED, snoozed_until__lte=at, test_clock=test_clock_id)
    woken = list(due.order_by("snoozed_until", "pk").select_for_update(of=("self",), skip_locked=True)[:WAKE_BATCH])
    for alert in woken:
        write(alert, state=OPEN, snoozed_until=None)
        _tell(alert, "crm.alert.changed", at=at, data={"state": OPEN}, previous={"state": SNOOZED})
    return len(woken)


def _tell(
    alert: Alert, fact: str, *, at: datetime, data: dict[str, Any], previous: dict[str, Any] | None = None
) -> Event:
    return outbox.publish(
        fact, alert, at=at, account_id=alert.account_id, customer_id=alert.customer_id, data=data, previous=previous
    )
