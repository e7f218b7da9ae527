"""An invoice in words: who owes whom what, why, since when, and how it is to be paid."""

from collections import defaultdict
from datetime import date, datetime
from uuid import UUID

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing import wording
from billing.models import Allocation, CollectionMethod, Coupon, DiscountUse, Invoice, InvoiceLine
from billing.papers import parts
from billing.papers.parts import Data
from gtm.shared.models import Vendor
from gtm.shared.templatetags.tandem import day_text, money, percent, unit_price

_Uses = dict[UUID, list[DiscountUse]]


def data(invoice: Invoice, *, vendor: Vendor, at: datetime) -> Data:
    """What the template lays out, as things stood at ``at``."""
    lines = list(invoice.lines.select_related("customer", "credits_line__invoice").order_by("position"))
    uses = uses_of(invoice)
    frame = parts.frame(
        title=_("Invoice"),
        number=str(invoice.number),
        issued=_issue_date(invoice),
        seller=invoice.seller,
        buyer=invoice.buyer,
        vendor=vendor,
        watermark=_watermark(invoice),
    )
    return frame | {
        "facts": _facts(invoice),
        "headline": _headline(invoice, at),
        "head": [_("Description"), _("Quantity"), _("Unit price"), _("Amount")],
        "lines": [_line(line, invoice, uses.get(line.pk, [])) for line in lines],
        "sums": _sums(invoice, uses),
        "sections": [*parts.tax_notes(line.taxes for line in lines), *_payment(invoice)],
    }


def _issue_date(invoice: Invoice) -> date:
    assert invoice.issue_date is not None, "a finalized invoice has its date"
    return invoice.issue_date


def _watermark(invoice: Invoice) -> str:
    if invoice.test_clock_id is not None:
        return parts.TEST
    return _("VOID") if invoice.status == Invoice.Status.VOID else ""


def _facts(invoice: Invoice) -> list[list[str]]:
    facts = [[_("Issued"), day_text(invoice.issue_date)], [_("Due"), day_text(invoice.due_date)]]
    if invoice.po_number:
        facts.append([_("PO number"), invoice.po_number])
    if invoice.net_terms_days:
        facts.append([_("Payment terms"), terms(invoice)])
    return facts


def terms(invoice: Invoice) -> str:
    """30 days net; a card is charged at once."""
    if invoice.collection_method == CollectionMethod.CHARGE_AUTOMATICALLY:
        return _("Charged to the payment method on file")
    days = invoice.net_terms_days
    return ngettext("%(days)s day net", "%(days)s days net", days) % {"days": days}


def _headline(invoice: Invoice, at: datetime) -> Data:
    zone = invoice.legal_entity.timezone
    text, amount, note = _state(invoice, zone)
    return {"text": text, "amount": money(amount, invoice.currency), "note": parts.as_of(at, zone) if note else ""}


def _state(invoice: Invoice, zone: str) -> tuple[str, int, bool]:
    """The state in words, its amount, and whether it may have changed since."""
    if invoice.status == Invoice.Status.VOID:
        return _("This invoice is void."), 0, False
    if invoice.status == Invoice.Status.PAID:
        if invoice.total == 0:
            return _("Nothing to pay"), 0, False
        return _("Paid on %(day)s") % {"day": day_text(invoice.paid_at, zone)}, invoice.total, False
    if invoice.collection_method == CollectionMethod.CHARGE_AUTOMATICALLY:
        return _("To be charged to your payment method"), invoice.amount_due, True
    return _("To be paid by %(day)s") % {"day": day_text(invoice.due_date)}, invoice.amount_due, True


# --- lines -------------------------------------------------------------------------------------
def _line(line: InvoiceLine, invoice: Invoice, uses: list[DiscountUse]) -> Data:
    currency = invoice.currency
    rate = unit_price(line.unit_amount, currency) if line.unit_amount is not None else ""
    measured = wording.measured(line.quantity, line.explanation, currency)
    return {
        "title": line.description,
        "details": details(line, invoice, uses),
        "cells": [measured.replace("-", "−"), rate, parts.signed(line.amount, currency)],
    }


def details(line: InvoiceLine, invoice: Invoice, uses: list[DiscountUse]) -> list[str]:
    """Its period, whose it is, how the amount came about, what it gives back and what was taken off."""
    found = []
    if line.period_start and line.period_end:
        zone = parts.zone_of(line.customer, invoice.customer_id, invoice.buyer)
        found.append(parts.period_text(line.period_start, line.period_end, zone))
    found += parts.for_other(line.customer, invoice.customer_id)
    found += parts.explanation(line.explanation, invoice.currency)
    if line.credits_line is not None:
        found.append(_("Credits invoice %(number)s") % {"number": line.credits_line.invoice.number})
    return found + _discounts(line.discount_amount, uses, invoice.currency)


def _discounts(amount: int, uses: list[DiscountUse], currency: str) -> list[str]:
    """What each coupon took off; what no coupon is known for is a discount without a name."""
    named = [(coupon_name(use.discount.coupon), use.amount) for use in uses if use.amount]
    rest = amount - sum(part for _name, part in named)
    rows = [*named, *([(_("Discount"), rest)] if rest else [])]
    return [_("%(name)s: %(amount)s") % {"name": name, "amount": parts.signed(-part, currency)} for name, part in rows]


def coupon_name(coupon: Coupon) -> str:
    """Discount SAVE20, 20%."""
    values = {"code": coupon.name or coupon.code}
    name = _("Discount %(code)s") % values
    return f"{name} ({percent(coupon.percent_off / 100, 3)})" if coupon.percent_off is not None else name


def uses_of(invoice: Invoice) -> _Uses:
    """What coupons took off, by line."""
    found: _Uses = defaultdict(list)
    rows = DiscountUse.objects.filter(invoice_line__invoice=invoice, amount__gt=0)
    for use in rows.select_related("discount__coupon").order_by("pk"):
        found[use.invoice_line_id].append(use)
    return found


# --- sums --------------------------------------------------------------------------------------
def _sums(invoice: Invoice, uses: _Uses) -> list[Data]:
    currency = invoice.currency
    rows = [parts.sum_row(_("Subtotal"), invoice.subtotal, currency)]
    rows += [parts.sum_row(name, -amount, currency) for name, amount in _discount_sums(invoice, uses)]
    rows += parts.tax_rows(invoice.taxes.order_by("-percentage", "rate"), currency)
    rows.append(parts.sum_row(_("Total"), invoice.total, currency, strong=True))
    taken_off = [
        (_("From your balance"), invoice.balance_applied),
        (_("Credited"), invoice.amount_credited),
        (_("Paid"), invoice.amount_paid),
    ]
    off = [parts.sum_row(label, -amount, currency) for label, amount in taken_off if amount]
    return rows + ([*off, parts.sum_row(_("Amount due"), invoice.amount_due, currency, strong=True)] if off else [])


def _discount_sums(invoice: Invoice, uses: _Uses) -> list[tuple[str, int]]:
    sums: dict[str, int] = defaultdict(int)
    for use in (use for of_line in uses.values() for use in of_line):
        sums[coupon_name(use.discount.coupon)] += use.amount
    rest = invoice.discount_total - sum(sums.values())
    return [*sums.items(), *([(_("Discount"), rest)] if rest else [])]


# --- payment -----------------------------------------------------------------------------------
def _payment(invoice: Invoice) -> list[Data]:
    """How it was settled so far, and how the rest is to be paid."""
    settled = [_allocation(one, invoice) for one in _allocations(invoice)]
    sections = [parts.section(_("Payments and credits"), settled)] if settled else []
    if is_by_transfer(invoice):
        sections.append(_transfer(invoice))
    return sections


def is_by_transfer(invoice: Invoice) -> bool:
    """Whether it is open and the buyer sends the money."""
    return invoice.status == Invoice.Status.OPEN and invoice.collection_method == CollectionMethod.SEND_INVOICE


def _allocations(invoice: Invoice) -> list[Allocation]:
    related = ("payment__payment_method", "credit_note")
    return list(invoice.allocations.select_related(*related).order_by("created_at", "pk"))


def _allocation(allocation: Allocation, invoice: Invoice) -> str:
    values = {
        "day": day_text(allocation.allocated_at, invoice.legal_entity.timezone),
        "amount": parts.signed(allocation.amount, invoice.currency),
        "how": how(allocation),
    }
    return _("%(day)s: %(amount)s, %(how)s") % values


def how(allocation: Allocation) -> str:
    """Visa •••• 4242, Credit note CN-2026-000001, From your balance."""
    if allocation.credit_note is not None:
        return _("Credit note %(number)s") % {"number": allocation.credit_note.number}
    if allocation.payment is not None and allocation.kind == Allocation.Kind.PAYMENT:
        payment = allocation.payment
        return parts.method_text(payment.payment_method, payment.method, payment.reference)
    return {
        Allocation.Kind.BALANCE: _("From your balance"),
        Allocation.Kind.WITHHELD_TAX: _("Withheld tax"),
        Allocation.Kind.WRITE_OFF: _("Written off"),
        Allocation.Kind.REVERSAL: _("Payment returned"),
    }.get(Allocation.Kind(allocation.kind), allocation.get_kind_display())


def _transfer(invoice: Invoice) -> Data:
    lines = [line for line in str(invoice.seller.get("bank_details", "")).splitlines() if line.strip()]
    return parts.section(_("How to pay"), lines, transfer_facts(invoice))


def transfer_facts(invoice: Invoice) -> list[list[str]]:
    """Where to send how much with which reference, as far as it is known."""
    seller = invoice.seller
    known = [
        (_("Account holder"), seller["name"] if seller.get("iban") else ""),
        ("IBAN", iban_text(seller.get("iban", ""))),
        ("BIC", seller.get("bic", "")),
        (_("Reference"), str(invoice.number)),
        (_("Amount"), money(invoice.amount_due, invoice.currency)),
        (_("Payment terms"), terms(invoice)),
    ]
    return [[label, value] for label, value in known if value]


def iban_text(iban: str) -> str:
    """In groups of four, as it is typed from paper."""
    compact = iban.replace(" ", "")
    return " ".join(compact[start : start + 4] for start in range(0, len(compact), 4))
