"""Bank transfers: where a payer sends money, and what is paid with it when it has come.

The gateway keeps an account for each payer. What comes in there is charged at once, whole, and settles the payer's open
invoices: the one whose number the payer wrote first, then the oldest; the rest is credit. The attempt's id is made of
the transfer's own name, so that it is charged once however often it is told.
"""

import uuid
from datetime import datetime

from django.db import transaction

from billing import attempts, customers, entities, gateways, settlement
from billing.gateways import Funding, SeenTransfer
from billing.models import Customer, GatewayCustomer, Payment, PaymentAttempt, PaymentMethod
from gtm.shared import db
from gtm.shared.errors import NotFound

_NAMES = uuid.UUID("6f0a3a0e-6a39-5d0b-8f3f-1f6d6a1e7c55")


def account_of(*, customer: Customer, currency: str) -> Funding | None:
    """Where the payer sends transfers; None where the gateway takes none in that currency. Not in a transaction."""
    gateway = gateways.of_customer(customer)
    reference = customers.reference_at(gateway, customer)
    return gateway.funding(customer=reference, currency=currency, country=customer.place)


def receive(*, gateway: str, seen: SeenTransfer, at: datetime) -> Payment:
    """Charge what has come in. Raises NotFound for somebody who isn't ours. Not in a transaction."""
    theirs = GatewayCustomer.objects.filter(gateway=gateway, reference=seen.customer).select_related("customer").first()
    if theirs is None:
        raise NotFound(f"No customer is known as {seen.customer!r}.")
    attempt = _begin(theirs, seen, at)
    return attempts.send(attempt=attempt, at=at) if attempt.status == attempts.Attempt.LIVE else attempt.payment


@transaction.atomic(durable=True)
def _begin(theirs: GatewayCustomer, seen: SeenTransfer, at: datetime) -> PaymentAttempt:
    customer = db.lock_one(theirs.customer)
    attempt_id = uuid.uuid5(_NAMES, f"{theirs.gateway}/{seen.reference}")
    known = PaymentAttempt.objects.filter(pk=attempt_id).select_related("payment", "payment_method").first()
    if known is not None:
        return known
    method = _method_of(theirs)
    first = settlement.owed_by(customer=customer, currency=seen.currency).first()
    payment = Payment(
        customer=customer,
        legal_entity=first.legal_entity if first else customer.legal_entity or entities.default(),
        currency=seen.currency,
        amount=seen.amount,
        method=method.kind,
        payment_method=method,
        gateway=method.gateway,
        reference=seen.memo,
        attempt=1,
    )
    payment.save()
    return PaymentAttempt.objects.create(
        id=attempt_id, payment=payment, payment_method=method, amount=seen.amount, started_at=at
    )


def _method_of(theirs: GatewayCustomer) -> PaymentMethod:
    """The payer's transfers as a method, which is nobody's default: it can't be charged at will."""
    method, _is_new = PaymentMethod.objects.get_or_create(
        customer=theirs.customer,
        gateway=theirs.gateway,
        gateway_reference=theirs.reference,
        defaults={"kind": PaymentMethod.Kind.BANK_TRANSFER},
    )
    return method
