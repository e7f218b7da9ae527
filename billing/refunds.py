"""Money that goes back to a payer: for a credit note, or out of what stands to the payer's credit.

A refund is three steps, as a charge is: its row is committed (and counted on the payment, so that nothing is given back
twice); the gateway is called, under no lock and in no transaction, with the row's id as idempotency key; its answer is
written down. Killed in between, the row is still pending, and ``send_pending`` asks again: the key takes care that the
money goes once. Money that no gateway took is sent by hand: somebody says when it is. Where a refund fails, the amount
stands to the payer's credit, so that no cent is lost sight of.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models import Q, QuerySet, Sum
from django.db.models.functions import Now

from billing import balances, gateways
from billing.gateways import AnswerLost, GatewayUnavailable, RefundResult
from billing.models import Allocation, BalanceEntry, CreditNote, Invoice, Payment, PaymentMethod, Refund
from gtm.shared import db, ids, nudges, outbox
from gtm.shared.errors import Conflict, DomainError, Invalid
from gtm.shared.models import Event, TestClock, write
from gtm.shared.templatetags import tandem

log = structlog.get_logger(__name__)
ASK_AGAIN_AFTER = timedelta(hours=1)  # what the gateway itself called under way
Status = Refund.Status


@dataclass(frozen=True, slots=True)
class Share:
    """How much of an invoice a payment has paid and can still give back."""

    payment: Payment
    amount: int


def create(
    *, payment: Payment, amount: int, reason: str = "", refund_id: uuid.UUID | None = None, at: datetime
) -> Refund:
    """Pay out what stands to the payer's credit, to where the payment came from, and send it.

    What settles an invoice stays: a credit note that settles by refund gives that back. ``refund_id`` becomes its key:
    a second call with the same one goes on where the first was interrupted. Raises Invalid for more than is left of the
    payment, and BalanceTooLow for more than there is credit. Not in a transaction.
    """
    refund = Refund.objects.filter(pk=refund_id).first() if refund_id else None
    if refund is None:
        refund = _take_out(payment=payment, amount=amount, reason=reason, refund_id=refund_id or ids.uuid7(), at=at)
    return send(refund=refund, at=at)


@transaction.atomic(durable=True)
def _take_out(*, payment: Payment, amount: int, reason: str, refund_id: uuid.UUID, at: datetime) -> Refund:
    payment = db.lock_one(payment)
    if payment.status != Payment.Status.SUCCEEDED:
        raise Conflict("This payment brought no money.", code="payment_not_succeeded", attr="payment")
    left = left_of(payment)
    if not 0 < amount <= left:
        raise Invalid(f"At most {tandem.money(left, payment.currency)} of this payment can be refunded.", attr="amount")
    refund = begin(payment=payment, amount=amount, reason=reason, refund_id=refund_id, at=at)
    balances.add(
        customer=payment.customer,
        currency=payment.currency,
        kind=BalanceEntry.Kind.REFUNDED,
        amount=-amount,
        at=at,
        refund=refund,
        payment=payment,
    )
    return refund


def left_of(payment: Payment) -> int:
    """What can be given back of a payment: nothing of what its bank holds."""
    return payment.amount - payment.amount_refunded - payment.amount_disputed


def shares(invoice: Invoice) -> list[Share]:
    """What payments have paid of an invoice and can give back, newest first, with their rows locked by id."""
    paid = Allocation.objects.filter(invoice=invoice, payment__isnull=False)
    by_payment = dict(paid.values_list("payment").annotate(net=Sum("amount")))
    gone = Refund.objects.filter(credit_note__invoice=invoice).exclude(status=Status.FAILED)
    refunded = dict(gone.values_list("payment").annotate(net=Sum("amount")))
    locked = sorted(db.lock(Payment, by_payment), key=lambda one: (one.paid_at or one.created_at, one.pk), reverse=True)
    found = [
        Share(
            one,
            min(by_payment[one.pk] - refunded.get(one.pk, 0), one.amount - one.amount_refunded - one.amount_disputed),
        )
        for one in locked
    ]
    return [share for share in found if share.amount > 0]


def begin_all(*, shares: Iterable[Share], amount: int, credit_note: CreditNote, at: datetime) -> list[Refund]:
    """Write the refunds of a credit note over the payments, in the caller's transaction; they are sent after it."""
    refunds = []
    for share in shares:
        part = min(amount, share.amount)
        amount -= part
        if part:
            refunds.append(begin(payment=share.payment, amount=part, credit_note=credit_note, at=at))
    return refunds


def begin(
    *,
    payment: Payment,
    amount: int,
    credit_note: CreditNote | None = None,
    reason: str = "",
    refund_id: uuid.UUID | None = None,
    at: datetime,
) -> Refund:
    """Write a refund of a payment whose lock the caller holds, and count it; it is sent when that has committed."""
    refund = Refund(
        id=refund_id or ids.uuid7(),
        customer=payment.customer,
        payment=payment,
        credit_note=credit_note,
        currency=payment.currency,
        amount=amount,
        by_hand=not payment.gateway or payment.method == PaymentMethod.Kind.BANK_TRANSFER,
        reason=reason or (credit_note.reason if credit_note else ""),
        test_clock_id=payment.test_clock_id,
    )
    refund.save()
    write(payment, amount_refunded=payment.amount_refunded + amount)
    outbox.publish_many([_fact(refund, "created", at=at)])
    if not refund.by_hand:
        nudges.on_commit("billing.tasks.send_refunds")
    return refund


def send(*, refund: Refund, at: datetime) -> Refund:
    """Ask the gateway to give the money back, and write its answer down. Not in a transaction.

    Where the answer is lost, the refund stays pending and is asked for again.
    """
    if refund.by_hand or refund.status != Status.PENDING:
        return refund
    try:
        result = _call(refund, at)
    except (AnswerLost, GatewayUnavailable) as error:
        log.warning("refund_not_answered", refund=refund.public_id, error=type(error).__name__)
        return refund
    return _settle(refund=refund, result=result, at=at)


def _call(refund: Refund, at: datetime) -> RefundResult:
    """Ask for the refund, or what became of it: a gateway may call it under way, or have forgotten the key."""
    payment = refund.payment
    gateway = gateways.named(payment.gateway)
    is_old = gateway.keys_last is not None and refund.created_at <= at - gateway.keys_last
    if refund.gateway_reference or is_old:
        charge, reference = payment.gateway_reference, refund.gateway_reference
        if known := gateway.refund_lookup(refund_id=refund.pk, charge=charge, reference=reference):
            return known
    return gateway.refund(
        refund_id=refund.pk, reference=payment.gateway_reference, amount=refund.amount, currency=refund.currency
    )


def refresh(*, refund: Refund, reference: str = "", at: datetime) -> Refund:
    """Ask the gateway how the refund stands: one that succeeded may come back days later. Not in a transaction."""
    charge, known = refund.payment.gateway_reference, refund.gateway_reference or reference
    gateway = gateways.named(refund.payment.gateway)
    result = gateway.refund_lookup(refund_id=refund.pk, charge=charge, reference=known)
    return _settle(refund=refund, result=result, at=at) if result else refund


@transaction.atomic
def _settle(*, refund: Refund, result: RefundResult, at: datetime) -> Refund:
    """Write the answer down, once: whoever comes second finds the refund settled. What failed after all, failed."""
    payment, refund = db.lock_one(refund.payment), db.lock_one(refund)
    if refund.status == Status.FAILED:
        return refund
    if result.status == "failed":
        return _failed(refund, payment, reference=result.reference, failure_code=result.failure_code, at=at)
    if refund.status == Status.PENDING and result.status == "succeeded":
        return _succeeded(refund, reference=result.reference, at=at)
    if refund.status == Status.PENDING and refund.gateway_reference != result.reference:
        write(refund, gateway_reference=result.reference)
    return refund


def _succeeded(refund: Refund, *, reference: str, at: datetime) -> Refund:
    write(refund, status=Status.SUCCEEDED, gateway_reference=reference, refunded_at=at)
    outbox.publish_many([_fact(refund, "succeeded", at=at)])
    return refund


def _failed(refund: Refund, payment: Payment, *, reference: str, failure_code: str, at: datetime) -> Refund:
    write(refund, status=Status.FAILED, gateway_reference=reference, failure_code=failure_code, refunded_at=None)
    write(payment, amount_refunded=payment.amount_refunded - refund.amount)
    balances.add(
        customer=refund.customer,
        currency=refund.currency,
        kind=BalanceEntry.Kind.REFUNDED,
        amount=refund.amount,
        at=at,
        refund=refund,
        reason=failure_code,
    )
    outbox.publish_many([_fact(refund, "failed", at=at)])
    return refund


@transaction.atomic
def pay_out(*, refund: Refund, reference: str = "", at: datetime) -> Refund:
    """Say that money no gateway took has been sent back by hand. Raises Conflict for any other refund."""
    _payment, refund = _by_hand(refund)
    return _succeeded(refund, reference=reference, at=at)


@transaction.atomic
def give_up(*, refund: Refund, at: datetime) -> Refund:
    """Say that money can't be sent back by hand: the amount stands to the payer's credit. Raises Conflict as above."""
    payment, refund = _by_hand(refund)
    return _failed(refund, payment, reference="", failure_code="not_paid_out", at=at)


def _by_hand(refund: Refund) -> tuple[Payment, Refund]:
    payment, refund = db.lock_one(refund.payment), db.lock_one(refund)
    if not refund.by_hand:
        raise Conflict("The gateway gives this money back.", code="refund_not_by_hand")
    if refund.status != Status.PENDING:
        raise Conflict("This refund is settled already.", code="refund_settled")
    return payment, refund


def send_pending(*, test_clock: TestClock | None = None) -> int:
    """Send what waits to be sent, and what a lost answer left; return how many are settled. Not in a transaction.

    All of it, without test clocks that are being advanced; or that of one test clock.
    """
    found = waiting(test_clock=test_clock).select_related("payment", "customer").order_by("created_at", "id")
    return sum(_send_one(refund) for refund in found[:500])


def waiting(*, test_clock: TestClock | None) -> QuerySet[Refund]:
    """Refunds that a gateway is still to be asked for; those of test clocks that are being advanced are the clock's."""
    found = Refund.objects.filter(status=Status.PENDING, by_hand=False)
    if test_clock is None:
        asked_lately = ~Q(gateway_reference="") & Q(asked_at__gt=Now() - ASK_AGAIN_AFTER)
        return found.exclude(asked_lately).exclude(test_clock__status=TestClock.Status.ADVANCING)
    return found.filter(test_clock=test_clock)


def _send_one(refund: Refund) -> bool:
    Refund.objects.filter(pk=refund.pk).update(asked_at=Now())
    try:
        return send(refund=refund, at=db.now_for(refund)).status != Status.PENDING
    except (DomainError, OSError) as error:  # its clock has begun to advance, or its gateway is away: the others go on
        log.info("refund_not_sent", refund=refund.public_id, error=type(error).__name__)
    except Exception:  # one that nobody has thought of must not hold up the others
        log.exception("refund_not_sent", refund=refund.public_id)
    return False


def _fact(refund: Refund, kind: str, *, at: datetime) -> Event:
    return outbox.fact(
        f"billing.refund.{kind}",
        refund,
        at=at,
        customer_id=refund.customer_id,
        account_id=refund.customer.account_id,
        data={
            "payment": refund.payment.public_id,
            "amount": refund.amount,
            "currency": refund.currency,
            "by_hand": refund.by_hand,
            "failure_code": refund.failure_code,
        },
    )
