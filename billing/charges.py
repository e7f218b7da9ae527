"""Charges: what each period of each item comes to, with a natural key that lets it be charged once.

Many subscriptions are charged together: the number of queries doesn't depend on how many.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from operator import attrgetter

from billing import pricing, rating, schedule, wording
from billing.models import Charge, Customer, LineKind, LineReason, Price, Subscription, SubscriptionItem
from billing.pricing import Rated, Step
from billing.queries import usage
from billing.schedule import Due, ItemState
from gtm.shared import bulk, periods
from gtm.shared.models import Vendor
from gtm.shared.money import round_half_up
from gtm.shared.periods import Anchor, Interval, Period

POSITION = (
    "anchor_at",
    "timezone",
    "period_index",
    "billed_until",
    "current_period_start",
    "current_period_end",
    "next_bill_at",
)


@dataclass(frozen=True, slots=True)
class ItemDue:
    """A period of an item that is to be charged for, and the anchor it is counted from."""

    subscription: Subscription
    item: SubscriptionItem
    due: Due
    anchor: Anchor


def state_of(item: SubscriptionItem, *, timezone: str, vendor: Vendor, alignment: str) -> ItemState:
    """The item as the pure walk through its periods sees it."""
    anchor = Anchor(item.anchor_at, item.timezone, vendor.proration_unit, alignment)  # type: ignore[arg-type]  # choices
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


def interval_of(price: Price) -> Interval:
    return Interval(price.interval, price.interval_count)  # type: ignore[arg-type]  # an item's price always recurs


def place(item: SubscriptionItem, state: ItemState, *, ends_at: datetime | None) -> None:
    """Write where the item stands onto its row (unsaved)."""
    item.anchor_at, item.timezone = state.anchor.at, state.anchor.timezone
    item.period_index, item.billed_until = state.index, state.billed_until
    item.current_period_start, item.current_period_end = state.start, state.end
    item.next_bill_at = schedule.next_bill_at(state, ends_at=ends_at)


def accrue(*, subscriptions: Sequence[Subscription], until: datetime, vendor: Vendor) -> list[Charge]:
    """Move the items through all periods due by ``until`` and write the charges for them.

    ``items`` must be prefetched with price, plan and meter, and ``customer`` and ``payer`` selected; the callers hold
    their locks. A charge that exists raises IntegrityError: its period was charged for by somebody who held no lock.
    """
    made = due(subscriptions=subscriptions, until=until, vendor=vendor)
    bulk.insert(Charge, made)
    write_items(subscriptions)
    return made


def due(*, subscriptions: Iterable[Subscription], until: datetime, vendor: Vendor) -> list[Charge]:
    """Move the items (in memory) through all periods due by ``until`` and return the charges for them, unsaved."""
    dues = [item_due for subscription in subscriptions for item_due in _walk(subscription, until, vendor)]
    quantities = _quantities(dues)
    return [_charge(item_due, quantity, vendor) for item_due, quantity in zip(dues, quantities, strict=True)]


def write_items(subscriptions: Iterable[Subscription]) -> None:
    """Save where the items stand, all of them with one statement."""
    items = [item for subscription in subscriptions for item in live_items(subscription)]
    for item in items:
        item.touch()
    bulk.update(SubscriptionItem, items, [*POSITION, "version", "updated_at"])


def _walk(subscription: Subscription, until: datetime, vendor: Vendor) -> list[ItemDue]:
    found = []
    for item in live_items(subscription):
        state = state_of(item, timezone=subscription.customer.timezone, vendor=vendor, alignment=subscription.alignment)
        dues, moved = schedule.walk(state, until=until, ends_at=subscription.cancel_at)
        place(item, moved, ends_at=subscription.cancel_at)
        found += [ItemDue(subscription, item, due, state.anchor) for due in dues]
    return found


def live_items(subscription: Subscription) -> list[SubscriptionItem]:
    return [item for item in subscription.items.all() if item.ended_at is None]


def _quantities(dues: Sequence[ItemDue]) -> list[Decimal]:
    """What each period is charged for: the item's quantity, or what its meter counted."""
    metered = [item_due for item_due in dues if item_due.item.price.meter_id is not None]
    totals = usage_totals(metered) if metered else {}
    return [totals.get(id(item_due), item_due.item.quantity) for item_due in dues]


def usage_totals(dues: Sequence[ItemDue]) -> dict[int, Decimal]:
    """The usage of many metered periods with one query, by the identity of each."""

    windows = [
        usage.Window(
            customer_id=item_due.subscription.customer_id,
            meter_id=item_due.item.price.meter_id,  # type: ignore[arg-type]  # metered
            subscription_id=item_due.subscription.id,
            start=item_due.due.period.start,
            end=item_due.due.period.end,
        )
        for item_due in dues
    ]
    return {id(due): total for due, total in zip(dues, usage.totals(windows), strict=True)}


def _charge(item_due: ItemDue, quantity: Decimal, vendor: Vendor) -> Charge:
    subscription, item, due = item_due.subscription, item_due.item, item_due.due
    metered = item.price.meter_id is not None
    rated = rate(item_due, quantity, vendor)
    return Charge(
        customer=subscription.customer,
        payer=subscription.payer,
        subscription=subscription,
        item=item,
        kind=LineKind.USAGE if metered else LineKind.RECURRING,
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


def rate(item_due: ItemDue, quantity: Decimal, vendor: Vendor) -> Rated:
    """The price of a period: of the whole, or of its share of the whole where it is a stub or was cut."""
    item, due = item_due.item, item_due.due
    rated = pricing.rate(rating.terms_of(item.price), quantity)
    if item.price.meter_id is not None or not (due.cut or due.period.index == 0):
        return rated
    return _prorated(rated, item_due, vendor)


def _prorated(rated: Rated, item_due: ItemDue, vendor: Vendor) -> Rated:
    due, anchor, unit = item_due.due, item_due.anchor, vendor.proration_unit
    whole = periods.whole_period(anchor, interval_of(item_due.item.price), due.period.index)
    length, full = (_length(period, unit, anchor.timezone) for period in (due.period, whole))
    if due.cut and unit == "day":
        length += 1  # the day of termination is billed
    if length >= full:
        return rated
    exact = Fraction(rated.exact) * length / full
    step = Step("proration", {"part": str(length), "whole": str(full), "unit": unit, "amount": str(rated.amount)})
    return Rated(amount=round_half_up(exact), exact=rated.exact, steps=(*rated.steps, step))


def _length(period: Period, unit: str, timezone: str) -> Fraction:
    return periods.length(period, unit=unit, timezone=timezone)  # type: ignore[arg-type]  # the vendor's choices


def _reason(item_due: ItemDue) -> LineReason:
    price, due = item_due.item.price, item_due.due
    if item_due.subscription.cancel_at is not None and due.at == item_due.subscription.cancel_at:
        return LineReason.SUBSCRIPTION_END
    if due.period.index == 0 and price.timing == Price.Timing.IN_ADVANCE:
        return LineReason.SUBSCRIPTION_START
    return LineReason.SUBSCRIPTION_CYCLE


def describe(price: Price) -> str:
    """What a line calls it: the plan, and the price's own name or what its meter counts."""
    detail = price.name or (price.meter.name if price.meter else "")
    return f"{price.plan.name}: {detail}"[:500] if detail and detail != price.plan.name else price.plan.name


def pending(*, payers: Iterable[Customer], by: datetime, fresh: Iterable[Charge] = ()) -> list[Charge]:
    """What payers are to be invoiced for by then, in the order of its lines.

    The pending charges that are written, locked, and after those of the same instant ``fresh`` ones, which are not.
    """
    queryset = Charge.objects.filter(status=Charge.Status.PENDING, payer__in=list(payers), invoice_at__lte=by)
    related = ("customer", "payer__legal_entity", "subscription", "item", "price", "credits_line")
    known = queryset.select_for_update(of=("self",)).select_related(*related).order_by("created_at", "id")
    return sorted([*known, *(charge for charge in fresh if charge.invoice_at <= by)], key=attrgetter("invoice_at"))


def rate_again(charges: Iterable[Charge], *, vendor: Vendor) -> list[Charge]:
    """Rate the usage of billed charges once more, and return those (unsaved) whose quantity differs now."""
    dues = {charge.pk: _due_of(charge, vendor) for charge in charges if charge.meter_id is not None}
    totals = usage_totals(list(dues.values())) if dues else {}
    changed = []
    for charge in (charge for charge in charges if charge.pk in dues):
        item_due = dues[charge.pk]
        quantity = totals[id(item_due)]
        if quantity != charge.quantity:
            rated = rate(item_due, quantity, vendor)
            charge.quantity, charge.amount = quantity, rated.amount
            charge.explanation = wording.stored(rated.steps)
            changed.append(charge)
    return changed


def _due_of(charge: Charge, vendor: Vendor) -> ItemDue:
    """The period that a written charge is for."""
    assert charge.item is not None
    assert charge.subscription is not None
    assert charge.period_start is not None
    assert charge.period_end is not None
    anchor = Anchor(charge.item.anchor_at, charge.item.timezone, vendor.proration_unit, charge.subscription.alignment)  # type: ignore[arg-type]  # choices
    period = Period(charge.period_start, charge.period_end, charge.period_index)
    return ItemDue(charge.subscription, charge.item, Due(period, charge.invoice_at), anchor)
