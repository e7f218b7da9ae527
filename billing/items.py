"""The items of a subscription under a change: those that end, and those that take over from them.

An item is one price at one quantity over a time. A change ends the row and makes a new one, on the same grid of periods
where the interval stays, so that periods go on tiling; another interval begins anew at the boundary. What doesn't
change keeps its row.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from django.utils.translation import gettext as _

from billing import charges, comparison, item_dues, meter_use, proration, rating, schedule, selection, standing
from billing.comparison import Line, Pair
from billing.models import Price, Subscription, SubscriptionItem
from billing.mrr import RecurringItem
from billing.schedule import ItemState
from billing.selection import ItemTerms
from gtm.shared import bulk
from gtm.shared.errors import Conflict
from gtm.shared.models import Vendor
from gtm.shared.periods import Anchor

Lines: TypeAlias = tuple[Line[UUID], ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """An item that ends at ``at``; ``gives_back`` what was charged for the time from then on."""

    item: SubscriptionItem
    at: datetime
    gives_back: bool


@dataclass(frozen=True, slots=True)
class Takeover:
    """What becomes of the items (nothing written yet): rows to end, each at its boundary, and new rows."""

    ended: list[Cut]
    opened: list[SubscriptionItem]


@dataclass(frozen=True, slots=True)
class _Seam:
    """A change at an instant, as it concerns each item."""

    subscription: Subscription
    at: datetime
    prorate: bool
    vendor: Vendor
    live: dict[UUID, SubscriptionItem]
    prices: dict[UUID, Price]


def lines_of(wanted: Iterable[ItemTerms]) -> Lines:
    """A list of items as pure code compares it."""
    return tuple(_line(one.price, one) for one in wanted)


def terms_of(subscription: Subscription) -> list[ItemTerms]:
    """What the subscription consists of now."""
    return [ItemTerms(item.price, item.quantity) for item in charges.live_items(subscription)]


def recurring(wanted: Iterable[ItemTerms]) -> list[RecurringItem]:
    """What recurs of them without a meter, at list price."""
    return [
        RecurringItem(rating.terms_of(one.price), selection.quantity_of(one), item_dues.interval_of(one.price))
        for one in wanted
        if one.price.meter_id is None
    ]


def _line(price: Price, terms: ItemTerms) -> Line[UUID]:
    in_arrears = price.timing == Price.Timing.IN_ARREARS
    quantity = selection.quantity_of(terms)
    return Line(price.pk, price.meter_id, item_dues.interval_of(price), in_arrears, quantity)


def take_over(
    *, subscription: Subscription, wanted: Sequence[ItemTerms], at: datetime, prorate: bool, vendor: Vendor
) -> Takeover:
    """What becomes of the live items where the subscription consists of ``wanted`` from ``at`` on.

    Without ``prorate`` what is billed stays so, and what is new is billed from the next period on; usage is at its own
    price at once. Raises Conflict where another subscription has one of the meters, and for a new interval that a
    cancellation would cut short.
    """
    live = {item.price_id: item for item in charges.live_items(subscription)}
    seam = _Seam(subscription, at, prorate, vendor, live, {one.price.pk: one.price for one in wanted})
    pairs = comparison.match(lines_of(terms_of(subscription)), lines_of(wanted))
    changed = [pair for pair in pairs if not pair.is_same]
    _require_free_meters(seam, changed)
    opened = [_open(seam, pair) for pair in changed if pair.new]
    _require_room(subscription, opened)
    ended = [_cut(seam, live[pair.old.price], opened) for pair in changed if pair.old]
    return Takeover(ended, opened)


def write(subscription: Subscription, takeover: Takeover) -> None:
    """End and open the rows, and load the items anew. In the caller's transaction, under the subscription's lock."""
    for cut in takeover.ended:
        _end(subscription, cut, takeover.opened)
    touched = [item for item in subscription.items.all() if item.ended_at is not None]
    for item in touched:
        item.touch()
    bulk.update(SubscriptionItem, touched, ["ended_at", "next_bill_at", "version", "updated_at"])
    SubscriptionItem.objects.bulk_create(takeover.opened)
    standing.reload_items(subscription)


def _require_free_meters(seam: _Seam, pairs: Iterable[Pair[UUID]]) -> None:
    known = {item.price.meter_id for item in seam.live.values()}
    added = {pair.new.meter for pair in pairs if pair.new and pair.new.meter and pair.new.meter not in known}
    if added:
        customer = seam.subscription.customer
        meter_use.require_free(customer=customer, meters=added, beside=seam.subscription, attr="items")


def _require_room(subscription: Subscription, opened: Iterable[SubscriptionItem]) -> None:
    """Nobody pays for a new interval in advance that ends before its time."""
    for item in opened:
        anew = item.period_index == 0 and item.current_period_start == item.anchor_at
        in_advance = item.price.timing == Price.Timing.IN_ADVANCE
        if anew and in_advance and subscription.cancel_at and item.current_period_end > subscription.cancel_at:
            detail = _("The subscription ends before the new period does: undo its cancellation first.")
            raise Conflict(detail, code="ends_before", attr="items")


def _boundary(seam: _Seam, item: SubscriptionItem) -> datetime:
    unit, start = seam.vendor.proration_unit, item.current_period_start
    return proration.boundary(seam.at, unit=unit, timezone=item.timezone, not_before=start)  # type: ignore[arg-type]  # choices


# --- rows that end -----------------------------------------------------------------------------
def _cut(seam: _Seam, item: SubscriptionItem, opened: Iterable[SubscriptionItem]) -> Cut:
    """Where what follows is free until its anchor, it lives on what was charged before."""
    free = any(new.replaces_id == item.pk and new.current_period_end <= new.anchor_at for new in opened)
    return Cut(item, _boundary(seam, item), gives_back=seam.prorate and not free)


def _end(subscription: Subscription, cut: Cut, opened: Sequence[SubscriptionItem]) -> None:
    """End a row at its boundary; what is to be billed of it is due then, or with the period where its usage is pooled.

    Without a successor the parts of the period that ended before are due with it.
    """
    item = cut.item
    item.ended_at = cut.at
    billed_later = item.next_bill_at is not None and item.price.timing == Price.Timing.IN_ARREARS
    trial = item.current_period_end <= item.anchor_at
    passed_over = item.billed_until is not None and item.billed_until >= item.current_period_end
    if not billed_later or trial or passed_over or cut.at <= item.current_period_start:
        item.next_bill_at = None
    pooled = any(new.replaces_id == item.pk and _shares_period(item, new) for new in opened)
    if not pooled:
        due = [item] if item.next_bill_at is not None else []
        for one in [*due, *_waiting(subscription, item)]:
            one.next_bill_at = min(one.next_bill_at or cut.at, cut.at)
    elif item.next_bill_at is not None:
        item.next_bill_at = min(item.current_period_end, subscription.stops_at or item.current_period_end)


def _shares_period(item: SubscriptionItem, new: SubscriptionItem) -> bool:
    same_meter = item.price.meter_id is not None and item.price.meter_id == new.price.meter_id
    return same_meter and (item.anchor_at, item.period_index) == (new.anchor_at, new.period_index)


def _waiting(subscription: Subscription, item: SubscriptionItem) -> list[SubscriptionItem]:
    """Rows of the same meter that ended earlier in the period and wait for its end."""
    if item.price.meter_id is None:
        return []
    ended = [one for one in subscription.items.all() if one.ended_at is not None and one.pk != item.pk]
    return [one for one in ended if one.price.meter_id == item.price.meter_id and one.next_bill_at is not None]


# --- rows that begin ---------------------------------------------------------------------------
def _open(seam: _Seam, pair: Pair[UUID]) -> SubscriptionItem:
    """A new row (unsaved) at the boundary of the change."""
    assert pair.new is not None
    old = seam.live[pair.old.price] if pair.old else None
    state = _state(seam, pair.new, old)
    if not seam.prorate and pair.new.meter is None and _is_rest(state, old):
        state = replace(state, billed_until=state.end)
    price = seam.prices[pair.new.price]
    item = SubscriptionItem(
        subscription=seam.subscription,
        price=price,
        quantity=pair.new.quantity,
        started_at=state.start,
        replaces=old,
        test_clock_id=seam.subscription.test_clock_id,
    )
    charges.place(item, state, ends_at=seam.subscription.stops_at)
    return item


def _state(seam: _Seam, line: Line[UUID], old: SubscriptionItem | None) -> ItemState:
    """Where the new row stands: in the trial, in the rest of a period, or in a first one from a new anchor."""
    subscription = seam.subscription
    if subscription.status == standing.Status.TRIALING and subscription.trial_end is not None:
        start_at = _boundary(seam, old or _leading(seam))
        return _opening(seam, line, anchor_at=subscription.trial_end, start_at=start_at)
    for item in [old] if old is not None else seam.live.values():
        if item_dues.interval_of(item.price) == line.interval:
            return schedule.rest(_state_of(seam, item), from_=_boundary(seam, item), in_arrears=line.in_arrears)
    return _beside(seam, line) if old is None else _anew(seam, line, old)


def _beside(seam: _Seam, line: Line[UUID]) -> ItemState:
    """What is added with an interval that nothing else has."""
    leading = _leading(seam)
    boundary = _boundary(seam, leading)
    nested = schedule.within(_state_of(seam, leading), line.interval, from_=boundary, in_arrears=line.in_arrears)
    return nested or _opening(seam, line, anchor_at=boundary, start_at=boundary)


def _anew(seam: _Seam, line: Line[UUID], old: SubscriptionItem) -> ItemState:
    """Another interval: from the boundary on, or after the running period where that isn't to be prorated."""
    boundary = _boundary(seam, old)
    waits = not seam.prorate and line.meter is None and _has_run(old, boundary)
    return _opening(seam, line, anchor_at=old.current_period_end if waits else boundary, start_at=boundary)


def _opening(seam: _Seam, line: Line[UUID], *, anchor_at: datetime, start_at: datetime) -> ItemState:
    timezone, unit = seam.subscription.customer.timezone, seam.vendor.proration_unit
    anchor = Anchor(anchor_at, timezone, unit, seam.subscription.alignment)  # type: ignore[arg-type]  # choices
    return schedule.opening(anchor=anchor, interval=line.interval, in_arrears=line.in_arrears, start_at=start_at)


def _state_of(seam: _Seam, item: SubscriptionItem) -> ItemState:
    timezone, alignment = seam.subscription.customer.timezone, seam.subscription.alignment
    return charges.state_of(item, timezone=timezone, vendor=seam.vendor, alignment=alignment)


def _leading(seam: _Seam) -> SubscriptionItem:
    return max(seam.live.values(), key=lambda item: item.current_period_end)


def _is_rest(state: ItemState, old: SubscriptionItem | None) -> bool:
    """Whether the row stands in a period that has run, or is paid for, under what it takes over from."""
    if state.before_anchor:
        return False
    return state.start > schedule.natural_start(state) if old is None else _has_run(old, state.start)


def _has_run(item: SubscriptionItem, boundary: datetime) -> bool:
    billed = item.billed_until is not None and item.billed_until >= item.current_period_end
    return boundary < item.current_period_end and (billed or boundary > item.current_period_start)
