"""What can still be given back of invoices and of their lines. Each function is a constant number of queries."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from django.db.models import F, Sum
from django.db.models.functions import Coalesce

from billing.crediting import Left
from billing.models import Charge, CreditNoteLine, Invoice, InvoiceLine, InvoiceTax
from gtm.shared.money import round_half_up

LIVE = (Charge.Status.PENDING, Charge.Status.BILLED)
_FINAL = (Invoice.Status.OPEN, Invoice.Status.PAID, Invoice.Status.UNCOLLECTIBLE)


@dataclass(slots=True)
class Standing:
    """What is left of an invoice to give back: by rate, in all, and of the credits that its lines have passed on.

    ``own`` is for notes of the invoice's lines. ``passed_on`` is what credits on other invoices took of its lines: a
    note may give that back in money where such a credit itself is given back. ``gross`` bounds all of it.
    """

    gross: int
    own: dict[str, Left] = field(default_factory=dict)
    passed_on: dict[str, Left] = field(default_factory=dict)


def creditable(lines: Collection[InvoiceLine], *, without: Iterable[Charge] = ()) -> dict[uuid.UUID, int]:
    """The net minor units that each line still has to give: less its credit notes and the credits that name it.

    0 for lines of void invoices. ``without``: pending credits that are about to end otherwise, and don't count.
    """
    keys = [line.pk for line in lines]
    noted = CreditNoteLine.objects.annotate(about=Coalesce("charge__credits_line", "invoice_line"))
    by_notes = noted.filter(about__in=keys).values("about").annotate(net=Sum("amount")).values_list("about", "net")
    named = Charge.objects.filter(credits_line__in=keys, status__in=LIVE).exclude(pk__in=[one.pk for one in without])
    by_charges = named.values("credits_line").annotate(net=-Sum("amount")).values_list("credits_line", "net")
    given: dict[uuid.UUID, int] = defaultdict(int)
    for key, net in by_notes.union(by_charges, all=True):
        given[key] += net
    found = InvoiceLine.objects.filter(pk__in=keys).exclude(invoice__status=Invoice.Status.VOID)
    nets = dict(found.values_list("pk", F("amount") - F("discount_amount")))
    return {key: max(nets.get(key, 0) - given[key], 0) for key in keys}


def standings(invoices: Collection[Invoice], *, without: Iterable[Charge] = ()) -> dict[uuid.UUID, Standing]:
    """Where finalized invoices stand; ``without`` as above."""
    found = {one.pk: Standing(gross=one.total - one.credit_note_total) for one in invoices}
    for tax in InvoiceTax.objects.filter(invoice__in=found):
        found[tax.invoice_id].own[tax.rate] = Left(tax.taxable, tax.amount)
    noted = CreditNoteLine.objects.filter(credit_note__invoice__in=found).select_related("charge")
    for line, invoice_id in ((line, line.credit_note.invoice_id) for line in noted.select_related("credit_note")):
        passed_on = line.charge is not None and line.charge.credits_line_id != line.invoice_line_id
        standing = found[invoice_id]
        _take(standing.passed_on if passed_on else standing.own, line.amount, line.taxes)
    for charge in _credits(found, without):
        assert charge.credits_line is not None
        standing, taxes = found[charge.credits_line.invoice_id], _taxes_of(charge)
        _take(standing.own, -charge.amount, taxes)
        _take(standing.passed_on, charge.amount, [{**tax, "amount": -tax["amount"]} for tax in taxes])
    return found


def _credits(invoices: Collection[uuid.UUID], without: Iterable[Charge]) -> Iterable[Charge]:
    """The credits, pending and billed, that name lines of the invoices."""
    named = Charge.objects.filter(credits_line__invoice__in=invoices, status__in=LIVE)
    return named.exclude(pk__in=[one.pk for one in without]).select_related("credits_line", "invoice_line")


def _taxes_of(charge: Charge) -> list[dict[str, Any]]:
    """The tax that a credit gives back (0 or more): as it was billed, else by the credited line's rates."""
    assert charge.credits_line is not None
    if charge.invoice_line is not None:
        return [{**tax, "amount": -tax["amount"]} for tax in charge.invoice_line.taxes]
    return [
        {**tax, "amount": round_half_up(-charge.amount * Fraction(tax["percentage"]) / 100)}
        for tax in charge.credits_line.taxes
        if tax["rate"]
    ]


def _take(left: dict[str, Left], net: int, taxes: Iterable[dict[str, Any]]) -> None:
    for tax in taxes:
        if tax["rate"]:
            before = left.get(tax["rate"], Left(0, 0))
            left[tax["rate"]] = Left(before.taxable - net, before.tax - tax["amount"])


def carriers(invoice: Invoice) -> dict[InvoiceLine, int]:
    """The lines of other invoices whose credits stand on this one, and the net that each may still give back in money.

    The newest first: that one's money came last.
    """
    credits_on = InvoiceLine.objects.filter(invoice=invoice, credits_line__isnull=False)
    found: dict[InvoiceLine, int] = {}
    for line in credits_on.select_related("credits_line__invoice__customer").order_by(
        "-credits_line__invoice", "position"
    ):
        assert line.credits_line is not None
        found[line.credits_line] = found.get(line.credits_line, 0) - line.amount
    noted = CreditNoteLine.objects.filter(invoice_line__in=found, charge__credits_line__invoice=invoice)
    given = dict(noted.values_list("invoice_line").annotate(net=Sum("amount")))
    return {line: net - given.get(line.pk, 0) for line, net in found.items()}


def finalized(invoice: Invoice) -> bool:
    """Whether the invoice may have credit notes: neither a draft nor void."""
    return invoice.status in _FINAL
