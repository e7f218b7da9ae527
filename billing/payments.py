"""Money in: charging cards, recording transfers, and settling invoices by allocations.

A card is charged in three steps: an attempt row is committed; the gateway is called, under no lock and in no
transaction, with the attempt's id as idempotency key; its answer is written down. Killed after the first step, the
janitor (``settle_attempts``) finds the attempt and asks the gateway what became of it. An invoice has at most one live
attempt, so that it can't be charged twice at a time.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from billing import balances, entities, gateways, meter_use, settlement, standing
from billing.gateways import ChargeResult
from billing.models import (
    Allocation,
    BalanceEntry,
    CollectionMethod,
    Customer,
    Invoice,
    InvoiceLine,
    Payment,
    PaymentAttempt,
    PaymentMethod,
    Subscription,
)
from gtm.shared import db, outbox
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event, TestClock, write

log = structlog.get_logger(__name__)
MOST = 10**15  # minor units at once
STALE_AFTER = timedelta(minutes=2)
Status, Attempt = Payment.Status, PaymentAttempt.Status


class NoPaymentMethod(Conflict):
    """The payer has no card to charge."""

    code = "no_payment_method"


# --- by card -----------------------------------------------------------------------------------
def collect(*, invoice: Invoice, at: datetime, payment_method: PaymentMethod | None = None) -> Payment:
    """Charge the card for what is due on an open invoice, and settle it by the gateway's answer.

    The method is the given one, else the subscription's, else the payer's default. A refused card raises nothing: see
    the payment's ``status`` and ``failure_code``. Raises NoPaymentMethod, and Conflict where nothing is due or a
    payment is under way, or where what would begin by it has its usage billed by another subscription meanwhile
    (``meter_in_use``). Not in a transaction: the attempt must be committed before the gateway is called.
    """
    attempt = _begin(invoice=invoice, at=at, payment_method=payment_method)
    return _settle(attempt=attempt, result=_charge(attempt), at=at)


@transaction.atomic(durable=True)
def _begin(*, invoice: Invoice, at: datetime, payment_method: PaymentMethod | None) -> PaymentAttempt:
    """Commit the attempt that stands before the gateway's call."""
    _require_free_meters([invoice])
    invoice = db.lock_one(invoice)
    _require_due(invoice)
    method = payment_method or _method_for(invoice)
    if method.customer_id != invoice.customer_id or method.detached_at is not None:
        raise Invalid(_("This payment method is not the payer's."), attr="payment_method")
    gateways.of_customer(invoice.customer)
    attempt = PaymentAttempt(
        payment=_payment_for(invoice, method),
        invoice=invoice,
        payment_method=method,
        amount=invoice.amount_due,
        started_at=at,
    )
    attempt.save()
    write(invoice, payment_status=Invoice.PaymentStatus.PENDING, next_payment_attempt=None)
    return attempt


def _require_free_meters(invoices: Sequence[Invoice]) -> None:
    """What begins with this payment has its meters for itself, though it was ordered beside another that waited too.

    The customers stay locked, so that of two such payments the second one sees the first; the payers with them, as
    what comes next may need their locks.
    """
    concerned = InvoiceLine.objects.filter(invoice__in=invoices).values("subscription")
    waiting = standing.loaded().filter(pk__in=concerned, status=Subscription.Status.INCOMPLETE)
    if found := list(waiting.order_by("pk")):
        payers = {invoice.customer_id for invoice in invoices}
        db.lock(Customer, payers | {subscription.customer_id for subscription in found})
    for subscription in found:
        meter_use.require_free_for(subscription)


def require_method(*, payer: Customer, collection_method: str, payment_method: PaymentMethod | None) -> None:
    """Raise NoPaymentMethod where a card is to be charged and there is none."""
    if collection_method != CollectionMethod.CHARGE_AUTOMATICALLY or payment_method is not None:
        return
    if not PaymentMethod.objects.filter(customer=payer, is_default=True).exists():
        raise NoPaymentMethod(_("A payment method is needed to charge automatically."), attr="payment_method")


def require_method_of(subscription: Subscription) -> None:
    """The same for what a subscription is to cost from now on."""
    require_method(
        payer=subscription.payer,
        collection_method=subscription.collection_method,
        payment_method=subscription.payment_method,
    )


def _method_for(invoice: Invoice) -> PaymentMethod:
    own = invoice.payment_method
    default = PaymentMethod.objects.filter(customer=invoice.customer_id, is_default=True, detached_at=None).first()
    method = own if own is not None and own.detached_at is None else default
    if method is None:
        raise NoPaymentMethod(_("There is no payment method to charge."), attr="payment_method")
    return method


def _require_due(invoice: Invoice) -> None:
    if settlement.open_amount(invoice) <= 0:
        raise Conflict(_("Nothing is due on this invoice."), code="nothing_due")
    if PaymentAttempt.objects.filter(invoice=invoice, status=Attempt.LIVE).exists():
        raise Conflict(_("A payment of this invoice is under way."), code="payment_in_progress")


def _payment_for(invoice: Invoice, method: PaymentMethod) -> Payment:
    """The unfinished payment of this amount with one more attempt, or a new one."""
    tried = Payment.objects.filter(
        attempts__invoice=invoice, amount=invoice.amount_due, status__in=[Status.FAILED, Status.REQUIRES_ACTION]
    )
    payment = tried.order_by("-created_at", "-id").first() or Payment(
        customer=invoice.customer,
        legal_entity=invoice.legal_entity,
        currency=invoice.currency,
        amount=invoice.amount_due,
        test_clock_id=invoice.test_clock_id,
    )
    payment.status, payment.method, payment.payment_method = Status.PENDING, method.kind, method
    payment.gateway, payment.attempt = method.gateway, payment.attempt + 1
    payment.failure_code = payment.failure_message = ""
    payment.next_retry_at = None
    payment.save()
    return payment


def _charge(attempt: PaymentAttempt) -> ChargeResult:
    """Call the gateway, under no lock. Repeating it takes no money twice: the attempt's id is the key."""
    method = attempt.payment_method
    return gateways.named(method.gateway).charge(
        attempt_id=attempt.id,
        amount=attempt.amount,
        currency=attempt.payment.currency,
        method=method.gateway_reference,
    )


@transaction.atomic
def _settle(*, attempt: PaymentAttempt, result: ChargeResult, at: datetime) -> Payment:
    """Write the gateway's answer down, once: whoever comes second finds the attempt settled."""
    subscriptions = settlement.lock_subscriptions([attempt.invoice])
    invoice, payment, attempt = db.lock_one(attempt.invoice), db.lock_one(attempt.payment), db.lock_one(attempt)
    payment.customer = invoice.customer
    if attempt.status != Attempt.LIVE or result.status == "processing":
        return payment
    attempt.status, attempt.failure_code, attempt.finished_at = Attempt(result.status), result.failure_code, at
    attempt.save(update_fields=["status", "failure_code", "finished_at"])
    settle = _succeeded if result.status == "succeeded" else _not_succeeded
    settle(payment, invoice, subscriptions, result, at)
    return payment


def _succeeded(
    payment: Payment, invoice: Invoice, subscriptions: list[Subscription], result: ChargeResult, at: datetime
) -> None:
    write(payment, status=Status.SUCCEEDED, gateway_reference=result.reference, paid_at=at)
    outbox.publish_many([_fact(payment, "succeeded", invoice, at=at)])
    _allocate(payment, [invoice], subscriptions, at=at)


def _not_succeeded(
    payment: Payment, invoice: Invoice, subscriptions: list[Subscription], result: ChargeResult, at: datetime
) -> None:
    """Declined, or the bank wants the holder's confirmation. The card isn't tried again until somebody asks for it."""
    status = Status(result.status)
    write(
        payment,
        status=status,
        gateway_reference=result.reference,
        failure_code=result.failure_code,
        failure_message=result.message[:300],
    )
    outbox.publish_many([_fact(payment, str(status), invoice, at=at)])
    if invoice.status in settlement.OWED:  # else a credit note or other money has settled it meanwhile
        write(invoice, payment_status=Invoice.PaymentStatus(result.status))
        standing.on_failed(subscriptions, at=at, reason=result.failure_code)


def collect_all(*, invoices: Sequence[Invoice], at: datetime) -> None:
    """Charge what a run has finalized, each invoice by itself.

    One that can't be charged is marked, and the others go on.
    """
    for invoice in invoices:
        try:
            collect(invoice=invoice, at=at)
        except NoPaymentMethod:
            _mark_without_method(invoice, at=at)
        except Conflict as refusal:
            log.info("not_collected", invoice=invoice.public_id, code=refusal.code, detail=refusal.detail)


def collect_new(*, subscription: Subscription, at: datetime) -> None:
    """Charge the card for what the subscription was just invoiced for, if it wasn't tried yet."""
    waiting = Invoice.objects.filter(
        lines__subscription=subscription,
        status=Invoice.Status.OPEN,
        payment_status=Invoice.PaymentStatus.NONE,
        collection_method=CollectionMethod.CHARGE_AUTOMATICALLY,
    )
    collect_all(invoices=list(waiting.distinct().order_by("pk")), at=at)


def awaiting_collection(*, test_clock: TestClock | None) -> QuerySet[Invoice]:
    """Open invoices whose card has not been tried yet: what a run that was killed has left, too."""
    return Invoice.objects.filter(
        status=Invoice.Status.OPEN,
        payment_status=Invoice.PaymentStatus.NONE,
        collection_method=CollectionMethod.CHARGE_AUTOMATICALLY,
        next_payment_attempt__isnull=False,
        test_clock=test_clock,
    )


def to_collect(*, at: datetime, test_clock: TestClock | None = None) -> list[Invoice]:
    """Those of them whose time has come, the longest waiting first."""
    waiting = awaiting_collection(test_clock=test_clock).filter(next_payment_attempt__lte=at)
    return list(waiting.order_by("next_payment_attempt", "id"))


@transaction.atomic
def _mark_without_method(invoice: Invoice, *, at: datetime) -> None:
    """Nothing to charge is a failed payment, without a gateway having been asked."""
    invoice, subscriptions = settlement.lock(invoice)
    if invoice.status != Invoice.Status.OPEN or invoice.payment_status != Invoice.PaymentStatus.NONE:
        return
    write(invoice, payment_status=Invoice.PaymentStatus.FAILED, next_payment_attempt=None)
    outbox.publish(
        "billing.payment.failed",
        invoice,
        at=at,
        customer_id=invoice.customer_id,
        account_id=invoice.customer.account_id,
        data={"failure_code": NoPaymentMethod.code, "amount": invoice.amount_due, "currency": invoice.currency},
    )
    standing.on_failed(subscriptions, at=at, reason=NoPaymentMethod.code)


def settle_attempts(*, at: datetime) -> int:
    """Find out what became of attempts that were left live for over two minutes, and settle them; return how many.

    ``at`` is wall time. An attempt the gateway never saw is sent again with the same key: should the first call still
    arrive, it takes nothing more.
    """
    stale = PaymentAttempt.objects.filter(status=Attempt.LIVE, created_at__lte=at - STALE_AFTER)
    settled = 0
    stale = stale.exclude(invoice__test_clock__status=TestClock.Status.ADVANCING)  # when the clock is at rest again
    for attempt in stale.select_related("payment", "payment_method", "invoice").order_by("created_at")[:500]:
        try:
            settled += _settle_stale(attempt)
        except Conflict as refusal:  # its clock has begun to advance: the others go on
            log.info("attempt_not_settled", attempt=str(attempt.pk), code=refusal.code)
    return settled


def _settle_stale(attempt: PaymentAttempt) -> bool:
    at = db.now_for(attempt.invoice)
    result = gateways.named(attempt.payment_method.gateway).lookup(attempt_id=attempt.id) or _charge(attempt)
    _settle(attempt=attempt, result=result, at=at)
    return result.status != "processing"


# --- by hand -----------------------------------------------------------------------------------
@transaction.atomic
def record_manual(
    *,
    customer: Customer,
    invoices: Sequence[Invoice],
    method: str,
    amount: int,
    reference: str = "",
    paid_at: datetime,
    at: datetime,
) -> Payment:
    """Record money that came another way (a transfer, a cheque) for open invoices, in full or in part, or for none.

    ``amount`` in minor units goes to the invoices in the order given; what they don't take stands to the customer's
    credit. Raises Invalid where an invoice isn't the customer's, and Conflict where one is settled or its card is being
    charged, or where ``collect`` would raise ``meter_in_use``.
    """
    _require_free_meters(invoices)
    locked, subscriptions = settlement.lock_all(invoices)
    by_key = {invoice.pk: invoice for invoice in locked}
    ordered = [by_key[pk] for pk in dict.fromkeys(invoice.pk for invoice in invoices)]
    _require_payable(customer, ordered, amount)
    payment = Payment(
        customer=customer,
        legal_entity=ordered[0].legal_entity if ordered else customer.legal_entity or entities.default(),
        currency=ordered[0].currency if ordered else customer.currency,
        amount=amount,
        status=Status.SUCCEEDED,
        method=method,
        reference=reference,
        paid_at=paid_at,
        test_clock_id=customer.test_clock_id,
    )
    payment.save()
    outbox.publish_many([_fact(payment, "succeeded", *ordered, at=at)])
    _allocate(payment, ordered, subscriptions, at=at)
    return payment


def _require_payable(customer: Customer, invoices: Sequence[Invoice], amount: int) -> None:
    if amount <= 0:
        raise Invalid("An amount is more than 0.", attr="amount")
    if amount > MOST:
        raise Invalid("So much can't be recorded at once.", attr="amount")
    if not invoices and not customer.currency:
        raise Invalid("This customer has no currency yet.", attr="invoices")
    if any(invoice.customer_id != customer.pk for invoice in invoices):
        raise Invalid("An invoice is not this customer's.", attr="invoices")
    if len({(invoice.currency, invoice.legal_entity_id) for invoice in invoices}) > 1:
        raise Invalid("The invoices differ in currency or in who issued them.", attr="invoices")
    for invoice in invoices:
        _require_due(invoice)


def _shares(invoices: Sequence[Invoice], amount: int) -> list[tuple[Invoice, int]]:
    """The amount over the invoices in their order, as far as it goes."""
    shares = []
    for invoice in invoices:
        part = min(amount, settlement.open_amount(invoice))
        amount -= part
        if part:
            shares.append((invoice, part))
    return shares


def _allocate(
    payment: Payment, invoices: Sequence[Invoice], subscriptions: Sequence[Subscription], *, at: datetime
) -> None:
    """Append what settles each invoice; where nothing is left to pay, it is paid. What is too much is credited."""
    shares = _shares(invoices, payment.amount)
    Allocation.objects.bulk_create(
        Allocation(invoice=invoice, kind=Allocation.Kind.PAYMENT, payment=payment, amount=part, allocated_at=at)
        for invoice, part in shares
    )
    for invoice, part in shares:
        invoice.amount_paid += part
        settlement.save(invoice, _on(invoice, subscriptions, alone=len(shares) == 1), "amount_paid", at=at)
    if rest := payment.amount - sum(part for _invoice, part in shares):
        balances.add(
            customer=payment.customer,
            currency=payment.currency,
            kind=BalanceEntry.Kind.OVERPAYMENT,
            amount=rest,
            at=at,
            payment=payment,
        )


def _on(invoice: Invoice, subscriptions: Sequence[Subscription], *, alone: bool) -> Sequence[Subscription]:
    """Those of the subscriptions that have lines on this invoice: all, where no other one is settled with it."""
    if alone:
        return subscriptions
    concerned = set(invoice.lines.values_list("subscription_id", flat=True))
    return [one for one in subscriptions if one.pk in concerned]


def _fact(payment: Payment, kind: str, *settled: Invoice, at: datetime) -> Event:
    return outbox.fact(
        f"billing.payment.{kind}",
        payment,
        at=at,
        customer_id=payment.customer_id,
        account_id=payment.customer.account_id,
        data={
            "amount": payment.amount,
            "currency": payment.currency,
            "method": payment.method,
            "attempt": payment.attempt,
            "failure_code": payment.failure_code,
            "invoices": [invoice.public_id for invoice in settled],
        },
    )
