"""Time that was billed in advance, or is about to be, and will not be used: what of it is given back.

Callers hold the locks of the payer and of the subscription.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Sum
from django.db.models.functions import Coalesce

from billing import charges, drafting, invoices, item_dues, pricing, proration, rating, settlement, wording
from billing.credit_notes import LineCredit
from billing.credits import By, give_back
from billing.models import (
    Charge,
    CreditNoteLine,
    DiscountUse,
    Invoice,
    InvoiceLine,
    LineKind,
    LineReason,
    Subscription,
    SubscriptionItem,
)
from billing.proration import Part
from billing.queries import crediting
from gtm.shared import bulk, periods
from gtm.shared.models import Vendor
from gtm.shared.periods import Anchor, Period

_IN_ADVANCE = (LineKind.RECURRING, LineKind.PRORATION_CHARGE)


@dataclass(frozen=True, slots=True)
class Stop:
    """From when on an item is not used; its day is the first that isn't."""

    item: SubscriptionItem
    from_: datetime


def credit(
    *, stops: Iterable[Stop], vendor: Vendor, settle: By, invoice_at: datetime, reason: str, origin: str, at: datetime
) -> list[Charge]:
    """Credit what was billed for the time after the stops, and cut what is still to be billed for it.

    Returns the pending credits, which an invoice at ``invoice_at`` gathers; ``settle`` as in ``billing.credits``. A
    draft that asks for such time is finalized first, so that what it asks for stands before part of it is given back.
    """
    by_item = _charged({stop.item.pk: stop for stop in stops})
    _cut_pending(by_item, vendor)
    lines = _lines(by_item)
    if _finalize_drafts(lines, vendor, at):
        lines = _lines(by_item)
    since = _given_back_from(lines)
    given = [one for line in lines if (one := _credit(line, by_item[_item_of(line)], since, vendor)) is not None]
    _free_discounts([line for line in lines if line.amount == line.discount_amount], by_item, vendor)
    return give_back(credits=given, settle=settle, invoice_at=invoice_at, reason=reason, origin=origin, at=at)


def credit_ended(subscriptions: Iterable[Subscription], *, vendor: Vendor, origin: str, at: datetime) -> None:
    """Give back, as each cancellation asked for it, what was billed for the time after the end."""
    for subscription in subscriptions:
        if subscription.cancel_credit != Subscription.Credit.NONE and subscription.ended_at is not None:
            _credit_ended(subscription, subscription.ended_at, vendor=vendor, origin=origin, at=at)


def _credit_ended(subscription: Subscription, end: datetime, *, vendor: Vendor, origin: str, at: datetime) -> None:
    unit: Any = vendor.proration_unit
    credit(
        stops=[Stop(item, item_dues.closing(item, end, unit=unit)) for item in subscription.items.all()],
        vendor=vendor,
        settle="refund" if subscription.cancel_credit == Subscription.Credit.REFUND else "balance",
        invoice_at=at,
        reason=LineReason.SUBSCRIPTION_END,
        origin=origin,
        at=at,
    )


def _charged(by_item: dict[uuid.UUID, Stop]) -> dict[uuid.UUID, Stop]:
    """The stops by the items that were charged for.

    One that took over without proration was charged nothing for the rest of its period: it lives on what was charged
    for the item before it.
    """
    free = {key: stop for key, stop in by_item.items() if stop.item.replaces_id and _is_passed_over(stop.item)}
    if not free:
        return by_item
    theirs = SubscriptionItem.objects.filter(subscription__in={stop.item.subscription_id for stop in free.values()})
    before = dict(theirs.values_list("pk", "replaces"))
    with_charge = Charge.objects.filter(item__in=before, kind__in=_IN_ADVANCE)
    ends: dict[uuid.UUID, list[datetime]] = defaultdict(list)
    for item, end in with_charge.values_list("item", "period_end"):
        if item is not None and end is not None:
            ends[item].append(end)
    return {_lender(key, stop, before, ends): stop for key, stop in by_item.items()}


def _is_passed_over(item: SubscriptionItem) -> bool:
    """Whether its time until its next period, or its first one, was charged for before it."""
    if item.current_period_end <= item.anchor_at:
        return True
    return item.started_at == item.current_period_start and item.billed_until == item.current_period_end


def _lender(
    key: uuid.UUID,
    stop: Stop,
    before: Mapping[uuid.UUID, uuid.UUID | None],
    ends: Mapping[uuid.UUID, Sequence[datetime]],
) -> uuid.UUID:
    """The item itself, or the nearest before it that was charged for time after the stop."""
    lender: uuid.UUID | None = key
    while lender is not None and not any(end > stop.from_ for end in ends.get(lender, ())):
        lender = before.get(lender)
    return lender or key


def _finalize_drafts(lines: Iterable[InvoiceLine], vendor: Vendor, at: datetime) -> bool:
    drafts = {line.invoice for line in lines if line.invoice.status == Invoice.Status.DRAFT}
    if drafts:
        locked, subscriptions = settlement.lock_all(drafts)
        context = drafting.context(vendor=vendor, at=at)
        invoices.finalize_all(invoices=locked, subscriptions=subscriptions, context=context)
    return bool(drafts)


def _lines(by_item: Mapping[uuid.UUID, Stop]) -> list[InvoiceLine]:
    """The billed lines of the items that reach beyond some stop, with what a credit of theirs needs."""
    earliest = min((stop.from_ for stop in by_item.values()), default=None)
    if earliest is None:
        return []
    billed = InvoiceLine.objects.filter(
        subscription_item__in=by_item, kind__in=_IN_ADVANCE, amount__gt=0, period_end__gt=earliest
    )
    related = ("invoice__customer", "invoice__legal_entity", "price", "charge", "subscription_item__subscription")
    return list(billed.filter(charge__isnull=False).select_related(*related).order_by("period_start", "pk"))


def _item_of(line: InvoiceLine) -> uuid.UUID:
    assert line.subscription_item_id is not None
    return line.subscription_item_id


def _given_back_from(lines: Iterable[InvoiceLine]) -> dict[uuid.UUID, datetime]:
    """Since when the lines' time is given back already, where some of it is: by the pause before an end, say."""
    keys = [line.pk for line in lines]
    charged = Charge.objects.filter(credits_line__in=keys, status__in=crediting.LIVE)
    named = CreditNoteLine.objects.annotate(about=Coalesce("charge__credits_line", "invoice_line"))
    noted = named.filter(about__in=keys)
    known = charged.values_list("credits_line", "period_start").union(noted.values_list("about", "period_start"))
    found: dict[uuid.UUID, datetime] = {}
    for key, start in known:
        if key is not None and start is not None:
            found[key] = min(start, found.get(key, start))
    return found


def _credit(line: InvoiceLine, stop: Stop, since: Mapping[uuid.UUID, datetime], vendor: Vendor) -> LineCredit | None:
    """What of a line is not used and not given back yet; None where there is nothing."""
    served = _served(line.period_start, line.period_end)
    unused = _unused(served, stop)
    if (end := since.get(line.pk, unused.end)) < unused.end:
        unused = Period(min(unused.start, end), end)
    net, charged = line.amount - line.discount_amount, _charged_as(line, vendor)
    amount = _unused_net(net, served, unused, stop, charged)
    if amount <= 0:
        return None
    step = proration.unused_step("unused", unused, charged=charged, amount=net, timezone=stop.item.timezone)
    return LineCredit(line=line, amount=amount, period=unused, explanation=wording.stored([step]))


def _charged_as(line: InvoiceLine, vendor: Vendor) -> Part:
    """What part of its period the line was charged as, as ``item_dues.part_of`` counted it."""
    item, index, served = line.subscription_item, line.charge.period_index, _served(line.period_start, line.period_end)
    assert item is not None
    anchor, interval = _anchor(item, item.subscription, vendor), item_dues.interval_of(line.price)  # type: ignore[arg-type]  # of a plan
    whole = periods.whole_period(anchor, interval, index)
    length, full = (periods.length(one, unit=anchor.unit, timezone=anchor.timezone) for one in (served, whole))
    if whole.end != served.end:  # counted from another anchor since
        return Part(length, length, anchor.unit)
    return Part(full if index and line.kind == LineKind.RECURRING else length, full, anchor.unit)


def _anchor(item: SubscriptionItem, subscription: Subscription, vendor: Vendor) -> Anchor:
    return Anchor(item.anchor_at, item.timezone, vendor.proration_unit, subscription.alignment)  # type: ignore[arg-type]  # choices


def _free_discounts(lines: Sequence[InvoiceLine], by_item: Mapping[uuid.UUID, Stop], vendor: Vendor) -> None:
    """Nothing is credited of lines that discounts took whole; what they took of the unused time is free again.

    Freed time always reaches to the end of its line, so what an earlier stop freed is part of what this one frees.
    """
    by_key = {line.pk: line for line in lines}
    if not by_key:
        return
    of_lines = DiscountUse.objects.filter(invoice_line__in=by_key)
    rows = of_lines.filter(amount__lt=0).values_list("discount", "invoice_line").annotate(freed=-Sum("amount"))
    before = {(discount, line): freed for discount, line, freed in rows}
    freed = [
        (use, _freed(use, by_key[use.invoice_line_id], by_item, vendor) - before.get(_key_of(use), 0))
        for use in of_lines.filter(amount__gt=0).order_by("pk")
    ]
    bulk.insert(
        DiscountUse,
        [
            DiscountUse(
                discount_id=use.discount_id,
                invoice_line_id=use.invoice_line_id,
                period_start=use.period_start,
                amount=-amount,
            )
            for use, amount in freed
            if amount > 0
        ],
    )


def _key_of(use: DiscountUse) -> tuple[uuid.UUID, uuid.UUID]:
    return use.discount_id, use.invoice_line_id


def _freed(use: DiscountUse, line: InvoiceLine, by_item: Mapping[uuid.UUID, Stop], vendor: Vendor) -> int:
    stop, served = by_item[_item_of(line)], _served(line.period_start, line.period_end)
    return _unused_net(use.amount, served, _unused(served, stop), stop, _charged_as(line, vendor))


def _cut_pending(by_item: Mapping[uuid.UUID, Stop], vendor: Vendor) -> None:
    """Charges that no invoice has gathered yet end; what was used until the stop is charged for in their place."""
    reaching = Charge.objects.filter(
        item__in=by_item, status=Charge.Status.PENDING, kind__in=_IN_ADVANCE, credits_line=None
    )
    theirs = reaching.select_related("item__price", "subscription").order_by("pk")
    ended = [charge for charge in theirs if _reaches(charge, by_item[_key(charge)])]
    Charge.objects.filter(pk__in=[charge.pk for charge in ended]).update(status=Charge.Status.REPLACED)
    used = [_used(charge, by_item[_key(charge)], vendor) for charge in ended]
    bulk.insert(Charge, [charge for charge in used if charge is not None])


def _used(charge: Charge, stop: Stop, vendor: Vendor) -> Charge | None:
    """What is left of a charge, under the next revision of its natural key; None where nothing was used."""
    served, item, subscription = _served(charge.period_start, charge.period_end), charge.item, charge.subscription
    if item is None or subscription is None or stop.from_ <= served.start:
        return None
    used = Period(served.start, stop.from_, charge.period_index)
    part = proration.part_of(
        used,
        anchor=_anchor(item, subscription, vendor),
        interval=item_dues.interval_of(item.price),
        from_start=charge.period_index > 0 and charge.kind == LineKind.RECURRING,
    )
    rated = proration.prorated(pricing.rate(rating.terms_of(item.price), charge.quantity), part)
    rest = charges.successor(charge, invoice_at=charge.invoice_at)
    rest.amount, rest.period_end, rest.explanation = rated.amount, used.end, wording.stored(rated.steps)
    return rest


def _unused(served: Period, stop: Stop) -> Period:
    """What of it lies after the stop."""
    return Period(min(max(stop.from_, served.start), served.end), served.end)


def _unused_net(net: int, served: Period, unused: Period, stop: Stop, charged: Part) -> int:
    """What of a net is for the unused time: what is for the time from its start, less what is from its end."""
    from_start, from_end = (
        proration.unused_net(
            net,
            line_start=served.start,
            line_end=served.end,
            from_=instant,
            unit=charged.unit,
            timezone=stop.item.timezone,
            charged=charged,
        )
        for instant in (unused.start, unused.end)
    )
    return from_start - from_end


def _served(start: datetime | None, end: datetime | None) -> Period:
    assert start is not None
    assert end is not None
    return Period(start, end)


def _reaches(charge: Charge, stop: Stop) -> bool:
    return _served(charge.period_start, charge.period_end).end > stop.from_


def _key(charge: Charge) -> uuid.UUID:
    assert charge.item_id is not None
    return charge.item_id
