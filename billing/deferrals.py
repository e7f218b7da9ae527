"""Sums so small that a gateway doesn't take them by themselves.

Nobody has declined anything: the invoice stays open, nothing is dunned, and the payer's next charge that nobody looks
at takes it along. What is paid on terms is not deferred: there is another way to pay it.
"""

from collections.abc import Sequence
from datetime import datetime

from billing import declines, dunning_cases, invoice_outcomes, settlement
from billing.gateways import ChargeResult, amounts
from billing.models import CollectionMethod, Invoice, Payment, PaymentAttempt, Subscription
from gtm.shared import outbox
from gtm.shared.models import write

BY_CARD = CollectionMethod.CHARGE_AUTOMATICALLY
DEFERRED = Invoice.PaymentStatus.DEFERRED


def is_deferred(result: ChargeResult, invoices: Sequence[Invoice]) -> bool:
    """Whether these invoices come to too little to be charged now."""
    is_too_small = result.status == "failed" and result.failure_code == declines.TOO_SMALL
    return is_too_small and all(one.collection_method == BY_CARD for one in invoices)


def defer(
    payment: Payment,
    invoices: Sequence[Invoice],
    subscriptions: Sequence[Subscription],
    result: ChargeResult,
    at: datetime,
) -> None:
    """Leave the invoices to the next charge; they are locked, with all that is theirs."""
    write(
        payment,
        status=Payment.Status.FAILED,
        gateway_reference=result.reference,
        failure_code=result.failure_code,
        failure_message=result.message[:300],
    )
    outbox.publish_many([settlement.fact(payment, "deferred", *invoices, at=at)])
    for invoice in invoices:
        if invoice.status in settlement.OWED:
            write(invoice, payment_status=DEFERRED, next_payment_attempt=None)
            concerned = settlement.on(invoice, subscriptions, alone=len(invoices) == 1)
            invoice_outcomes.on_paid(concerned, invoice=invoice, at=at)  # so little holds nothing up
            dunning_cases.on_settled(invoice=invoice, at=at)


def take_back(invoices: Sequence[Invoice]) -> list[Invoice]:
    """Those that had only come along with a charge that failed: deferred again. None where all had been deferred."""
    if len(invoices) < 2:
        return []
    before = PaymentAttempt.objects.filter(invoices__in=invoices, failure_code=declines.TOO_SMALL)
    known = set(before.values_list("invoices", flat=True))
    along = [one for one in invoices if one.pk in known and one.status in settlement.OWED]
    if len(along) == len(invoices):
        return []
    for invoice in along:
        write(invoice, payment_status=DEFERRED, next_payment_attempt=None)
    return along


def beside(invoice: Invoice) -> list[Invoice]:
    """What the payer's next charge in this entity and currency takes along, the oldest first.

    Nothing where both together would be finer than the banks of the currency count.
    """
    owed = settlement.owed_by(customer=invoice.customer, currency=invoice.currency).filter(collection_method=BY_CARD)
    deferred = owed.filter(payment_status=DEFERRED, legal_entity=invoice.legal_entity_id).exclude(pk=invoice.pk)
    along = list(deferred.exclude(payment_attempts__status=PaymentAttempt.Status.REQUIRES_ACTION))
    together = sum(settlement.open_amount(one) for one in [invoice, *along])
    return along if amounts.is_chargeable(together, invoice.currency) else []
