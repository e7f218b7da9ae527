"""Charges: what each period of each item comes to, with a natural key that lets it be charged once.

Many subscriptions are charged together: the number of queries doesn't depend on how many. An item that a change cut is
charged for its part of the period. What a period comes to is worked out by ``billing.item_dues``.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from itertools import count
from operator import attrgetter
from typing import TypeAlias
from uuid import UUID

from django.db.models import Max, Sum

from billing import minimums, schedule, wording
from billing.item_dues import ItemDue, closing, interval_of, rate
from billing.models import Charge, Customer, LineKind, LineReason, Price, Subscription, SubscriptionItem
from billing.pricing import Rated
from billing.schedule import Due, ItemState
from gtm.shared import bulk, periods
from gtm.shared.models import Vendor
from gtm.shared.periods import Anchor, Period

POSITION = (
    "anchor_at",
    "timezone",
    "period_index",
    "billed_until",
    "current_period_start",
    "current_period_end",
    "next_bill_at",
)
NaturalKey: TypeAlias = tuple[UUID | None, str, int]


def state_of(item: SubscriptionItem, *, timezone: str, vendor: Vendor, alignment: str) -> ItemState:
    """The item as the pure walk through its periods sees it."""
    anchor = _anchor(item.anchor_at, item.timezone, vendor.proration_unit, alignment)  # type: ignore[arg-type]  # choices
    return ItemState(
        anchor=anchor,
        interval=interval_of(item.price),
        in_arrears=item.price.timing == Price.Timing.IN_ARREARS,
        index=item.period_index,
        start=item.current_period_start,
        end=item.current_period_end,
        billed_until=item.billed_until,
        timezone=timezone,
    )


_anchor = lru_cache(maxsize=1024)(Anchor)  # the items of a subscription mostly have one


def place(item: SubscriptionItem, state: ItemState, *, ends_at: datetime | None) -> None:
    """Write where the item stands onto its row (unsaved)."""
    item.anchor_at, item.timezone = state.anchor.at, state.anchor.timezone
    item.period_index, item.billed_until = state.index, state.billed_until
    item.current_period_start, item.current_period_end = state.start, state.end
    item.next_bill_at = schedule.next_bill_at(state, ends_at=ends_at)


def replan(subscription: Subscription, *, vendor: Vendor) -> None:
    """Set (unsaved) when each item is due next, with the subscription's end as it is known now."""
    ends_at = subscription.stops_at
    for item in bulk.related(subscription, "items"):
        if item.ended_at is None:
            state = _state(subscription, item, vendor)
            place(item, state, ends_at=ends_at)
        elif item.next_bill_at is not None:
            item.next_bill_at = min(item.current_period_end, ends_at or item.current_period_end)


def accrue(
    *, subscriptions: Sequence[Subscription], until: datetime, vendor: Vendor, renewing: bool = True
) -> list[Charge]:
    """Move the items through all periods due by ``until`` and write the charges for them.

    ``items`` must be prefetched with price, plan and meter, and ``customer`` and ``payer`` selected; the callers hold
    their locks. A charge that exists raises IntegrityError: its period was charged for by somebody who held no lock.
    Without ``renewing`` the periods that begin at ``until`` itself are left.
    """
    made = due(subscriptions=subscriptions, until=until, vendor=vendor, renewing=renewing)
    bulk.insert(Charge, made)
    write_items(subscriptions)
    return made


def due(
    *, subscriptions: Sequence[Subscription], until: datetime, vendor: Vendor, renewing: bool = True
) -> list[Charge]:
    """Move the items (in memory) through all periods due by ``until`` and return the charges for them, unsaved."""
    dues = [item_due for subscription in subscriptions for item_due in _walk(subscription, until, vendor, renewing)]
    made = [_charge(item_due, quantity, rated) for item_due, (quantity, rated) in zip(dues, rate(dues), strict=True)]
    return [*made, *minimums.due(subscriptions=subscriptions, made=made, until=until, vendor=vendor)]


def write_items(subscriptions: Iterable[Subscription]) -> None:
    """Save where the items stand, all of them with one statement."""
    items = [item for subscription in subscriptions for item in bulk.related(subscription, "items")]
    for item in items:
        item.touch()
    bulk.update(SubscriptionItem, items, [*POSITION, "version", "updated_at"])


def _walk(subscription: Subscription, until: datetime, vendor: Vendor, renewing: bool) -> list[ItemDue]:
    found = []
    for item in bulk.related(subscription, "items"):
        state = _state(subscription, item, vendor)
        if item.ended_at is None:
            dues, moved = schedule.walk(state, until=until, ends_at=subscription.stops_at, renewing=renewing)
            dues = [_with_its_day(due, subscription, item, vendor) for due in dues]
            place(item, moved, ends_at=subscription.stops_at)
        else:
            dues = _close(item, item.ended_at, until)
        found += [ItemDue(subscription, item, due, state.anchor) for due in dues]
    return found


def _with_its_day(due: Due, subscription: Subscription, item: SubscriptionItem, vendor: Vendor) -> Due:
    """What a pause cuts is used until its day is over: as it is billed, and as a new period begins after it at best."""
    if not due.cut or due.at != subscription.pause_at:
        return due
    whole = closing(item, due.at, unit=vendor.proration_unit)  # type: ignore[arg-type]  # choices
    return replace(due, period=replace(due.period, end=whole))


def _state(subscription: Subscription, item: SubscriptionItem, vendor: Vendor) -> ItemState:
    return state_of(item, timezone=subscription.customer.timezone, vendor=vendor, alignment=subscription.alignment)


def _close(item: SubscriptionItem, ended_at: datetime, until: datetime) -> list[Due]:
    """What is due of an item that a change ended: its part of the period, with those that followed it."""
    at = item.next_bill_at
    if at is None or at > until:
        return []
    item.billed_until, item.next_bill_at = ended_at, None
    return [Due(Period(item.current_period_start, ended_at, item.period_index), at)]


def live_items(subscription: Subscription) -> list[SubscriptionItem]:
    """Those that it consists of now; beside them stand items that a change ended and that are still to be billed."""
    return [item for item in bulk.related(subscription, "items") if item.ended_at is None]


# --- charges -----------------------------------------------------------------------------------
def _charge(item_due: ItemDue, quantity: Decimal, rated: Rated) -> Charge:
    subscription, item, due = item_due.subscription, item_due.item, item_due.due
    return bulk.new(
        Charge,
        customer=subscription.customer,
        payer=subscription.payer,
        subscription=subscription,
        item=item,
        kind=_kind(item_due),
        reason=_reason(item_due),
        period_index=due.period.index,
        currency=subscription.currency,
        amount=rated.amount,
        quantity=quantity,
        unit_amount=item.price.unit_amount,
        description=describe(item.price),
        explanation=wording.stored(rated.steps),
        price=item.price,
        meter_id=item.price.meter_id,
        tax_class=item.price.tax_class,
        period_start=due.period.start,
        period_end=due.period.end,
        invoice_at=due.at,
        test_clock_id=subscription.test_clock_id,
    )


def _kind(item_due: ItemDue) -> LineKind:
    price = item_due.item.price
    if price.meter_id is not None:
        return LineKind.USAGE
    in_advance = price.timing == Price.Timing.IN_ADVANCE
    return LineKind.PRORATION_CHARGE if in_advance and _front_is_cut(item_due) else LineKind.RECURRING


def _front_is_cut(item_due: ItemDue) -> bool:
    """Whether a change made the item within the period. A stub before the calendar's bound is a period's own."""
    start = item_due.due.period.start
    if item_due.item.started_at != start:
        return False
    natural = periods.period(item_due.anchor, interval_of(item_due.item.price), item_due.due.period.index)
    return start != natural.start


def _reason(item_due: ItemDue) -> LineReason:
    item, due = item_due.item, item_due.due
    if item.ended_at is not None:
        return LineReason.SUBSCRIPTION_CHANGE if due.at == item.ended_at else LineReason.SUBSCRIPTION_CYCLE
    if item_due.subscription.stops_at is not None and due.at == item_due.subscription.stops_at:
        return LineReason.SUBSCRIPTION_END
    if item.price.timing == Price.Timing.IN_ARREARS:
        return LineReason.SUBSCRIPTION_CYCLE
    if item.started_at == due.period.start and (due.period.index == 0 or _front_is_cut(item_due)):
        return LineReason.SUBSCRIPTION_CHANGE
    return LineReason.SUBSCRIPTION_START if due.period.index == 0 else LineReason.SUBSCRIPTION_CYCLE


def describe(price: Price) -> str:
    """What a line calls it: the plan, and the price's own name, if it doesn't name it, or what its meter counts."""
    plan, detail = price.plan.name, price.name or (price.meter.name if price.meter else "")
    if re.match(rf"{re.escape(plan)}\b", detail):
        return detail[:500]
    return f"{plan}: {detail}"[:500] if detail else plan


def pending(*, payers: Iterable[Customer], by: datetime, fresh: Iterable[Charge] = ()) -> list[Charge]:
    """What payers are to be invoiced for by then, in the order of its lines.

    The pending charges that are written, locked, and after those of the same instant ``fresh`` ones, which are not.
    """
    of_theirs = bulk.among("payer__pk", {payer.pk for payer in payers})
    waiting = Charge.objects.filter(of_theirs, status=Charge.Status.PENDING, invoice_at__lte=by)
    known = _whole(bulk.select(waiting.only("pk").order_by("pk").select_for_update()))
    new = [charge for charge in fresh if charge.status == Charge.Status.PENDING and charge.invoice_at <= by]
    return sorted([*known, *new], key=attrgetter("invoice_at"))


def _whole(locked: Sequence[Charge]) -> Iterable[Charge]:
    """The charges with all that their lines need; mostly there are none, and nothing is read."""
    if not locked:
        return []
    related = ("customer", "payer__legal_entity", "subscription", "item", "price", "credits_line__invoice")
    found = Charge.objects.filter(bulk.among("pk", [charge.pk for charge in locked]))
    return found.select_related(*related).order_by("created_at", "id")


def bring_forward(subscriptions: Collection[Subscription], *, to: datetime) -> None:
    """Let what waits for the subscriptions' next renewal be invoiced at ``to``: that one won't come as it stood."""
    if not subscriptions:
        return
    waiting = Charge.objects.filter(subscription__in=subscriptions, status=Charge.Status.PENDING, invoice_at__gt=to)
    waiting.exclude(kind=LineKind.ONE_OFF).update(invoice_at=to)


def successor(charge: Charge, *, invoice_at: datetime, revision: int | None = None) -> Charge:
    """The same amount for the same period once more (unsaved), under the next revision of its natural key."""
    copied = {
        field.attname: getattr(charge, field.attname)
        for field in Charge._meta.concrete_fields
        if field.name not in {"id", "created_at", "status", "invoice_line", "invoice_at", "revision"}
    }
    return Charge(**copied, revision=revision or charge.revision + 1, invoice_at=invoice_at)


def natural_key(charge: Charge) -> NaturalKey:
    """What a charge is for; with its revision it is unique."""
    return charge.item_id, charge.kind, charge.period_index


def next_revisions(charges: Iterable[Charge]) -> dict[NaturalKey, Iterator[int]]:
    """The revisions that are free for further charges, by natural key."""
    known = list(charges)
    used = Charge.objects.filter(item__in={one.item_id for one in known if one.item_id})
    newest = used.values_list("item", "kind", "period_index").annotate(Max("revision"))
    found = {(item, kind, index): revision for item, kind, index, revision in newest}
    return {key: count(found.get(key, one.revision) + 1) for one in known for key in [natural_key(one)]}


def rate_again(charges: Iterable[Charge], *, vendor: Vendor) -> list[Charge]:
    """Rate the usage of drafts once more, and what it leaves to a minimum; return (unsaved) the charges that differ.

    What other lines bill of the same period stays theirs: late usage on a line of its own, where an invoice was void.
    """
    charges = list(charges)
    used = [charge for charge in charges if charge.kind == LineKind.USAGE and charge.reason != LineReason.LATE_USAGE]
    others = _others(used)
    changed = []
    for charge, (quantity, rated) in zip(used, rate([due_of(charge, vendor) for charge in used]), strict=True):
        other_quantity, other_amount = others.get(natural_key(charge), (0, 0))
        now = max(quantity - other_quantity, Decimal()), max(rated.amount - other_amount, 0)
        if now != (charge.quantity, charge.amount):
            charge.quantity, charge.amount = now
            charge.explanation = wording.stored(rated.steps)
            changed.append(charge)
    return [*changed, *minimums.rate_again(charges, changed={charge.pk: charge for charge in changed})]


def _others(used: Sequence[Charge]) -> dict[NaturalKey, tuple[Decimal, int]]:
    """What further charges there are of the same periods; there are none of what is charged for the first time."""
    repeated = {charge.item_id for charge in used if charge.revision}
    if not repeated:
        return {}
    found = Charge.objects.filter(item__in=repeated, kind=LineKind.USAGE).exclude(status=Charge.Status.REPLACED)
    others = found.exclude(pk__in=[charge.pk for charge in used]).values_list("item", "kind", "period_index")
    sums = others.annotate(Sum("quantity"), Sum("amount"))
    return {(item, kind, index): (quantity, amount) for item, kind, index, quantity, amount in sums}


def due_of(charge: Charge, vendor: Vendor) -> ItemDue:
    """The period that a written charge is for."""
    assert charge.item is not None
    assert charge.subscription is not None
    assert charge.period_start is not None
    assert charge.period_end is not None
    anchor = Anchor(charge.item.anchor_at, charge.item.timezone, vendor.proration_unit, charge.subscription.alignment)  # type: ignore[arg-type]  # choices
    period = Period(charge.period_start, charge.period_end, charge.period_index)
    closes = charge.item.ended_at is not None and charge.reason == LineReason.SUBSCRIPTION_CHANGE
    at = charge.item.ended_at if closes and charge.item.ended_at else charge.invoice_at
    due = Due(period, at, cut=charge.reason == LineReason.SUBSCRIPTION_END)
    return ItemDue(charge.subscription, charge.item, due, anchor)
