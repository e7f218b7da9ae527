"""Giving back what was charged for and will not be used.

The unpaid part of the invoice that charged it is offset first, by a credit note; only what was settled becomes a credit
line on the next invoice, credit on the balance, or a refund. Nothing is given back twice: what is asked for is cut to
what is still creditable on its line.
"""

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal

from django.db.models import Max

from billing import credit_notes, crediting, drafts, settlement, taxation
from billing.credit_notes import LineCredit, Settle
from billing.crediting import Part
from billing.models import Charge, DiscountUse, Invoice, InvoiceLine, LineKind, LineReason
from billing.queries import crediting as left
from gtm.shared import vendors
from gtm.shared.periods import Period

_CHANGE = LineReason.SUBSCRIPTION_CHANGE
By = Literal["line", "balance", "refund"]
"""Where the settled share goes: to a credit ``line`` on the next invoice, the ``balance``, or a ``refund``."""


def give_back(
    *,
    credits: Sequence[LineCredit],  # noqa: A002 -- the interactive prompt's word
    settle: By,
    invoice_at: datetime,
    reason: str,
    origin: str,
    at: datetime,
) -> list[Charge]:
    """Give back parts of lines; return the pending credits (written) that the payer's next invoice gathers.

    ``reason`` is a LineReason. In the caller's transaction, which holds the locks of the payer and the subscription.
    """
    if not credits:
        return []
    invoices, _subscriptions = settlement.lock_all(one.line.invoice for one in credits)
    fitting, words = _cut(credits), str(LineReason(reason).label)
    pending: list[LineCredit] = []
    for invoice in invoices:
        theirs = [one for one in fitting if one.line.invoice_id == invoice.pk]
        if invoice.status == Invoice.Status.DRAFT:
            _put_on_draft(invoice, theirs, reason=reason)
        elif settle == "line":
            pending += _offset(invoice, theirs, reason=words, origin=origin, at=at)
        else:
            pending += _pay_back(theirs, Settle(settle), reason=words, origin=origin, at=at)
    return Charge.objects.bulk_create(_charges(pending, invoice_at=invoice_at, reason=reason))


def settle_without_room(*, charges: Sequence[Charge], origin: str, at: datetime) -> None:
    """End pending credits that no invoice has room for: credit notes to the balance, for the lines they name.

    In the caller's transaction, which holds the payers' locks.
    """
    wanted = [_of_charge(charge) for charge in charges]
    settlement.lock_all(one.line.invoice for one in wanted)
    left_over = _pay_back(wanted, Settle.BALANCE, reason="", origin=origin, at=at)
    untouched = {one.charge.pk for one in left_over if one.charge is not None and one.amount == -one.charge.amount}
    Charge.objects.filter(pk__in={charge.pk for charge in charges} - untouched).update(status=Charge.Status.REPLACED)
    again = [
        replace(one, line=_about(one)) for one in left_over if one.charge is None or one.charge.pk not in untouched
    ]
    Charge.objects.bulk_create(_charges(again, invoice_at=at, reason=_CHANGE))


def _of_charge(charge: Charge) -> LineCredit:
    assert charge.credits_line is not None
    period = Period(charge.period_start, charge.period_end) if charge.period_start and charge.period_end else None
    return LineCredit(charge.credits_line, -charge.amount, period, charge.explanation, charge)


def _cut(given: Sequence[LineCredit]) -> list[LineCredit]:
    """Each cut to what is still creditable on its line; without those of which nothing is left."""
    left_on = left.creditable([one.line for one in given])
    cut = []
    for one in given:
        amount = min(one.amount, left_on[one.line.pk])
        left_on[one.line.pk] -= amount
        if amount > 0:
            cut.append(replace(one, amount=amount))
    return cut


def _put_on_draft(invoice: Invoice, given: list[LineCredit], *, reason: str) -> None:
    """Nobody was asked for what stands on a draft: the credit goes onto the draft itself."""
    if given:
        charges = _charges(given, invoice_at=invoice.gathered_at, reason=reason)
        drafts.add_credits(invoice=invoice, charges=charges, vendor=vendors.current())


def _offset(invoice: Invoice, given: list[LineCredit], *, reason: str, origin: str, at: datetime) -> list[LineCredit]:
    """Credit what is open on the invoice; return what is to become credit lines."""
    _release_discounts(given)
    open_amount = settlement.open_amount(invoice)
    if not given or not open_amount:
        return given
    standing = left.standings([invoice])[invoice.pk]
    parts = [_part(one) for one in given]
    room = crediting.within(parts, standing.own, standing.gross)
    nets = crediting.fit(
        [replace(part, net=net) for part, net in zip(parts, room, strict=True)], standing.own, open_amount
    )
    return _note(invoice, given, nets, Settle.BALANCE, reason=reason, origin=origin, at=at)


def _pay_back(
    given: Sequence[LineCredit], settle: Settle, *, reason: str, origin: str, at: datetime
) -> list[LineCredit]:
    """Give back by credit notes; return what no invoice has room for.

    An invoice that holds credits of others has less room than its lines came to: the rest was paid on the invoices
    whose lines those credits took, and is given back there.
    """
    _release_discounts([one for one in given if one.charge is None])
    left_over, waiting = [], list(given)
    while waiting:
        invoice = waiting[0].line.invoice
        theirs = [one for one in waiting if one.line.invoice_id == invoice.pk and one.passed_on == waiting[0].passed_on]
        waiting = [one for one in waiting if one not in theirs]
        rest = _note_within(invoice, theirs, settle, reason=reason, origin=origin, at=at)
        passed_on, unplaced = _pass_on(invoice, rest)
        waiting += passed_on
        left_over += unplaced
    return left_over


def _note_within(
    invoice: Invoice, given: list[LineCredit], settle: Settle, *, reason: str, origin: str, at: datetime
) -> list[LineCredit]:
    """Issue a credit note over what there is room for on the invoice; return the rest."""
    ended = [one.charge for one in given if one.charge is not None]
    standing = left.standings([Invoice.objects.get(pk=invoice.pk)], without=ended)[invoice.pk]
    rates = standing.passed_on if given[0].passed_on else standing.own
    nets = crediting.within([_part(one) for one in given], rates, standing.gross)
    return _note(invoice, given, nets, settle, reason=reason, origin=origin, at=at)


def _note(
    invoice: Invoice,
    given: Sequence[LineCredit],
    nets: Sequence[int],
    settle: Settle,
    *,
    reason: str,
    origin: str,
    at: datetime,
) -> list[LineCredit]:
    noted = [replace(one, amount=net) for one, net in zip(given, nets, strict=True) if net]
    if noted:
        credit_notes.issue(invoice=invoice, lines=noted, settle=settle, reason=reason, origin=origin, at=at)
    return [replace(one, amount=one.amount - net) for one, net in zip(given, nets, strict=True) if one.amount > net]


def _pass_on(invoice: Invoice, rest: Sequence[LineCredit]) -> tuple[list[LineCredit], list[LineCredit]]:
    """Share what has no room on an invoice among the lines whose credits stand on it; and what is left even so."""
    carriers = left.carriers(invoice) if rest else {}
    passed_on, unplaced = [], []
    for one in rest:
        amount = one.amount
        for line, room in list(carriers.items()):
            if part := min(amount, room):
                passed_on.append(replace(one, line=line, amount=part, charge=_marker(one, part)))
                carriers[line], amount = room - part, amount - part
        if amount:
            unplaced.append(replace(one, amount=amount))
    return passed_on, unplaced


def _marker(one: LineCredit, amount: int) -> Charge:
    """A credit that ended at once: it names the line that is given back by a note on another invoice."""
    about = _about(one)
    (marker,) = _charges(
        [replace(one, line=about, amount=amount)], invoice_at=about.invoice.gathered_at, reason=_CHANGE
    )
    marker.status = Charge.Status.REPLACED
    marker.save()
    return marker


def _about(one: LineCredit) -> InvoiceLine:
    """The line that is given back, whichever invoice the money comes from."""
    about = one.charge.credits_line if one.charge is not None else one.line
    assert about is not None
    return about


def _part(one: LineCredit) -> Part:
    return Part(one.amount, taxation.recalled(one.line.taxes).rates)


def _charges(given: Sequence[LineCredit], *, invoice_at: datetime, reason: str) -> list[Charge]:
    """The pending given (unsaved), each with the next revision of its item's and period's natural key."""
    indexes = dict(
        Charge.objects.filter(invoice_line__in=[one.line for one in given]).values_list("invoice_line", "period_index")
    )
    revisions = _revisions(given)
    made = []
    for one in given:
        key = (one.line.subscription_item_id, indexes.get(one.line.pk, 0))
        made.append(_charge(one, period_index=key[1], revision=revisions[key], invoice_at=invoice_at, reason=reason))
        revisions[key] += 1
    return made


def _revisions(given: Sequence[LineCredit]) -> dict[tuple[uuid.UUID | None, int], int]:
    """The next free revision of the given of each item and period."""
    items = {one.line.subscription_item_id for one in given}
    known = Charge.objects.filter(item__in=items, kind=LineKind.PRORATION_CREDIT)
    newest = known.values("item", "period_index").annotate(newest=Max("revision"))
    found: dict[tuple[uuid.UUID | None, int], int] = defaultdict(int)
    found |= {(row["item"], row["period_index"]): row["newest"] + 1 for row in newest}
    return found


def _charge(one: LineCredit, *, period_index: int, revision: int, invoice_at: datetime, reason: str) -> Charge:
    line = one.line
    return Charge(
        customer_id=line.customer_id,
        payer=line.invoice.customer,
        subscription_id=line.subscription_id,
        item_id=line.subscription_item_id,
        kind=LineKind.PRORATION_CREDIT,
        reason=reason,
        period_index=period_index,
        revision=revision,
        currency=line.invoice.currency,
        amount=-one.amount,
        quantity=-line.quantity,
        unit_amount=line.unit_amount,
        description=line.description,
        explanation=one.explanation,
        price_id=line.price_id,
        meter_id=line.meter_id,
        period_start=one.period.start if one.period else line.period_start,
        period_end=one.period.end if one.period else line.period_end,
        invoice_at=invoice_at,
        credits_line=line,
        test_clock_id=line.invoice.test_clock_id,
    )


def _release_discounts(given: Sequence[LineCredit]) -> None:
    """Free what discounts took off the lines, in proportion to what is given back of them."""
    lines = {one.line.pk: one.line for one in given if one.line.discount_amount}
    if not lines:
        return
    left_on = left.creditable(list(lines.values()))
    uses = DiscountUse.objects.filter(invoice_line__in=lines, amount__gt=0).order_by("pk")
    DiscountUse.objects.bulk_create(
        DiscountUse(
            discount_id=use.discount_id,
            invoice_line_id=use.invoice_line_id,
            period_start=use.period_start,
            amount=-freed,
        )
        for use in uses
        if (freed := _freed(use, lines[use.invoice_line_id], left_on[use.invoice_line_id], given))
    )


def _freed(use: DiscountUse, line: InvoiceLine, left_on_line: int, given: Sequence[LineCredit]) -> int:
    net = line.amount - line.discount_amount
    credited = sum(one.amount for one in given if one.line.pk == line.pk)
    return crediting.released(use.amount, net=net, credited=credited, credited_before=net - left_on_line)
