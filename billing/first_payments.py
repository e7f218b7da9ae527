"""Subscriptions that wait for their first payment: tried again, or given up when it doesn't come."""

from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from billing import invoices, payments, standing
from billing.models import Invoice, PaymentMethod, Subscription
from billing.standing import Status
from gtm.shared import nudges
from gtm.shared.errors import Conflict
from gtm.shared.models import TestClock

log = structlog.get_logger(__name__)
PAYMENT_WINDOW = timedelta(hours=24)


def retry_payment(
    *, subscription: Subscription, payment_method: PaymentMethod | None = None, on_session: bool = False, at: datetime
) -> Subscription:
    """Charge the open invoices of a subscription that waits for its payment, with another card where one is given.

    It is active afterwards if that worked; a refused card raises nothing. Raises Conflict where nothing is due. Not in
    a transaction.
    """
    unpaid = Invoice.objects.filter(lines__subscription=subscription, status=Invoice.Status.OPEN)
    due = list(unpaid.distinct().order_by("finalized_at", "pk"))
    if not due:
        raise Conflict(_("Nothing is due on this subscription."), code="nothing_due")
    for invoice in due:
        payments.collect(invoice=invoice, payment_method=payment_method, on_session=on_session, at=at)
    return standing.loaded().get(pk=subscription.pk)


def expire_incomplete(*, at: datetime, test_clock: TestClock | None = None) -> int:
    """Give up subscriptions whose first invoice was not paid within 24 hours, and void it; return how many."""
    late = awaiting_payment(test_clock=test_clock).filter(
        charges__invoice_line__invoice__finalized_at__lte=at - PAYMENT_WINDOW
    )
    return sum(_expire(subscription, at=at) for subscription in late.distinct().order_by("pk")[:500])


def _expire(subscription: Subscription, *, at: datetime) -> bool:
    try:
        return abandon(subscription=subscription, at=at, reason="payment_window_over")
    except Conflict as refusal:  # money came in, or is on its way, since it was found
        log.info("not_expired", subscription=subscription.public_id, code=refusal.code)
        return False


def awaiting_payment(*, test_clock: TestClock | None) -> QuerySet[Subscription]:
    """Subscriptions that were invoiced for the first time and wait for the money: all of it, none on its way."""
    invoice = "charges__invoice_line__invoice"
    begun = (
        Q(**{f"{invoice}__payment_status": Invoice.PaymentStatus.PENDING})
        | Q(**{f"{invoice}__amount_paid__gt": 0})
        | Q(**{f"{invoice}__amount_credited__gt": 0})
    )
    return Subscription.objects.filter(
        status=Status.INCOMPLETE, test_clock=test_clock, **{f"{invoice}__finalized_at__isnull": False}
    ).exclude(begun)


@transaction.atomic
def abandon(*, subscription: Subscription, at: datetime, reason: str) -> bool:
    """Give one of them up and void its invoice, unless its payment is under way or came in meanwhile.

    What waits for its holder is given up at the gateway next, before somebody confirms it in another tab.
    """
    subscription = standing.locked(subscription)
    unpaid = Invoice.objects.filter(lines__subscription=subscription, status=Invoice.Status.OPEN).distinct()
    under_way = unpaid.filter(payment_status=Invoice.PaymentStatus.PENDING).exists()
    if subscription.status != Status.INCOMPLETE or under_way:
        return False
    standing.expire(subscription, at=at, reason=reason)
    for invoice in unpaid.order_by("pk"):
        invoices.void(invoice=invoice, at=at, cause=reason, waive=True)
    nudges.on_commit("billing.tasks.settle_attempts")
    return True
