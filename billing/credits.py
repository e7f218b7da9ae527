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

from billing import credit_notes, crediting, settlement, taxation
from billing.credit_notes import LineCredit, Settle
from billing.crediting import Part
from billing.models import Charge, DiscountUse, Invoice, InvoiceLine, LineKind
from billing.queries import crediting as left

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
    invoices, _subscriptions = settlement.lock_all(one.line.invoice for one in credits)
    fitting = _cut(credits)
    _release_discounts(fitting)
    pending: list[LineCredit] = []
    for invoice in invoices:
        theirs = [one for one in fitting if one.line.invoice_id == invoice.pk]
        if theirs:
            pending += _give_back_on(invoice, theirs, settle, reason=reason, origin=origin, at=at)
    charges = _charges(pending, invoice_at=invoice_at, reason=reason)
    return Charge.objects.bulk_create(charges)


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


def _give_back_on(
    invoice: Invoice, given: list[LineCredit], settle: By, *, reason: str, origin: str, at: datetime
) -> list[LineCredit]:
    """Issue the credit note that an invoice's part of it needs; return what is to become credit lines."""
    if not left.finalized(invoice):
        return given
    parts = [Part(one.amount, taxation.recalled(one.line.taxes).rates) for one in given]
    standing = left.standings([invoice])[invoice.pk]
    nets = crediting.within(parts, standing.own, standing.gross)
    if settle == "line":
        fitting = [replace(part, net=net) for part, net in zip(parts, nets, strict=True)]
        nets = crediting.fit(fitting, standing.own, settlement.open_amount(invoice))
    noted = [replace(one, amount=net) for one, net in zip(given, nets, strict=True) if net]
    if noted:
        by = Settle.REFUND if settle == "refund" else Settle.BALANCE
        credit_notes.issue(invoice=invoice, lines=noted, settle=by, reason=reason, origin=origin, at=at)
    return [replace(one, amount=one.amount - net) for one, net in zip(given, nets, strict=True) if one.amount > net]


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
