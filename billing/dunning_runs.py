"""Dunning, done: cases whose time has come are worked through, one payer at a time.

A card is tried under no lock and in no transaction. While that lasts the case is put off by ``LEASE``, so that nobody
else tries it too, and so that it comes up again where the process dies meanwhile: the charge itself is then found by
its attempt.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from django.db import transaction

from billing import cancellation, dunning, dunning_cases, invoice_outcomes, outages, pauses, payments, settlement
from billing.dunning import Action
from billing.dunning_cases import Kind, Status
from billing.models import (
    Customer,
    DunningCase,
    DunningStep,
    FinalAction,
    Invoice,
    Subscription,
    SubscriptionChange,
)
from gtm.shared import bulk, db
from gtm.shared.errors import Conflict, DomainError, Invalid
from gtm.shared.models import TestClock, write

log = structlog.get_logger(__name__)
BATCH = 500
LEASE = timedelta(minutes=10)
_TRIES = (Kind.RETRY, Kind.NEW_METHOD)
REASON = "The payment did not come."
Origin = SubscriptionChange.Origin


def run_due(*, at: datetime, test_clock: TestClock | None = None) -> int:
    """Do what is due by ``at`` in all cases, of one test clock or of none; return how many were worked on."""
    _watch_bills(at=at, test_clock=test_clock)
    due = DunningCase.objects.filter(status=Status.OPEN, next_action_at__lte=at, test_clock=test_clock)
    found = list(due.order_by("next_action_at", "pk").select_related("payer")[:BATCH])
    unanswered = outages.Unanswered()
    for case in found:
        work(case=case, unanswered=unanswered, at=at)
    return len(found)


def next_due(*, test_clock: TestClock) -> datetime | None:
    """When the next case of a test clock is due, or a bill on terms is to be looked at."""
    cases = DunningCase.objects.filter(status=Status.OPEN, test_clock=test_clock, next_action_at__isnull=False)
    first = cases.order_by("next_action_at").values_list("next_action_at", flat=True).first()
    waiting = dunning_cases.unwatched(test_clock=test_clock).values_list("finalized_at", flat=True)
    return min((at for at in (first, waiting.order_by("finalized_at").first()) if at is not None), default=None)


def retry(*, payer: Customer, on_session: bool = False, at: datetime) -> None:
    """Charge now what failed, to the method that was just given, and do nothing else. Not in a transaction."""
    for case in DunningCase.objects.filter(payer=payer, status=Status.OPEN, retry_at__isnull=False):
        work(case=case, at=at, rest=False, on_session=on_session)


def work(
    *,
    case: DunningCase,
    at: datetime,
    rest: bool = True,
    on_session: bool = False,
    unanswered: outages.Unanswered | None = None,
) -> None:
    """Do what is due in one case: try the card first, then the ``rest``. Not in a transaction.

    A payer whose test clock has begun to advance, or a case that somebody else works on, is left for the next time.
    """
    try:
        tries, is_tried = _take(case, at), True
        if tries:
            failing = list(dunning_cases.failing(case))
            is_tried = payments.collect_all(invoices=failing, on_session=on_session, unanswered=unanswered, at=at)
        _finish(case, tries if is_tried else (), at, is_tried=is_tried, rest=rest)
    except DomainError as refusal:
        log.warning("dunning_not_done", case=case.public_id, code=refusal.code)


def _watch_bills(*, at: datetime, test_clock: TestClock | None) -> None:
    """Bills on terms get a case once they are issued: it knows when to look at them."""
    waiting = dunning_cases.unwatched(test_clock=test_clock).filter(finalized_at__lte=at).order_by("finalized_at", "pk")
    while found := list(waiting[:BATCH]):
        _watch(found, at)


@transaction.atomic
def _watch(found: Sequence[Invoice], at: datetime) -> None:
    db.lock(Customer, {one.customer_id for one in found})
    waiting = Invoice.objects.filter(pk__in=[one.pk for one in found], status=Invoice.Status.OPEN, dunning_case=None)
    whole = waiting.select_related("customer").order_by("pk")
    locked = list(whole.select_for_update(of=("self",), no_key=True))
    bills: dict[object, list[Invoice]] = defaultdict(list)
    cases = dunning_cases.watch_all(locked, at=at)
    for one in locked:
        bills[one.dunning_case_id].append(one)
    for case in cases:
        case.next_action_at = dunning_cases.first_look(case, bills[case.pk])
        case.touch()
    bulk.update(DunningCase, cases, ["next_action_at", "version", "updated_at"])


def can_act(case: DunningCase) -> bool:
    """Whether there is something that a person could end."""
    return case.status in (Status.OPEN, Status.EXHAUSTED) and dunning_cases.behind(case.invoices.all()).exists()


@transaction.atomic
def act(*, case: DunningCase, action: str, at: datetime) -> None:
    """Carry out the final action by a person's decision, for what is past due in the case; its invoices stay open.

    Raises Invalid for an unknown action and Conflict where nothing is past due any more.
    """
    if action not in (FinalAction.CANCEL, FinalAction.UNPAID):
        raise Invalid("Cancel, or stop as unpaid.", attr="action")
    case = _locked(case)
    if not can_act(case):
        raise Conflict("Nothing is past due in this case any more.", code="nothing_past_due")
    concerned = list(dunning_cases.behind(case.invoices.all()).select_for_update(of=("self",), no_key=True))
    _apply(concerned, action, origin=Origin.ADMIN, at=at)
    dunning_cases.tell(case, "exhausted", at=at, action=action)


# --- one case ----------------------------------------------------------------------------------
@transaction.atomic(durable=True)
def _take(case: DunningCase, at: datetime) -> list[Action]:
    """For what the card is to be tried now; the case is put off meanwhile."""
    case = _locked(case)
    tries = [action for action in _due(case, at) if action.kind in _TRIES]
    if tries:
        write(case, next_action_at=at + LEASE)
    return tries


@transaction.atomic
def _finish(case: DunningCase, tries: Sequence[Action], at: datetime, *, is_tried: bool, rest: bool) -> None:
    """Write down what was tried, and do the rest of what is due, unless the money has come.

    Where the card could not be tried it still is to be, soon, and nothing is taken away meanwhile.
    """
    case = _locked(case)
    case.retry_at = None if tries else case.retry_at
    for action in tries:
        _record(case, action, "succeeded" if case.status == Status.RECOVERED else case.failure_code, at)
    for action in _due(case, at) if rest else ():
        if case.status != Status.OPEN:
            return
        if action.kind not in _TRIES and (is_tried or action.bill):
            _STEPS[action.kind](case, action, at)
            _record(case, action, _final_of(case, action) if action.kind == Kind.FINAL else "", at)
    if case.status == Status.OPEN and not dunning_cases.replan(case):
        dunning_cases.exhaust(case, at=at)
    if case.status == Status.OPEN and not is_tried:
        write(case, next_action_at=at + LEASE)


def _locked(case: DunningCase) -> DunningCase:
    payer = db.lock_one(case.payer)
    case = db.lock_one(case)
    case.payer = payer
    return case


def _due(case: DunningCase, at: datetime) -> list[Action]:
    return dunning.due(dunning_cases.todo(case), at=at) if case.status == Status.OPEN else []


def _record(case: DunningCase, action: Action, outcome: str, at: datetime) -> None:
    DunningStep.objects.create(
        case=case, kind=action.kind, day=action.day, invoice_id=action.bill, outcome=outcome, done_at=at
    )


# --- steps -------------------------------------------------------------------------------------
def _overdue(case: DunningCase, action: Action, at: datetime) -> None:
    """The terms are over: the subscriptions are behind, with their access."""
    invoice = _bill_of(action)
    write(invoice, overdue_at=at)
    invoice_outcomes.on_failed(settlement.lock_subscriptions([invoice]), at=at, reason="overdue")
    dunning_cases.trouble(case, at=at)
    dunning_cases.tell(case, "overdue", invoices=[invoice], at=at)


def _remind(case: DunningCase, action: Action, at: datetime) -> None:
    last = action.day == max(dunning.schedule_of(case.terms).reminder_days)
    dunning_cases.tell(case, "reminded", invoices=[_bill_of(action)], at=at, day=action.day, last=last)


def _bill_of(action: Action) -> Invoice:
    assert action.bill, "a step on terms is about a bill"
    return Invoice.objects.select_related("customer").get(pk=action.bill)


def _end_access(case: DunningCase, action: Action, at: datetime) -> None:
    """What is past due for want of a payment by card grants nothing any more, until it is paid."""
    case.access_ended_at = at
    for subscription in _by_card(case):
        write(subscription, access_ended_at=at)
    dunning_cases.tell(case, "access_ended", at=at)


def _notice(case: DunningCase, action: Action, at: datetime) -> None:
    """Tell the owner of a managed customer what would follow; a person decides."""
    case.final_action_due_at = at
    dunning_cases.tell(case, "final_action_due", at=at, action=_policy_final(case, action))


def _finally(case: DunningCase, action: Action, at: datetime) -> None:
    final = _final_of(case, action)
    _apply(_on_terms(case) if action.bill else _by_card(case), final, origin=Origin.SYSTEM, at=at)
    dunning_cases.tell(case, "exhausted", at=at, action=final)


def _policy_final(case: DunningCase, action: Action) -> str:
    schedule = dunning.schedule_of(case.terms)
    return schedule.terms_final_action if action.bill else schedule.final_action


def _final_of(case: DunningCase, action: Action) -> str:
    """Nothing is cut off automatically where somebody looks after the customer."""
    return FinalAction.LEAVE if case.payer.managed else _policy_final(case, action)


def _apply(concerned: Sequence[Subscription], final: str, *, origin: str, at: datetime) -> None:
    for subscription in concerned:
        if final == FinalAction.CANCEL:
            cancellation.cancel(subscription=subscription, when="now", origin=origin, reason=REASON, at=at)
        elif final == FinalAction.UNPAID:
            pauses.stop_unpaid(subscription=subscription, at=at)


def _by_card(case: DunningCase) -> Sequence[Subscription]:
    """What is behind by card, though it be billed on terms since: those come with its next invoice."""
    found = dunning_cases.behind(dunning_cases.failing(case))
    return list(found.select_for_update(of=("self",), no_key=True))


def _on_terms(case: DunningCase) -> Sequence[Subscription]:
    overdue = dunning_cases.on_terms(case).filter(overdue_at__isnull=False)
    return list(dunning_cases.behind(overdue).select_for_update(of=("self",), no_key=True))


_STEPS = {
    "overdue": _overdue,
    "reminder": _remind,
    "end_access": _end_access,
    "notice": _notice,
    "final": _finally,
}
