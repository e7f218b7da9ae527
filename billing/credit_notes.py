"""Credit notes: what of a finalized invoice is given back, and where the money goes.

What is still open on the invoice is offset first; the rest goes to the balance or back to where it came from. The
number is taken last, in a gapless series of its own.
"""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from django.db import transaction

from billing import balances, crediting, drafting, entities, numbering, refunds, settlement, taxation
from billing.crediting import NoteTotals, Part, Settlement
from billing.invoicing import TotalledLine
from billing.models import (
    Allocation,
    BalanceEntry,
    Charge,
    CreditNote,
    CreditNoteLine,
    CreditNoteTax,
    Invoice,
    InvoiceLine,
    Subscription,
)
from billing.queries import crediting as left
from billing.refunds import Share
from gtm.shared import db, outbox, periods
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.periods import Period
from gtm.shared.templatetags import tandem

Settle = CreditNote.Settle


@dataclass(frozen=True, slots=True)
class LineCredit:
    """How much of an invoice's line to give back: net of its discount and before tax, in minor units, above 0.

    ``period`` is the time that isn't used, ``explanation`` the stored steps that say why, ``charge`` a pending credit
    that ends by this.
    """

    line: InvoiceLine
    amount: int
    period: Period | None = None
    explanation: list[dict[str, Any]] = field(default_factory=list)
    charge: Charge | None = None

    @property
    def passed_on(self) -> bool:
        """Whether this gives back what a credit on another invoice took of the line."""
        return self.charge is not None and self.charge.credits_line_id != self.line.pk


@dataclass(frozen=True, slots=True)
class _Plan:
    """A note before it is written: its totals, and where its money goes."""

    totals: NoteTotals
    money: Settlement
    shares: list[Share]


def creditable(lines: Collection[InvoiceLine]) -> dict[uuid.UUID, int]:
    """The net minor units that each line still has to give, by its key."""
    return left.creditable(lines)


@transaction.atomic
def issue(
    *,
    invoice: Invoice,
    lines: Sequence[LineCredit],
    settle: str,
    reason: str,
    origin: str,
    at: datetime,
    context: drafting.Context | None = None,
) -> CreditNote:
    """Give back parts of an open, paid or uncollectible invoice; an invoice with nothing left to pay becomes paid.

    ``settle`` says where what isn't offset goes: ``balance``, ``refund`` (to the payments that paid the invoice, newest
    first; what no payment paid, to the balance) or ``offset``, which refuses more than is open. ``reason`` is in
    somebody's own words and stays on the note. Raises Invalid with ``lines.N.amount`` for what is more than is left,
    and Conflict for a draft or a void invoice; nothing is written then.
    """
    invoice, subscriptions = settlement.lock(invoice)
    _require_final(invoice)
    plan = _plan(invoice, lines, settle)
    issue_date = context.issue_date(invoice.legal_entity) if context else _today(invoice, at)
    note = _note(invoice, plan, settle=settle, reason=reason, at=at, issue_date=issue_date)
    _end_charges(lines)
    _settle(note, invoice, subscriptions, plan, at=at)
    _publish(note, origin=origin, at=at)
    _insert(note, lines, plan.totals)
    return note


def preview(*, invoice: Invoice, lines: Sequence[LineCredit], settle: str) -> tuple[NoteTotals, Settlement]:
    """What such a note would come to and where its money would go. Raises what ``issue`` raises; writes nothing."""
    with transaction.atomic():
        locked = db.lock_one(invoice)
        _require_final(locked)
        plan = _plan(locked, lines, settle)
    return plan.totals, plan.money


def _require_final(invoice: Invoice) -> None:
    if not left.finalized(invoice):
        kind = invoice.get_status_display().lower()
        raise Conflict(f"A {kind} invoice has no credit notes.", code="invoice_not_creditable", attr="invoice")


def _plan(invoice: Invoice, lines: Sequence[LineCredit], settle: str) -> _Plan:
    if settle not in Settle:
        raise Invalid("Settle by balance, refund or offset.", attr="settle")
    totals = _totals(invoice, lines)
    open_amount = settlement.open_amount(invoice)
    if settle == Settle.OFFSET and totals.total > open_amount:
        still_open, asked = (tandem.money(amount, invoice.currency) for amount in (open_amount, totals.total))
        detail = f"Only {still_open} is open; this comes to {asked}."
        raise Invalid(detail, code="more_than_open", attr="settle")
    shares = refunds.shares(invoice) if settle == Settle.REFUND else []
    refundable = sum(share.amount for share in shares)
    money = crediting.settle(totals.total, open_amount=open_amount, by=settle, refundable=refundable)  # type: ignore[arg-type]  # checked above
    return _Plan(totals, money, shares)


def _totals(invoice: Invoice, lines: Sequence[LineCredit]) -> NoteTotals:
    """What the lines come to, each and all of them within what is left."""
    if not lines:
        raise Invalid("A credit note has lines.", attr="lines", code="required")
    ended = [one.charge for one in lines if one.charge is not None]
    _require_left(invoice, lines, left.creditable([one.line for one in lines], without=ended))
    standing = left.standings([invoice], without=ended)[invoice.pk]
    rates = standing.passed_on if lines[0].passed_on else standing.own
    parts = [Part(one.amount, taxation.recalled(one.line.taxes).rates) for one in lines]
    for position, net in enumerate(crediting.within(parts, rates, standing.gross)):
        if net < parts[position].net:
            raise _too_much(position, net, invoice)
    return crediting.total(parts, rates)


def _require_left(invoice: Invoice, lines: Sequence[LineCredit], left_on: dict[uuid.UUID, int]) -> None:
    for position, one in enumerate(lines):
        if one.line.invoice_id != invoice.pk:
            raise Invalid("This line is not on the invoice.", attr=f"lines.{position}.invoice_line")
        if one.amount <= 0:
            raise Invalid("An amount is more than 0.", attr=f"lines.{position}.amount")
        if one.passed_on:
            continue
        if one.amount > left_on[one.line.pk]:
            raise _too_much(position, left_on[one.line.pk], invoice)
        left_on[one.line.pk] -= one.amount


def _too_much(position: int, net: int, invoice: Invoice) -> Invalid:
    detail = f"Only {tandem.money(net, invoice.currency)} before tax can still be credited here."
    return Invalid(detail, code="more_than_creditable", attr=f"lines.{position}.amount")


def _today(invoice: Invoice, at: datetime) -> date:
    return periods.local_date(at, invoice.legal_entity.timezone)


def _note(invoice: Invoice, plan: _Plan, *, settle: str, reason: str, at: datetime, issue_date: date) -> CreditNote:
    """The note (unsaved, without its number), with the parties as they are now."""
    entity = invoice.legal_entity
    if entity.closed_through is not None and issue_date <= entity.closed_through:
        raise Conflict(f"The books are closed through {entity.closed_through}.", code="period_closed")
    return CreditNote(
        legal_entity=entity,
        customer=invoice.customer,
        invoice=invoice,
        currency=invoice.currency,
        reason=reason,
        settle=settle,
        subtotal=plan.totals.subtotal,
        tax_total=plan.totals.tax_total,
        total=plan.totals.total,
        offset_amount=plan.money.offset,
        balance_amount=plan.money.balance,
        refund_amount=plan.money.refund,
        issue_date=issue_date,
        issued_at=at,
        seller=entities.as_seller(entity),
        buyer=entities.as_buyer(invoice.customer),
        test_clock_id=invoice.test_clock_id,
    )


def _end_charges(lines: Sequence[LineCredit]) -> None:
    """The pending credits that this note replaces will not be gathered."""
    ended = [one.charge.pk for one in lines if one.charge is not None]
    if ended:
        Charge.objects.filter(pk__in=ended).update(status=Charge.Status.REPLACED)


def _settle(
    note: CreditNote, invoice: Invoice, subscriptions: Sequence[Subscription], plan: _Plan, *, at: datetime
) -> None:
    if note.offset_amount:
        settlement.add(invoice, kind=Allocation.Kind.CREDIT_NOTE, amount=note.offset_amount, credit_note=note, at=at)
    invoice.amount_credited += note.offset_amount
    invoice.credit_note_total += note.total
    settlement.save(invoice, subscriptions, "amount_credited", "credit_note_total", at=at)
    refunds.begin_all(shares=plan.shares, amount=note.refund_amount, credit_note=note, at=at)
    if note.balance_amount:
        balances.add(
            customer=note.customer,
            currency=note.currency,
            kind=BalanceEntry.Kind.CREDIT_NOTE,
            amount=note.balance_amount,
            at=at,
            credit_note=note,
            invoice=invoice,
        )


def _publish(note: CreditNote, *, origin: str, at: datetime) -> None:
    """The fact ``billing.credit_note.issued``. It doesn't hold the number, which is taken after it is written."""
    outbox.publish(
        "billing.credit_note.issued",
        note,
        at=at,
        customer_id=note.customer_id,
        account_id=note.customer.account_id,
        data={
            "invoice": note.invoice.public_id,
            "currency": note.currency,
            "total": note.total,
            "settle": note.settle,
            "offset_amount": note.offset_amount,
            "balance_amount": note.balance_amount,
            "refund_amount": note.refund_amount,
            "origin": origin,
        },
    )


def _insert(note: CreditNote, lines: Sequence[LineCredit], totals: NoteTotals) -> None:
    """Take the number and write the note with its parts: the last statements before the commit."""
    note.number = numbering.take(
        entity=note.legal_entity,
        kind="credit_note",
        year=note.issue_date.year,
        test_clock_id=note.test_clock_id,
        count=1,
    )[0]
    note.save()
    CreditNoteLine.objects.bulk_create(
        _line(note, position, one, share)
        for position, (one, share) in enumerate(zip(lines, totals.lines, strict=True), start=1)
    )
    CreditNoteTax.objects.bulk_create(
        CreditNoteTax(
            credit_note=note,
            rate=tax.rate.code,
            name=tax.rate.name,
            percentage=tax.rate.percentage,
            taxable=tax.taxable,
            amount=tax.amount,
        )
        for tax in totals.taxes
    )


def _line(note: CreditNote, position: int, one: LineCredit, share: TotalledLine) -> CreditNoteLine:
    return CreditNoteLine(
        credit_note=note,
        position=position,
        invoice_line=one.line,
        charge=one.charge,
        description=one.line.description,
        amount=one.amount,
        tax_amount=share.tax_amount,
        taxes=taxation.stored(taxation.recalled(one.line.taxes), share),
        period_start=one.period.start if one.period else None,
        period_end=one.period.end if one.period else None,
        explanation=one.explanation,
    )
