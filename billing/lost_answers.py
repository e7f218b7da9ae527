"""Charges whose answer is lost, or waits for somebody: asked about at the gateway, or given up there."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from billing import disputes, gateways, outages, settlement
from billing.attempts import Attempt, Status, order_of, settle
from billing.gateways import AnswerLost, ChargeResult, GatewayRemoved, GatewayUnavailable, UnknownToken, words
from billing.models import Invoice, Payment, PaymentAttempt
from gtm.shared import db, outbox
from gtm.shared.errors import DomainError
from gtm.shared.models import TestClock, write

log = structlog.get_logger(__name__)
STALE_AFTER = timedelta(minutes=2)
ASK_AGAIN_AFTER = timedelta(hours=1)  # what the gateway itself called under way, such as a direct debit
AT_ONCE = 500
KEY_RETURNS_WITHIN = timedelta(days=3)  # or what its gateway was asked for is given up
DEBITS_TAKE = timedelta(days=30)  # at most: the money may come though nobody can be asked about it
_UNASKED_FIRST = (F("asked_at").asc(nulls_first=True), "created_at")
SUPERSEDED = "superseded"  # why a payment failed that its holder never confirmed: another took its place


# --- asked ---------------------------------------------------------------------------------------
def refresh(*, attempt: PaymentAttempt, reference: str = "", at: datetime) -> Payment:
    """Ask the gateway how the charge stands, and settle by that. Not in a transaction.

    ``reference`` is the gateway's name for it where that isn't known yet. One that had succeeded before this asked, and
    has failed since, has come back: see ``disputes``.
    """
    was = attempt.status
    gateway, order = gateways.named(attempt.payment_method.gateway), order_of(attempt)
    result = gateway.lookup(order, reference=attempt.gateway_reference or reference)
    if result is None or result.attempt not in {"", str(attempt.pk)}:
        return attempt.payment
    if was == Attempt.SUCCEEDED and result.status == "failed":
        return disputes.record_return(payment=attempt.payment, reason=result.failure_code, at=at).payment
    return settle(attempt=attempt, result=result, at=at)


def give_up_waiting(*, invoices: Sequence[Invoice], at: datetime) -> None:
    """Cancel at the gateway what waits for a holder's confirmation, so that it can't be paid beside what comes next.

    Not in a transaction. One that was confirmed meanwhile is settled. Raises AnswerLost while the gateway is away.
    """
    waiting = PaymentAttempt.objects.filter(invoices__in=invoices, status=Attempt.REQUIRES_ACTION).distinct()
    for attempt in waiting.select_related("payment", "payment_method").order_by("pk"):
        _give_up(attempt, at=at)


def _give_up(attempt: PaymentAttempt, *, at: datetime) -> None:
    try:
        result = gateways.named(attempt.payment_method.gateway).cancel(reference=attempt.gateway_reference)
    except (UnknownToken, GatewayRemoved):  # what the gateway doesn't know, or no page can show, can't be paid
        result = ChargeResult(status="failed", reference=attempt.gateway_reference)
    if result.status in {"succeeded", "processing"}:
        settle(attempt=attempt, result=result, at=at)
    else:
        _supersede(attempt, at=at)


@transaction.atomic
def _supersede(attempt: PaymentAttempt, *, at: datetime) -> None:
    """It waits for nobody any more, and nor does its payment, unless that has gone on with another attempt."""
    payment, attempt = db.lock_one(attempt.payment), db.lock_one(attempt)
    if attempt.status != Attempt.REQUIRES_ACTION:
        return
    attempt.status, attempt.failure_code, attempt.finished_at = Attempt.FAILED, SUPERSEDED, at
    attempt.save(update_fields=["status", "failure_code", "finished_at"])
    if payment.status == Status.REQUIRES_ACTION:
        write(payment, status=Status.FAILED, failure_code=SUPERSEDED, failure_message="")
        outbox.publish_many([settlement.fact(payment, SUPERSEDED, at=at)])


# --- the janitor -------------------------------------------------------------------------------
def settle_stale(*, at: datetime) -> int:
    """Find out what became of attempts that were left live for over two minutes, and settle them; return how many.

    ``at`` is wall time. An attempt the gateway never saw is sent again with the same key: should the first call still
    arrive, it takes nothing more. Past the time for which a gateway keeps keys, it counts as failed instead. One that
    waits for a confirmation nobody needs any more is given up, and so is one whose gateway has had no key for days. A
    gateway that is away is asked again by the next run,
    beginning with those that have waited for the longest.
    """
    unanswered = outages.Unanswered()
    settled = sum(_one(attempt, _settle_stale, unanswered, at=at) for attempt in _stale(at))
    return settled + sum(_one(attempt, _give_up_needless, unanswered, at=at) for attempt in _needless())


def _stale(at: datetime) -> QuerySet[PaymentAttempt]:
    resting = PaymentAttempt.objects.exclude(payment__test_clock__status=TestClock.Status.ADVANCING)
    found = resting.filter(status=Attempt.LIVE, created_at__lte=at - STALE_AFTER)
    asked_lately = Q(payment__status=Status.PROCESSING, asked_at__gt=at - ASK_AGAIN_AFTER)
    return found.exclude(asked_lately).select_related("payment", "payment_method").order_by(*_UNASKED_FIRST)[:AT_ONCE]


def _needless() -> QuerySet[PaymentAttempt]:
    """What waits for its holder though nothing is open any more: paid otherwise, or void."""
    waiting = PaymentAttempt.objects.filter(status=Attempt.REQUIRES_ACTION)
    found = waiting.exclude(invoices__status__in=settlement.OWED)
    return found.select_related("payment", "payment_method").order_by(*_UNASKED_FIRST)[:AT_ONCE]


def _one(
    attempt: PaymentAttempt,
    act: Callable[[PaymentAttempt, datetime], bool],
    unanswered: outages.Unanswered,
    *,
    at: datetime,
) -> bool:
    gateway = attempt.payment_method.gateway
    if outages.is_away(unanswered, gateway):
        return False
    PaymentAttempt.objects.filter(pk=attempt.pk).update(asked_at=Now())
    try:
        is_settled = act(attempt, at)
    except (AnswerLost, GatewayUnavailable, OSError) as error:
        outages.note(unanswered, gateway, answered=isinstance(error, GatewayRemoved))
        log.info("attempt_not_settled", attempt=str(attempt.pk), error=type(error).__name__)
    except DomainError as error:  # its clock has begun to advance: the others go on
        log.info("attempt_not_settled", attempt=str(attempt.pk), error=type(error).__name__)
    except Exception:  # one that nobody has thought of must not hold up the others, every minute anew
        log.exception("attempt_not_settled", attempt=str(attempt.pk))
    else:
        outages.note(unanswered, gateway, answered=True)
        return is_settled
    return False


def _settle_stale(attempt: PaymentAttempt, at: datetime) -> bool:
    happened_at = db.now_for(attempt.payment)
    try:
        result = _found_out(attempt, at)
    except GatewayRemoved as gone:
        is_on_its_way = attempt.payment.status == Payment.Status.PROCESSING
        if attempt.created_at > at - (DEBITS_TAKE if is_on_its_way else KEY_RETURNS_WITHIN):
            raise
        result = ChargeResult("failed", attempt.gateway_reference, gone.code, words.of(gone.code))
    settle(attempt=attempt, result=result, at=happened_at)
    return result.status != "processing"


def _found_out(attempt: PaymentAttempt, at: datetime) -> ChargeResult:
    gateway, order = gateways.named(attempt.payment_method.gateway), order_of(attempt)
    result = gateway.lookup(order, reference=attempt.gateway_reference)
    if result is None and gateway.keys_last and attempt.created_at <= at - gateway.keys_last:
        return ChargeResult(status="failed", reference="", failure_code="gateway_unreachable")
    return result or gateway.charge(order)


def _give_up_needless(attempt: PaymentAttempt, at: datetime) -> bool:
    _give_up(attempt, at=db.now_for(attempt.payment))
    return True
