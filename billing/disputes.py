"""Payments that a payer's bank takes back: disputes, and debits that come back after they seemed paid.

While the bank holds the money, what was paid with it is reversed and the invoice is open again; dunning waits until the
dispute is decided. Won, the money settles what is still open, and the rest is credit. Whatever is told of a dispute is
its state now, so that its news may come in any order and twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from billing import balances, declines, dunning_cases, invoice_outcomes, settlement
from billing.gateways import SeenDispute
from billing.models import (
    Allocation,
    BalanceEntry,
    CollectionMethod,
    CustomerBalance,
    Dispute,
    Invoice,
    Payment,
    PaymentMethod,
    Subscription,
)
from gtm.shared import db, outbox
from gtm.shared.errors import NotFound
from gtm.shared.models import write

Status, Kind = Dispute.Status, Dispute.Kind


@dataclass(frozen=True, slots=True)
class _Held:
    """The payment with what it has paid, all locked in their order."""

    payment: Payment
    invoices: Sequence[Invoice]
    subscriptions: Sequence[Subscription]


def disputed(invoices: Sequence[Invoice]) -> set[UUID]:
    """Those of the invoices whose payment is disputed and undecided: nobody is reminded of them meanwhile."""
    undecided = Dispute.objects.open().filter(payment__allocations__invoice__in=invoices)
    return set(undecided.values_list("payment__allocations__invoice", flat=True))


@transaction.atomic
def record(*, gateway: str, seen: SeenDispute, at: datetime) -> Dispute:
    """Write down how a dispute stands, and what follows for the money. Raises NotFound for a charge that isn't ours."""
    payment = Payment.objects.filter(gateway=gateway, gateway_reference=seen.charge).first()
    if payment is None:
        raise NotFound(f"No payment is known by the charge {seen.charge!r}.")
    held = _locked(payment)
    dispute = Dispute.objects.filter(gateway=gateway, gateway_reference=seen.reference).first()
    if dispute is None:
        dispute = _opened(held.payment, gateway, seen, at)
    elif dispute.status not in Dispute.OPEN and seen.status in Dispute.OPEN:
        return dispute  # older news than what is known
    _follow(dispute, held, seen, at)
    return dispute


@transaction.atomic
def record_return(*, payment: Payment, reason: str, at: datetime) -> Dispute:
    """A payment that had succeeded has failed after all: it is gone, with nothing to argue about."""
    seen = SeenDispute(
        reference=f"return of {payment.gateway_reference}",
        charge=payment.gateway_reference,
        status="lost",
        kind="return",
        amount=payment.amount,
        currency=payment.currency,
        holds=True,
        opened_at=at,
        reason=reason,
    )
    return record(gateway=payment.gateway, seen=seen, at=at)


def _locked(payment: Payment) -> _Held:
    paid = Invoice.objects.filter(allocations__payment=payment).distinct()
    invoices, subscriptions = settlement.lock_all(paid)
    return _Held(db.lock_one(payment), invoices, subscriptions)


def _opened(payment: Payment, gateway: str, seen: SeenDispute, at: datetime) -> Dispute:
    is_debit = payment.method == PaymentMethod.Kind.SEPA_DEBIT
    dispute = Dispute.objects.create(
        customer_id=payment.customer_id,
        payment=payment,
        kind=Kind.RETURN if is_debit or seen.kind == "return" else Kind(seen.kind),
        status=seen.status,
        currency=seen.currency,
        amount=seen.amount,
        reason=seen.reason,
        gateway=gateway,
        gateway_reference=seen.reference,
        respond_by=seen.respond_by,
        opened_at=seen.opened_at,
        test_clock_id=payment.test_clock_id,
    )
    _tell(dispute, "opened", at=at)
    return dispute


def _follow(dispute: Dispute, held: _Held, seen: SeenDispute, at: datetime) -> None:
    """Bring the money and the row to where the dispute stands."""
    was = dispute.status
    dispute.status, dispute.reason, dispute.respond_by = Status(seen.status), seen.reason, seen.respond_by
    if dispute.kind == Kind.INQUIRY and seen.kind == "chargeback":
        dispute.kind = Kind.CHARGEBACK
    is_decided = dispute.closed_at is None and dispute.status not in Dispute.OPEN
    if is_decided:
        dispute.closed_at = at
    if seen.holds and not dispute.amount_reversed:
        _take_back(dispute, held, at)
    elif not seen.holds and dispute.amount_reversed:
        _give_back(dispute, held, at)
    names = ("status", "kind", "reason", "respond_by", "closed_at", "amount_reversed", "uncovered")
    write(dispute, **{name: getattr(dispute, name) for name in names})
    if is_decided or dispute.status != was:
        _tell(dispute, dispute.status if is_decided else "changed", at=at)
    if is_decided and dispute.status == Status.LOST:
        _dun(dispute, held, at)


def _dun(dispute: Dispute, held: _Held, at: datetime) -> None:
    """What is open by it is asked for again, now that nobody argues any more.

    A card whose holder had the money taken back isn't charged again; an account without funds, that day, may be.
    """
    for invoice in held.invoices:
        if invoice.status == Invoice.Status.OPEN and invoice.collection_method == CollectionMethod.SEND_INVOICE:
            dunning_cases.ask_again(invoice=invoice, at=at)
        elif invoice.status == Invoice.Status.OPEN:
            dunning_cases.on_failed(
                invoice=invoice,
                subscriptions=settlement.on(invoice, held.subscriptions),
                failure_code=dispute.reason or _code(dispute),
                hard=dispute.kind != Kind.RETURN or declines.is_hard(dispute.reason),
                at=at,
            )


def _code(dispute: Dispute) -> str:
    return "payment_returned" if dispute.kind == Kind.RETURN else "payment_disputed"


def _take_back(dispute: Dispute, held: _Held, at: datetime) -> None:
    """Let the disputed money pay for nothing: of the invoices last settled first, then of the payer's balance."""
    payment = held.payment
    amount = min(dispute.amount, payment.amount - payment.amount_refunded - payment.amount_disputed)
    reopened, left = _reverse(held, amount, at)
    taken = _take_from_balance(payment, left, at)
    dispute.amount_reversed, dispute.uncovered = amount, left - taken
    is_return = dispute.kind == Kind.RETURN
    code = dispute.reason or _code(dispute)
    changes = {"status": Payment.Status.FAILED, "failure_code": code} if is_return else {}
    write(payment, amount_disputed=payment.amount_disputed + amount, **changes)
    told = "returned" if is_return else "disputed"
    outbox.publish_many([settlement.fact(payment, told, *reopened, amount=amount, at=at)])
    for invoice in reopened:
        concerned = settlement.on(invoice, held.subscriptions)
        invoice_outcomes.on_failed(concerned, at=at, reason=_code(dispute))


def _reverse(held: _Held, amount: int, at: datetime) -> tuple[list[Invoice], int]:
    """Reverse what the payment has settled, up to an amount; the invoices that are open by it, and what is left."""
    by_key, reopened = {invoice.pk: invoice for invoice in held.invoices}, []
    standing_ones = held.payment.allocations.filter(kind=Allocation.Kind.PAYMENT, reversal=None)
    for allocation in standing_ones.order_by("-allocated_at", "-pk"):
        part = min(amount, allocation.amount)
        if not part:
            break
        amount -= part
        invoice = by_key[allocation.invoice_id]
        _reverse_one(allocation, held.payment, part, at)
        _reopen(invoice, part, at)
        reopened.append(invoice)
    return reopened, amount


def _reverse_one(allocation: Allocation, payment: Payment, part: int, at: datetime) -> None:
    """The whole of it is reversed, and what is not disputed is allocated again: each is reversed at most once."""
    settlement.add(
        allocation.invoice,
        kind=Allocation.Kind.REVERSAL,
        amount=-allocation.amount,
        at=at,
        reverses=allocation,
        payment=payment,
    )
    if rest := allocation.amount - part:
        settlement.add(allocation.invoice, kind=Allocation.Kind.PAYMENT, amount=rest, at=at, payment=payment)


def _reopen(invoice: Invoice, part: int, at: datetime) -> None:
    changes = {"status": Invoice.Status.OPEN, "paid_at": None} if invoice.status == Invoice.Status.PAID else {}
    failed = Invoice.PaymentStatus.FAILED
    write(invoice, amount_paid=invoice.amount_paid - part, payment_status=failed, **changes)
    outbox.publish(
        "billing.invoice.reopened",
        invoice,
        at=at,
        customer_id=invoice.customer_id,
        account_id=invoice.customer.account_id,
        data={"currency": invoice.currency, "amount": part, "amount_due": invoice.amount_due},
    )


def _take_from_balance(payment: Payment, amount: int, at: datetime) -> int:
    """What had been too much stands to the payer's credit: as much of it as is still there goes."""
    there = CustomerBalance.objects.filter(customer=payment.customer_id, currency=payment.currency)
    taken = min(amount, sum(there.select_for_update().values_list("amount", flat=True)))
    if taken:
        _move_balance(payment, BalanceEntry.Kind.DISPUTED, -taken, at)
    return taken


def _give_back(dispute: Dispute, held: _Held, at: datetime) -> None:
    """The money is the vendor's again: it settles what is still open of what it had paid, the rest is credit."""
    payment, amount = held.payment, dispute.amount_reversed - dispute.uncovered
    changes = {"status": Payment.Status.SUCCEEDED, "failure_code": ""} if dispute.kind == Kind.RETURN else {}
    write(payment, amount_disputed=payment.amount_disputed - dispute.amount_reversed, **changes)
    dispute.amount_reversed = dispute.uncovered = 0
    outbox.publish_many([settlement.fact(payment, "reinstated", *held.invoices, amount=amount, at=at)])
    if amount:
        kind = BalanceEntry.Kind.REINSTATED
        settlement.allocate(payment, held.invoices, held.subscriptions, amount=amount, kind=kind, at=at)


def _move_balance(payment: Payment, kind: str, amount: int, at: datetime) -> None:
    balances.add(customer=payment.customer, currency=payment.currency, kind=kind, amount=amount, at=at, payment=payment)


def _tell(dispute: Dispute, kind: str, *, at: datetime) -> None:
    outbox.publish(
        f"billing.dispute.{kind}",
        dispute,
        at=at,
        customer_id=dispute.customer_id,
        account_id=dispute.customer.account_id,
        data={
            "payment": dispute.payment.public_id,
            "kind": dispute.kind,
            "status": dispute.status,
            "amount": dispute.amount,
            "currency": dispute.currency,
            "reason": dispute.reason,
        },
    )
