"""Pauses: from now on, from the end of the period or from a time on, with or without access, until resumed."""

import uuid
from datetime import datetime, timedelta

from django.db import transaction
from django.utils.translation import gettext as _

from billing import charges, interruptions, invoices, parking, payments, standing, turns
from billing.models import Charge, Subscription, SubscriptionChange
from billing.standing import Status
from gtm.shared import bulk, statuses, vendors
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Vendor

Origin, Mode = SubscriptionChange.Origin, Subscription.PauseMode
NOW, PERIOD_END = "now", "period_end"
MAX_AHEAD = timedelta(days=5 * 366)
_PAUSABLE = (Status.ACTIVE, Status.PAST_DUE)


@transaction.atomic
def pause(
    *,
    subscription: Subscription,
    mode: str = Mode.NO_ACCESS,
    when: str | datetime = NOW,
    resume_at: datetime | None = None,
    origin: str = Origin.API,
    reason: str = "",
    at: datetime,
) -> Subscription:
    """Bill nothing from ``when`` on (now, period_end or a time to come), until it is resumed or ``resume_at`` comes.

    The day it begins on is billed; unused time goes to the balance, once it is paid for. ``mode`` says whether the
    customer keeps its access. Raises Conflict where the subscription isn't running, ends before, or has a pause ahead
    of it already, and Invalid with the field's name.
    """
    subscription = standing.locked(subscription)
    _require_pausable(subscription)
    vendor = vendors.current()
    caught_up = turns.catch_up(subscription, until=at, vendor=vendor)
    _require_pausable(subscription)
    subscription.pause_at = _begins(subscription, when, at)
    subscription.pause_mode, subscription.resume_at = _mode(mode), _resumes(subscription.pause_at, resume_at)
    charges.replan(subscription, vendor=vendor)
    charges.write_items([subscription])
    standing.plan_changes(subscription)
    standing.save(subscription, *standing.PAUSE)
    if subscription.pause_at <= at:
        _begin(subscription, vendor, origin=origin, reason=reason, at=at)
    else:
        if caught_up:
            invoices.bill(subscription, vendor=vendor, at=at)
        standing.announce(
            subscription,
            "pause_scheduled",
            effective_at=subscription.pause_at,
            origin=origin,
            reason=reason,
            at=at,
        )
    return subscription


def resume(
    *,
    subscription: Subscription,
    origin: str = Origin.API,
    reason: str = "",
    at: datetime,
    idempotency_id: uuid.UUID | None = None,
) -> Subscription:
    """Let a paused subscription go on from now, in periods of a new anchor, and charge the card; or drop a pause ahead.

    A second call with the same ``idempotency_id`` goes on where the first was interrupted. Raises Conflict where there
    is no pause, another subscription has its meters by now, or there is no card to charge. Not in a transaction.
    """
    known = idempotency_id is not None and SubscriptionChange.objects.filter(pk=idempotency_id).exists()
    if not known:
        _resume(subscription, origin=origin, reason=reason, at=at, row_id=idempotency_id)
    payments.collect_new(subscription=subscription, at=at)
    return standing.loaded().get(pk=subscription.pk)


@transaction.atomic(durable=True)
def _resume(subscription: Subscription, *, origin: str, reason: str, at: datetime, row_id: uuid.UUID | None) -> None:
    subscription = standing.locked(subscription)
    over = subscription.is_over(at)
    if subscription.status == Status.PAUSED and not over:
        _end(subscription, origin=origin, reason=reason, at=at, row_id=row_id)
    elif subscription.pause_at is not None and subscription.status in Subscription.LIVE and not over:
        _drop(subscription, origin=origin, reason=reason, at=at, row_id=row_id)
    else:
        raise Conflict(_("The subscription isn't paused, and no pause is ahead."), code="not_paused")


def _require_pausable(subscription: Subscription) -> None:
    if subscription.pause_at is not None:
        raise Conflict(_("A pause is ahead already: resume first."), code="pause_scheduled")
    if subscription.status not in _PAUSABLE:
        values = {"status": statuses.describe(subscription.status)[0].lower()}
        raise Conflict(_("A subscription that is %(status)s can't be paused.") % values, code="not_pausable")
    parking.require_billable(subscription.payer)


def _begins(subscription: Subscription, when: str | datetime, at: datetime) -> datetime:
    if when not in (NOW, PERIOD_END) and not isinstance(when, datetime):
        raise Invalid("Pause from now, period_end or a time on.", attr="from")
    ends = [item.current_period_end for item in charges.live_items(subscription)]
    begins = when if isinstance(when, datetime) else at if when == NOW else max(max(ends), at)
    if not at <= begins <= at + MAX_AHEAD:
        raise Invalid(_("A pause begins within the next five years."), attr="from")
    if subscription.cancel_at is not None and subscription.cancel_at <= begins:
        raise Conflict(_("The subscription ends before then."), code="ends_before", attr="from")
    return begins


def _mode(mode: str) -> str:
    if mode not in Mode:
        raise Invalid("A pause is no_access or keep_access.", attr="mode")
    return mode


def _resumes(begins: datetime, resume_at: datetime | None) -> datetime | None:
    if resume_at is not None and not begins < resume_at <= begins + MAX_AHEAD:
        raise Invalid(_("A pause ends after it begins, within five years."), attr="resume_at")
    return resume_at


def _begin(subscription: Subscription, vendor: Vendor, *, origin: str, reason: str, at: datetime) -> None:
    """Bill what closes by now, and what is used until then, and let the pause take effect."""
    _close_books(subscription, vendor, at)
    interruptions.begin(subscription, when=at, origin=origin, reason=reason, vendor=vendor, at=at)
    invoices.bill(subscription, vendor=vendor, at=at)


def _close_books(subscription: Subscription, vendor: Vendor, at: datetime) -> None:
    bulk.insert(Charge, charges.due(subscriptions=[subscription], until=at, vendor=vendor))
    charges.write_items([subscription])


@transaction.atomic
def stop_unpaid(*, subscription: Subscription, at: datetime) -> Subscription:
    """Bill and grant nothing from now on, until all that failed is paid: dunning's last step.

    What was used until now stays owed; what was asked for the time after it is taken off. Once it is paid, the next
    bill run lets it go on in periods of a new anchor. Nothing happens to one that isn't running.
    """
    subscription = standing.locked(subscription)
    if subscription.status not in _PAUSABLE:
        return subscription
    vendor = vendors.current()
    turns.catch_up(subscription, until=at, vendor=vendor)
    subscription.pause_at, subscription.pause_mode, subscription.resume_at = at, Mode.NO_ACCESS, None
    charges.replan(subscription, vendor=vendor)
    _close_books(subscription, vendor, at)
    interruptions.stop_unpaid(subscription, vendor=vendor, at=at)
    invoices.bill(subscription, vendor=vendor, at=at)
    return subscription


def _end(subscription: Subscription, *, origin: str, reason: str, at: datetime, row_id: uuid.UUID | None) -> None:
    parking.require_billable(subscription.payer)
    payments.require_method_of(subscription)
    vendor = vendors.current()
    interruptions.end(subscription, when=at, origin=origin, reason=reason, vendor=vendor, at=at, row_id=row_id)
    bulk.insert(Charge, charges.due(subscriptions=[subscription], until=at, vendor=vendor))
    charges.write_items([subscription])
    standing.save(subscription)
    invoices.bill(subscription, vendor=vendor, at=at)


def _drop(subscription: Subscription, *, origin: str, reason: str, at: datetime, row_id: uuid.UUID | None) -> None:
    """Drop a pause that has not begun."""
    was = subscription.pause_at
    subscription.pause_at = subscription.resume_at = None
    subscription.pause_mode = ""
    charges.replan(subscription, vendor=vendors.current())
    charges.write_items([subscription])
    standing.plan_changes(subscription)
    standing.save(subscription, *standing.PAUSE)
    standing.announce(
        subscription, "pause_undone", effective_at=was or at, origin=origin, reason=reason, at=at, row_id=row_id
    )
