"""A credit note in words: which invoice it takes back what of, and where the money went."""

from django.utils.translation import gettext as _

from billing.models import CreditNote, CreditNoteLine, LineReason, Refund
from billing.papers import parts
from billing.papers.parts import Data
from gtm.shared.models import Vendor
from gtm.shared.templatetags.tandem import day_text, money


def data(note: CreditNote, *, vendor: Vendor) -> Data:
    """What the template lays out. A credit note doesn't change once it is issued."""
    lines = list(note.lines.select_related("invoice_line__customer").order_by("position"))
    frame = parts.frame(
        title=_("Credit note"),
        number=note.number,
        issued=note.issue_date,
        seller=note.seller,
        buyer=note.buyer,
        vendor=vendor,
        watermark=parts.TEST if note.test_clock_id is not None else "",
    )
    return frame | {
        "facts": _facts(note),
        "headline": {"text": _headline(note), "amount": money(note.total, note.currency), "note": ""},
        "head": [_("Description"), _("Amount")],
        "lines": [_line(line, note) for line in lines],
        "sums": _sums(note),
        "sections": [
            *([parts.section(_("Reason"), [reason_text(note)])] if note.reason else []),
            parts.section(_("How it was settled"), settlement(note)),
            *parts.tax_notes(line.taxes for line in lines),
        ],
    }


def reason_text(note: CreditNote) -> str:
    """In somebody's own words as they were written; one that the engine gave, in the reader's language."""
    given = {
        LineReason.SUBSCRIPTION_CHANGE.label: _("Subscription change"),
        LineReason.SUBSCRIPTION_END.label: _("Subscription end"),
        LineReason.LATE_USAGE.label: _("Late usage"),
    }
    return given.get(note.reason, note.reason)


def _headline(note: CreditNote) -> str:
    return _("Credit for invoice %(number)s") % {"number": note.invoice.number}


def _facts(note: CreditNote) -> list[list[str]]:
    invoice = note.invoice
    facts = [
        [_("Issued"), day_text(note.issue_date)],
        [_("For invoice"), str(invoice.number)],
        [_("Invoice of"), day_text(invoice.issue_date)],
    ]
    return facts + ([[_("PO number"), invoice.po_number]] if invoice.po_number else [])


def _line(line: CreditNoteLine, note: CreditNote) -> Data:
    return {
        "title": line.description,
        "details": details(line, note),
        "cells": [parts.signed(line.amount, note.currency)],
    }


def details(line: CreditNoteLine, note: CreditNote) -> list[str]:
    """The time that is given back, whose it was, and how the amount came about."""
    customer, start, end = line.invoice_line.customer, line.period_start, line.period_end
    found = []
    if start and end:
        found.append(parts.period_text(start, end, parts.zone_of(customer, note.customer_id, note.buyer)))
    found += parts.for_other(customer, note.customer_id)
    return found + parts.explanation(line.explanation, note.currency)


def _sums(note: CreditNote) -> list[Data]:
    return [
        parts.sum_row(_("Subtotal"), note.subtotal, note.currency),
        *parts.tax_rows(note.taxes.order_by("-percentage", "rate"), note.currency),
        parts.sum_row(_("Total credited"), note.total, note.currency, strong=True),
    ]


def settlement(note: CreditNote) -> list[str]:
    """Where the credited amount went, one sentence for each place."""
    values = {"number": note.invoice.number}
    ways = [
        (note.offset_amount, _("%(amount)s offset against what was open on invoice %(number)s")),
        (note.balance_amount, _("%(amount)s added to your balance")),
    ]
    found = [text % {**values, "amount": money(amount, note.currency)} for amount, text in ways if amount]
    return found + ([_refund(note)] if note.refund_amount else [])


def _refund(note: CreditNote) -> str:
    refunds = Refund.objects.filter(credit_note=note).select_related("payment__payment_method").order_by("pk")
    methods = [parts.method_text(one.payment.payment_method, one.payment.method) for one in refunds]
    values = {"amount": money(note.refund_amount, note.currency), "method": ", ".join(dict.fromkeys(methods))}
    return (_("%(amount)s refunded to %(method)s") if methods else _("%(amount)s refunded")) % values
