"""Cancellation: at the end of the period, at a time, or now; until then it can be undone."""

from datetime import datetime, timedelta

from django.db import transaction
from django.utils.translation import gettext as _

from billing import (
    cancellation_reasons,
    charges,
    entitlements,
    invoices,
    parking,
    phases,
    standing,
    turns,
    unused,
)
from billing.models import Subscription, SubscriptionChange
from billing.queries import billing_periods
from billing.standing import Status
from gtm.shared import statuses, vendors
from gtm.shared.errors import Conflict, DomainError, Invalid
from gtm.shared.models import Vendor

Origin, Credit = SubscriptionChange.Origin, Subscription.Credit
PERIOD_END, NOW = "period_end", "now"
MAX_AHEAD = timedelta(days=5 * 366)
_INSTANT = timedelta(microseconds=1)


@transaction.atomic
def cancel(
    *,
    subscription: Subscription,
    when: str | datetime = PERIOD_END,
    credit: str = Credit.NONE,
    reason: str = "",
    reason_code: str = "",
    origin: str = Origin.API,
    at: datetime,
) -> Subscription:
    """End the subscription at the end of its period (of its trial), at a time, or now.

    The day it ends on is billed. With ``credit`` prorate, what was billed for the time after it goes to the balance,
    with refund back to where it came from; what of it is unpaid is taken off its invoice either way. Usage until then
    is billed with the closing invoice, or once the payer can be billed again. ``reason``, in the asker's own words, is
    kept with the change; the facts hold ``reason_code``, and by which way it was asked for. Raises Conflict where it
    has ended or waits for its first payment, Invalid for a time that is past or absurd. One whose start is still ahead
    ends at once, without having cost anything.
    """
    if reason_code and reason_code not in cancellation_reasons.CODES:
        raise Invalid("This is no known reason.", attr="reason_code")
    if credit not in Credit:
        raise Invalid("Credit is none, prorate or refund.", attr="credit")
    subscription = standing.locked(subscription)
    if standing.is_ahead(subscription):
        return _withdraw(subscription, when, origin=origin, reason=reason, at=at)
    _require_cancelable(subscription, at)
    caught_up = _catch_up(subscription, at)
    subscription.cancel_at = _end_of(subscription, when, at)
    subscription.canceled_at, subscription.cancel_credit = at, credit
    phases.truncate(subscription, ends_at=subscription.cancel_at)
    standing.plan_changes(subscription)
    _replan(subscription)
    standing.announce(
        subscription,
        "cancellation_scheduled",
        effective_at=subscription.cancel_at,
        origin=origin,
        reason=reason,
        codes={"reason_code": reason_code} if reason_code else {},
        at=at,
    )
    if subscription.cancel_at > at:
        if caught_up:
            _bill(subscription, vendors.current(), at)
    else:
        _end_now(subscription, origin=origin, reason=reason, at=at)
    return subscription


def _require_cancelable(subscription: Subscription, at: datetime) -> None:
    over = subscription.is_over(at)
    if over or subscription.status not in (*Subscription.LIVE, Status.PAUSED, Status.UNPAID):
        status = subscription.status if subscription.status in Subscription.ENDED or not over else Status.CANCELED
        values = {"status": statuses.describe(status)[0].lower()}
        raise Conflict(_("A subscription that is %(status)s can't be canceled.") % values)


def _catch_up(subscription: Subscription, at: datetime) -> bool:
    """Charge for what was due before now and no run has come to; whether there was anything.

    A trial that is over is left: nothing follows it.
    """
    if _tried(subscription, at):
        return False
    found = turns.catch_up(subscription, until=at - _INSTANT, vendor=vendors.current())
    _require_cancelable(subscription, at)
    return found


def _tried(subscription: Subscription, at: datetime) -> bool:
    """Whether its trial is over, and the run late."""
    return (
        subscription.status == Status.TRIALING and subscription.trial_end is not None and subscription.trial_end <= at
    )


def _withdraw(
    subscription: Subscription, when: str | datetime, *, origin: str, reason: str, at: datetime
) -> Subscription:
    """End what has never begun: there is nothing to charge for, and nothing that it grants."""
    if when not in (PERIOD_END, NOW):
        raise Invalid(_("Before it starts it can only be canceled at once."), attr="when")
    subscription.cancel_at = subscription.canceled_at = at
    standing.save(subscription, "cancel_at", "canceled_at")
    standing.end(subscription, at=at, origin=origin, reason=_code(origin), note=reason)
    entitlements.remove(subscription=subscription)
    return subscription


def _code(origin: str) -> str:
    return f"requested_by_{origin}"


def _end_of(subscription: Subscription, when: str | datetime, at: datetime) -> datetime:
    if _tried(subscription, at) and when in (NOW, PERIOD_END):
        return subscription.trial_end or at
    if when == NOW:
        return at
    if isinstance(when, datetime):
        if not at <= when <= at + MAX_AHEAD:
            raise Invalid(_("A cancellation lies within the next five years."), attr="when")
        return when
    if when != PERIOD_END:
        raise Invalid("Cancel at period_end, now, or at a time.", attr="when")
    if subscription.status == Status.TRIALING and subscription.trial_end is not None:
        return subscription.trial_end
    if subscription.status in standing.NOT_BILLED:
        return max(subscription.current_period_end or at, at)
    return billing_periods.containing([subscription], at)[subscription.pk][1]


def _replan(subscription: Subscription) -> None:
    """Set when each item is due next with the end as it is known now, and save."""
    charges.replan(subscription, vendor=vendors.current())
    charges.write_items([subscription])
    standing.save(subscription, "cancel_at", "canceled_at", "cancel_credit", "next_change_at")


def _end_now(subscription: Subscription, *, origin: str, reason: str, at: datetime) -> None:
    vendor = vendors.current()
    if subscription.status not in standing.NOT_BILLED:
        charges.accrue(subscriptions=[subscription], until=at, vendor=vendor)
    standing.end(subscription, at=at, origin=origin, reason=_code(origin), note=reason)
    unused.credit_ended([subscription], vendor=vendor, origin=origin, at=at)
    charges.bring_forward([subscription], to=at)
    _bill(subscription, vendor, at)


def _bill(subscription: Subscription, vendor: Vendor, at: datetime) -> None:
    """Issue the closing invoice. Where that can't be, the payer is parked as a run does, and its charges wait."""
    try:
        with transaction.atomic():
            invoices.bill(subscription, vendor=vendor, at=at)
    except DomainError as refusal:
        parking.park(customer=subscription.payer, error=refusal, at=at)


@transaction.atomic
def undo_cancellation(
    *, subscription: Subscription, origin: str = Origin.API, reason: str = "", at: datetime
) -> Subscription:
    """Let a subscription go on that was to end. Raises Conflict where none is scheduled, or it took effect."""
    subscription = standing.locked(subscription)
    if subscription.cancel_at is None or subscription.is_over(at):
        raise Conflict(_("No cancellation is scheduled."), code="not_scheduled")
    subscription.cancel_at = subscription.canceled_at = None
    subscription.cancel_credit = Credit.NONE
    _replan(subscription)
    standing.announce(subscription, "cancellation_undone", effective_at=at, origin=origin, reason=reason, at=at)
    return subscription
