"""Charges at a gateway: the attempt that stands before each call, and its answer.

An attempt is committed; the gateway is called, under no lock and in no transaction, with the attempt's id as
idempotency key; its answer is written down. Killed in between, the janitor (``lost_answers``) finds the attempt and
asks the gateway. An invoice has at most one live attempt, so that it isn't charged twice at a time; one that waits for
its holder's confirmation is given up at the gateway before another begins. Answers come by the call, by a webhook, by
the payer's return to the page and by the janitor, in any order: ``settle`` lets each count once.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

import structlog
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from billing import (
    declines,
    deferrals,
    dunning_cases,
    gateways,
    invoice_outcomes,
    meter_use,
    payment_methods,
    settlement,
    standing,
)
from billing.gateways import AnswerLost, ChargeResult, GatewayRemoved, GatewayUnavailable, Order, words
from billing.models import (
    AttemptShare,
    CollectionMethod,
    Customer,
    GatewayCustomer,
    Invoice,
    InvoiceLine,
    Payment,
    PaymentAttempt,
    PaymentMethod,
    Subscription,
)
from gtm.shared import db, outbox
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import write

log = structlog.get_logger(__name__)
Status, Attempt = Payment.Status, PaymentAttempt.Status


class NoPaymentMethod(Conflict):
    """The payer has no card to charge."""

    code = "no_payment_method"


# --- begin -------------------------------------------------------------------------------------
@transaction.atomic(durable=True)
def begin(
    *,
    invoices: Sequence[Invoice],
    at: datetime,
    payment_method: PaymentMethod | None = None,
    on_session: bool = False,
    make_default: bool = False,
) -> PaymentAttempt:
    """Commit the attempt that stands before the gateway's call, for all that is due on the invoices of one payer.

    The method is the given one, else the first invoice's own, else the payer's default; with ``make_default`` it is the
    default once it has paid.
    """
    require_free_meters(invoices)
    locked = {invoice.pk: invoice for invoice in db.lock(Invoice, [invoice.pk for invoice in invoices])}
    ordered = [locked[pk] for pk in dict.fromkeys(invoice.pk for invoice in invoices)]
    for invoice in ordered:
        require_due(invoice)
    _require_none_waiting(ordered)
    _require_one_payer(ordered)
    method = payment_method or _method_for(ordered[0])
    _require_usable(method, ordered[0].customer)
    attempt = PaymentAttempt(
        payment=_payment_for(ordered, method),
        payment_method=method,
        amount=sum(invoice.amount_due for invoice in ordered),
        on_session=on_session,
        make_default=make_default,
        started_at=at,
    )
    attempt.save()
    _share(attempt, ordered)
    for invoice in ordered:
        write(invoice, payment_status=Invoice.PaymentStatus.PENDING, next_payment_attempt=None)
    return attempt


def require_free_meters(invoices: Sequence[Invoice]) -> None:
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


def require_due(invoice: Invoice) -> None:
    if settlement.open_amount(invoice) <= 0:
        raise Conflict(_("Nothing is due on this invoice."), code="nothing_due")
    if AttemptShare.objects.filter(invoice=invoice, live=True).exists():
        raise Conflict(_("A payment of this invoice is under way."), code="payment_in_progress")


def _require_none_waiting(invoices: Sequence[Invoice]) -> None:
    """What waits for its holder was given up before; one that has begun since could be paid beside this."""
    if PaymentAttempt.objects.filter(invoices__in=invoices, status=Attempt.REQUIRES_ACTION).exists():
        raise Conflict(_("A payment of this invoice is under way."), code="payment_in_progress")


def _require_one_payer(invoices: Sequence[Invoice]) -> None:
    if len({(one.customer_id, one.legal_entity_id, one.currency) for one in invoices}) > 1:
        raise Invalid("The invoices differ in payer, in currency or in who issued them.", attr="invoices")


def _method_for(invoice: Invoice) -> PaymentMethod:
    """Raises NoPaymentMethod, and GatewayRemoved where there is only what another gateway keeps."""
    own = invoice.payment_method
    if own is not None and own.detached_at is None and own.customer_id != invoice.customer_id:
        return own  # is refused: another one is not charged instead
    wanted = Q(pk=invoice.payment_method_id) | Q(is_default=True)
    found = list(payment_methods.usable_by(invoice.customer).filter(wanted))
    if found:
        return next((one for one in found if one.pk == invoice.payment_method_id), found[0])
    if PaymentMethod.objects.filter(wanted, customer=invoice.customer_id, detached_at=None).exists():
        raise GatewayRemoved(words.of(GatewayRemoved.code), attr="payment_method")
    raise NoPaymentMethod(_("There is no payment method to charge."), attr="payment_method")


def _require_usable(method: PaymentMethod, payer: Customer) -> None:
    if method.customer_id != payer.pk or method.detached_at is not None:
        raise Invalid(_("This payment method is not the payer's."), attr="payment_method")
    if method.gateway != gateways.of_customer(payer).name:
        raise GatewayUnavailable(_("This payment method was given to another gateway. Give it again."))


def _payment_for(invoices: Sequence[Invoice], method: PaymentMethod) -> Payment:
    """The unfinished payment of just this with one more attempt, or a new one."""
    payment = _tried(invoices) or Payment(
        customer=invoices[0].customer,
        legal_entity=invoices[0].legal_entity,
        currency=invoices[0].currency,
        amount=sum(invoice.amount_due for invoice in invoices),
        test_clock_id=invoices[0].test_clock_id,
    )
    payment.status, payment.method, payment.payment_method = Status.PENDING, method.kind, method
    payment.gateway, payment.attempt = method.gateway, payment.attempt + 1
    payment.gateway_reference = payment.failure_code = payment.failure_message = ""
    payment.next_retry_at = None
    payment.save()
    return payment


def _tried(invoices: Sequence[Invoice]) -> Payment | None:
    wanted = {(invoice.pk, invoice.amount_due) for invoice in invoices}
    tried = PaymentAttempt.objects.filter(
        invoices=invoices[0],
        amount=sum(amount for _invoice, amount in wanted),
        payment__status__in=[Status.FAILED, Status.REQUIRES_ACTION],
        payment__paid_at=None,
    )
    last = tried.select_related("payment").order_by("-created_at", "-id").first()
    if last is None or {(share.invoice_id, share.amount) for share in last.shares.all()} != wanted:
        return None
    return last.payment


def _share(attempt: PaymentAttempt, invoices: Sequence[Invoice]) -> None:
    AttemptShare.objects.bulk_create(
        AttemptShare(attempt=attempt, invoice=invoice, amount=invoice.amount_due) for invoice in invoices
    )


# --- call --------------------------------------------------------------------------------------
def send(*, attempt: PaymentAttempt, at: datetime) -> Payment:
    """Call the gateway and settle by its answer. Where that is lost, the attempt stays live for the janitor.

    Not in a transaction. Repeating it takes no money twice.
    """
    try:
        result = call(attempt)
    except (AnswerLost, GatewayUnavailable) as error:
        log.warning("charge_not_answered", attempt=str(attempt.pk), error=type(error).__name__)
        return attempt.payment
    return settle(attempt=attempt, result=result, at=at)


def call(attempt: PaymentAttempt) -> ChargeResult:
    return gateways.named(attempt.payment_method.gateway).charge(order_of(attempt))


def order_of(attempt: PaymentAttempt) -> Order:
    """What the gateway is asked for, of the rows alone: the same however often it is sent."""
    method = attempt.payment_method
    theirs = GatewayCustomer.objects.filter(customer=method.customer_id, gateway=method.gateway).first()
    return Order(
        attempt_id=attempt.pk,
        amount=attempt.amount,
        currency=attempt.payment.currency,
        kind=method.kind,
        method=method.gateway_reference,
        customer=theirs.reference if theirs else "",
        since=attempt.created_at if isinstance(attempt.created_at, datetime) else attempt.started_at,
        on_session=attempt.on_session,
        payment=attempt.payment.public_id,
    )


# --- settle ------------------------------------------------------------------------------------
@transaction.atomic
def settle(*, attempt: PaymentAttempt, result: ChargeResult, at: datetime) -> Payment:
    """Write the gateway's answer down, once: whoever comes second finds the attempt settled.

    Success counts whenever it comes, also for an attempt that had failed: the money is here. Anything else counts only
    for an attempt that is live or waits for its holder.
    """
    wanted = _settles(attempt, result)
    locked, subscriptions = settlement.lock_all(wanted)
    payment, attempt = db.lock_one(attempt.payment), db.lock_one(attempt)
    if attempt.status == Attempt.SUCCEEDED or (attempt.status == Attempt.FAILED and result.status != "succeeded"):
        return payment
    if result.status == "processing":
        return _under_way(payment, attempt, result)
    if result.status == "succeeded":
        payment = _own(payment, attempt)
    elif result.status == attempt.status:
        return payment
    _finish(attempt, payment, result, at)
    by_key = {invoice.pk: invoice for invoice in locked}
    invoices = [by_key[invoice.pk] for invoice in wanted]
    if invoices:
        payment.customer = invoices[0].customer
    _conclusion(result, invoices)(payment, invoices, subscriptions, result, at)
    if result.status == "succeeded" and attempt.make_default and not _chosen_since(attempt):
        payment_methods.make_default(method=attempt.payment_method, at=at)
    return payment


def _chosen_since(attempt: PaymentAttempt) -> bool:
    """Whether the payer has given another method since, as a debit may take days."""
    newer = PaymentMethod.objects.filter(customer=attempt.payment_method.customer_id, is_default=True)
    return newer.filter(created_at__gt=attempt.created_at).exclude(pk=attempt.payment_method_id).exists()


def _settles(attempt: PaymentAttempt, result: ChargeResult) -> list[Invoice]:
    """The attempt's invoices in their order. A transfer asks for none: what has come in pays what is open by then."""
    if attempt.payment_method.kind != PaymentMethod.Kind.BANK_TRANSFER:
        return list(attempt.invoices.order_by("attempt_shares__pk"))
    return settlement.paid_by_transfer(attempt.payment) if result.status == "succeeded" else []


def _under_way(payment: Payment, attempt: PaymentAttempt, result: ChargeResult) -> Payment:
    """Accepted and not final: a direct debit takes days. Nobody else charges the invoices meanwhile."""
    if attempt.status != Attempt.LIVE:
        attempt.shares.update(live=True)
    attempt.status, attempt.gateway_reference = Attempt.LIVE, result.reference
    attempt.save(update_fields=["status", "gateway_reference"])
    if payment.status != Status.PROCESSING:
        write(payment, status=Status.PROCESSING, gateway_reference=result.reference)
    return payment


def _own(payment: Payment, attempt: PaymentAttempt) -> Payment:
    """The attempt's payment; one more where that has gone on with another attempt, as this money came beside it."""
    others = payment.attempts.exclude(pk=attempt.pk).filter(status__in=[Attempt.LIVE, Attempt.SUCCEEDED])
    if not others.exists():
        return payment
    return Payment.objects.create(
        customer=payment.customer,
        legal_entity_id=payment.legal_entity_id,
        currency=payment.currency,
        amount=attempt.amount,
        method=attempt.payment_method.kind,
        payment_method=attempt.payment_method,
        gateway=attempt.payment_method.gateway,
        attempt=1,
        test_clock_id=payment.test_clock_id,
    )


def _finish(attempt: PaymentAttempt, payment: Payment, result: ChargeResult, at: datetime) -> None:
    attempt.status, attempt.finished_at, attempt.payment = Attempt(result.status), at, payment
    attempt.failure_code, attempt.hard = result.failure_code, declines.is_hard(result.failure_code)
    attempt.gateway_reference = result.reference
    attempt.save(update_fields=["status", "finished_at", "payment", "failure_code", "hard", "gateway_reference"])
    attempt.shares.update(live=False)


def _conclusion(result: ChargeResult, invoices: Sequence[Invoice]) -> Callable[..., None]:
    if result.status == "succeeded":
        return _succeeded
    return deferrals.defer if deferrals.is_deferred(result, invoices) else _not_succeeded


def _succeeded(
    payment: Payment,
    invoices: Sequence[Invoice],
    subscriptions: Sequence[Subscription],
    result: ChargeResult,
    at: datetime,
) -> None:
    write(
        payment,
        status=Status.SUCCEEDED,
        gateway_reference=result.reference,
        failure_code="",
        failure_message="",
        paid_at=at,
    )
    outbox.publish_many([settlement.fact(payment, "succeeded", *invoices, at=at)])
    settlement.allocate(payment, invoices, subscriptions, at=at)


def _not_succeeded(
    payment: Payment,
    invoices: Sequence[Invoice],
    subscriptions: Sequence[Subscription],
    result: ChargeResult,
    at: datetime,
) -> None:
    """Declined, or the bank wants the holder's confirmation. Whoever pays on terms has time, and isn't behind by it."""
    status = Status(result.status)
    write(
        payment,
        status=status,
        gateway_reference=result.reference,
        failure_code=result.failure_code,
        failure_message=result.message[:300],
    )
    along = deferrals.take_back(invoices)
    told = [invoice for invoice in invoices if invoice not in along]
    outbox.publish_many([settlement.fact(payment, str(status), *told, at=at)])
    for invoice in told:
        if invoice.status in settlement.OWED:  # else a credit note or other money has settled it meanwhile
            write(invoice, payment_status=Invoice.PaymentStatus(result.status))
            concerned = settlement.on(invoice, subscriptions, alone=len(invoices) == 1)
            if invoice.collection_method == CollectionMethod.CHARGE_AUTOMATICALLY:
                invoice_outcomes.on_failed(concerned, at=at, reason=result.failure_code)
            dunning_cases.on_failed(
                invoice=invoice,
                subscriptions=concerned,
                failure_code=result.failure_code,
                hard=declines.is_hard(result.failure_code),
                at=at,
            )
