"""What a change would cost, by the change itself: it is made in a transaction that is rolled back."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from django.db import transaction

from billing import changes, drafting, invoices, phases, settlement, standing, turns
from billing import credits as giving_back
from billing.changes import Made, Wanted
from billing.models import (
    Charge,
    CreditNoteLine,
    Invoice,
    InvoiceLine,
    LineKind,
    LineReason,
    Subscription,
    SubscriptionChange,
)
from gtm.shared import bulk, vendors
from gtm.shared.models import Vendor

R = TypeVar("R")
_MAX_STEPS = 12  # instants at which nothing is invoiced, before the next invoice


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it would stand on an invoice, or on a credit note: what is open is offset by one, and what was taxed in
    another way than the payer is now stands on no invoice to come.
    """

    kind: str
    reason: str
    description: str
    price_id: UUID | None
    quantity: Decimal
    unit_amount: Decimal | None
    amount: int
    discount_amount: int
    tax_amount: int
    period_start: datetime | None
    period_end: datetime | None
    explanation: list[dict[str, Any]]
    credit_note: bool = False


@dataclass(frozen=True, slots=True)
class Sum:
    """Lines with their totals, in minor units; ``total`` below zero is given back."""

    lines: tuple[Line, ...]
    subtotal: int
    discount_total: int
    tax_total: int
    total: int

    @property
    def credit_note_total(self) -> int:
        """What credit notes give back of it, 0 or more, tax included."""
        return -sum(line.amount + line.tax_amount for line in self.lines if line.credit_note)

    @property
    def invoice_total(self) -> int:
        """What the invoice comes to: ``total`` and what credit notes take off it."""
        return self.total + self.credit_note_total


@dataclass(frozen=True, slots=True)
class ChangePreview:
    """What the change itself comes to, and the next invoice after it; None where none is known to come.

    ``charged_at`` is when the change is invoiced: with it, or with an invoice to come. ``to_pay`` (minor units) is due
    on its own invoice after what stands to the payer's credit. ``may_undo``: until it takes effect whoever asks for it
    can take it back, as it joins nothing that somebody else has scheduled.
    """

    effective_at: datetime
    currency: str
    change: Sum
    next_invoice_at: datetime | None
    next_invoice: Sum | None
    charged_at: datetime
    to_pay: int
    may_undo: bool


class _Undone(Exception):
    def __init__(self, found: Any) -> None:
        self.found = found


def preview(*, subscription: Subscription, wanted: Wanted, at: datetime) -> ChangePreview:
    """What ``changes.change`` would come to; writes nothing, and raises what it raises."""
    return undone(lambda: _tried(subscription, wanted, at))


def undone(act: Callable[[], R]) -> R:
    """What ``act`` finds after what it has written is rolled back."""
    try:
        with transaction.atomic():
            raise _Undone(act())
    except _Undone as done:
        found: R = done.found
        return found


def _tried(subscription: Subscription, wanted: Wanted, at: datetime) -> ChangePreview:
    noted = credited(subscription)
    made = changes.make(subscription, wanted, at=at)
    may_undo = made.effective_at > at and phases.is_own(subscription, at=made.effective_at, origin=wanted.origin)
    cost = cost_of(made, noted=noted, at=at)
    next_at, following = undone(lambda: _next_invoice(made.subscription, vendors.current()))
    charged_at = max((charge.invoice_at for charge in made.charges), default=made.effective_at)
    return ChangePreview(
        effective_at=made.effective_at,
        currency=subscription.currency,
        change=cost,
        next_invoice_at=next_at,
        next_invoice=following,
        charged_at=charged_at,
        to_pay=to_pay(made),
        may_undo=may_undo,
    )


def to_pay(made: Made) -> int:
    """What is asked for, after the payer's credit, on the invoices of a change that the transaction has made."""
    billed = Charge.objects.filter(pk__in=[charge.pk for charge in made.charges], invoice_line__isnull=False)
    own = Invoice.objects.filter(pk__in=billed.values("invoice_line__invoice"), status=Invoice.Status.OPEN)
    return sum(settlement.open_amount(invoice) for invoice in own)


def cost_of(made: Made, *, noted: set[UUID], at: datetime) -> Sum:
    """What a change comes to that the caller's transaction has just made; ``noted`` was ``credited`` before it."""
    vendor = vendors.current()
    if made.effective_at > at:
        return undone(lambda: _cost_later(made, vendor))
    return _cost(made.subscription, made.charges, noted, vendor, at)


def credited(subscription: Subscription) -> set[UUID]:
    """The lines of credit notes that there are for the subscription."""
    return set(_notes(subscription).values_list("pk", flat=True))


def _notes(subscription: Subscription) -> Any:
    return CreditNoteLine.objects.filter(invoice_line__subscription=subscription)


def _cost_later(made: Made, vendor: Vendor) -> Sum:
    """What a scheduled change comes to when its time has come; a renewal at the new price is no cost of the change."""
    subscription = standing.loaded().get(pk=made.subscription.pk)
    known = set(Charge.objects.filter(subscription=subscription).values_list("pk", flat=True))
    noted = credited(subscription)
    bulk.insert(Charge, turns.take(subscriptions=[subscription], until=made.effective_at, vendor=vendor))
    told = Charge.objects.filter(subscription=subscription, reason=LineReason.SUBSCRIPTION_CHANGE).exclude(pk__in=known)
    return _cost(subscription, list(told), noted, vendor, made.effective_at)


def _cost(subscription: Subscription, found: Sequence[Charge], noted: set[UUID], vendor: Vendor, at: datetime) -> Sum:
    related = ("customer", "payer__legal_entity", "subscription", "item", "price", "credits_line", "invoice_line")
    ours = Charge.objects.filter(pk__in=[charge.pk for charge in found]).select_related(*related)
    live = [charge for charge in ours.order_by("created_at", "pk") if charge.status != Charge.Status.REPLACED]
    waiting = [charge for charge in live if charge.invoice_line is None]
    context = drafting.context(vendor=vendor, at=at)
    drafts = drafting.gather(waiting, context=context)
    apart = [charge for draft in drafts if drafting.stands_apart(draft, context) for charge in draft.charges]
    joining = [draft for draft in drafts if draft.charges[0] not in apart]
    lines = [
        *(undone(lambda: _noted_apart(subscription, noted, apart, at)) if apart else _noted(subscription, noted)),
        *(line_of(charge.invoice_line) for charge in live if charge.invoice_line is not None),
        *(line_of(line) for draft in joining for line in draft.lines),
    ]
    return sum_of(lines)


def _noted_apart(subscription: Subscription, noted: set[UUID], apart: Sequence[Charge], at: datetime) -> list[Line]:
    """The notes with those that credits will become which no invoice to come has room for."""
    giving_back.settle_without_room(charges=apart, origin=SubscriptionChange.Origin.SYSTEM, at=at)
    return _noted(subscription, noted)


def _noted(subscription: Subscription, before: set[UUID]) -> list[Line]:
    """The lines of the subscription's credit notes that there weren't ``before``."""
    fresh = _notes(subscription).exclude(pk__in=before).select_related("invoice_line")
    return [_credited(row) for row in fresh.order_by("pk")]


def _next_invoice(subscription: Subscription, vendor: Vendor) -> tuple[datetime | None, Sum | None]:
    """The next invoice, by the turns that will make it, with the usage that is known now and what is credited then."""
    noted = credited(subscription)
    for _step in range(_MAX_STEPS):
        one = standing.loaded().get(pk=subscription.pk)
        if (at := one.next_bill_at) is None:
            break
        made = turns.take(subscriptions=[one], until=at, vendor=vendor)
        context = drafting.context(vendor=vendor, at=at)
        found = invoices.bill_pending(payers=[one.payer], subscriptions=[one], fresh=made, context=context)
        lines = InvoiceLine.objects.filter(invoice__in=found, subscription=one).order_by("invoice", "position")
        if shown := [line_of(line) for line in lines]:
            return at, sum_of([*_noted(subscription, noted), *shown])
    return None, None


def line_of(line: InvoiceLine) -> Line:
    return Line(
        kind=line.kind,
        reason=line.reason,
        description=line.description,
        price_id=line.price_id,
        quantity=line.quantity,
        unit_amount=line.unit_amount,
        amount=line.amount,
        discount_amount=line.discount_amount,
        tax_amount=line.tax_amount,
        period_start=line.period_start,
        period_end=line.period_end,
        explanation=line.explanation,
    )


def _credited(row: CreditNoteLine) -> Line:
    """What a credit note gives back of an invoice."""
    return Line(
        kind=LineKind.PRORATION_CREDIT,
        reason=LineReason.SUBSCRIPTION_CHANGE,
        description=row.description,
        price_id=row.invoice_line.price_id,
        quantity=-row.invoice_line.quantity,
        unit_amount=row.invoice_line.unit_amount,
        amount=-row.amount,
        discount_amount=0,
        tax_amount=-row.tax_amount,
        period_start=row.period_start,
        period_end=row.period_end,
        explanation=row.explanation,
        credit_note=True,
    )


def sum_of(lines: Iterable[Line]) -> Sum:
    found = tuple(lines)
    subtotal, discount = sum(line.amount for line in found), sum(line.discount_amount for line in found)
    tax = sum(line.tax_amount for line in found)
    return Sum(found, subtotal, discount, tax, subtotal - discount + tax)
