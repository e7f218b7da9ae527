"""Documents as files to look at or to take along."""

from django.http import HttpResponse

from billing import documents
from billing.models import CreditNote, Document, Invoice
from gtm.shared import db


def pdf(document: Document, *, to_keep: bool = False) -> HttpResponse:
    """A rendered document; shown by the browser, unless it is asked for ``to_keep``."""
    return _file(bytes(document.content), "application/pdf", document.filename, to_keep=to_keep)


def e_invoice(subject: Invoice | CreditNote, syntax: str) -> HttpResponse:
    """Its e-invoice (``cii`` or ``ubl``), which browsers have nothing to show of. Raises NoEInvoice."""
    content = documents.e_invoice(subject=subject, syntax=syntax, at=db.time_of(subject))
    return _file(content, "application/xml", f"{subject.number}-{syntax}.xml", to_keep=True)


def _file(content: bytes, kind: str, name: str, *, to_keep: bool) -> HttpResponse:
    disposition = f'{"attachment" if to_keep else "inline"}; filename="{name}"'
    return HttpResponse(content, content_type=kind, headers={"Content-Disposition": disposition})
