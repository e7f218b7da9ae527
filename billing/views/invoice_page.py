"""The inside of one invoice as its page shows it, in the portal and by a signed link."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from billing import documents, entities, wording
from billing.models import Allocation, CreditNote, Invoice, InvoiceLine, Payment
from billing.papers import invoice as invoice_words
from billing.papers import parts
from billing.queries import invoice_discounts


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the documents around an invoice are for this reader."""

    xml: str
    receipt: Callable[[Payment], str]
    credit_note: Callable[[CreditNote], dict[str, Any]]
    usage: Callable[[InvoiceLine], str] = lambda line: ""


def of_invoice(invoice: Invoice, addresses: Addresses) -> dict[str, Any]:
    """Parties, lines, taxes, what settled it, and how the rest is to be paid."""
    lines = sorted(invoice.lines.all(), key=lambda one: one.position)
    notes = [text for section in parts.tax_notes(line.taxes for line in lines) for text in section["lines"]]
    return {
        "seller": parts.seller_block(invoice.seller or entities.as_seller(invoice.legal_entity)),
        "buyer": parts.buyer_block(invoice.buyer or entities.as_buyer(invoice.customer)),
        "lines": [_line(line, invoice.currency) | {"usage_url": addresses.usage(line)} for line in lines],
        "discounts": [
            {"text": wording.discount(taken.discount), "amount": taken.amount}
            for taken in invoice_discounts.taken(lines)
        ],
        "taxes": [
            {"name": tax.name, "rate": tax.percentage / 100, "taxable": tax.taxable, "amount": tax.amount}
            for tax in invoice.taxes.all()
        ],
        "payments": [_allocation(row, addresses) for row in sorted(invoice.allocations.all(), key=lambda one: one.pk)],
        "credit_notes": [addresses.credit_note(note) for note in invoice.credit_notes.all()],
        "bank": _bank(invoice) if invoice_words.is_by_transfer(invoice) else [],
        "notes": notes,
        "xml_url": addresses.xml if _has_xml(invoice) else "",
    }


def _has_xml(invoice: Invoice) -> bool:
    return invoice.status != Invoice.Status.DRAFT and not documents.why_no_e_invoice(invoice)


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


def _allocation(row: Allocation, addresses: Addresses) -> dict[str, Any]:
    """What settled part of it, with the receipt where that is a payment."""
    has_receipt = row.payment is not None and row.payment.status == Payment.Status.SUCCEEDED
    return {
        "at": row.allocated_at,
        "text": invoice_words.how(row),
        "amount": row.amount,
        "url": addresses.receipt(row.payment) if has_receipt and row.payment else "",
        "label": _("Receipt"),
    }
