"""What a document holds, as the builder of its e-invoice takes it: from the frozen copy, not from today's customer."""

from datetime import date, datetime, timedelta
from decimal import Decimal

from django.utils.translation import gettext as _

from billing.einvoice import AppliedTax, Means, Source, SourceLine, Trader
from billing.models import CollectionMethod, CreditNote, CreditNoteLine, DiscountUse, Invoice, InvoiceLine, Price
from billing.papers import credit_note as note_words
from billing.papers import invoice as invoice_words
from billing.papers import parts
from billing.papers.parts import Data
from gtm.shared.periods import local_date


def of_invoice(invoice: Invoice, *, settled: int) -> Source:
    """A finalized invoice of which ``settled`` minor units are paid, as its document says."""
    lines = list(invoice.lines.select_related("customer", "price", "credits_line__invoice").order_by("position"))
    uses = invoice_words.uses_of(invoice)
    assert invoice.issue_date is not None, "a finalized invoice has its date"
    return Source(
        kind="invoice",
        number=str(invoice.number),
        issue_date=invoice.issue_date,
        due_date=invoice.due_date,
        currency=invoice.currency,
        seller=seller(invoice.seller),
        buyer=_buyer(invoice.buyer),
        lines=tuple(_line(line, invoice, uses.get(line.pk, [])) for line in lines),
        total=invoice.total,
        tax_total=invoice.tax_total,
        settled=settled,
        terms=invoice_words.terms(invoice),
        po_number=invoice.po_number,
        means=_means(invoice),
        notes=_notes(invoice.test_clock_id is not None, lines),
        exemptions=parts.untaxed_reasons(),
    )


def of_credit_note(note: CreditNote) -> Source:
    """A credit note: what was set off or added to the balance is settled, what is refunded is due to the buyer."""
    lines = list(note.lines.select_related("invoice_line__customer").order_by("position"))
    return Source(
        kind="credit_note",
        number=note.number,
        issue_date=note.issue_date,
        currency=note.currency,
        seller=seller(note.seller),
        buyer=_buyer(note.buyer),
        lines=tuple(_note_line(line, note) for line in lines),
        total=note.total,
        tax_total=note.tax_total,
        settled=note.offset_amount + note.balance_amount,
        terms="; ".join(note_words.settlement(note)),
        po_number=note.invoice.po_number,
        preceding=(str(note.invoice.number), note.invoice.issue_date),
        notes=(
            *([note_words.reason_text(note)] if note.reason else []),
            *_notes(note.test_clock_id is not None, lines),
        ),
        exemptions=parts.untaxed_reasons(),
    )


def _notes(is_test: bool, lines: list[InvoiceLine] | list[CreditNoteLine]) -> tuple[str, ...]:
    said = [text for section in parts.tax_notes(line.taxes for line in lines) for text in section["lines"]]
    return (*([_("A test, not an invoice to be booked.")] if is_test else []), *said)


# --- parties -----------------------------------------------------------------------------------
def seller(kept: Data) -> Trader:
    """Who sells, as a document keeps it."""
    return _trader(kept, tuple(kept.get("tax_ids") or ()), registration=kept.get("registration_number") or "")


def _buyer(buyer: Data) -> Trader:
    return _trader(buyer, (buyer["tax_id"],) if buyer.get("tax_id") else ())


def _trader(party: Data, tax_ids: tuple[str, ...], *, registration: str = "") -> Trader:
    address = party.get("address") or {}
    return Trader(
        name=party.get("name") or "",
        country=parts.place(party),
        line1=address.get("line1") or "",
        line2=address.get("line2") or "",
        city=address.get("city") or "",
        postal_code=address.get("postal_code") or "",
        region=address.get("state") or "",
        email=party.get("email") or "",
        tax_ids=tax_ids,
        registration=registration,
    )


def _means(invoice: Invoice) -> Means:
    if invoice.collection_method == CollectionMethod.CHARGE_AUTOMATICALLY:
        paid = invoice.allocations.filter(payment__payment_method__isnull=False)
        last = paid.select_related("payment__payment_method").order_by("created_at", "pk").last()
        method = last.payment.payment_method if last and last.payment else invoice.payment_method
        return Means(by_card=True, card_last4=method.last4 if method else "", card_brand=method.brand if method else "")
    seller = invoice.seller
    return Means(
        iban=(seller.get("iban") or "").replace(" ", ""),
        bic=seller.get("bic") or "",
        account_name=seller.get("name") or "",
    )


# --- lines -------------------------------------------------------------------------------------
def _line(line: InvoiceLine, invoice: Invoice, uses: list[DiscountUse]) -> SourceLine:
    coupons = [invoice_words.coupon_name(use.discount.coupon) for use in uses]
    zone = parts.zone_of(line.customer, invoice.customer_id, invoice.buyer)
    return SourceLine(
        position=line.position,
        name=line.description,
        quantity=line.quantity,
        unit_amount=line.unit_amount,
        amount=line.amount,
        discount_amount=line.discount_amount,
        discount_reason=", ".join(dict.fromkeys(coupons)) or _("Discount"),
        taxes=_taxes(line.taxes),
        explanation=tuple(invoice_words.details(line, invoice, [])),
        period=_days(line.period_start, line.period_end, zone),
        interval=_interval(line),
    )


def _note_line(line: CreditNoteLine, note: CreditNote) -> SourceLine:
    customer = line.invoice_line.customer
    return SourceLine(
        position=line.position,
        name=line.description,
        quantity=Decimal(1),
        amount=line.amount,
        taxes=_taxes(line.taxes),
        explanation=tuple(note_words.details(line, note)),
        period=_days(line.period_start, line.period_end, parts.zone_of(customer, note.customer_id, note.buyer)),
    )


def _interval(line: InvoiceLine) -> str:
    """The unit of time that one of this is for: of a price that is paid per interval, for a whole one."""
    price = line.price
    is_whole = not any(step.get("code") == "proration" for step in line.explanation)
    if price is None or price.model != Price.Model.FLAT or price.interval_count != 1 or not is_whole:
        return ""
    return price.interval


def _taxes(stored: list[Data]) -> tuple[AppliedTax, ...]:
    return tuple(
        AppliedTax(
            treatment=tax["treatment"],
            percentage=Decimal(tax["percentage"]) if tax.get("percentage") is not None else None,
            amount=tax["amount"],
        )
        for tax in stored
    )


def _days(start: datetime | None, end: datetime | None, timezone: str) -> tuple[date, date] | None:
    """The first and the last day of a half-open period."""
    if start is None or end is None:
        return None
    first = local_date(start, timezone)
    return first, max(first, local_date(end - timedelta(microseconds=1), timezone))
