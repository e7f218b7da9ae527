"""A pause as it takes effect, and as it ends: what is given back, the items, the status with its row and its fact.

Callers hold the locks of the payer and the subscription, have billed what was due before, and plan it anew.
"""

import uuid
from datetime import datetime

from billing import charges, item_dues, meter_use, schedule, standing, unused
from billing.models import LineReason, Subscription, SubscriptionChange, SubscriptionItem
from billing.unused import Stop
from gtm.shared import bulk
from gtm.shared.errors import Conflict
from gtm.shared.models import Vendor
from gtm.shared.periods import Anchor

System = SubscriptionChange.Origin.SYSTEM


def begin(
    subscription: Subscription,
    *,
    when: datetime,
    origin: str = System,
    reason: str = "",
    vendor: Vendor,
    at: datetime,
) -> None:
    """Pause from ``when`` on: that day is billed, what is paid for the time after it goes to the balance."""
    _stop(subscription, when=when, origin=origin, vendor=vendor, at=at)
    standing.pause(subscription, effective_at=when, origin=origin, reason=f"requested_by_{origin}", note=reason, at=at)


def stop_unpaid(subscription: Subscription, *, vendor: Vendor, at: datetime) -> None:
    """Stop for want of payment: this day is billed, and what was asked for the time after it is taken off."""
    _stop(subscription, when=at, origin=System, vendor=vendor, at=at)
    standing.stop_unpaid(subscription, reason="payment_failed", at=at)


def _stop(subscription: Subscription, *, when: datetime, origin: str, vendor: Vendor, at: datetime) -> None:
    live = charges.live_items(subscription)
    unused.credit(
        stops=[Stop(item, item_dues.closing(item, when, unit=vendor.proration_unit)) for item in live],  # type: ignore[arg-type]  # choices
        vendor=vendor,
        settle="balance",
        invoice_at=at,
        reason=LineReason.SUBSCRIPTION_END,
        origin=origin,
        at=at,
    )
    charges.bring_forward([subscription], to=at)
    standing.refresh([subscription])  # money that settles may have moved it
    subscription.pause_at, subscription.paused_at = None, when
    for item in live:
        item.next_bill_at = None
    charges.write_items([subscription])
    standing.plan_changes(subscription)


def end(
    subscription: Subscription,
    *,
    when: datetime,
    origin: str = System,
    reason: str = "",
    vendor: Vendor,
    at: datetime,
    row_id: uuid.UUID | None = None,
) -> None:
    """Let it go on from ``when`` on, in periods of a new anchor. Raises Conflict where its meters are taken."""
    meter_use.require_free_for(subscription)
    ended = charges.live_items(subscription)
    opened = [_again(subscription, item, when, vendor) for item in ended]
    for item in ended:
        item.ended_at, item.next_bill_at = subscription.paused_at or when, None
        item.touch()
    bulk.update(SubscriptionItem, ended, ["ended_at", "next_bill_at", "version", "updated_at"])
    SubscriptionItem.objects.bulk_create(opened)
    standing.reload_items(subscription)
    if subscription.minimum_since is not None:
        subscription.minimum_since = max(item.anchor_at for item in opened)
    subscription.paused_at = subscription.resume_at = None
    subscription.pause_mode = ""
    standing.plan_changes(subscription)
    standing.resume(
        subscription,
        effective_at=when,
        origin=origin,
        reason=f"requested_by_{origin}",
        note=reason,
        at=at,
        row_id=row_id,
    )


def end_due(subscription: Subscription, *, when: datetime, vendor: Vendor, at: datetime) -> None:
    """Let it go on as was agreed; where another subscription has its meters by now, it stays paused."""
    try:
        end(subscription, when=when, vendor=vendor, at=at)
    except Conflict as refusal:
        subscription.resume_at = None
        standing.plan_changes(subscription)
        standing.save(subscription, "resume_at", "next_change_at")
        standing.fact(subscription, "resume_refused", at=at, reason=refusal.code, publish=True)


def _again(subscription: Subscription, item: SubscriptionItem, when: datetime, vendor: Vendor) -> SubscriptionItem:
    """The row (unsaved) that takes over from an item; its first period begins when what was paid for is over."""
    anchor = Anchor(
        at=_anchor_at(subscription, item, when, vendor),
        timezone=subscription.customer.timezone,
        unit=vendor.proration_unit,  # type: ignore[arg-type]  # the vendor's choices
        alignment=subscription.alignment,  # type: ignore[arg-type]  # choices
    )
    state = schedule.opening(
        anchor=anchor,
        interval=item_dues.interval_of(item.price),
        in_arrears=item.price.timing == item.price.Timing.IN_ARREARS,
        start_at=when,
    )
    new = SubscriptionItem(
        subscription=subscription,
        price=item.price,
        quantity=item.quantity,
        started_at=when,
        replaces=item,
        test_clock_id=subscription.test_clock_id,
    )
    charges.place(new, state, ends_at=subscription.stops_at)
    return new


def _anchor_at(subscription: Subscription, item: SubscriptionItem, when: datetime, vendor: Vendor) -> datetime:
    """The day of the pause is paid for: resumed on that day, the new period begins with the next one.

    A trial that ended in the pause has paid for nothing.
    """
    paused_at = subscription.paused_at
    if paused_at is None or (item.billed_until is None and paused_at >= item.anchor_at):
        return when
    return max(when, item_dues.closing(item, paused_at, unit=vendor.proration_unit))  # type: ignore[arg-type]  # choices
