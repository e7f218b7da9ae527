"""One invoice on its page, and the documents that a customer can take along. Whoever is not a member gets a 404."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from billing import documents
from billing.models import Invoice, InvoiceLine, Member
from billing.queries import portal as queries
from billing.views import files, invoice_page
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
    """The inside of one invoice, with the addresses that its member has."""
    customer = member.customer.public_id
    addresses = invoice_page.Addresses(
        xml=reverse("portal_invoice_xml", args=[customer, invoice.public_id]),
        receipt=lambda payment: reverse("portal_receipt", args=[customer, payment.public_id]),
        credit_note=lambda note: credit_note_row(member, note),
        usage=lambda line: _usage_url([customer, invoice.public_id], line),
    )
    return invoice_page.of_invoice(invoice, addresses)


def _usage_url(address: list[str], line: InvoiceLine) -> str:
    """Where the days stand that a usage line is made of."""
    return reverse("portal_line", args=[*address, line.public_id]) if line.meter_id and line.period_start else ""
