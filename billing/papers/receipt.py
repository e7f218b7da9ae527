"""A receipt in words: what a payment brought, how, and which invoices it settled."""

from datetime import date, datetime

from django.utils.translation import gettext as _

from billing import entities
from billing.models import Allocation, Payment
from billing.papers import parts
from billing.papers.parts import Data
from gtm.shared.models import Vendor
from gtm.shared.periods import local_date
from gtm.shared.templatetags.tandem import day_text, money


def data(payment: Payment, *, vendor: Vendor, at: datetime) -> Data:
    """What the template lays out, as things stood at ``at``. Parties are those of the first invoice that it paid."""
    settled = list(payment.allocations.select_related("invoice").order_by("created_at", "pk"))
    frame = parts.frame(
        title=_("Receipt"),
        number=payment.public_id,
        issued=_paid_on(payment),
        seller=_seller(payment, settled),
        buyer=_buyer(payment, settled),
        vendor=vendor,
        watermark=parts.TEST if payment.test_clock_id is not None else "",
    )
    return frame | {
        "facts": _facts(payment),
        "headline": _headline(payment, at),
        "head": [_("Invoice"), _("Issued"), _("Total"), _("Paid with this")],
        "lines": [_line(one, payment) for one in settled],
        "sums": _sums(payment, settled),
        "sections": [],
    }


def _paid_on(payment: Payment) -> date:
    assert payment.paid_at is not None, "a payment that succeeded has its instant"
    return local_date(payment.paid_at, payment.legal_entity.timezone)


def _seller(payment: Payment, settled: list[Allocation]) -> Data:
    return settled[0].invoice.seller if settled else entities.as_seller(payment.legal_entity)


def _buyer(payment: Payment, settled: list[Allocation]) -> Data:
    return settled[0].invoice.buyer if settled else entities.as_buyer(payment.customer)


def _facts(payment: Payment) -> list[list[str]]:
    facts = [
        [_("Paid"), day_text(payment.paid_at, payment.legal_entity.timezone)],
        [_("Payment method"), parts.method_text(payment.payment_method, payment.method)],
    ]
    return facts + ([[_("Reference"), payment.reference]] if payment.reference else [])


def _headline(payment: Payment, at: datetime) -> Data:
    text = _("Payment received. Thank you.")
    note = parts.as_of(at, payment.legal_entity.timezone) if payment.amount_refunded else ""
    return {"text": text, "amount": money(payment.amount, payment.currency), "note": note}


def _line(allocation: Allocation, payment: Payment) -> Data:
    invoice = allocation.invoice
    returned = allocation.kind == Allocation.Kind.REVERSAL
    return {
        "title": _("Invoice %(number)s") % {"number": invoice.number},
        "details": [_("Payment returned")] if returned else [],
        "cells": [
            day_text(invoice.issue_date),
            money(invoice.total, invoice.currency),
            parts.signed(allocation.amount, payment.currency),
        ],
    }


def _sums(payment: Payment, settled: list[Allocation]) -> list[Data]:
    currency = payment.currency
    to_balance = payment.amount - sum(one.amount for one in settled)
    rows = [parts.sum_row(_("Added to your balance"), to_balance, currency)] if to_balance > 0 else []
    rows.append(parts.sum_row(_("Paid"), payment.amount, currency, strong=True))
    if payment.amount_refunded:
        rows.append(parts.sum_row(_("Refunded"), -payment.amount_refunded, currency))
        rows.append(
            parts.sum_row(_("Paid, less refunds"), payment.amount - payment.amount_refunded, currency, strong=True)
        )
    return rows
