"""How a subscription stands: its status, its revenue and when it is due follow from its items and its invoices.

Callers hold the subscription's lock.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Exists, Min, OuterRef, Prefetch, Q, QuerySet, prefetch_related_objects
from django.db.models.functions import Coalesce

from billing import charges, coupons, cycles, item_dues, mrr, rating, schedule
from billing.models import (
    Allocation,
    CollectionMethod,
    Coupon,
    Customer,
    Discount,
    Invoice,
    Phase,
    Price,
    Subscription,
    SubscriptionChange,
    SubscriptionItem,
)
from billing.mrr import RecurringDiscount, RecurringItem
from gtm.shared import bulk, context, db, outbox, periods, vendors
from gtm.shared.models import Event, write

Status = Subscription.Status
EARNING = (Status.ACTIVE, Status.PAST_DUE)
NOT_BILLED = (Status.PAUSED, Status.UNPAID, Status.CANCELED, Status.EXPIRED)
OPEN_ITEMS = Q(ended_at=None) | Q(next_bill_at__isnull=False)
ITEMS = (
    Prefetch("items", SubscriptionItem.objects.filter(OPEN_ITEMS).order_by("pk")),
    "items__price__plan",
    "items__price__meter",
)
SCHEDULE = ("current_period_start", "current_period_end", "next_bill_at", "minimum_since")
PAUSE = ("pause_at", "pause_mode", "paused_at", "resume_at", "next_change_at")


def reschedule(subscription: Subscription) -> None:
    """Set the current period and when the subscription is due next (unsaved): the one place where both are decided."""
    items = charges.live_items(subscription)
    leading = max(items, key=_current_period_end, default=None)
    if leading is not None and leading.current_period_end != subscription.current_period_end:
        # a change within the period leaves it as it is: what is counted in it goes on
        subscription.current_period_start = leading.current_period_start
        subscription.current_period_end = leading.current_period_end
    subscription.next_bill_at = _next_bill_at(subscription, items)


def plan_changes(subscription: Subscription) -> None:
    """Set (unsaved) when the next scheduled change, pause or resume comes."""
    phases = Phase.objects.filter(subscription=subscription, applied_at=None)
    first = phases.aggregate(at=Min("starts_at"))["at"]
    subscription.next_change_at = schedule.next_due([first, subscription.pause_at, subscription.resume_at])


def _current_period_end(item: SubscriptionItem) -> datetime:
    return item.current_period_end


def _next_bill_at(subscription: Subscription, items: list[SubscriptionItem]) -> datetime | None:
    if subscription.status in Subscription.ENDED:
        return None
    if subscription.status in NOT_BILLED:
        return schedule.next_due([subscription.cancel_at, subscription.resume_at])
    if subscription.status == Status.INCOMPLETE:
        return None if has_begun(subscription, items) else subscription.start_at
    trial_end = subscription.trial_end if subscription.status == Status.TRIALING else None
    bill_times = [item.next_bill_at for item in bulk.related(subscription, "items")]
    discount_ends = [discount.ends_at for discount in open_discounts(subscription)]
    changes = (trial_end, subscription.cancel_at, subscription.next_change_at)
    return schedule.next_due([*bill_times, *discount_ends, *changes, _minimum_due(subscription)])


def _minimum_due(subscription: Subscription) -> datetime | None:
    """When the window of its minimum ends: with its period, which a change of interval may have ended already."""
    since, start = subscription.minimum_since, subscription.current_period_start
    if not subscription.minimum_amount or since is None or start is None:
        return None
    return subscription.current_period_end if since >= start else start


def has_begun(subscription: Subscription, items: list[SubscriptionItem]) -> bool:
    """Whether an incomplete subscription has been billed; one that starts in the future has not."""
    return any(item.billed_until is not None for item in items)


def is_ahead(subscription: Subscription) -> bool:
    """Whether the subscription was made to start later and has not been billed: a run will let it begin."""
    return subscription.status == Status.INCOMPLETE and subscription.next_bill_at is not None


def open_discounts(subscription: Subscription) -> list[Discount]:
    """Those that are not over, with their coupons where these were read along."""
    return [discount for discount in bulk.related(subscription, "discounts") if discount.ended_at is None]


def monthly_revenue(subscription: Subscription) -> int:
    """The subscription's MRR now, in minor units of its currency; items, prices and discounts prefetched.

    What discounts take off for longer than once counts, or the commitment if that comes to more.
    """
    if subscription.status not in EARNING:
        return 0
    recurring = [item for item in charges.live_items(subscription) if item.price.interval != Price.Interval.ONE_TIME]
    return mrr.monthly(
        (
            RecurringItem(rating.terms_of(item.price), item.quantity, item_dues.interval_of(item.price))
            for item in recurring
            if item.price.meter_id is None
        ),
        discounts=[
            RecurringDiscount(discount.coupon.percent_off, discount.coupon.amount_off)
            for discount in sorted(open_discounts(subscription), key=_age)
            if discount.coupon.duration != Coupon.Duration.ONCE
        ],
        commitment=subscription.minimum_amount or 0,
        per=cycles.longest(item_dues.interval_of(item.price) for item in recurring),
    )


def _age(discount: Discount) -> tuple[datetime, uuid.UUID]:
    return discount.starts_at, discount.pk


def activate(subscription: Subscription, *, at: datetime, reason: str = "") -> None:
    """Let an incomplete subscription begin: its grants hold from now on, by its status."""
    _move(subscription, Status.ACTIVE, kind="activated", at=at, reason=reason)


def fall_behind(subscription: Subscription, *, at: datetime, reason: str = "") -> None:
    _move(subscription, Status.PAST_DUE, kind="past_due", at=at, reason=reason)


def recover(subscription: Subscription, *, at: datetime) -> None:
    subscription.access_ended_at = None
    _move(subscription, Status.ACTIVE, kind="recovered", at=at, also=["access_ended_at"])


def pause(subscription: Subscription, **told: Any) -> None:
    """Bill nothing more, and grant what the pause leaves."""
    _move(subscription, Status.PAUSED, kind="paused", also=PAUSE, **told)


def stop_unpaid(subscription: Subscription, **told: Any) -> None:
    """Bill nothing more and grant nothing until what is owed is paid."""
    _move(subscription, Status.UNPAID, kind="unpaid", also=PAUSE, **told)


def resume(subscription: Subscription, **told: Any) -> None:
    """Let a stopped subscription go on: in order, or behind as it was with what it still owes."""
    to = Status.PAST_DUE if owed(subscription).exists() else Status.ACTIVE
    if to == Status.ACTIVE:
        subscription.access_ended_at = None
    _move(subscription, to, kind="resumed", also=[*PAUSE, "access_ended_at"], **told)


def expire(subscription: Subscription, *, at: datetime, reason: str) -> None:
    """End a subscription that never began; others may redeem its coupons."""
    _move(subscription, Status.EXPIRED, kind="expired", at=at, reason=reason, ended_at=at)
    coupons.put_back(subscription=subscription, at=at)


def end(
    subscription: Subscription,
    *,
    at: datetime,
    origin: str = SubscriptionChange.Origin.SYSTEM,
    reason: str = "",
    note: str = "",
) -> None:
    """End a canceled subscription; its items end with it. ``reason`` is a code, ``note`` is in somebody's own words."""
    _move(subscription, Status.CANCELED, kind="canceled", at=at, reason=reason, note=note, origin=origin, ended_at=at)
    subscription.items.filter(OPEN_ITEMS).update(ended_at=Coalesce("ended_at", at), next_bill_at=None)


def record_start(subscription: Subscription, *, origin: str, at: datetime) -> None:
    """Say that the subscription was made."""
    record(subscription, kind="created", at=at, effective_at=subscription.start_at, origin=origin)
    fact(subscription, "created", at=at, publish=True)


def save(subscription: Subscription, *names: str) -> None:
    """Plan the subscription anew and save its status, its schedule and the fields named."""
    reschedule(subscription)
    write(subscription, **{name: getattr(subscription, name) for name in ("status", *SCHEDULE, *names)})


def tell(
    subscriptions: Sequence[Subscription],
    *,
    kinds: Mapping[uuid.UUID, str],
    before: Mapping[uuid.UUID, str],
    at: datetime,
) -> None:
    """Write the facts of many subscriptions, and a change for each whose status or revenue moved."""
    zone = vendors.current().reporting_zone
    changes, facts = [], []
    for one in subscriptions:
        status = before[one.pk]
        if one.status != status or monthly_revenue(one) != one.mrr:
            kind = kinds[one.pk] or one.status
            changes.append(change(one, kind=kind, at=at, effective_at=one.ended_at, zone=zone))
        if kinds[one.pk]:
            facts.append(fact(one, kinds[one.pk], at=at, previous={"status": status}))
    append(changes)
    outbox.publish_many(facts)


def _move(
    subscription: Subscription,
    to: Status,
    *,
    kind: str,
    at: datetime,
    reason: str = "",
    note: str = "",
    origin: str = SubscriptionChange.Origin.SYSTEM,
    ended_at: datetime | None = None,
    effective_at: datetime | None = None,
    also: Sequence[str] = (),
    row_id: uuid.UUID | None = None,
) -> None:
    """Change the status with its row and its fact. A ``note`` stays on the row: facts hold codes, and no free text."""
    previous = subscription.status
    subscription.status, subscription.ended_at = to, ended_at
    save(subscription, "ended_at", *also)
    ids = {"id": row_id} if row_id else {}
    record(subscription, kind=kind, at=at, effective_at=effective_at, reason=note or reason, origin=origin, **ids)
    fact(subscription, kind, at=at, previous={"status": previous}, reason=reason, publish=True)


def announce(
    subscription: Subscription,
    kind: str,
    *,
    effective_at: datetime,
    origin: str,
    reason: str,
    because: str = "",
    at: datetime,
    detail: dict[str, Any] | None = None,
    row_id: uuid.UUID | None = None,
    codes: Mapping[str, str] | None = None,
) -> None:
    """Write down and tell what somebody asked for that takes effect at another time, or not at all.

    ``reason`` is in the asker's own words; ``because``, a code, is what the fact says instead of who asked; ``codes``
    stand on the row and in the fact.
    """
    columns: dict[str, Any] = {"effective_at": effective_at, "origin": origin, "reason": reason}
    columns["detail"] = {**(detail or {}), **(codes or {})}
    record(subscription, kind=kind, at=at, **columns, **({"id": row_id} if row_id else {}))
    also = {"effective_at": effective_at.isoformat(), **(codes or {})}
    fact(subscription, kind, at=at, also=also, reason=because or f"requested_by_{origin}", publish=True)


def record(subscription: Subscription, *, kind: str, at: datetime, **told: Any) -> SubscriptionChange:
    """Write down what changed, and the revenue that the subscription has from now on."""
    row = change(subscription, kind=kind, at=at, **told)
    append([row])
    return row


def append(changes: Iterable[SubscriptionChange]) -> None:
    """Write changes, and the revenue that their subscriptions have since the last of them."""
    rows = list(changes)
    bulk.insert(SubscriptionChange, rows)
    moved = {row.subscription_id: row.subscription for row in rows if row.mrr_after != row.mrr_before}
    bulk.update(Subscription, moved.values(), ["mrr"])


def change(
    subscription: Subscription,
    *,
    kind: str,
    at: datetime,
    effective_at: datetime | None = None,
    origin: str = SubscriptionChange.Origin.SYSTEM,
    reason: str = "",
    zone: str = "",
    detail: dict[str, Any] | None = None,
    **ids: Any,
) -> SubscriptionChange:
    """The row (unsaved) that says what changed and what it did to the revenue.

    The subscription holds the revenue after it (unsaved), which is the revenue before the next one: nothing else sets
    it, so that changes always add up.
    """
    before, subscription.mrr = subscription.mrr, monthly_revenue(subscription)
    return SubscriptionChange(
        **ids,
        subscription=subscription,
        payer_id=subscription.payer_id,
        kind=kind,
        origin=origin,
        actor=context.actor(),
        reason=reason[:500],
        currency=subscription.currency,
        mrr_before=before,
        mrr_after=subscription.mrr,
        detail={"status": subscription.status, **(detail or {})},
        effective_at=effective_at or at,
        booked_on=periods.local_date(at, zone or vendors.current().reporting_zone),
    )


def fact(
    subscription: Subscription,
    kind: str,
    *,
    at: datetime,
    publish: bool = False,
    also: Mapping[str, Any] | None = None,
    **columns: Any,
) -> Event:
    """The fact ``billing.subscription.<kind>``; written at once with ``publish``, else the caller's to write."""
    event = outbox.fact(
        f"billing.subscription.{kind}",
        subscription,
        at=at,
        customer_id=subscription.customer_id,
        account_id=subscription.customer.account_id,
        data={
            "status": subscription.status,
            "plan": subscription.plan_version.plan.code,
            "plan_version": subscription.plan_version.number,
            "currency": subscription.currency,
            "mrr": subscription.mrr,
            **(also or {}),
        },
        **columns,
    )
    if publish:
        outbox.publish_many([event])
    return event


def loaded() -> QuerySet[Subscription]:
    """Subscriptions with their items, prices, plan, parties and discounts, in a constant number of queries.

    Items that ended are among them only while they are still to be billed.
    """
    related = ("customer", "payer__legal_entity", "plan_version__plan", "payment_method")
    discounts = Prefetch("discounts", Discount.objects.select_related("coupon"))
    return Subscription.objects.select_related(*related).prefetch_related(*ITEMS, discounts)


def locked(subscription: Subscription) -> Subscription:
    """The subscription under its lock, after those of its payer and its customer, read as ``loaded`` does."""
    db.lock(Customer, {subscription.payer_id, subscription.customer_id})
    db.lock_one(subscription)
    return loaded().get(pk=subscription.pk)


def reload_items(subscription: Subscription) -> None:
    """Read the items anew, as ``loaded`` does."""
    subscription._prefetched_objects_cache.pop("items", None)  # type: ignore[attr-defined]
    prefetch_related_objects([subscription], *ITEMS)


def refresh(subscriptions: Sequence[Subscription]) -> None:
    """Read anew what money that settles may have moved: the status, with its version and its revenue."""
    moved = ("status", "mrr", "version")
    rows = Subscription.objects.filter(pk__in=[one.pk for one in subscriptions]).values("pk", *moved)
    found = {row["pk"]: row for row in rows}
    for one in subscriptions:
        for name in moved:
            setattr(one, name, found[one.pk][name])


def owed(subscription: Subscription) -> QuerySet[Invoice]:
    """The open invoices whose automatic charge failed, whose terms are over, or whose money a bank has taken back."""
    failed = Q(
        payment_status__in=[Invoice.PaymentStatus.FAILED, Invoice.PaymentStatus.REQUIRES_ACTION],
        collection_method=CollectionMethod.CHARGE_AUTOMATICALLY,
    )
    overdue = Q(overdue_at__isnull=False)
    taken_back = Exists(
        Allocation.objects.filter(
            invoice=OuterRef("pk"), kind=Allocation.Kind.REVERSAL, payment__disputes__amount_reversed__gt=0
        )
    )
    return Invoice.objects.filter(
        failed | overdue | Q(taken_back), status=Invoice.Status.OPEN, lines__charge__subscription=subscription
    )
