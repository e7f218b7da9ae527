"""Documents: the PDF of an invoice, rendered once in the buyer's language, kept with its hash, and served ever after.

The template lays out; every word and figure is made here, so that all locales share one template. The fonts are those
that come with the typesetter, so that a document looks the same wherever it is rendered; the machine's are asked only
for letters that those lack.
"""

import base64
import binascii
import hashlib
import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import structlog
import typst
from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.utils import translation
from django.utils.translation import gettext as _

from billing import wording
from billing.models import Allocation, CollectionMethod, Document, Invoice, InvoiceLine
from gtm.shared import countries, vendors
from gtm.shared.errors import Conflict
from gtm.shared.models import Vendor
from gtm.shared.templatetags.tandem import day_text, money, percent, period, quantity, unit_price

log = structlog.get_logger(__name__)
KIND = "invoice"
LETTER_COUNTRIES = frozenset({"US", "CA", "MX", "PH", "CL", "CO", "VE"})
WAIT_FOR_CARD = timedelta(hours=1)
_TEMPLATE = Path(settings.BASE_DIR) / "templates" / "documents" / "invoice.typ"
_DATA_ADDRESS = re.compile(r"data:image/(png|jpeg|svg\+xml)(;base64)?,(.*)", re.DOTALL)


def pdf_of(*, invoice: Invoice, at: datetime) -> Document:
    """The document of a finalized invoice, rendered now if it has none. Raises Conflict for a draft."""
    if invoice.status == Invoice.Status.DRAFT:
        raise Conflict("A draft has no document yet.", code="invoice_is_draft")
    locale = language_of(invoice)
    kept = Document.objects.filter(invoice=invoice, kind=KIND, locale=locale).first()
    return kept or _keep(invoice, locale)


def render_missing(*, at: datetime, limit: int = 200) -> int:
    """Render finalized invoices that have no document; return how many. What fails is raised when the others are done.

    One whose card is to be charged waits for that, up to an hour, so that the document can say that it is paid.
    """
    missing = Invoice.objects.exclude(status=Invoice.Status.DRAFT).filter(
        ~Exists(Document.objects.filter(invoice=OuterRef("pk"), kind=KIND))
    )
    settled = ~Q(payment_status__in=[Invoice.PaymentStatus.NONE, Invoice.PaymentStatus.PENDING])
    by_hand = Q(collection_method=CollectionMethod.SEND_INVOICE)
    ready = missing.filter(settled | by_hand | Q(finalized_at__lte=at - WAIT_FOR_CARD))
    found = list(ready.order_by("finalized_at", "pk")[:limit])
    failures = [failure for invoice in found if (failure := _failure(invoice, at)) is not None]
    if failures:
        raise ExceptionGroup(f"{len(failures)} documents could not be rendered", failures)
    return len(found)


def _failure(invoice: Invoice, at: datetime) -> Exception | None:
    try:
        pdf_of(invoice=invoice, at=at)
    except Exception as error:  # whatever is wrong with one document, the others are rendered
        log.exception("document_not_rendered", invoice=invoice.public_id)
        return error
    return None


def _keep(invoice: Invoice, locale: str) -> Document:
    """Render and keep; whoever was first is served, so that there is one document and not two that differ."""
    content = render(invoice=invoice, locale=locale)
    document = Document(
        invoice=invoice,
        kind=KIND,
        locale=locale,
        filename=f"{invoice.number}.pdf",
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
    )
    Document.objects.bulk_create([document], ignore_conflicts=True)
    return Document.objects.get(invoice=invoice, kind=KIND, locale=locale)


def render(*, invoice: Invoice, locale: str) -> bytes:
    """The PDF's bytes, of what the invoice holds now."""
    vendor = vendors.current()
    logo = _logo(vendor)
    with translation.override(locale):
        data = _data(invoice, vendor, locale)
    try:
        return _compile(data, logo)
    except typst.TypstError as error:
        if not logo:
            raise
        log.warning("logo_not_usable", error=str(error))
        return _compile(data, {})


def _compile(data: dict[str, Any], logo: dict[str, bytes]) -> bytes:
    content = json.dumps({**data, "logo": next(iter(logo), "")}).encode()
    files = {"main": _TEMPLATE.read_bytes(), "data.json": content, **logo}
    return bytes(typst.compile(files, format="pdf", ignore_system_fonts=False))  # type: ignore[call-overload]  # its stubs lack files by name


def language_of(invoice: Invoice) -> str:
    """The buyer's language where there is a catalogue for it, else English."""
    wanted = str(invoice.buyer.get("locale") or "en").partition("-")[0].lower()
    return wanted if wanted in dict(settings.LANGUAGES) else "en"


def _logo(vendor: Vendor) -> dict[str, bytes]:
    """The vendor's logo as a file of the template: from SVG, or from a data: address."""
    text = vendor.logo.strip()
    if text.startswith("<"):
        return {"logo.svg": text.encode()}
    found = _DATA_ADDRESS.fullmatch(text)
    if not found:
        return {}
    kind, encoded, content = found.groups()
    try:
        raw = base64.b64decode(content, validate=True) if encoded else unquote_to_bytes(content)
    except binascii.Error:
        return {}
    return {f"logo.{kind.removesuffix('+xml').replace('jpeg', 'jpg')}": raw}


# --- what it says ------------------------------------------------------------------------------
def _data(invoice: Invoice, vendor: Vendor, locale: str) -> dict[str, Any]:
    lines = list(invoice.lines.select_related("subscription__customer", "customer").order_by("position"))
    return {
        "language": locale,
        "paper": "us-letter" if invoice.seller.get("country") in LETTER_COUNTRIES else "a4",
        "accent": vendor.accent,
        "watermark": _watermark(invoice),
        "title": _("Invoice"),
        "number": invoice.number,
        "seller": _seller(invoice),
        "buyer": _buyer(invoice),
        "facts": _facts(invoice),
        "headline": _headline(invoice),
        "words": {
            "from": _("From"),
            "to": _("Bill to"),
            "description": _("Description"),
            "quantity": _("Quantity"),
            "unit_price": _("Unit price"),
            "amount": _("Amount"),
        },
        "lines": [_line(line, invoice) for line in lines],
        "sums": _sums(invoice),
        "sections": [*_tax_notes(lines), *_payment(invoice)],
        "footer": _footer(invoice),
        "page": _("Page {page} of {pages}"),
    }


def _watermark(invoice: Invoice) -> str:
    if invoice.test_clock_id is not None:
        return "TEST"
    return _("VOID") if invoice.status == Invoice.Status.VOID else ""


def _seller(invoice: Invoice) -> dict[str, Any]:
    seller = invoice.seller
    ids = [_("Tax ID %(id)s") % {"id": one} for one in seller.get("tax_ids", [])]
    return {
        "name": seller["name"],
        "lines": _address(seller.get("address", {}), seller.get("country", "")),
        "details": [*ids, *([seller["email"]] if seller.get("email") else [])],
    }


def _buyer(invoice: Invoice) -> dict[str, Any]:
    buyer = invoice.buyer
    tax_id = [_("Tax ID %(id)s") % {"id": buyer["tax_id"]}] if buyer.get("tax_id") else []
    return {
        "name": buyer["name"],
        "lines": _address(buyer.get("address", {}), buyer.get("country", "")),
        "details": tax_id,
    }


def _address(address: dict[str, str], country: str) -> list[str]:
    """An address in lines, the country in words at its end."""
    town = " ".join(part for part in (address.get("postal_code"), address.get("city")) if part)
    region = ", ".join(part for part in (town, address.get("state")) if part)
    code = address.get("country") or country
    lines = [address.get("line1", ""), address.get("line2", ""), region, countries.name(code) if code else ""]
    return [line for line in lines if line]


def _facts(invoice: Invoice) -> list[list[str]]:
    facts = [[_("Issued"), day_text(invoice.issue_date)], [_("Due"), day_text(invoice.due_date)]]
    if invoice.po_number:
        facts.append([_("PO number"), invoice.po_number])
    return facts


def _headline(invoice: Invoice) -> dict[str, str]:
    amount = money(invoice.amount_due or invoice.total, invoice.currency)
    if invoice.status == Invoice.Status.VOID:
        return {"text": _("This invoice is void."), "amount": money(0, invoice.currency)}
    if invoice.status == Invoice.Status.PAID:
        text = _("Paid on %(day)s") % {"day": day_text(invoice.paid_at, _zone(invoice))}
        return {"text": text, "amount": amount}
    if invoice.collection_method == CollectionMethod.CHARGE_AUTOMATICALLY:
        return {"text": _("To be charged to your payment method"), "amount": amount}
    return {"text": _("To be paid by %(day)s") % {"day": day_text(invoice.due_date)}, "amount": amount}


def _zone(invoice: Invoice) -> str:
    return invoice.legal_entity.timezone


def _line(line: InvoiceLine, invoice: Invoice) -> dict[str, Any]:
    currency = invoice.currency
    details = []
    if line.period_start and line.period_end:
        details.append(period(line.period_start, line.period_end, tz=line.customer.timezone))
    if line.customer_id != invoice.customer_id:
        details.append(_("For %(customer)s") % {"customer": line.customer.name})
    details += wording.explain(line.explanation, currency)
    if line.discount_amount:
        details.append(_("Discount %(amount)s") % {"amount": _signed(-line.discount_amount, currency)})
    return {
        "title": line.description,
        "details": details,
        "quantity": quantity(line.quantity),
        "unit_price": unit_price(line.unit_amount, currency) if line.unit_amount is not None else "",
        "amount": _signed(line.amount, currency),
    }


def _sums(invoice: Invoice) -> list[dict[str, Any]]:
    currency = invoice.currency
    rows = [(_("Subtotal"), invoice.subtotal, False)]
    if invoice.discount_total:
        rows.append((_("Discount"), -invoice.discount_total, False))
    for tax in invoice.taxes.order_by("rate"):
        values = {"name": tax.name, "rate": percent(tax.percentage / 100, 3), "net": money(tax.taxable, currency)}
        rows.append((_("%(name)s %(rate)s on %(net)s") % values, tax.amount, False))
    rows.append((_("Total"), invoice.total, True))
    taken_off = [
        (_("From your balance"), invoice.balance_applied),
        (_("Credited"), invoice.amount_credited),
        (_("Paid"), invoice.amount_paid),
    ]
    off = [(label, -amount, False) for label, amount in taken_off if amount]
    if off:
        rows += [*off, (_("Amount due"), invoice.amount_due, True)]
    return [{"label": label, "amount": _signed(amount, currency), "strong": strong} for label, amount, strong in rows]


def _signed(amount: int, currency: str) -> str:
    """Money as it is printed: with a minus sign, which is as wide as a plus, where keyboards have a hyphen."""
    return money(amount, currency).replace("-", "−")


def _tax_notes(lines: list[InvoiceLine]) -> list[dict[str, Any]]:
    """What has to be said where no tax was added."""
    treatments = {tax["treatment"] for line in lines for tax in line.taxes}
    notes = {
        "reverse_charge": _("Reverse charge: the recipient accounts for the tax."),
        "exempt": _("Exempt from tax."),
    }
    found = [text for treatment, text in notes.items() if treatment in treatments]
    return [_section("", found)] if found else []


def _payment(invoice: Invoice) -> list[dict[str, Any]]:
    """How it was paid, or how it is to be paid."""
    paid = [_allocation(one, invoice) for one in _allocations(invoice)]
    sections = [_section(_("Payments"), paid)] if paid else []
    if invoice.status == Invoice.Status.OPEN and invoice.collection_method == CollectionMethod.SEND_INVOICE:
        sections.append(_transfer(invoice))
    return sections


def _allocations(invoice: Invoice) -> list[Allocation]:
    found = invoice.allocations.select_related("payment__payment_method").order_by("created_at", "pk")
    return list(found)


def _allocation(allocation: Allocation, invoice: Invoice) -> str:
    payment = allocation.payment
    method = payment.payment_method if payment else None
    values = {
        "day": day_text(allocation.allocated_at, _zone(invoice)),
        "amount": money(allocation.amount, invoice.currency),
        "how": str(method) if method else (payment.reference or payment.method if payment else ""),
    }
    return _("%(day)s: %(amount)s, %(how)s") % values


def _transfer(invoice: Invoice) -> dict[str, Any]:
    lines = [line for line in str(invoice.seller.get("bank_details", "")).splitlines() if line.strip()]
    terms = _("Payment terms: %(days)s days net") % {"days": invoice.net_terms_days}
    facts = [[_("Reference"), str(invoice.number)]]
    return _section(_("How to pay"), [terms, *lines], facts)


def _section(title: str, lines: list[str], facts: list[list[str]] | None = None) -> dict[str, Any]:
    return {"title": title, "lines": lines, "facts": facts or []}


def _footer(invoice: Invoice) -> list[str]:
    seller = invoice.seller
    ids = [_("Tax ID %(id)s") % {"id": one} for one in seller.get("tax_ids", [])]
    return [seller["name"], *ids, *([seller["email"]] if seller.get("email") else [])]
