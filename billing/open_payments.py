"""Paying what is open at one go: a customer chooses invoices, and its card is charged for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from django.utils.translation import gettext as _

from billing import payments
from billing.models import Invoice, Payment, PaymentMethod
from gtm.shared.errors import DomainError


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one invoice; ``failure`` is empty where it is paid. ``to_confirm``: the bank asks first."""

    invoice: Invoice
    failure: str = ""
    to_confirm: Payment | None = None


def pay(*, invoices: Sequence[Invoice], payment_method: PaymentMethod | None, at: datetime) -> list[Outcome]:
    """Charge the card once for the invoices of each entity and currency; what can't be paid says why.

    Not in a transaction: a card is charged.
    """
    ordered = sorted(invoices, key=lambda one: (str(one.legal_entity_id), one.currency, one.pk))
    found: list[Outcome] = []
    for _key, group in groupby(ordered, key=lambda one: (one.legal_entity_id, one.currency)):
        found += _pay_together(list(group), payment_method, at)
    return found


def _pay_together(invoices: list[Invoice], payment_method: PaymentMethod | None, at: datetime) -> list[Outcome]:
    """By one charge. Where that is refused before it is made, for one of them, each is charged by itself."""
    try:
        payment = payments.collect_many(invoices=invoices, payment_method=payment_method, at=at, on_session=True)
    except DomainError as refusal:
        if len(invoices) == 1:
            return [Outcome(invoices[0], refusal.detail)]
        return [outcome for one in invoices for outcome in _pay_together([one], payment_method, at)]
    return [_outcome(invoice, payment) for invoice in invoices]


def _outcome(invoice: Invoice, payment: Payment) -> Outcome:
    if payment.status == Payment.Status.SUCCEEDED:
        return Outcome(invoice)
    if payment.is_going:
        return Outcome(invoice, _("A payment of this invoice is under way."))
    failure = payment.failure_message or _("The payment did not go through.")
    asks = payment.status == Payment.Status.REQUIRES_ACTION
    return Outcome(invoice, failure, to_confirm=payment if asks else None)
