"""Dunning cases: opened by a failed charge or a bill that comes due, planned, and closed when nothing is owed any more.

Whoever calls holds the payer's lock; a case's own lock comes after those of its invoices.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, Max, OuterRef, Q, QuerySet

from billing import dunning, dunning_policies
from billing.dunning import Action, Bill, CardTrack
from billing.models import (
    CollectionMethod,
    Customer,
    Dispute,
    DunningCase,
    DunningPolicy,
    DunningStep,
    Invoice,
    InvoiceLine,
    Subscription,
)
from gtm.shared import bulk, outbox, periods
from gtm.shared.models import Event, TestClock, write

Status, Kind = DunningCase.Status, DunningStep.Kind
PaymentStatus = Invoice.PaymentStatus
_FAILED = (PaymentStatus.FAILED, PaymentStatus.REQUIRES_ACTION)
_BEGINNING = InvoiceLine.objects.filter(invoice=OuterRef("pk"), subscription__status=Subscription.Status.INCOMPLETE)


# --- what is owed ------------------------------------------------------------------------------
def failing(case: DunningCase) -> QuerySet[Invoice]:
    """Its open invoices whose charge failed."""
    return _failed(_owed(case))


def failing_of(payer: Customer) -> QuerySet[Invoice]:
    """What is charged at once when the payer gives another payment method."""
    theirs = Invoice.objects.filter(dunning_case__payer=payer, dunning_case__status=Status.OPEN)
    return _failed(_undisputed(theirs))


def is_troubled(payer: Customer) -> bool:
    """Whether the payer has been told that money is missing: a charge is tried again, or access may end."""
    known = DunningCase.objects.filter(payer=payer, status__in=[Status.OPEN, Status.EXHAUSTED])
    return known.filter(troubled_at__isnull=False).exists()


def _failed(owed: QuerySet[Invoice]) -> QuerySet[Invoice]:
    cards = owed.filter(collection_method=CollectionMethod.CHARGE_AUTOMATICALLY)
    return cards.filter(payment_status__in=_FAILED)


def on_terms(case: DunningCase) -> QuerySet[Invoice]:
    """Its open invoices with a due date, the oldest first."""
    return _owed(case).filter(collection_method=CollectionMethod.SEND_INVOICE, due_date__isnull=False)


def _owed(case: DunningCase) -> QuerySet[Invoice]:
    return _undisputed(Invoice.objects.filter(dunning_case=case))


def _undisputed(invoices: QuerySet[Invoice]) -> QuerySet[Invoice]:
    """Those that are open. What its bank disputes waits until that is decided, what is deferred for the next charge."""
    disputed = Dispute.objects.open().filter(payment__allocations__invoice=OuterRef("pk"))
    owed = invoices.filter(status=Invoice.Status.OPEN).exclude(payment_status=PaymentStatus.DEFERRED)
    return owed.exclude(Exists(disputed)).order_by("due_date", "pk")


def behind(invoices: Iterable[Invoice]) -> QuerySet[Subscription]:
    """The subscriptions that are past due with these invoices."""
    lines = InvoiceLine.objects.filter(invoice__in=list(invoices)).values("subscription")
    return Subscription.objects.filter(pk__in=lines, status=Subscription.Status.PAST_DUE).order_by("pk")


def unwatched(*, test_clock: TestClock | None) -> QuerySet[Invoice]:
    """Bills on terms that no case looks after yet; not those that a subscription waits for to begin."""
    return Invoice.objects.filter(
        ~Exists(_BEGINNING),
        status=Invoice.Status.OPEN,
        collection_method=CollectionMethod.SEND_INVOICE,
        due_date__isnull=False,
        dunning_case=None,
        test_clock=test_clock,
    )


# --- opened ------------------------------------------------------------------------------------
def on_failed(
    *, invoice: Invoice, subscriptions: Sequence[Subscription], failure_code: str, hard: bool, at: datetime
) -> None:
    """A charge failed: open the payer's case, or note it in the one that is open. ``hard``: only another method helps.

    A first payment that fails is no such case: its subscription has never begun, and is given up after a day.
    """
    by_card = invoice.collection_method == CollectionMethod.CHARGE_AUTOMATICALLY
    if not by_card or any(one.status == Subscription.Status.INCOMPLETE for one in subscriptions):
        return
    case = watch(invoice, at=at)
    case.failed_at = case.failed_at or at
    case.failure_code, case.retry_at = failure_code, None
    case.needs_method = hard
    trouble(case, at=at)
    replan(case)


def ask_again(*, invoice: Invoice, at: datetime) -> None:
    """A bill on terms is owed again, as a lost dispute has taken its payment away."""
    replan(watch(invoice, at=at))


def watch(invoice: Invoice, *, at: datetime) -> DunningCase:
    """The payer's open case, made where there is none, which looks after this invoice from now on."""
    (case,) = watch_all([invoice], at=at)
    return case


def watch_all(invoices: Sequence[Invoice], *, at: datetime) -> list[DunningCase]:
    """The open cases of their payers, made where there are none, which look after these invoices from now on.

    A constant number of queries; when the cases are looked at next is theirs to plan.
    """
    keys = sorted({_key(one) for one in invoices})
    open_cases = DunningCase.objects.filter(payer__in={key[0] for key in keys}, status=Status.OPEN).order_by("pk")
    known = {_key_of(case): case for case in open_cases.select_for_update(of=("self",), no_key=True)}
    payers = {one.customer_id: one.customer for one in invoices}
    missing = [key for key in keys if key not in known]
    policies = dunning_policies.of_payers({payers[key[0]] for key in missing}) if missing else {}
    made = [_new(payers[key[0]], key, policies[key[0]], at=at) for key in missing]
    DunningCase.objects.bulk_create(made)
    cases = known | {_key_of(case): case for case in made}
    for one in invoices:
        one.dunning_case = cases[_key(one)]
        one.touch()
    bulk.update(Invoice, invoices, ["dunning_case", "version", "updated_at"])
    for case in cases.values():
        case.payer = payers.get(case.payer_id) or case.payer
    return [cases[key] for key in keys]


_Key = tuple[UUID, UUID, str]


def _key(invoice: Invoice) -> _Key:
    return invoice.customer_id, invoice.legal_entity_id, invoice.currency


def _key_of(case: DunningCase) -> _Key:
    return case.payer_id, case.legal_entity_id, case.currency


def _new(payer: Customer, key: _Key, policy: DunningPolicy, *, at: datetime) -> DunningCase:
    return DunningCase(
        payer=payer,
        legal_entity_id=key[1],
        currency=key[2],
        policy=policy,
        terms=dunning_policies.frozen(policy),
        opened_at=at,
        test_clock_id=payer.test_clock_id,
    )


def trouble(case: DunningCase, *, at: datetime) -> None:
    """Say, once, that money is missing (the case is saved by whoever calls)."""
    if case.troubled_at is None:
        case.troubled_at = at
        tell(case, "opened", at=at)


def first_look(case: DunningCase, invoices: Iterable[Invoice]) -> datetime:
    """When a case is looked at next, now that these bills on terms have come to it."""
    schedule = dunning.schedule_of(case.terms)
    bills = [Bill(one.pk, one.due_date, one.finalized_at) for one in invoices if one.due_date and one.finalized_at]
    payer = case.payer
    planned = dunning.actions(schedule, card=None, bills=bills, timezone=payer.timezone, managed=payer.managed, done={})
    known = [] if case.next_action_at is None else [case.next_action_at]
    return min([*known, *(one.at for one in planned)])


# --- planned -----------------------------------------------------------------------------------
def todo(case: DunningCase) -> list[Action]:
    """All that is still to be done, should nobody pay."""
    card = None
    if case.failed_at is not None and failing(case).exists():
        card = CardTrack(case.failed_at, case.needs_method, case.retry_at)
    taken = case.steps.values("kind", "invoice").annotate(day=Max("day")).values_list("kind", "invoice", "day")
    return dunning.actions(
        dunning.schedule_of(case.terms),
        card=card,
        bills=_bills(case),
        timezone=case.payer.timezone,
        managed=case.payer.managed,
        done={(kind, invoice): day for kind, invoice, day in taken},
    )


def _bills(case: DunningCase) -> list[Bill]:
    """Its bills on terms. One whose payment was taken back is counted from then: it was paid when it was due."""
    lost = Q(allocations__payment__disputes__status=Dispute.Status.LOST)
    rows = on_terms(case).annotate(lost_at=Max("allocations__payment__disputes__closed_at", filter=lost))
    found = []
    for key, due_date, issued_at, lost_at in rows.values_list("pk", "due_date", "finalized_at", "lost_at"):
        if due_date and issued_at and lost_at:
            due_date = max(due_date, periods.local_date(lost_at, case.payer.timezone))
            issued_at = max(issued_at, lost_at)
        if due_date and issued_at:
            found.append(Bill(key, due_date, issued_at))
    return found


def replan(case: DunningCase) -> list[Action]:
    """Set and save when the case is looked at next, and tell its invoices when their card is tried again."""
    planned = todo(case)
    case.next_action_at = min((one.at for one in planned), default=None)
    case.save(update_fields={*_MOVABLE, *case.touch()})
    case.refresh_from_db(fields=["updated_at"])
    retry = dunning.next_retry(planned)
    for invoice in failing(case):
        if invoice.next_payment_attempt != retry:
            write(invoice, next_payment_attempt=retry)
    return planned


_MOVABLE = (
    "status",
    "troubled_at",
    "failed_at",
    "failure_code",
    "needs_method",
    "retry_at",
    "access_ended_at",
    "final_action_due_at",
    "next_action_at",
    "closed_at",
)


def on_new_method(*, payer: Customer, at: datetime) -> None:
    """Another payment method was given: what failed is charged to it at once."""
    for case in _cases(payer, status=Status.OPEN, failed_at__isnull=False):
        case.needs_method, case.retry_at = False, at
        replan(case)


# --- closed ------------------------------------------------------------------------------------
def on_settled(*, invoice: Invoice, at: datetime) -> None:
    """An invoice is paid, void, given up or deferred: close its case with the last of them, else plan it anew."""
    if invoice.dunning_case_id is None:
        return
    for case in _cases(invoice.customer, pk=invoice.dunning_case_id, status__in=[Status.OPEN, Status.EXHAUSTED]):
        if not _owed(case).exists():
            close(case, Status.RECOVERED if invoice.status == Invoice.Status.PAID else Status.CLOSED, at=at)
        elif case.status == Status.OPEN:
            replan(case)


def close(case: DunningCase, status: str, *, at: datetime) -> None:
    case.status, case.closed_at, case.next_action_at, case.retry_at = status, at, None, None
    case.save(update_fields={*_MOVABLE, *case.touch()})
    if case.troubled_at is not None:
        tell(case, status, at=at)


def exhaust(case: DunningCase, *, at: datetime) -> None:
    """Nothing is left to be done: where money is still owed, a person has to see to it.

    While a payment is under way, such as a debit that takes days, the case waits for what becomes of it.
    """
    owed = set(_owed(case).values_list("payment_status", flat=True))
    if owed and PaymentStatus.PENDING not in owed:
        case.status, case.closed_at = Status.EXHAUSTED, at
        case.save(update_fields={*_MOVABLE, *case.touch()})


def _cases(payer: Customer, **which: Any) -> list[DunningCase]:
    cases = DunningCase.objects.filter(payer=payer, **which).select_related("payer").order_by("pk")
    return list(cases.select_for_update(of=("self",), no_key=True))


# --- told --------------------------------------------------------------------------------------
def tell(case: DunningCase, kind: str, *, invoices: Iterable[Invoice] = (), at: datetime, **data: Any) -> Event:
    """The fact ``billing.dunning.<kind>``, with what is owed in the case."""
    owed = list(invoices) or list(_owed(case))
    return outbox.publish(
        f"billing.dunning.{kind}",
        case,
        at=at,
        customer_id=case.payer_id,
        account_id=case.payer.account_id,
        data={
            "invoices": [one.public_id for one in owed],
            "amount": sum(one.amount_due for one in owed),
            "currency": case.currency,
            "failure_code": case.failure_code,
            "managed": case.payer.managed,
            **data,
        },
    )
