"""What a signed link shows: one invoice with the documents around it, and nothing else of its customer."""

from uuid import UUID

from billing.models import CreditNote, Invoice, Payment
from billing.queries import portal
from gtm.shared import ids


def invoice(key: UUID) -> Invoice | None:
    """The invoice, be it a draft, with everything that its page shows."""
    found = Invoice.objects.select_related("customer", "legal_entity").prefetch_related(*portal.shown_of_invoice())
    return found.filter(pk=key).first()


def payment(of: Invoice, public_id: str) -> Payment | None:
    """A payment that has paid part of the invoice."""
    try:
        key = ids.decode(public_id, prefix=Payment.PREFIX)
    except ValueError:
        return None
    paid = Payment.objects.filter(allocations__invoice=of, status=Payment.Status.SUCCEEDED, pk=key)
    return paid.distinct().first()


def credit_note(of: Invoice, public_id: str) -> CreditNote | None:
    try:
        key = ids.decode(public_id, prefix=CreditNote.PREFIX)
    except ValueError:
        return None
    return CreditNote.objects.filter(invoice=of, pk=key).select_related("invoice").first()
