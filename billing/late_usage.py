"""Late usage: a closed period is rated again when its usage changed, and the difference is billed or given back.

All that was charged for a period, line after line, is compared with what it comes to now, by the same rating as the
first time and at that period's prices. More stands on the next invoice as a line of its own that names the period; an
ended subscription gets a closing invoice. Less is given back of the lines that billed it: what of them is unpaid is
offset, the rest is credited, and never more than they have left.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from billing import charges, item_dues, late_hours, lateness, true_ups, wording
from billing.credit_notes import LineCredit, creditable
from billing.credits import give_back
from billing.lateness import Billed, Difference
from billing.models import Charge, Customer, LineKind, LineReason, Subscription, SubscriptionChange
from billing.pricing import Rated, Step
from gtm.shared import db, outbox, periods, vendors
from gtm.shared.models import Event, TestClock, Vendor
from gtm.shared.periods import Period as Bounds

Status = Charge.Status
RATED_AGAIN = "billing.usage.rated_again"
_COPIED = (
    "customer",
    "payer",
    "subscription",
    "item",
    "period_index",
    "currency",
    "unit_amount",
    "description",
    "price",
    "meter_id",
    "tax_class",
    "period_start",
    "period_end",
    "test_clock_id",
)
_RELATED = (
    "item__price__plan",
    "item__price__meter",
    "subscription__customer",
    "subscription__payer",
    "customer",
    "payer",
    "invoice_line__invoice__customer",
    "meter",
)


@dataclass(slots=True)
class _Period:
    """A period of an item: all its charges but those that others replaced, oldest first, and what it comes to now."""

    charges: list[Charge]
    quantity: Decimal = Decimal()
    rated: Rated = field(default_factory=lambda: Rated(0, Decimal(), ()))

    @property
    def first(self) -> Charge:
        """What the period was charged for at first, which says what it was."""
        return next((one for one in self.charges if not _is_late(one)), self.charges[0])

    @property
    def bounds(self) -> Bounds:
        assert self.first.period_start is not None
        assert self.first.period_end is not None
        return Bounds(self.first.period_start, self.first.period_end, self.first.period_index)

    @property
    def waiting(self) -> Charge | None:
        """The difference that was found before and stands on no invoice yet."""
        return next((one for one in self.charges if one.status == Status.PENDING and _is_late(one)), None)

    @property
    def settled(self) -> list[Charge]:
        return [one for one in self.charges if one is not self.waiting]

    @property
    def is_open(self) -> bool:
        """Whether the invoice of a charge is still to be final: then its usage is rated again with it."""
        pending = any(one.status == Status.PENDING and not _is_late(one) for one in self.charges)
        return pending or any(one.invoice_line and one.invoice_line.invoice.status == "draft" for one in self.charges)

    @property
    def difference(self) -> Difference:
        return Difference(
            quantity=self.quantity - sum(one.quantity for one in self.settled),
            amount=self.rated.amount - sum(one.amount for one in self.settled),
        )


def _is_late(charge: Charge) -> bool:
    return charge.reason == LineReason.LATE_USAGE


def rate_again(*, payers: Collection[Customer], test_clock: TestClock | None, at: datetime) -> int:
    """Deal with the notes of payers whose locks are held; return how many. A second time does nothing.

    In the caller's transaction, with a number of queries that doesn't depend on how many there are, but for what is
    given back.
    """
    concerned = late_hours.charged(test_clock=test_clock).filter(payer__in=payers)
    db.lock(Subscription, set(concerned.values_list("subscription", flat=True)))
    hours = late_hours.claim(payers=payers, test_clock=test_clock)
    if hours:
        of_periods = late_hours.charges_of(hours).exclude(status=Status.REPLACED).select_related(*_RELATED)
        found = [one for one in _rated(of_periods.order_by("revision", "pk"), vendors.current()) if not one.is_open]
        _settle(found, at=at)
        late_hours.forget(hours)
    return len(hours)


def _rated(found: Iterable[Charge], vendor: Vendor) -> list[_Period]:
    by_period: dict[tuple[object, int], list[Charge]] = defaultdict(list)
    for charge in found:
        by_period[charge.item_id, charge.period_index].append(charge)
    known = [_Period(members) for members in by_period.values()]
    now = item_dues.rate([charges.due_of(one.first, vendor) for one in known])
    for one, (quantity, rated) in zip(known, now, strict=True):
        one.quantity, one.rated = quantity, rated
    return known


def _settle(found: Sequence[_Period], *, at: datetime) -> None:
    """Write what differs: further charges, those that wait brought up to date, and what is given back."""
    revisions = charges.next_revisions([one.first for one in found])
    replaced, made, facts = [], [], []
    for one in found:
        difference, waiting = one.difference, one.waiting
        if waiting is not None:
            if difference == Difference(waiting.quantity, waiting.amount):
                continue
            waiting.status = Status.REPLACED
            replaced.append(waiting)
        if difference.amount < 0:
            difference = _give_back(one, difference, at=at)
        if difference:
            made.append(_charge(one, difference, revision=next(revisions[charges.natural_key(one.first)]), at=at))
        if difference or waiting is not None:
            facts.append(_fact(one, difference, at=at))
    Charge.objects.bulk_update(replaced, ["status"])
    Charge.objects.bulk_create(made)
    true_ups.settle_again(charges=[*replaced, *made], at=at)
    outbox.publish_many(facts)


def _give_back(period: _Period, difference: Difference, *, at: datetime) -> Difference:
    """Give back what was billed too much, and return what of it could be: no more than the lines have left."""
    lines = [one.invoice_line for one in reversed(period.settled) if one.invoice_line and one.amount > 0]
    left = creditable(lines)
    billed = [Billed(line.amount, line.amount - line.discount_amount, left[line.pk]) for line in lines]
    given = lateness.give_back(-difference.amount, billed)
    explanation = _explanation(period, difference)
    pending = give_back(
        credits=[
            LineCredit(line, part.net, period=period.bounds, explanation=explanation)
            for line, part in zip(lines, given, strict=True)
            if part.net
        ],
        settle="line",
        invoice_at=_invoice_at(period, at),
        reason=LineReason.LATE_USAGE,
        origin=SubscriptionChange.Origin.SYSTEM,
        at=at,
    )
    shares = dict(zip([line.pk for line in lines], lateness.shared(difference.quantity, given), strict=True))
    for charge in pending:
        assert charge.credits_line_id is not None
        charge.quantity = shares[charge.credits_line_id]
    Charge.objects.bulk_update(pending, ["quantity"])
    return Difference(difference.quantity, -sum(part.amount for part in given))


def _charge(period: _Period, difference: Difference, *, revision: int, at: datetime) -> Charge:
    """The difference as a charge of its own. What was given back is kept by one that asks for nothing."""
    first = period.first
    bills = difference.amount > 0 or (difference.amount == 0 and not _has_ended(period))
    copied = {name: getattr(first, name) for name in _COPIED}
    return Charge(
        **copied,
        kind=LineKind.USAGE,
        reason=LineReason.LATE_USAGE,
        revision=revision,
        status=Status.PENDING if bills else Status.WAIVED,
        quantity=difference.quantity,
        amount=difference.amount,
        explanation=_explanation(period, difference),
        invoice_at=_invoice_at(period, at),
    )


def _has_ended(period: _Period) -> bool:
    subscription = period.first.subscription
    return subscription is None or subscription.status in Subscription.ENDED


def _invoice_at(period: _Period, at: datetime) -> datetime:
    """With the subscription's next renewal; at once where there is none."""
    subscription = period.first.subscription
    renewal = subscription.next_bill_at if subscription else None
    return at if renewal is None or _has_ended(period) else max(renewal, at)


def _explanation(period: _Period, difference: Difference) -> list[dict[str, object]]:
    """The period and both quantities, how the whole comes about, and what of it was billed before."""
    assert period.first.item is not None
    zone, bounds = period.first.item.timezone, period.bounds
    said = Step(
        "late",
        {
            "from": periods.local_date(bounds.start, zone).isoformat(),
            "to": periods.local_date(bounds.end - timedelta(microseconds=1), zone).isoformat(),
            "billed": f"{period.quantity - difference.quantity:f}",
            "now": f"{period.quantity:f}",
        },
    )
    less = Step("billed_before", {"total": period.rated.amount, "amount": period.rated.amount - difference.amount})
    return wording.stored([said, *period.rated.steps, less])


def _fact(period: _Period, difference: Difference, *, at: datetime) -> Event:
    first, bounds = period.first, period.bounds
    assert first.subscription is not None
    assert first.item is not None
    assert first.meter is not None
    return outbox.fact(
        RATED_AGAIN,
        first.subscription,
        at=at,
        customer_id=first.customer_id,
        account_id=first.customer.account_id,
        data={
            "subscription_item": first.item.public_id,
            "meter": first.meter.code,
            "period_start": bounds.start.isoformat(),
            "period_end": bounds.end.isoformat(),
            "quantity": f"{period.quantity:f}",
            "difference": f"{difference.quantity:f}",
            "amount": difference.amount,
            "currency": first.currency,
        },
    )
