"""Payments that wait for their holder's confirmation: a signed link, what its page needs, and the payer's return."""

import uuid
from datetime import datetime, timedelta

from django.urls import reverse

from billing import gateways, payments
from billing.gateways import Action
from billing.gateways.sandbox import SandboxGateway
from billing.models import Invoice, Payment, PaymentAttempt, PaymentMethod
from gtm.shared import links

PAYMENT = "payment"
LASTS = timedelta(days=14)


def path(payment_id: uuid.UUID, *, at: datetime) -> str:
    """Where the payer confirms, signed in or not: for a redirect, or behind ``BASE_URL`` for a mail. Wall time."""
    return reverse("confirm", args=[links.make(PAYMENT, payment_id, at=at, lasts=LASTS)])


def waiting(payment: Payment) -> PaymentAttempt | None:
    """The attempt that its holder can still confirm."""
    found = payment.attempts.filter(status=PaymentAttempt.Status.REQUIRES_ACTION).select_related("payment_method")
    return found.order_by("-created_at", "-id").first()


def asked_of(method: PaymentMethod) -> Payment | None:
    """The payment of something open that this method's holder can still confirm."""
    asked = PaymentAttempt.objects.filter(payment_method=method, status=PaymentAttempt.Status.REQUIRES_ACTION)
    found = asked.filter(invoices__status=Invoice.Status.OPEN).select_related("payment")
    attempt = found.order_by("-created_at", "-id").first()
    return attempt.payment if attempt else None


def action(payment: Payment) -> Action | None:
    """What the page needs; None where nothing waits any more. Raises AnswerLost and GatewayUnavailable."""
    attempt = waiting(payment)
    if attempt is None:
        return None
    return gateways.named(attempt.payment_method.gateway).action(reference=attempt.gateway_reference)


def answer(*, payment: Payment, accepted: bool, at: datetime) -> Payment:
    """What a test card's holder says: a real bank asks on its own page. Not in a transaction."""
    attempt = waiting(payment)
    gateway = gateways.named(attempt.payment_method.gateway) if attempt else None
    if attempt is not None and isinstance(gateway, SandboxGateway):
        gateway.confirm(reference=attempt.gateway_reference, accepted=accepted)
    return payments.refresh(payment=payment, at=at)
