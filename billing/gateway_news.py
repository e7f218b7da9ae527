"""What follows from each kind of event: the thing it names is asked for at the gateway, and brought up to date here."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from billing import disputes, gateways, lost_answers, payment_methods, payments, refunds, transfers
from billing.models import GatewayCustomer, GatewayEvent, Payment, PaymentAttempt, PaymentMethod, Refund

Status = GatewayEvent.Status
Outcome = tuple[str, str]
DONE: Outcome = (Status.PROCESSED, "")


def handle(event: GatewayEvent, *, at: datetime) -> Outcome:
    """Deal with an event: its status, and what is to be said about it. Not in a transaction."""
    handler = HANDLERS.get(event.type)
    return handler(event, at) if handler else (Status.IGNORED, "Nothing follows from events of this type.")


def _not_ours(what: str) -> Outcome:
    return Status.IGNORED, f"This {what} wasn't made by Tandem."


def _charge(event: GatewayEvent, at: datetime) -> Outcome:
    attempt = _attempt_of(event)
    if attempt is None:
        return _not_ours("charge")
    lost_answers.refresh(attempt=attempt, reference=event.object_id, at=at)
    return DONE


def _attempt_of(event: GatewayEvent) -> PaymentAttempt | None:
    ours = PaymentAttempt.objects.filter(payment_method__gateway=event.gateway)
    known = ours.select_related("payment", "payment_method")
    named = _id_in(event, "attempt")
    return known.filter(gateway_reference=event.object_id).first() or (
        known.filter(pk=named).first() if named else None
    )


def _id_in(event: GatewayEvent, name: str) -> UUID | None:
    """An id of ours that we gave along with the object."""
    metadata = event.payload.get("metadata")
    try:
        return UUID(str(metadata[name])) if isinstance(metadata, dict) else None
    except (KeyError, ValueError):
        return None


def _setup(event: GatewayEvent, at: datetime) -> Outcome:
    customer = _customer_of(event)
    if customer is None:
        return _not_ours("setup")
    default = payment_methods.is_default_wished(event.payload.get("metadata"))
    payment_methods.learn(customer=customer.customer, given=event.object_id, default=default, at=at)
    return DONE


def _customer_of(event: GatewayEvent) -> GatewayCustomer | None:
    theirs = GatewayCustomer.objects.filter(gateway=event.gateway, reference=str(event.payload.get("customer") or ""))
    return theirs.select_related("customer").first()


def _refund(event: GatewayEvent, at: datetime) -> Outcome:
    ours = Refund.objects.filter(payment__gateway=event.gateway).select_related("payment", "customer")
    found = ours.filter(Q(gateway_reference=event.object_id) | Q(pk=_id_in(event, "refund"))).first()
    if found is None:
        return _made_elsewhere(event)
    refunds.refresh(refund=found, reference=event.object_id, at=at)
    return DONE


def _made_elsewhere(event: GatewayEvent) -> Outcome:
    """Somebody gave money back at the gateway itself: only a person knows what for."""
    charge = str(event.payload.get("payment_intent") or "")
    payment = Payment.objects.filter(gateway=event.gateway, gateway_reference=charge).first() if charge else None
    if payment is None:
        return _not_ours("refund")
    return Status.FAILED, f"Money of {payment.public_id} was given back at the gateway, not here: write a credit note."


def _charge_refunded(event: GatewayEvent, at: datetime) -> Outcome:
    """The charge says how much of it has gone back: what is under way of ours is asked about."""
    charge = str(event.payload.get("payment_intent") or "")
    of_charge = Refund.objects.filter(payment__gateway=event.gateway, payment__gateway_reference=charge)
    for refund in of_charge.filter(status=Refund.Status.PENDING).select_related("payment", "customer"):
        refunds.refresh(refund=refund, at=at)
    return DONE


def _dispute(event: GatewayEvent, at: datetime) -> Outcome:
    charge = str(event.payload.get("payment_intent") or event.payload.get("charge") or "")
    payment = Payment.objects.filter(gateway=event.gateway, gateway_reference=charge).first()
    if payment is None:
        return _not_ours("payment")
    if payment.is_going:  # its success comes later, or never: what isn't paid yet can't be taken back
        payments.refresh(payment=payment, at=at)
    seen = gateways.named(event.gateway).dispute(reference=event.object_id)
    disputes.record(gateway=event.gateway, seen=seen, at=at)
    return DONE


def _method(event: GatewayEvent, at: datetime) -> Outcome:
    kept = PaymentMethod.objects.filter(gateway=event.gateway, gateway_reference=event.object_id, detached_at=None)
    method = kept.select_related("customer").first()
    if method is None:
        return _not_ours("payment method")
    payment_methods.refresh(method=method, at=at)
    return DONE


def _transfer(event: GatewayEvent, at: datetime) -> Outcome:
    customer = _customer_of(event)
    if customer is None:
        return _not_ours("customer")
    gateway = gateways.named(event.gateway)
    seen = gateway.transfer(customer=customer.reference, reference=event.object_id)
    if seen is not None:
        transfers.receive(gateway=event.gateway, seen=seen, at=at)
    return DONE


HANDLERS: dict[str, Callable[[GatewayEvent, datetime], Outcome]] = {
    "payment_intent.succeeded": _charge,
    "payment_intent.payment_failed": _charge,
    "payment_intent.processing": _charge,
    "payment_intent.requires_action": _charge,
    "payment_intent.canceled": _charge,
    "setup_intent.succeeded": _setup,
    "charge.refunded": _charge_refunded,
    "charge.refund.updated": _refund,
    "refund.created": _refund,
    "refund.updated": _refund,
    "refund.failed": _refund,
    "charge.dispute.created": _dispute,
    "charge.dispute.updated": _dispute,
    "charge.dispute.closed": _dispute,
    "charge.dispute.funds_withdrawn": _dispute,
    "charge.dispute.funds_reinstated": _dispute,
    "payment_method.detached": _method,
    "payment_method.updated": _method,
    "payment_method.automatically_updated": _method,
    "customer_cash_balance_transaction.created": _transfer,
}
