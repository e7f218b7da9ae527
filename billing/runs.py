"""The bill run:

closes elapsed periods, makes charges, gathers them on invoices, numbers them, and has the cards charged.

It drafts, verifies and issues. What need not wait for stragglers' usage goes through all three in its batch and is
written once; drafts whose grace is over are verified and issued after that. The consistency checks come last.

Due work is one index scan over ``next_bill_at``. A batch is a transaction of its own: it claims payers that owe (SKIP
LOCKED, so that any number of runs can go at once), all their due subscriptions, and bills them with a constant number
of queries. Killed anywhere, a run leaves whole batches and nothing of the one it was in; the next run goes on. A payer
that can't be billed is parked with the reason, and the others are billed. Cards are charged after the commit, under no
lock.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import DatabaseError, OperationalError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from billing import (
    charges,
    consistency,
    drafting,
    invoices,
    late_hours,
    late_usage,
    parking,
    payments,
    settlement,
    turns,
    unused,
)
from billing.models import (
    BillingRun,
    Charge,
    Customer,
    Invoice,
    Subscription,
    SubscriptionChange,
)
from billing.queries import whole
from gtm.shared import bulk, db, vendors
from gtm.shared.errors import DomainError
from gtm.shared.models import TestClock

log = structlog.get_logger(__name__)
Stage = BillingRun.Stage
LOST_AFTER = timedelta(minutes=10)
BATCH = 500  # payers whose locks are held at once; larger ones are no faster
_ABOUT_ONE = (
    DomainError,
    DatabaseError,
    ValueError,
    ArithmeticError,
    LookupError,
)  # what the data of one customer can bring about


def bill_due(
    *, at: datetime, test_clock: TestClock | None = None, batch: int = BATCH, collect: bool = True
) -> BillingRun:
    """Bill all that is due by ``at``:

    subscriptions, what was left of ended ones, drafts whose grace is over and, with ``collect``, cards not tried yet.

    Unclocked rows, or those of one test clock. Where nothing was due, the run returned is not saved. A second run
    bills nothing.
    """
    _close_killed(test_clock)
    run = BillingRun(test_clock=test_clock, cutoff=at, due=due(at=at, test_clock=test_clock).count())
    try:
        for stage, work in (
            (Stage.DRAFTING, _late_batch),
            (Stage.DRAFTING, _bill_batch),
            (Stage.DRAFTING, _gather_batch),
            (Stage.VERIFYING, _verify),
            (Stage.ISSUING, _finalize_batch),
        ):
            _enter(run, stage)
            while work(run, batch):
                _progress(run)
        _finish(run)
    except Exception as error:
        run.status, run.last_error = BillingRun.Status.FAILED, parking.words(error)[:2000]
        _progress(run)
        raise
    if collect:
        collect_waiting(at=at, test_clock=test_clock)
    return run


def _close_killed(test_clock: TestClock | None) -> None:
    """Give up the rows of runs that ended without saying so. One that is at work says so with each batch."""
    lost = BillingRun.objects.filter(
        test_clock=test_clock, status=BillingRun.Status.RUNNING, seen_at__lt=Now() - LOST_AFTER
    )
    lost.update(status=BillingRun.Status.FAILED, last_error="The process ended before the run did.", finished_at=Now())


def _enter(run: BillingRun, stage: Stage) -> None:
    if stage != run.stage:
        run.stage = stage
        _progress(run)


def _progress(run: BillingRun) -> None:
    """Write how far the run has come, beside its batches: a row that the admin shows while it goes on."""
    if run.subscriptions or run.invoices or run.parked or run.last_error:
        run.seen_at = Now()  # type: ignore[assignment]
        run.save()


def _finish(run: BillingRun) -> None:
    """Close a run that did anything, after a look at the books. A test clock's own books are looked at by nobody."""
    run.stage, run.status = Stage.DONE, BillingRun.Status.DONE
    if not run._state.adding:
        if run.test_clock is None:
            run.checks = consistency.stored(consistency.check(at=run.cutoff))
        run.finished_at = db.now()
        _progress(run)


def collect_waiting(*, at: datetime, test_clock: TestClock | None = None) -> None:
    """Charge the cards of open invoices that have not been tried, one by one and under no lock."""
    payments.collect_all(invoices=payments.to_collect(at=at, test_clock=test_clock), at=at)


# --- late usage --------------------------------------------------------------------------------
def _late_batch(run: BillingRun, batch: int) -> bool:
    """Rate again what usage came late for, before renewals, so that it stands on them; whether that got on.

    Notes that somebody is writing just now are left to the next run.
    """
    dealt_with, parked = 0, run.parked

    def rate_late(run: BillingRun, payers: Sequence[Customer]) -> None:
        nonlocal dealt_with
        if payers:
            dealt_with += late_usage.rate_again(payers=payers, test_clock=run.test_clock, at=run.cutoff)

    _do_batch(run, late_hours.charged(test_clock=run.test_clock), "payer", "period_end", batch, rate_late)
    return dealt_with > 0 or run.parked > parked


# --- subscriptions -----------------------------------------------------------------------------
def due(*, at: datetime, test_clock: TestClock | None) -> QuerySet[Subscription]:
    """Subscriptions with something due by ``at``, but for those of parked payers."""
    return Subscription.objects.filter(next_bill_at__lte=at, test_clock=test_clock, payer__parked_at=None)


def _bill_batch(run: BillingRun, batch: int) -> bool:
    """Bill one batch; whether there was anything to bill."""
    return _do_batch(run, due(at=run.cutoff, test_clock=run.test_clock), "payer", "next_bill_at", batch, _bill)


def _claim(queryset: QuerySet[Any], party: str, order: str, batch: int) -> list[Customer]:
    """Lock the payers of the next due rows, without those that another run has: it never waits, so in any order."""
    rows = queryset.select_related(party).only(party, f"{party}__id").order_by(order, "id")
    claimed = rows.select_for_update(of=(party,), skip_locked=True, no_key=True)[:batch]
    return list({getattr(row, party).pk: getattr(row, party) for row in claimed}.values())


def _bill(run: BillingRun, payers: Sequence[Customer]) -> None:
    """Bill the due subscriptions of payers whose locks are held, in the caller's transaction."""
    found = _lock_due(run, payers)
    if not found:
        return
    vendor = vendors.current()
    made = turns.take(subscriptions=found, until=run.cutoff, vendor=vendor)
    unused.credit_ended(found, vendor=vendor, origin=SubscriptionChange.Origin.SYSTEM, at=run.cutoff)
    charges.bring_forward([one for one in found if one.status == Subscription.Status.CANCELED], to=run.cutoff)
    context = drafting.context(vendor=vendor, at=run.cutoff)
    billed = invoices.bill_pending(
        payers=[one.payer for one in found], subscriptions=found, fresh=made, context=context
    )
    run.subscriptions += len(found)
    run.invoices += len(billed)


def _lock_due(run: BillingRun, payers: Sequence[Customer]) -> list[Subscription]:
    """Their due subscriptions, locked by id and read whole."""
    of_theirs = bulk.among("payer__pk", [payer.pk for payer in payers])
    return whole.locked(due(at=run.cutoff, test_clock=run.test_clock).filter(of_theirs))


# --- drafts ------------------------------------------------------------------------------------
def _waiting(run: BillingRun) -> QuerySet[Invoice]:
    """Drafts whose grace for stragglers is over."""
    return Invoice.objects.filter(
        status=Invoice.Status.DRAFT,
        finalize_at__lte=run.cutoff,
        test_clock=run.test_clock,
        customer__parked_at=None,
    )


def _verify(run: BillingRun, batch: int) -> bool:
    """Park the payers of drafts that don't add up, before one of these is issued. All in one go: nothing is left."""
    wrong = consistency.wrong_drafts(at=run.cutoff, test_clock=run.test_clock)
    for customer in Customer.objects.filter(invoices__in=wrong).order_by("pk").distinct():
        run.parked += parking.park(customer=customer, error=drafting.Unsound(), at=run.cutoff)
    return False


def _finalize_batch(run: BillingRun, batch: int) -> bool:
    return _do_batch(run, _waiting(run), "customer", "finalize_at", batch, _finalize)


def _finalize(run: BillingRun, payers: Sequence[Customer]) -> None:
    """Finalize the waiting drafts of payers whose locks are held, after those of the subscriptions on them."""
    found = list(_waiting(run).filter(customer__in=payers))
    concerned = settlement.lock_subscriptions(found)
    drafts = _waiting(run).filter(pk__in=[one.pk for one in found]).select_related("customer", "legal_entity")
    locked = list(drafts.select_for_update(of=("self",)).order_by("pk"))
    context = drafting.context(vendor=vendors.current(), at=run.cutoff)
    invoices.finalize_all(invoices=locked, subscriptions=concerned, context=context)


# --- what was left -----------------------------------------------------------------------------
def left_over(*, test_clock: TestClock | None) -> QuerySet[Charge]:
    """What ended subscriptions owe and no invoice asks for, since their payer was parked: no renewal will gather it."""
    return Charge.objects.filter(
        status=Charge.Status.PENDING,
        subscription__status__in=Subscription.ENDED,
        test_clock=test_clock,
        payer__parked_at=None,
    )


def _gather_batch(run: BillingRun, batch: int) -> bool:
    found = left_over(test_clock=run.test_clock).filter(invoice_at__lte=run.cutoff)
    return _do_batch(run, found, "payer", "invoice_at", batch, _gather)


def _gather(run: BillingRun, payers: Sequence[Customer]) -> None:
    """Put all that is pending of payers whose locks are held on invoices, after locking their subscriptions."""
    if not payers:
        return
    pending = Charge.objects.filter(status=Charge.Status.PENDING, payer__in=payers, subscription__isnull=False)
    concerned = db.lock(Subscription, set(pending.values_list("subscription", flat=True)))
    context = drafting.context(vendor=vendors.current(), at=run.cutoff)
    run.invoices += len(invoices.bill_pending(payers=payers, subscriptions=concerned, context=context))


# --- batches, and those that can't be billed ---------------------------------------------------
def _do_batch(
    run: BillingRun,
    queryset: QuerySet[Any],
    party: str,
    order: str,
    batch: int,
    bill: Callable[[BillingRun, Sequence[Customer]], None],
) -> bool:
    """Do one batch in a transaction of its own; whether there was anything to do."""
    try:
        with _uncollected(), transaction.atomic():
            payers = _claim(queryset, party, order, batch)
            bill(run, payers)
            return bool(payers)
    except OperationalError:
        raise  # the database is away or saw a deadlock: no customer's fault, and the next run goes on
    except _ABOUT_ONE as error:
        log.warning("batch_failed", work=bill.__name__.strip("_"), error=parking.words(error))
    return _singly(run, queryset, party, order, batch, bill)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without looking for cycles: a batch makes none, and thousands of rows to look through again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _singly(
    run: BillingRun,
    queryset: QuerySet[Any],
    party: str,
    order: str,
    batch: int,
    bill: Callable[[BillingRun, Sequence[Customer]], None],
) -> bool:
    """After a batch failed: each of its payers by itself, so that only those that can't be billed are left out."""
    with transaction.atomic():
        payers = _claim(queryset, party, order, batch)
    for payer in payers:
        try:
            with transaction.atomic():
                bill(run, _claim(queryset.filter(**{party: payer}), party, order, batch))
        except OperationalError:
            raise
        except _ABOUT_ONE as error:
            run.parked += parking.park(customer=payer, error=error, at=run.cutoff)
    return bool(payers)
