"""What a signed link shows: one invoice with the documents around it, and nothing else of its customer."""

from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from billing.models import Allocation, CreditNote, Invoice, Payment
from billing.queries import portal
from gtm.shared import ids


def invoice(key: UUID) -> Invoice | None:
    """The invoice, be it a draft, with everything that its page shows."""
    found = Invoice.objects.select_related("customer", "legal_entity").prefetch_related(*portal.shown_of_invoice())
    return found.filter(pk=key).first()


def payment(of: Invoice, public_id: str) -> Payment | None:
    """A payment that has paid part of the invoice, and of no other: its receipt names all that it paid."""
    try:
        key = ids.decode(public_id, prefix=Payment.PREFIX)
    except ValueError:
        return None
    return payments(of).filter(pk=key).first()


def payments(of: Invoice) -> QuerySet[Payment]:
    """Those of which whoever holds the invoice's link may have the receipt."""
    its_own, others = Allocation.objects.filter(invoice=of), Allocation.objects.exclude(invoice=of)
    paid = Payment.objects.filter(Exists(its_own.filter(payment=OuterRef("pk"))), status=Payment.Status.SUCCEEDED)
    return paid.exclude(Exists(others.filter(payment=OuterRef("pk"))))


def credit_note(of: Invoice, public_id: str) -> CreditNote | None:
    try:
        key = ids.decode(public_id, prefix=CreditNote.PREFIX)
    except ValueError:
        return None
    return CreditNote.objects.filter(invoice=of, pk=key).select_related("invoice").first()
