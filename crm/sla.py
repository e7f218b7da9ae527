"""By when somebody answers: a clock for each lead and alert that waits, and the ladder that it climbs.

When a quarter of the time is left the owner is reminded; when it is due the manager is told; some time later a lead
goes to another rep, twice at most, and then to the queue, with its account and all that waits there. A customer's
account is never taken from its owner by a clock, nor one of which a deal is open, nor an account because of an alert
or of what somebody else was to answer. Time is working time: of the owner's team, with its holidays.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Max, Q

from crm import business_hours, owners
from crm.models import Account, AccountCustomer, Alert, Lead, Opportunity, Queue, SlaClock, SlaPolicy
from crm.owners import Occasion, Place
from crm.queries import schedules
from crm.reasons import Reason
from gtm.shared import bulk, db, outbox
from gtm.shared.errors import Invalid
from gtm.shared.models import Event

BATCH = 500
INSTALLED_ALERTS = {"critical": 60, "high": 240}
State, Step = SlaClock.State, SlaClock.Step
RUNNING = Q(state__in=[State.PENDING, State.BREACHED], answered_at=None)
Subject = Lead | Alert
WRITTEN = ("state", "next_step", "next_at", "warned_at", "escalated_at")


# --- terms -------------------------------------------------------------------------------------
def current_policy(*, at: datetime) -> SlaPolicy:
    """The newest terms; the installed ones are published where there are none yet."""
    return SlaPolicy.objects.order_by("-number").first() or publish(
        at=at, name="4 hours, target list 30 minutes", alert_minutes=INSTALLED_ALERTS
    )


def promised_hours(*, at: datetime) -> int:
    """Within how many working hours everybody is answered, as they are told."""
    return max(1, -(-current_policy(at=at).lead_minutes // 60))


@transaction.atomic
def publish(*, at: datetime, name: str, **terms: Any) -> SlaPolicy:
    """Publish the next version of the terms; publishes ``crm.sla_policy.published``. Clocks that run keep theirs.

    Raises Invalid for times that are no times.
    """
    db.advisory_lock("crm.sla_policy")
    number = int(SlaPolicy.objects.aggregate(highest=Max("number"))["highest"] or 0) + 1
    policy = SlaPolicy(number=number, name=name, published_at=at, **terms)
    _check(policy)
    policy.save(force_insert=True)
    outbox.publish("crm.sla_policy.published", policy, at=at, data={"number": number})
    return policy


def _check(policy: SlaPolicy) -> None:
    for name in ("lead_minutes", "target_minutes", "reroute_minutes"):
        if getattr(policy, name) < 1:
            raise Invalid("Give at least one minute.", attr=name)
    if policy.target_minutes > policy.lead_minutes:
        raise Invalid("Who is on the target list is answered at least as fast as others.", attr="target_minutes")
    if not 0 <= policy.remind_percent < 100:
        raise Invalid("Give a part of the time: 0 to 99 percent.", attr="remind_percent")
    known = set(Alert.Severity.values)
    if any(name not in known or not isinstance(n, int) or n < 1 for name, n in policy.alert_minutes.items()):
        raise Invalid("Give minutes for severities: low, medium, high, critical.", attr="alert_minutes")


@dataclass(frozen=True, slots=True)
class _Terms:
    """How long, and why so long."""

    minutes: int
    why: Reason


def _terms(subject: Subject, account: Account | None, policy: SlaPolicy) -> _Terms | None:
    version = policy.number
    if isinstance(subject, Alert):
        minutes = policy.alert_minutes.get(subject.severity)
        why = Reason("sla_alert", "severity", subject.severity, minutes, version)
        return _Terms(minutes, why) if minutes else None
    if account is not None and account.target_list:
        why = Reason("sla_target_list", "target_list", "true", policy.target_minutes, version)
        return _Terms(policy.target_minutes, why)
    return _Terms(policy.lead_minutes, Reason("sla_lead", "kind", subject.kind, policy.lead_minutes, version))


# --- one answer --------------------------------------------------------------------------------
@transaction.atomic
def start(*, subject: Subject, at: datetime) -> SlaClock | None:
    """Start the clock of a lead or an alert, for whoever has it; publishes ``crm.sla.started``.

    A lead knows by when to answer. None for an alert of a severity without terms.
    """
    policy = current_policy(at=at)
    terms = _terms(subject, subject.account, policy)
    if terms is None:
        return None
    clock = SlaClock(**_of(subject), policy=policy, test_clock_id=subject.test_clock_id)
    clock.owner_id, clock.queue_id = subject.owner_id, subject.queue_id
    _set(clock, terms, _schedule(clock, at), at)
    clock.save(force_insert=True)
    _note(subject, clock)
    outbox.publish_many([_fact(clock, "crm.sla.started", at, subject.account_id)])
    return clock


def _of(subject: Subject) -> dict[str, Any]:
    return {"alert": subject} if isinstance(subject, Alert) else {"lead": subject}


def _schedule(clock: SlaClock, at: datetime) -> business_hours.Schedule:
    owned, queued = ([key] if key else [] for key in (clock.owner_id, clock.queue_id))
    return schedules.of(owner_ids=owned, queue_ids=queued, at=at)(clock.owner_id, clock.queue_id)


def _set(clock: SlaClock, terms: _Terms, schedule: business_hours.Schedule, at: datetime) -> None:
    """Let it run from ``at`` on."""
    before = terms.minutes - terms.minutes * clock.policy.remind_percent // 100
    clock.started_at, clock.state = at, State.PENDING
    clock.due_at = business_hours.after(at, minutes=terms.minutes, schedule=schedule)
    clock.next_step, clock.next_at = Step.REMIND, business_hours.after(at, minutes=before, schedule=schedule)
    clock.reasons = [terms.why.as_json()]
    clock.warned_at = clock.escalated_at = None


def _note(subject: Subject, clock: SlaClock) -> None:
    if isinstance(subject, Lead):
        subject.sla_due_at = clock.due_at
        Lead.objects.filter(pk=subject.pk).update(sla_due_at=clock.due_at)


@transaction.atomic
def meet(*, subject: Subject, at: datetime) -> None:
    """Somebody answered: stop the clock, met or breached; publishes ``crm.sla.met`` or ``crm.sla.answered_late``."""
    for clock in _locked(subject):
        in_time = clock.state == State.PENDING and at <= clock.due_at
        clock.state = State.MET if in_time else State.BREACHED
        clock.answered_at, clock.next_step, clock.next_at = at, "", None
        clock.save()
        fact = "crm.sla.met" if in_time else "crm.sla.answered_late"
        outbox.publish_many([_fact(clock, fact, at, subject.account_id)])


@transaction.atomic
def cancel(*, subject: Subject, at: datetime) -> None:
    """Nobody has to answer any more; publishes ``crm.sla.canceled``."""
    for clock in _locked(subject):
        clock.state, clock.next_step, clock.next_at = State.CANCELED, "", None
        clock.save()
        outbox.publish_many([_fact(clock, "crm.sla.canceled", at, subject.account_id)])


def _locked(subject: Subject) -> list[SlaClock]:
    running = SlaClock.objects.filter(RUNNING, **_of(subject))
    return list(running.select_for_update(of=("self",), no_key=True).select_related("policy"))


# --- the ladder --------------------------------------------------------------------------------
def next_due(*, test_clock_id: UUID) -> datetime | None:
    """When the next step of a clock on the test clock is due."""
    due = SlaClock.objects.filter(test_clock=test_clock_id, next_at__isnull=False)
    return due.order_by("next_at").values_list("next_at", flat=True).first()


def run_due(*, at: datetime, test_clock_id: UUID | None = None) -> int:
    """Take the steps that are due, unclocked ones or those of one test clock, in batches; how many they were."""
    done = 0
    while taken := _tell_people(at, test_clock_id) + _route_anew(at, test_clock_id):
        done += taken
    return done


def _due(at: datetime, test_clock_id: UUID | None, *steps: str) -> Any:
    found = SlaClock.objects.filter(next_at__lte=at, next_step__in=steps, test_clock=test_clock_id)
    return found.order_by("next_at", "pk")


@transaction.atomic
def _tell_people(at: datetime, test_clock_id: UUID | None) -> int:
    """Remind owners, and tell managers of what nobody answered in time: the facts are what mail is made of."""
    due = _due(at, test_clock_id, Step.REMIND, Step.BREACH).select_related("policy", "lead", "alert")
    clocks = list(due.select_for_update(of=("self",), skip_locked=True, no_key=True)[:BATCH])
    find = _schedules(clocks, at)
    facts = [_fact(clock, f"crm.sla.{_climb(clock, find, at)}", at, _account_of(clock)) for clock in clocks]
    bulk.update(SlaClock, clocks, WRITTEN)
    outbox.publish_many(facts)
    return len(clocks)


def _climb(clock: SlaClock, find: schedules.Find, at: datetime) -> str:
    """Take one step; which it was."""
    if clock.next_step == Step.REMIND:
        clock.warned_at, clock.next_step, clock.next_at = at, Step.BREACH, clock.due_at
        return "warned"
    clock.state, clock.escalated_at, clock.next_step, clock.next_at = State.BREACHED, at, "", None
    if clock.lead_id:
        schedule = find(clock.owner_id, clock.queue_id)
        minutes = clock.policy.reroute_minutes
        clock.next_step = Step.REROUTE
        clock.next_at = business_hours.after(clock.due_at, minutes=minutes, schedule=schedule)
    return "breached"


def _schedules(clocks: Collection[SlaClock], at: datetime) -> schedules.Find:
    owned, queued = ({key for key in keys if key} for keys in _places(clocks))
    return schedules.of(owner_ids=owned, queue_ids=queued, at=at)


def _places(clocks: Collection[SlaClock]) -> tuple[list[UUID | None], list[UUID | None]]:
    return [clock.owner_id for clock in clocks], [clock.queue_id for clock in clocks]


@transaction.atomic
def _route_anew(at: datetime, test_clock_id: UUID | None) -> int:
    """Give the leads that nobody answered to others. The locks: pools, accounts, leads, and then the clocks."""
    keys = list(_due(at, test_clock_id, Step.REROUTE).values_list("lead", "lead__account")[:BATCH])
    if not keys:
        return 0
    owners.lock_pools(at=at)
    accounts = {one.pk: one for one in db.lock(Account, {account for _lead, account in keys if account})}
    clocks = _running([lead for lead, _account in keys], accounts)
    due = [one for one in clocks if one.next_step == Step.REROUTE and one.next_at and one.next_at <= at]
    kept = _kept(accounts)
    open_ones = [clock for clock in due if _may_move(clock, accounts, kept)]
    spent = {_account_of(clock) for clock in open_ones if clock.reroutes >= clock.policy.max_reroutes}
    going = {_account_of(clock) for clock in open_ones} - spent
    _move([clock for clock in clocks if _account_of(clock) in going], accounts, at)
    _give_up([clock for clock in clocks if _account_of(clock) in spent], accounts, at)
    _rest([clock for clock in due if _account_of(clock) not in going | spent])
    return len(due)


def _running(lead_ids: Collection[UUID], account_ids: Collection[UUID]) -> list[SlaClock]:
    """The clocks of these leads, and of whatever else waits at the accounts: it goes with them. Locks leads, clocks."""
    its = Q(lead__in=lead_ids) | Q(lead__account__in=account_ids)
    keys = SlaClock.objects.filter(RUNNING & its).values_list("lead", flat=True)
    leads = {lead.pk: lead for lead in db.lock(Lead, {key for key in keys if key})}
    found = SlaClock.objects.filter(RUNNING, lead__in=leads.keys()).select_related("policy").order_by("due_at", "pk")
    clocks = list(found.select_for_update(of=("self",), no_key=True))
    for clock in clocks:
        clock.lead = leads[clock.lead_id or UUID(int=0)]
    return clocks


def _kept(account_ids: Collection[UUID]) -> set[UUID]:
    """The accounts that a clock takes from nobody: those of customers, and those of which a deal is open."""
    links = AccountCustomer.objects.filter(account__in=account_ids, valid_to=None)
    deals = Opportunity.objects.filter(account__in=account_ids, state="open")
    return {key for rows in (links, deals) for key in rows.values_list("account", flat=True)}


def _may_move(clock: SlaClock, accounts: Mapping[UUID, Account], kept: Collection[UUID]) -> bool:
    """Whoever did not answer has the account, too: nobody loses one for what was another's to answer."""
    account = accounts.get(_account_of(clock) or UUID(int=0))
    if clock.lead is None or account is None or account.pk in kept:
        return False
    return clock.owner_id is not None and clock.owner_id == account.owner_id and clock.lead.answered_at is None


def _rest(clocks: Sequence[SlaClock]) -> None:
    """Nothing more is done about them: their managers know, and whoever answers stops them."""
    for clock in clocks:
        clock.next_step, clock.next_at = "", None
    bulk.update(SlaClock, clocks, WRITTEN)


def _move(clocks: Sequence[SlaClock], accounts: Mapping[UUID, Account], at: datetime) -> None:
    """Their accounts by the rules, without those whose they were; the time of all that waits there begins anew."""
    gone = _passed_over(clocks, accounts)
    excluded = {key: frozenset(reps) for key, reps in gone.items()}
    why = Reason("sla_breached", "owner")
    occasion = Occasion({}, fresh=True, excluded=excluded, why=why)
    found = owners.assign_many(account_ids=list(excluded), at=at, trigger="sla_breached", occasion=occasion)
    _begin_again(clocks, {one.account.pk: one.account for one in found}, gone, at)


def _give_up(clocks: Sequence[SlaClock], accounts: Mapping[UUID, Account], at: datetime) -> None:
    """Enough reps had it: the queue's team decides."""
    if not clocks:
        return
    queue = Queue.objects.get(is_catch_all=True)
    gone = _passed_over(clocks, accounts)
    chosen = [accounts[key] for key in gone]
    why = [Reason("sla_breached", "owner").as_json(), Reason("catch_all", "queue").as_json()]
    places = [Place(queue_id=queue.pk, reasons=why) for _account in chosen]
    owners.place_many(accounts=chosen, places=places, at=at, trigger="sla_breached")
    _begin_again(clocks, {one.pk: one for one in chosen}, gone, at)


def _passed_over(clocks: Sequence[SlaClock], accounts: Mapping[UUID, Account]) -> dict[UUID, list[UUID]]:
    """Who had each account already, whichever of its leads waited; the one who has it now comes last."""
    found: dict[UUID, list[UUID]] = {}
    for clock in clocks:
        if key := _account_of(clock):
            found.setdefault(key, []).extend(clock.passed_over)
    owner = {key: [accounts[key].owner_id] for key in found}
    return {key: [one for one in dict.fromkeys([*gone, *owner[key]]) if one] for key, gone in found.items()}


def _begin_again(
    clocks: Sequence[SlaClock], accounts: Mapping[UUID, Account], gone: Mapping[UUID, Collection[UUID]], at: datetime
) -> None:
    for clock in clocks:
        account = accounts[_account_of(clock) or UUID(int=0)]
        clock.passed_over = list(gone[account.pk])
        clock.owner_id, clock.queue_id = account.owner_id, account.queue_id
        clock.reroutes += 1
    find = _schedules(clocks, at)
    for clock in clocks:
        assert clock.lead is not None
        terms = _terms(clock.lead, accounts[clock.lead.account_id or UUID(int=0)], clock.policy)
        assert terms is not None, "every lead has terms"
        _set(clock, terms, find(clock.owner_id, clock.queue_id), at)
        clock.lead.sla_due_at = clock.due_at
    columns = (*WRITTEN, "owner", "queue", "started_at", "due_at", "reasons", "reroutes", "passed_over")
    bulk.update(SlaClock, clocks, columns)
    bulk.update(Lead, [clock.lead for clock in clocks if clock.lead], ("sla_due_at",))
    outbox.publish_many([_fact(clock, "crm.sla.rerouted", at, _account_of(clock)) for clock in clocks])


def _account_of(clock: SlaClock) -> UUID | None:
    subject = clock.lead or clock.alert
    return subject.account_id if subject else None


def _fact(clock: SlaClock, fact: str, at: datetime, account_id: UUID | None) -> Event:
    data = {
        "lead": Lead(pk=clock.lead_id).public_id if clock.lead_id else None,
        "alert": Alert(pk=clock.alert_id).public_id if clock.alert_id else None,
        "due_at": clock.due_at.isoformat(),
        "reroutes": clock.reroutes,
        "policy": clock.policy.number,
    }
    return outbox.fact(fact, clock, at=at, account_id=account_id, data=data)
