"""The turns of a subscription: all that is due on it until an instant, each at its time and in one order.

At one instant: the closing period is rated, then a contract, a cancellation, a scheduled change, the end of a trial or
of a pause, the renewal, the invoice. Subscriptions are walked together, with a constant number of queries; one that
stops on the way for a scheduled change is walked to it by itself.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import OuterRef, Subquery
from django.db.models.functions import Coalesce

from billing import charges, discounts, interruptions, phases, standing, switching
from billing.models import Charge, Phase, PlanVersion, Subscription, SubscriptionItem
from billing.standing import Status
from billing.switching import Switch
from gtm.shared import bulk
from gtm.shared.errors import Conflict
from gtm.shared.models import Vendor

TrialEnd = PlanVersion.TrialEnd
_CANCEL_AT = Subscription.objects.filter(pk=OuterRef("subscription")).values("cancel_at")
_SAVED = (*standing.SCHEDULE, "next_change_at", "paused_at", "status", "cancel_at", "ended_at", "version", "updated_at")
_INSTANT = timedelta(microseconds=1)


def take(*, subscriptions: Sequence[Subscription], until: datetime, vendor: Vendor) -> list[Charge]:
    """Take subscriptions through all that is due by ``until``; return those charges that are not written yet.

    They are read by ``standing.loaded`` and locked, after their payers. Where they stand is written, and what happened
    is told. Raises ValueError where one would stay due as it was.
    """
    was_due = {one.pk: one.next_bill_at for one in subscriptions}
    stopped = False
    for one in subscriptions:
        while (at := _next_stop(one, until=until)) is not None:
            _stop(one, at=at, until=until, vendor=vendor)
            stopped = True
    if stopped:
        standing.refresh(subscriptions)  # what a stop gives back may settle an invoice that others share
    discounts.end_due(subscriptions, by=until, at=until)
    before = {one.pk: one.status for one in subscriptions}
    made = _walk(subscriptions, until=until, vendor=vendor)
    charged = {charge.subscription_id for charge in made}
    kinds = {one.pk: _turn(one, charged=one.pk in charged, at=until) for one in subscriptions}
    for one in subscriptions:
        standing.reschedule(one)
        one.touch()
        if one.next_bill_at is not None and one.next_bill_at == was_due[one.pk]:
            raise ValueError(f"{one.public_id} is due at {one.next_bill_at} and was not moved on")
    bulk.update(Subscription, subscriptions, _SAVED)
    _end_items([one for one in subscriptions if one.status == Status.CANCELED])
    standing.tell(subscriptions, kinds=kinds, before=before, at=until)
    return made


def catch_up(subscription: Subscription, *, until: datetime, vendor: Vendor) -> bool:
    """Charge for what has been due by ``until`` and no run has come to; whether there was anything.

    The caller, who holds the locks of the customers and the subscription, puts it on an invoice.
    """
    if subscription.next_bill_at is None or subscription.next_bill_at > until:
        return False
    bulk.insert(Charge, take(subscriptions=[subscription], until=until, vendor=vendor))
    return True


def _walk(
    subscriptions: Sequence[Subscription], *, until: datetime, vendor: Vendor, renewing: bool = True
) -> list[Charge]:
    """Move the items of those that are billed; the charges for it are not written yet."""
    billed = [one for one in subscriptions if one.status not in standing.NOT_BILLED]
    charging = [one for one in billed if not _stops_with_trial(one, at=until if renewing else until - _INSTANT)]
    made = charges.due(subscriptions=charging, until=until, vendor=vendor, renewing=renewing)
    charges.write_items(charging)
    return made


# --- stops on the way --------------------------------------------------------------------------
def _next_stop(subscription: Subscription, *, until: datetime) -> datetime | None:
    """The next instant by ``until`` at which a change, a pause or its end takes effect, unless something ends it."""
    paused = subscription.status in (Status.PAUSED, Status.UNPAID)
    at = subscription.resume_at if paused else subscription.next_change_at
    if at is None or at > until or not (paused or subscription.status in Subscription.LIVE):
        return None
    if subscription.cancel_at is not None and subscription.cancel_at <= at:
        return None
    return None if _stops_with_trial(subscription, at=at - _INSTANT) else at


def _stop(subscription: Subscription, *, at: datetime, until: datetime, vendor: Vendor) -> None:
    """Bill what closes by then, but for what begins then, and do what was scheduled."""
    before = {subscription.pk: subscription.status}
    discounts.end_due([subscription], by=at, at=until)
    made = _walk([subscription], until=at, vendor=vendor, renewing=False)
    bulk.insert(Charge, made)
    kind = _turn(subscription, charged=bool(made), at=at - _INSTANT)
    standing.save(subscription)
    standing.tell([subscription], kinds={subscription.pk: kind}, before=before, at=until)
    if subscription.status in (Status.PAUSED, Status.UNPAID):
        interruptions.end_due(subscription, when=at, vendor=vendor, at=until)
        return
    for phase in phases.waiting(subscription).filter(starts_at=at):
        _switch(subscription, phase, until=until, vendor=vendor)
    if subscription.pause_at == at:
        interruptions.begin(subscription, when=at, vendor=vendor, at=until)
    standing.plan_changes(subscription)


def _switch(subscription: Subscription, phase: Phase, *, until: datetime, vendor: Vendor) -> None:
    to = Switch(
        plan_version=phase.plan_version,
        wanted=phases.terms_of(phase),
        effective_at=phase.starts_at,
        prorate=phase.prorate,
        invoicing="now",
        origin=phase.origin,
        reason=phase.reason,
    )
    try:
        takeover = switching.take_over(subscription, to, vendor=vendor)
    except Conflict as refusal:
        if phase.locked:
            raise  # a contract's own: somebody has to see to it
        _refuse(subscription, phase, refusal, at=until)
        return
    switching.switch(subscription, to, takeover, vendor=vendor, at=until)
    Phase.objects.filter(pk=phase.pk).update(applied_at=until)


def _refuse(subscription: Subscription, phase: Phase, refusal: Conflict, *, at: datetime) -> None:
    """Let the subscription go on as it is, where another one has its meters by now, say; what was wanted is kept."""
    standing.announce(
        subscription,
        "change_refused",
        effective_at=phase.starts_at,
        origin=phase.origin,
        reason=phase.reason,
        because=refusal.code,
        detail=switching.described(phase.plan_version, phases.terms_of(phase)),
        at=at,
    )
    phase.delete()


# --- statuses ----------------------------------------------------------------------------------
def _stops_with_trial(subscription: Subscription, *, at: datetime) -> bool:
    """Whether the trial is over and nothing is charged after it; the cancellation that follows is written down here."""
    over = subscription.status == Status.TRIALING and subscription.trial_end and subscription.trial_end <= at
    policy = subscription.plan_version.trial_end
    if over and policy == TrialEnd.CANCEL and subscription.cancel_at is None:
        subscription.cancel_at = subscription.trial_end
    return bool(over) and policy != TrialEnd.CHARGE


def _turn(subscription: Subscription, *, charged: bool, at: datetime) -> str:
    """What the walk makes of a subscription (sets its status, unsaved): the kind of the fact to tell, or nothing."""
    if subscription.cancel_at is not None and subscription.cancel_at <= at:
        subscription.status, subscription.ended_at = Status.CANCELED, subscription.cancel_at
        return "canceled"
    if subscription.status == Status.INCOMPLETE:
        return _begin(subscription, charged=charged, at=at)
    if subscription.status == Status.TRIALING and subscription.trial_end and subscription.trial_end <= at:
        return _end_trial(subscription)
    return "renewed" if charged else ""


def _begin(subscription: Subscription, *, charged: bool, at: datetime) -> str:
    """A start that lay in the future has come. Where a first invoice goes to a card, the money decides later."""
    if subscription.trial_end is not None and subscription.trial_end > at:
        subscription.status = Status.TRIALING
        return "trial_started"
    if charged:
        return ""
    subscription.status = Status.ACTIVE
    return "activated"


def _end_trial(subscription: Subscription) -> str:
    if subscription.plan_version.trial_end == TrialEnd.PAUSE:
        subscription.status, subscription.paused_at = Status.PAUSED, subscription.trial_end
        return "paused"
    subscription.status = Status.ACTIVE
    return "activated"


def _end_items(subscriptions: Sequence[Subscription]) -> None:
    if subscriptions:
        left = SubscriptionItem.objects.filter(standing.OPEN_ITEMS, subscription__in=subscriptions)
        left.update(ended_at=Coalesce("ended_at", Subquery(_CANCEL_AT)), next_bill_at=None)
        Phase.objects.filter(subscription__in=subscriptions, applied_at=None).delete()
