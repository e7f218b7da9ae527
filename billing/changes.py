"""Changes of subscriptions: the plan, the prices, the quantities; now, or scheduled and undone.

What was due before is billed first. What was paid for time that won't be used is given back, what is new is charged for
its part of the period, and both stand on the invoice as lines of their own. ``billing.change_preview`` runs the same
code and takes it back.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from billing import (
    charges,
    comparison,
    invoices,
    items,
    large_upgrades,
    one_off,
    parking,
    payments,
    phases,
    selection,
    standing,
    switching,
    turns,
)
from billing.comparison import Invoicing, Pair
from billing.models import Charge, LineReason, Plan, Subscription, SubscriptionChange
from billing.selection import ItemTerms, Selection
from billing.standing import Status
from billing.switching import Switch
from gtm.shared import bulk, statuses, vendors
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Vendor

Origin = SubscriptionChange.Origin
NOW, PERIOD_END = "now", "period_end"
MAX_AHEAD = timedelta(days=5 * 366)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for; None where the rules decide."""

    plan: Plan | None = None
    items: Sequence[ItemTerms] | None = None
    interval: str | None = None
    effective: str | datetime | None = None
    prorate: bool = True
    invoicing: Invoicing | None = None
    origin: str = Origin.API
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """What came of it: when it takes effect, and the charges for what it takes and gives back, if it has."""

    subscription: Subscription
    effective_at: datetime
    charges: list[Charge]


@dataclass(frozen=True, slots=True)
class Agreed:
    """What somebody was shown: the change is made while the subscription has this ``version``, if ``check`` passes it.

    ``check`` raises within the change's transaction.
    """

    version: int
    check: Callable[[Made], None]


def change(
    *,
    subscription: Subscription,
    plan: Plan | None = None,
    items: Sequence[ItemTerms] | None = None,
    interval: str | None = None,
    effective: str | datetime | None = None,
    prorate: bool = True,
    invoicing: Invoicing | None = None,
    origin: str = Origin.API,
    reason: str = "",
    at: datetime,
    idempotency_id: uuid.UUID | None = None,
    agreed: Agreed | None = None,
) -> Subscription:
    """Let the subscription consist of ``items`` (the whole new list), or of the plan's own ones, and charge the card.

    ``effective`` is now, period_end or a time to come; without it an upgrade and a longer interval count now, a
    downgrade and a shorter interval from the end of the period. ``prorate`` False leaves what is paid for as it is, and
    charges what is new from the next period on. ``invoicing`` is now or next; without it quantities alone wait for the
    next invoice. A second call with the same ``idempotency_id`` goes on where the first was interrupted. What was
    ``agreed`` and isn't so any more is a Conflict (``stale``), and nothing is changed. Raises Invalid with the field's
    name; Conflict (``nothing_changes``, and others) where the subscription's state doesn't allow it. Not in a
    transaction, because a card is charged.
    """
    wanted = Wanted(plan, items, interval, effective, prorate, invoicing, origin, reason)
    known = idempotency_id is not None and SubscriptionChange.objects.filter(pk=idempotency_id).exists()
    if not known:
        _commit(subscription, wanted, at=at, idempotency_id=idempotency_id, agreed=agreed)
    payments.collect_new(subscription=subscription, at=at)
    return standing.loaded().get(pk=subscription.pk)


@transaction.atomic(durable=True)
def _commit(
    subscription: Subscription,
    wanted: Wanted,
    *,
    at: datetime,
    idempotency_id: uuid.UUID | None,
    agreed: Agreed | None,
) -> None:
    if agreed is not None and standing.locked(subscription).version != agreed.version:
        raise Conflict(_("The subscription has changed meanwhile."), code="stale")
    made = make(subscription, wanted, at=at, row_id=idempotency_id)
    if agreed is not None:
        agreed.check(made)


def make(subscription: Subscription, wanted: Wanted, *, at: datetime, row_id: uuid.UUID | None = None) -> Made:
    """Make the change in the caller's transaction, with what it invoices; no card is charged."""
    subscription = standing.locked(subscription)
    _require_changeable(subscription)
    vendor = vendors.current()
    caught_up = turns.catch_up(subscription, until=at, vendor=vendor)  # a change begins where the subscription stands
    _require_changeable(subscription)
    target = selection.retarget(
        subscription=subscription,
        plan=wanted.plan,
        items=wanted.items,
        interval=wanted.interval,
        origin=wanted.origin,
        at=at,
    )
    pairs = comparison.match(items.lines_of(items.terms_of(subscription)), items.lines_of(target.items))
    effective_at = _effective_at(subscription, wanted, target, pairs, at)
    if effective_at > at:
        if caught_up:
            invoices.bill(subscription, vendor=vendor, at=at)
        return _schedule(subscription, wanted, target, effective_at, at=at, row_id=row_id)
    same = target.plan_version == subscription.plan_version and all(pair.is_same for pair in pairs)
    if same and not target.once:
        raise Conflict(_("The subscription consists of this already."), code="nothing_changes")
    ids = {"id": row_id} if row_id else {}
    return _switch(subscription, wanted, target, pairs, vendor, at=at, ids=ids)


def _require_changeable(subscription: Subscription) -> None:
    if subscription.status not in Subscription.LIVE:
        values = {"status": statuses.describe(subscription.status)[0].lower()}
        raise Conflict(_("A subscription that is %(status)s can't be changed.") % values, code="not_changeable")
    parking.require_billable(subscription.payer)


# --- when --------------------------------------------------------------------------------------
def _effective_at(
    subscription: Subscription, wanted: Wanted, target: Selection, pairs: Sequence[Pair[UUID]], at: datetime
) -> datetime:
    effective = wanted.effective or comparison.effective(
        pairs, old=items.recurring(items.terms_of(subscription)), new=items.recurring(target.items)
    )
    found = at if effective == NOW else _later(subscription, effective, pairs, at)
    if subscription.cancel_at is not None and found >= subscription.cancel_at:
        raise Conflict(_("The subscription ends before then."), code="ends_before", attr="effective")
    return found


def _later(
    subscription: Subscription, effective: str | datetime, pairs: Sequence[Pair[UUID]], at: datetime
) -> datetime:
    if effective == PERIOD_END:
        return max(_period_end(subscription, pairs), at)
    if not isinstance(effective, datetime):
        raise Invalid("A change takes effect now, at period_end, or at a time.", attr="effective")
    if effective < at:
        raise Invalid(_("A change can't take effect in the past."), code="in_the_past", attr="effective")
    if effective > at + MAX_AHEAD:
        raise Invalid(_("A change lies within the next five years."), attr="effective")
    return effective


def _period_end(subscription: Subscription, pairs: Sequence[Pair[UUID]]) -> datetime:
    """The end of what is paid for of the items that change; of the whole where something is only added."""
    if subscription.status == Status.TRIALING and subscription.trial_end is not None:
        return subscription.trial_end
    going = {pair.old.price for pair in pairs if pair.old is not None and not pair.is_same}
    live = charges.live_items(subscription)
    ends = [item.current_period_end for item in live if item.price_id in going]
    return max(ends or [item.current_period_end for item in live])


# --- now ---------------------------------------------------------------------------------------
def _switch(
    subscription: Subscription,
    wanted: Wanted,
    target: Selection,
    pairs: Sequence[Pair[UUID]],
    vendor: Vendor,
    *,
    at: datetime,
    ids: dict[str, uuid.UUID],
) -> Made:
    _require_card(subscription, target)
    before = Selection(subscription.plan_version, tuple(items.terms_of(subscription)), subscription.currency)
    old = phases.content(before.plan_version, before.items)
    to = Switch(
        plan_version=target.plan_version,
        wanted=target.items,
        effective_at=at,
        prorate=wanted.prorate,
        invoicing=wanted.invoicing or ("now" if target.once else comparison.invoicing(pairs)),
        origin=wanted.origin,
        reason=wanted.reason,
    )
    takeover = switching.take_over(subscription, to, vendor=vendor)
    invoice_at, given = switching.switch(subscription, to, takeover, vendor=vendor, at=at, **ids)
    phases.changed_now(subscription, old=old, new=phases.content(target.plan_version, target.items), at=at)
    taken = _charge(subscription, target, invoice_at, vendor, at)
    invoices.bill(subscription, vendor=vendor, at=at)
    large_upgrades.tell(subscription, before=before, after=target, origin=wanted.origin, vendor=vendor, at=at)
    return Made(subscription, at, [*given, *taken])


def _require_card(subscription: Subscription, target: Selection) -> None:
    """Whoever is charged automatically has a card before it costs more; a trial costs nothing yet."""
    before, after = (items.recurring(terms) for terms in (items.terms_of(subscription), target.items))
    dearer = comparison.total_monthly(after) > comparison.total_monthly(before)
    if subscription.status != Status.TRIALING and (dearer or target.once):
        payments.require_method_of(subscription)


def _charge(
    subscription: Subscription, target: Selection, invoice_at: datetime, vendor: Vendor, at: datetime
) -> list[Charge]:
    """Charge for what the change has ended in arrears and begun in advance, and what it brings once."""
    made = charges.due(subscriptions=[subscription], until=at, vendor=vendor)
    for charge in made:
        charge.invoice_at = invoice_at
    made += one_off.of_subscription(
        subscription=subscription, items=target.once, invoice_at=invoice_at, reason=LineReason.SUBSCRIPTION_CHANGE
    )
    bulk.insert(Charge, made)
    charges.write_items([subscription])
    _plan_changes(subscription)
    return made


# --- later -------------------------------------------------------------------------------------
def _schedule(
    subscription: Subscription,
    wanted: Wanted,
    target: Selection,
    effective_at: datetime,
    *,
    at: datetime,
    row_id: uuid.UUID | None,
) -> Made:
    if target.once:
        raise Invalid(_("A one-time price is charged at once."), code="one_time_price", attr="items")
    phases.schedule(
        subscription,
        old=phases.content(subscription.plan_version, items.terms_of(subscription)),
        new=phases.content(target.plan_version, target.items),
        at=effective_at,
        prorate=wanted.prorate,
        origin=wanted.origin,
        reason=wanted.reason,
    )
    _plan_changes(subscription)
    standing.announce(
        subscription,
        "change_scheduled",
        effective_at=effective_at,
        origin=wanted.origin,
        reason=wanted.reason,
        at=at,
        row_id=row_id,
    )
    return Made(subscription, effective_at, [])


@transaction.atomic
def undo(
    *, subscription: Subscription, all_: bool = False, origin: str = Origin.API, reason: str = "", at: datetime
) -> Subscription:
    """Drop the next change that is scheduled, or all of them, but for what a contract has locked.

    In the portal customers drop what they asked for there, and nothing that the vendor has scheduled. Raises Conflict
    where there are none.
    """
    subscription = standing.locked(subscription)
    dropped = phases.drop(subscription, all_=all_, origins=[origin] if origin == Origin.PORTAL else None)
    _plan_changes(subscription)
    standing.announce(
        subscription, "change_undone", effective_at=dropped.starts_at, origin=origin, reason=reason, at=at
    )
    return subscription


def _plan_changes(subscription: Subscription) -> None:
    standing.plan_changes(subscription)
    standing.save(subscription, "next_change_at")
