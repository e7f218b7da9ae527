"""Time that was billed in advance, or is about to be, and will not be used: what of it is given back.

Callers hold the locks of the payer and of the subscription.
"""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing import charges, proration, wording
from billing.credit_notes import LineCredit
from billing.credits import By, give_back
from billing.models import Charge, InvoiceLine, LineKind, LineReason, Subscription, SubscriptionItem
from gtm.shared import bulk
from gtm.shared.models import Vendor
from gtm.shared.periods import Period

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

    Returns the pending credits, which an invoice at ``invoice_at`` gathers; ``settle`` as in ``billing.credits``.
    """
    by_item = {stop.item.pk: stop for stop in stops}
    _cut_pending(by_item, vendor)
    lines = _lines(by_item)
    given = [one for line in lines if (one := _credit(line, by_item[_item_of(line)], vendor)) is not None]
    return give_back(credits=given, settle=settle, invoice_at=invoice_at, reason=reason, origin=origin, at=at)


def credit_ended(subscriptions: Iterable[Subscription], *, vendor: Vendor, origin: str, at: datetime) -> None:
    """Give back, as each cancellation asked for it, what was billed for the time after the end."""
    for subscription in subscriptions:
        if subscription.cancel_credit != Subscription.Credit.NONE and subscription.ended_at is not None:
            _credit_ended(subscription, subscription.ended_at, vendor=vendor, origin=origin, at=at)


def _credit_ended(subscription: Subscription, end: datetime, *, vendor: Vendor, origin: str, at: datetime) -> None:
    unit: Any = vendor.proration_unit
    credit(
        stops=[Stop(item, charges.closing(item, end, unit=unit)) for item in subscription.items.all()],
        vendor=vendor,
        settle="refund" if subscription.cancel_credit == Subscription.Credit.REFUND else "balance",
        invoice_at=at,
        reason=LineReason.SUBSCRIPTION_END,
        origin=origin,
        at=at,
    )


def _lines(by_item: Mapping[uuid.UUID, Stop]) -> list[InvoiceLine]:
    """The billed lines of the items that reach beyond some stop, with what a credit of theirs needs."""
    earliest = min((stop.from_ for stop in by_item.values()), default=None)
    if earliest is None:
        return []
    billed = InvoiceLine.objects.filter(
        subscription_item__in=by_item, kind__in=_IN_ADVANCE, amount__gt=0, period_end__gt=earliest
    )
    related = ("invoice__customer", "invoice__legal_entity", "price")
    return list(billed.filter(charge__isnull=False).select_related(*related).order_by("period_start", "pk"))


def _item_of(line: InvoiceLine) -> uuid.UUID:
    assert line.subscription_item_id is not None
    return line.subscription_item_id


def _credit(line: InvoiceLine, stop: Stop, vendor: Vendor) -> LineCredit | None:
    served = _served(line.period_start, line.period_end)
    unused = Period(min(max(stop.from_, served.start), served.end), served.end)
    net = line.amount - line.discount_amount
    amount = _unused_net(net, served, unused, stop, vendor)
    if amount <= 0:
        return None
    return LineCredit(
        line=line, amount=amount, period=unused, explanation=_explain("unused", unused, served, net, stop, vendor)
    )


def _cut_pending(by_item: Mapping[uuid.UUID, Stop], vendor: Vendor) -> None:
    """Charges that no invoice has gathered yet end; what was used until the stop is charged for in their place."""
    reaching = Charge.objects.filter(
        item__in=by_item, status=Charge.Status.PENDING, kind__in=_IN_ADVANCE, credits_line=None
    ).order_by("pk")
    ended = [charge for charge in reaching if _reaches(charge, by_item[_key(charge)])]
    Charge.objects.filter(pk__in=[charge.pk for charge in ended]).update(status=Charge.Status.REPLACED)
    used = [_used(charge, by_item[_key(charge)], vendor) for charge in ended]
    bulk.insert(Charge, [charge for charge in used if charge is not None])


def _used(charge: Charge, stop: Stop, vendor: Vendor) -> Charge | None:
    """What is left of a charge, under the next revision of its natural key; None where nothing was used."""
    served = _served(charge.period_start, charge.period_end)
    if stop.from_ <= served.start:
        return None
    used, unused = Period(served.start, stop.from_), Period(stop.from_, served.end)
    rest = charges.successor(charge, invoice_at=charge.invoice_at)
    rest.amount = charge.amount - _unused_net(charge.amount, served, unused, stop, vendor)
    rest.period_end = used.end
    rest.explanation = [*charge.explanation, *_explain("proration", used, served, charge.amount, stop, vendor)]
    return rest


def _unused_net(net: int, served: Period, unused: Period, stop: Stop, vendor: Vendor) -> int:
    return proration.unused_net(
        net,
        line_start=served.start,
        line_end=served.end,
        from_=unused.start,
        unit=vendor.proration_unit,  # type: ignore[arg-type]  # the vendor's choices
        timezone=stop.item.timezone,
    )


def _explain(code: str, part: Period, served: Period, amount: int, stop: Stop, vendor: Vendor) -> list[dict[str, Any]]:
    unit: Any = vendor.proration_unit
    step = proration.shares_step(code, part, whole=served, amount=amount, unit=unit, timezone=stop.item.timezone)
    return wording.stored([step])


def _served(start: datetime | None, end: datetime | None) -> Period:
    assert start is not None
    assert end is not None
    return Period(start, end)


def _reaches(charge: Charge, stop: Stop) -> bool:
    return _served(charge.period_start, charge.period_end).end > stop.from_


def _key(charge: Charge) -> uuid.UUID:
    assert charge.item_id is not None
    return charge.item_id
