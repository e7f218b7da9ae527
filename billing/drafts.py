"""Drafts that are written: what is added to them and taken off them before they are final.

Their invoices' locks are held by the caller.
"""

from collections.abc import Sequence

from django.db.models import Max

from billing import drafting
from billing.drafting import Draft
from billing.models import Charge, Invoice, InvoiceLine, InvoiceTax
from gtm.shared import bulk
from gtm.shared.models import Vendor, write

_RECOUNTED = ("tax_amount", "taxes")


def add_credits(*, invoice: Invoice, charges: Sequence[Charge], vendor: Vendor) -> None:
    """Put credits (unsaved) for lines of a draft onto the draft itself, whose total falls by them."""
    lines = list(InvoiceLine.objects.filter(invoice=invoice).order_by("position"))
    last = InvoiceLine.objects.filter(invoice=invoice).aggregate(last=Max("position"))["last"]
    added = [drafting.line_of(invoice, last + n, charge) for n, charge in enumerate(charges, start=1)]
    for charge, line in zip(charges, added, strict=True):
        charge.status, charge.invoice_line = Charge.Status.BILLED, line
    taxes = drafting.recount(invoice, [*lines, *added], vendor=vendor)
    bulk.insert(InvoiceLine, added)
    bulk.insert(Charge, charges)
    _write_sums(invoice, lines, taxes)


def take_off(*, draft: Draft, taken: Sequence[tuple[Charge, InvoiceLine]]) -> None:
    """Take credits and their lines off a draft, which was recounted without them; they are pending again."""
    for charge, _line in taken:
        charge.status, charge.invoice_line = Charge.Status.PENDING, None
    bulk.update(Charge, [charge for charge, _line in taken], ["status", "invoice_line"])
    InvoiceLine.objects.filter(pk__in=[line.pk for _charge, line in taken]).delete()
    _write_sums(draft.invoice, draft.lines, draft.taxes)


def _write_sums(invoice: Invoice, lines: Sequence[InvoiceLine], taxes: Sequence[InvoiceTax]) -> None:
    InvoiceTax.objects.filter(invoice=invoice).delete()
    bulk.insert(InvoiceTax, taxes)
    bulk.update(InvoiceLine, lines, _RECOUNTED)
    write(invoice, **{name: getattr(invoice, name) for name in drafting.TOTALS})


def waive(drafts: Sequence[Draft]) -> None:
    """Drop drafts that come to nothing; their charges end waived."""
    charges = [charge for draft in drafts for charge in draft.charges]
    for charge in charges:
        charge.status, charge.invoice_line = Charge.Status.WAIVED, None
    bulk.update(Charge, charges, ["status", "invoice_line"])
    keys = [draft.invoice.pk for draft in drafts]
    InvoiceTax.objects.filter(invoice__in=keys).delete()
    InvoiceLine.objects.filter(invoice__in=keys).delete()
    Invoice.objects.filter(pk__in=keys).delete()
