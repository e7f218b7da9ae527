"""One invoice on its page, and the documents that a customer can take along. Whoever is not a member gets a 404."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from billing import documents, wording
from billing.models import Allocation, Invoice, InvoiceLine, Member, Payment
from billing.papers import invoice as invoice_words
from billing.papers import parts
from billing.queries import invoice_discounts
from billing.queries import portal as queries
from billing.views import files
from billing.views.portal_parts import credit_note_row, member_only
from gtm.shared import db


# --- to take along -----------------------------------------------------------------------------
@require_safe
@member_only
def pdf(request: HttpRequest, member: Member, invoice: str) -> HttpResponse:
    found = invoice_of(member, invoice)
    return files.pdf(documents.invoice_pdf(invoice=found, at=db.time_of(found)), to_keep=True)


@require_safe
@member_only
def ubl(request: HttpRequest, member: Member, invoice: str) -> HttpResponse:
    """For programs that take an e-invoice without its PDF, which has one inside."""
    return files.e_invoice(invoice_of(member, invoice), "ubl")


@require_safe
@member_only
def receipt(request: HttpRequest, member: Member, payment: str) -> HttpResponse:
    found = queries.payment(member.customer, payment)
    if found is None:
        raise Http404
    return files.pdf(documents.receipt(payment=found, at=db.time_of(found)), to_keep=True)


@require_safe
@member_only
def credit_note(request: HttpRequest, member: Member, note: str) -> HttpResponse:
    found = queries.credit_note(member.customer, note)
    if found is None:
        raise Http404
    return files.pdf(documents.credit_note_pdf(note=found, at=db.time_of(found)), to_keep=True)


def invoice_of(member: Member, public_id: str) -> Invoice:
    found = queries.invoice(member.customer, public_id)
    if found is None:
        raise Http404
    return found


# --- on its page -------------------------------------------------------------------------------
def invoice_parts(member: Member, invoice: Invoice) -> dict[str, Any]:
    """The inside of one invoice: parties, lines, taxes, what settled it, and how the rest is to be paid."""
    lines = sorted(invoice.lines.all(), key=lambda one: one.position)
    notes = [text for section in parts.tax_notes(line.taxes for line in lines) for text in section["lines"]]
    address = [member.customer.public_id, invoice.public_id]
    return {
        "seller": parts.seller_block(invoice.seller),
        "buyer": parts.buyer_block(invoice.buyer),
        "lines": [_line(line, invoice.currency) for line in lines],
        "discounts": [
            {"text": wording.discount(taken.discount), "amount": taken.amount}
            for taken in invoice_discounts.taken(lines)
        ],
        "taxes": [
            {"name": tax.name, "rate": tax.percentage / 100, "taxable": tax.taxable, "amount": tax.amount}
            for tax in invoice.taxes.all()
        ],
        "payments": [_allocation(member, row) for row in sorted(invoice.allocations.all(), key=lambda one: one.pk)],
        "credit_notes": [credit_note_row(member, note) for note in invoice.credit_notes.all()],
        "bank": _bank(invoice) if invoice_words.is_by_transfer(invoice) else [],
        "notes": notes,
        "xml_url": "" if documents.why_no_e_invoice(invoice) else reverse("portal_invoice_xml", args=address),
    }


def _bank(invoice: Invoice) -> list[list[str]]:
    details = invoice.seller.get("bank_details")
    return [*([[_("Bank details"), details]] if details else []), *invoice_words.transfer_facts(invoice)]


def _line(line: InvoiceLine, currency: str) -> dict[str, Any]:
    return {
        "description": line.description,
        "explanation": "\n".join(wording.explain(line.explanation, currency)),
        "period_start": line.period_start,
        "period_end": line.period_end,
        "quantity": wording.measured(line.quantity, line.explanation, currency),
        "unit_amount": line.unit_amount,
        "amount": line.amount,
        "discount_amount": line.discount_amount,
    }


def _allocation(member: Member, row: Allocation) -> dict[str, Any]:
    """What settled part of it, with the receipt where that is a payment."""
    has_receipt = row.payment is not None and row.payment.status == Payment.Status.SUCCEEDED
    return {
        "at": row.allocated_at,
        "text": invoice_words.how(row),
        "amount": row.amount,
        "url": _receipt_url(member, row.payment) if has_receipt and row.payment else "",
        "label": _("Receipt"),
    }


def _receipt_url(member: Member, payment: Payment) -> str:
    return reverse("portal_receipt", args=[member.customer.public_id, payment.public_id])
