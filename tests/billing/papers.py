"""Finalized documents as rows, quicker than by the engine, and what can be read from their PDFs."""

import io
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import page
from pypdf import PdfReader

from billing.models import (
    Allocation,
    CreditNote,
    CreditNoteLine,
    CreditNoteTax,
    Invoice,
    InvoiceLine,
    InvoiceTax,
    Payment,
)
from tests.billing import makers
from tests.world import JAN_1

FEB_1 = datetime(2026, 1, 31, 23, tzinfo=UTC)
MARCH_1 = datetime(2026, 2, 28, 23, tzinfo=UTC)
SELLER = {
    "name": "Vendor GmbH",
    "address": {"line1": "Hauptstr. 1", "postal_code": "10115", "city": "Berlin", "country": "DE"},
    "country": "DE",
    "tax_ids": ["DE136695976"],
    "email": "billing@vendor.example",
    "iban": "DE89370400440532013000",
    "bic": "COBADEFFXXX",
    "registration_number": "HRB 1234 B",
}
BUYER = {
    "name": "Müller & Söhne GmbH",
    "address": {"line1": "Industriestraße 17", "postal_code": "70565", "city": "Stuttgart", "country": "DE"},
    "country": "DE",
    "tax_id": "DE811128135",
    "email": "ap@mueller.example",
    "locale": "en",
    "timezone": "Europe/Berlin",
}
TIERS = [
    {"code": "included", "quantity": "12500", "included": "1000", "rest": "11500"},
    {"code": "tier", "above": "0", "quantity": "10000", "unit_amount": "0.2", "amount": "2000", "up_to": "10000"},
    {
        "code": "tier",
        "above": "10000",
        "quantity": "1500",
        "unit_amount": "0.15",
        "flat_amount": "500",
        "amount": "725",
    },
]


def vat(amount: int, *, treatment: str = "taxed") -> list[dict[str, Any]]:
    """The tax of a line as it is stored: 19 % of Germany, or none."""
    if treatment != "taxed":
        return [{"rate": None, "amount": 0, "treatment": treatment, "reason": "", "evidence": {}}]
    rate = {"rate": "de-19", "name": "VAT", "percentage": "19", "amount": amount}
    return [{**rate, "treatment": treatment, "reason": "rate_of_place", "evidence": {}}]


def line(amount: int, **fields: Any) -> dict[str, Any]:
    """The columns of a line of February: one of "Pro" at its amount, with German VAT."""
    tax = round(Decimal(amount - fields.get("discount_amount", 0)) * 19 / 100)
    defaults = {
        "kind": "recurring",
        "reason": "subscription_cycle",
        "description": "Pro",
        "quantity": Decimal(1),
        "unit_amount": Decimal(amount),
        "amount": amount,
        "tax_amount": tax,
        "taxes": vat(tax),
        "period_start": FEB_1,
        "period_end": MARCH_1,
        "explanation": [{"code": "flat", "amount": str(amount)}],
    }
    return defaults | fields


def invoice(*lines: dict[str, Any], buyer: dict[str, Any] | None = None, **fields: Any) -> Invoice:
    """INV-2026-000900, open, by transfer in 30 days, in EUR; its sums are made from its lines."""
    customer = fields.pop("customer", None) or makers.customer(currency="EUR", timezone="Europe/Berlin")
    placed = [InvoiceLine(customer=customer, position=at, **one) for at, one in enumerate(lines, start=1)]
    defaults = {
        "number": "INV-2026-000900",
        "status": "open",
        "legal_entity": makers.legal_entity(),
        "customer": customer,
        "currency": "EUR",
        "collection_method": "send_invoice",
        "net_terms_days": 30,
        "po_number": "4500-118",
        "gathered_at": JAN_1,
        "finalized_at": FEB_1,
        "issue_date": date(2026, 2, 1),
        "due_date": date(2026, 3, 3),
        "seller": SELLER,
        "buyer": BUYER | (buyer or {}),
        **_sums(placed),
    }
    made = Invoice(**defaults | fields)
    number, status, made.number, made.status = made.number, made.status, None, "draft"
    made.save()  # lines and taxes are added to a draft, which is then finalized
    for one in placed:
        one.invoice = made
    InvoiceLine.objects.bulk_create(placed)
    _tax_rows(made, placed)
    made.number, made.status = number, status
    made.save()
    return made


def _sums(lines: list[InvoiceLine]) -> dict[str, int]:
    subtotal, discount = sum(one.amount for one in lines), sum(one.discount_amount for one in lines)
    tax = sum(one.tax_amount for one in lines)
    total = subtotal - discount + tax
    return {"subtotal": subtotal, "discount_total": discount, "tax_total": tax, "total": total}


def _tax_rows(made: Invoice, lines: list[InvoiceLine]) -> None:
    if not made.tax_total:
        return
    taxable = sum(one.amount - one.discount_amount for one in lines)
    InvoiceTax.objects.create(
        invoice=made, rate="de-19", name="VAT", percentage=Decimal(19), taxable=taxable, amount=made.tax_total
    )


def paid(made: Invoice, amount: int, **fields: Any) -> Payment:
    """A payment by Visa 4242 on February 10 that settles so much of an invoice."""
    defaults = {
        "customer": made.customer,
        "legal_entity": made.legal_entity,
        "currency": made.currency,
        "amount": amount,
        "status": "succeeded",
        "method": "card",
        "paid_at": datetime(2026, 2, 10, 11, tzinfo=UTC),
    }
    if fields.get("method", "card") == "card":
        defaults["payment_method"] = makers.card(made.customer)
    payment = Payment.objects.create(**defaults | fields)
    made.amount_paid = min(amount, made.amount_due)
    Allocation.objects.create(
        invoice=made, kind="payment", payment=payment, amount=made.amount_paid, allocated_at=payment.paid_at
    )
    if made.amount_due == 0:
        made.status, made.payment_status, made.paid_at = "paid", "paid", payment.paid_at
    made.save()
    return payment


def credit_note(made: Invoice, amount: int, **fields: Any) -> CreditNote:
    """A note of February 14 about so much, net, of the invoice's first line; its money goes to the balance."""
    tax = round(Decimal(amount) * 19 / 100)
    defaults = {
        "number": "CN-2026-000900",
        "legal_entity": made.legal_entity,
        "customer": made.customer,
        "invoice": made,
        "currency": made.currency,
        "reason": "Two seats were given back.",
        "settle": "balance",
        "subtotal": amount,
        "tax_total": tax,
        "total": amount + tax,
        "balance_amount": amount + tax,
        "issue_date": date(2026, 2, 14),
        "issued_at": datetime(2026, 2, 14, 9, tzinfo=UTC),
        "seller": made.seller,
        "buyer": made.buyer,
    }
    note = CreditNote.objects.create(**defaults | fields)
    first = made.lines.get(position=1)
    CreditNoteLine.objects.create(
        credit_note=note,
        position=1,
        invoice_line=first,
        description=first.description,
        amount=amount,
        tax_amount=tax,
        taxes=vat(tax),
        period_start=datetime(2026, 2, 13, 23, tzinfo=UTC),
        period_end=MARCH_1,
        explanation=[{"code": "proration", "part": "15", "whole": "28", "amount": str(first.amount), "unit": "day"}],
    )
    CreditNoteTax.objects.create(
        credit_note=note, rate="de-19", name="VAT", percentage=Decimal(19), taxable=amount, amount=tax
    )
    return note


def reader(content: bytes | memoryview) -> PdfReader:
    return PdfReader(io.BytesIO(bytes(content)))


_STREAM = re.compile(rb"/Length (\d+)[^<>]*>>\s*stream\r?\n", re.DOTALL)


def failures(content: bytes, profile: str) -> list[Any]:
    """What a validator says against it, less its one false alarm: that a stream which ends in a CR is too short."""
    streams = [(match.end() + int(match[1])) for match in _STREAM.finditer(content)]
    whole = bool(streams) and all(content[end:].startswith(b"\nendstream") for end in streams)
    found = page.validate_pdf_bytes(content, profile=profile).failures
    return [one for one in found if not (whole and one.rule_id.endswith("STREAM-LENGTH-001"))]


def text_of(content: bytes | memoryview) -> str:
    """The words of a PDF, one space between any two of them."""
    pages = reader(content).pages
    return " ".join(" ".join(page.extract_text() for page in pages).split())


def attached(content: bytes | memoryview) -> dict[str, bytes]:
    """The files inside a PDF."""
    return {name: bytes(contents[0]) for name, contents in reader(content).attachments.items()}
