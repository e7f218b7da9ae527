"""Money in: charging what invoices ask for, and recording what came another way.

How a charge and its answer meet is in ``attempts``; how money settles an invoice is in ``settlement``.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from billing import (
    attempts,
    deferrals,
    dunning_cases,
    entities,
    gateways,
    invoice_outcomes,
    lost_answers,
    outages,
    payment_methods,
    settlement,
)
from billing.attempts import NoPaymentMethod
from billing.models import (
    CollectionMethod,
    Customer,
    Invoice,
    LegalEntity,
    Payment,
    PaymentMethod,
    Subscription,
)
from gtm.shared import outbox, periods
from gtm.shared.errors import Conflict, DomainError, Invalid
from gtm.shared.models import TestClock, write

log = structlog.get_logger(__name__)
KEY_RETURNS_WITHIN = timedelta(days=1)  # or the payer is asked for another method than the one its gateway keeps
MOST = 10**15  # minor units at once
Status = Payment.Status
_TO_TRY = {Invoice.PaymentStatus.NONE, Invoice.PaymentStatus.FAILED, Invoice.PaymentStatus.REQUIRES_ACTION}


# --- by card -----------------------------------------------------------------------------------
def collect(
    *,
    invoice: Invoice,
    at: datetime,
    payment_method: PaymentMethod | None = None,
    on_session: bool = False,
    make_default: bool = False,
) -> Payment:
    """Charge the card for what is due on an open invoice, and settle it by the gateway's answer.

    The method is the given one, else the subscription's, else the payer's default. A refused card raises nothing: see
    the payment's ``status`` and ``failure_code``; nor does an answer that is lost, which leaves the payment pending for
    the janitor. With ``on_session`` the payer is there and may be asked to confirm (``requires_action``); with
    ``make_default`` the method pays later invoices too, once it has paid this one. Raises NoPaymentMethod, and Conflict
    where nothing is due or a payment is under way, or where what would begin by it has its usage billed by another
    subscription meanwhile (``meter_in_use``). Not in a transaction: the attempt must be committed before the gateway is
    called.
    """
    return collect_many(
        invoices=[invoice], at=at, payment_method=payment_method, on_session=on_session, make_default=make_default
    )


def collect_many(
    *,
    invoices: Sequence[Invoice],
    at: datetime,
    payment_method: PaymentMethod | None = None,
    on_session: bool = False,
    make_default: bool = False,
) -> Payment:
    """Charge the card once for all that is due on several open invoices of one payer, entity and currency.

    Otherwise as ``collect``; raises Invalid for none, and where they don't belong together.
    """
    if not invoices:
        raise Invalid("Name what is to be paid.", attr="invoices")
    lost_answers.give_up_waiting(invoices=invoices, at=at)
    attempt = attempts.begin(
        invoices=invoices, at=at, payment_method=payment_method, on_session=on_session, make_default=make_default
    )
    return attempts.send(attempt=attempt, at=at)


def refresh(*, payment: Payment, at: datetime) -> Payment:
    """Ask the gateway how a payment under way stands: the payer has come back, and no webhook has (yet).

    Settles once, whoever comes first. Not in a transaction.
    """
    under_way = [attempts.Attempt.LIVE, attempts.Attempt.REQUIRES_ACTION]
    found = payment.attempts.filter(status__in=under_way).select_related("payment", "payment_method")
    attempt = found.order_by("-created_at", "-id").first()
    return lost_answers.refresh(attempt=attempt, at=at) if attempt else payment


def require_method(*, payer: Customer, collection_method: str, payment_method: PaymentMethod | None) -> None:
    """Raise NoPaymentMethod where a card is to be charged and there is none."""
    if collection_method != CollectionMethod.CHARGE_AUTOMATICALLY or payment_method is not None:
        return
    if not payment_methods.usable_by(payer).filter(is_default=True).exists():
        raise NoPaymentMethod(_("A payment method is needed to charge automatically."), attr="payment_method")


def require_method_of(subscription: Subscription) -> None:
    """The same for what a subscription is to cost from now on."""
    require_method(
        payer=subscription.payer,
        collection_method=subscription.collection_method,
        payment_method=subscription.payment_method,
    )


def collect_all(
    *,
    invoices: Sequence[Invoice],
    on_session: bool = False,
    unanswered: outages.Unanswered | None = None,
    at: datetime,
) -> bool:
    """Charge what a run has finalized, each invoice by itself, the first one of a payer with what was deferred to it.

    One that can't be charged is marked, and the others go on; those of a gateway that is away are left to the next run.
    ``unanswered`` is what earlier calls of the same run have found. False where a card is still to be tried, as no
    charge could begin.
    """
    unanswered = outages.Unanswered() if unanswered is None else unanswered
    tried = [_try(invoice, unanswered, on_session=on_session, at=at) for invoice in invoices]
    return all(tried)


def _try(invoice: Invoice, unanswered: outages.Unanswered, *, on_session: bool, at: datetime) -> bool:
    """Whether that is done with: charged, begun to be, or marked as what can't be."""
    gateway = gateways.name_of(invoice.customer)
    if outages.is_away(unanswered, gateway):
        return False
    try:
        payment = _collect_with_deferred(invoice, on_session=on_session, at=at)
        outages.note(unanswered, gateway, answered=payment.status != Status.PENDING)
    except NoPaymentMethod:
        _mark_without_method(invoice, NoPaymentMethod.code, at=at)
    except gateways.GatewayRemoved as gone:
        if at - (invoice.next_payment_attempt or invoice.finalized_at or at) < KEY_RETURNS_WITHIN:
            return False
        _mark_without_method(invoice, gone.code, at=at)
    except DomainError as refusal:
        if isinstance(refusal, gateways.AnswerLost):
            outages.note(unanswered, gateway, answered=False)
        log.info("not_collected", invoice=invoice.public_id, code=refusal.code, detail=refusal.detail)
        return not isinstance(refusal, gateways.AnswerLost | gateways.GatewayUnavailable)
    return True


def _collect_with_deferred(invoice: Invoice, *, on_session: bool, at: datetime) -> Payment:
    """By itself where the payer looks on, who was shown what this invoice comes to."""
    along = [] if on_session else deferrals.beside(invoice)
    try:
        return collect_many(invoices=[invoice, *along], on_session=on_session, at=at)
    except Conflict as refusal:  # another process may have just taken what would come along
        if not along or isinstance(refusal, NoPaymentMethod | gateways.AnswerLost | gateways.GatewayUnavailable):
            raise
        return collect(invoice=invoice, on_session=on_session, at=at)


def collect_new(*, subscription: Subscription, on_session: bool = False, at: datetime) -> None:
    """Charge the card for what the subscription was just invoiced for, if it wasn't tried yet."""
    waiting = Invoice.objects.filter(
        lines__subscription=subscription,
        status=Invoice.Status.OPEN,
        payment_status=Invoice.PaymentStatus.NONE,
        collection_method=CollectionMethod.CHARGE_AUTOMATICALLY,
    )
    collect_all(invoices=list(waiting.distinct().order_by("pk")), on_session=on_session, at=at)


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
    return list(waiting.select_related("customer").order_by("next_payment_attempt", "id"))


@transaction.atomic
def _mark_without_method(invoice: Invoice, code: str, *, at: datetime) -> None:
    """Nothing to charge is a failed payment, without a gateway having been asked: only another method helps."""
    invoice, subscriptions = settlement.lock(invoice)
    untold = {Invoice.PaymentStatus.NONE} if code == NoPaymentMethod.code else _TO_TRY
    if invoice.status != Invoice.Status.OPEN or invoice.payment_status not in untold:
        return
    write(invoice, payment_status=Invoice.PaymentStatus.FAILED, next_payment_attempt=None)
    outbox.publish(
        "billing.payment.failed",
        invoice,
        at=at,
        customer_id=invoice.customer_id,
        account_id=invoice.customer.account_id,
        data={"failure_code": code, "amount": invoice.amount_due, "currency": invoice.currency},
    )
    invoice_outcomes.on_failed(subscriptions, at=at, reason=code)
    dunning_cases.on_failed(invoice=invoice, subscriptions=subscriptions, failure_code=code, hard=True, at=at)


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
    credit. Raises Invalid where an invoice isn't the customer's, or the day hasn't come yet; Conflict where one is
    settled or its card is being charged, where the books are closed, or where ``collect`` would raise ``meter_in_use``.
    """
    attempts.require_free_meters(invoices)
    locked, subscriptions = settlement.lock_all(invoices)
    by_key = {invoice.pk: invoice for invoice in locked}
    ordered = [by_key[pk] for pk in dict.fromkeys(invoice.pk for invoice in invoices)]
    _require_payable(customer, ordered, amount)
    entity = ordered[0].legal_entity if ordered else customer.legal_entity or entities.default()
    _require_open_books(entity, paid_at, at)
    payment = Payment(
        customer=customer,
        legal_entity=entity,
        currency=ordered[0].currency if ordered else customer.currency,
        amount=amount,
        status=Status.SUCCEEDED,
        method=method,
        reference=reference,
        paid_at=paid_at,
        test_clock_id=customer.test_clock_id,
    )
    payment.save()
    outbox.publish_many([settlement.fact(payment, "succeeded", *ordered, at=at)])
    settlement.allocate(payment, ordered, subscriptions, at=at)
    return payment


def _require_open_books(entity: LegalEntity, paid_at: datetime, at: datetime) -> None:
    """By the days where the books are kept: not one that is still to come, nor one that they are closed through."""
    day, today = (periods.local_date(instant, entity.timezone) for instant in (paid_at, at))
    if day > today:
        raise Invalid("Money that has come wasn't paid on a day to come.", attr="paid_at")
    if entity.closed_through is not None and day <= entity.closed_through:
        raise Conflict(f"The books are closed through {entity.closed_through}.", code="period_closed", attr="paid_at")


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
        attempts.require_due(invoice)
