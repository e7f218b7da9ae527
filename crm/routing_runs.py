"""Routing rules over many accounts: what a draft would have done with the last 30 days, and accounts routed anew.

Both write down first what would be; neither moves a pointer by that. Routing anew is then carried out as it was shown
(an account that went elsewhere meanwhile stays there), and can be undone as long as nobody moved the account again.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

import structlog
from django.db import OperationalError, transaction
from django.db.models import Count, F, Q

from crm import owners, policies, routing
from crm.models import Account, Lead, Pool, PoolMember, Queue, RoutingMove, RoutingRun, Ruleset, RunState
from crm.owners import Occasion, Place
from crm.policy_runs import KEPT, TASK
from crm.queries import roster
from crm.reasons import Reason
from gtm.shared import bulk, context, db, ids, nudges, outbox
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import User

BATCH = 1000
WINDOW = timedelta(days=30)
OPEN = Q(state__in=[RunState.QUEUED, RunState.RUNNING])
log = structlog.get_logger(__name__)


# --- asked for ---------------------------------------------------------------------------------
@transaction.atomic
def dry_run(*, ruleset: Ruleset, at: datetime) -> RoutingRun:
    """Find out who would have got the leads of the last 30 days by these rules."""
    return _ask(RoutingRun(kind=RoutingRun.Kind.DRY_RUN, ruleset=ruleset), at)


@transaction.atomic
def preview(*, at: datetime, of_owner: User | None = None, of_queue: Queue | None = None) -> RoutingRun:
    """Find out who would get the accounts of an owner or of a queue, were they routed anew by the rules that count.

    Raises Invalid unless exactly one of the two is given.
    """
    if (of_owner is None) == (of_queue is None):
        raise Invalid("Say whose accounts: those of one owner or of one queue.", attr="of_owner")
    ruleset = policies.current_ruleset(at=at)
    run = RoutingRun(kind=RoutingRun.Kind.REROUTE, ruleset=ruleset, of_owner=of_owner, of_queue=of_queue)
    return _ask(run, at)


def _ask(run: RoutingRun, at: datetime) -> RoutingRun:
    run.asked_at, run.asked_by = at, context.actor()
    run.save(force_insert=True)
    _tell(run, "crm.routing_run.asked", at)
    nudges.on_commit(TASK)
    return run


@transaction.atomic
def apply(*, run: RoutingRun, at: datetime) -> RoutingRun:
    """Carry out what a preview has shown. Raises Conflict where there is none, or it was carried out already."""
    run = db.lock_one(run)
    if run.kind != RoutingRun.Kind.REROUTE or run.state != RunState.DONE or run.applied_at is not None:
        raise Conflict("There is no preview to carry out.", code="wrong_state")
    return _again(run, "crm.routing_run.applied", at, applied_at=at)


@transaction.atomic
def undo(*, run: RoutingRun, at: datetime) -> RoutingRun:
    """Give the accounts back to whom they were taken from, also where it stopped half-way. Raises Conflict unless it
    was carried out.
    """
    run = db.lock_one(run)
    if not can_undo(run):
        raise Conflict("There is nothing to undo.", code="wrong_state")
    return _again(run, "crm.routing_run.undone", at, undone_at=at)


def can_undo(run: RoutingRun) -> bool:
    """It was carried out, as a whole or up to where it stopped, and is not given back yet."""
    if run.applied_at is None:
        return False
    return run.state == RunState.FAILED or (run.state == RunState.DONE and run.undone_at is None)


def _again(run: RoutingRun, fact: str, at: datetime, **stamps: datetime) -> RoutingRun:
    for name, value in ({"state": RunState.QUEUED, "cursor": None, "done": 0} | stamps).items():
        setattr(run, name, value)
    run.save()
    _tell(run, fact, at)
    nudges.on_commit(TASK)
    return run


def _tell(run: RoutingRun, fact: str, at: datetime) -> None:
    data = {"kind": run.kind, "ruleset": run.ruleset.number, "state": run.state, "moved": run.moved}
    outbox.publish(fact, run, at=at, data=data)


# --- worked off --------------------------------------------------------------------------------
def work_off() -> int:
    """Work off all runs that wait, unless others do; how many steps it took."""
    steps, put_off = 0, set[UUID]()
    while key := _next(put_off):
        try:
            if not _step(key):
                break
            steps += 1
        except OperationalError:  # a deadlock, or the database went away: the run goes on later, where it stopped
            log.exception("routing_run_put_off", run=str(key))
            put_off.add(key)
        except Exception as error:  # whatever is wrong with one run, the others go on
            log.exception("routing_run_failed", run=str(key))
            _fail(key, f"{type(error).__name__}: {error}")
    return steps


def _next(put_off: Collection[UUID]) -> UUID | None:
    waiting = RoutingRun.objects.filter(OPEN).exclude(pk__in=put_off).order_by("asked_at", "pk")
    return waiting.values_list("pk", flat=True).first()


@transaction.atomic
def _step(key: UUID) -> bool:
    """Find out what would be, or do the next batch of it; False where somebody else has the run."""
    run = RoutingRun.objects.select_for_update(of=("self",), skip_locked=True).filter(OPEN, pk=key).first()
    if run is None:
        return False
    if run.applied_at is None:
        _compute(run)
    else:
        _carry_out(run)
    return True


@transaction.atomic
def _fail(key: UUID, error: str) -> None:
    RoutingRun.objects.filter(OPEN, pk=key).update(state=RunState.FAILED, error=error[:2000], finished_at=db.now())


def _finish(run: RoutingRun) -> None:
    run.state, run.finished_at = RunState.DONE, db.now()
    _tell(run, "crm.routing_run.finished", run.finished_at)


# --- what would be -----------------------------------------------------------------------------
def _compute(run: RoutingRun) -> None:
    """In one go, as each account finds the pools as those before have left them."""
    terms = owners.terms_of(ruleset=run.ruleset, at=run.asked_at)
    if run.kind == RoutingRun.Kind.DRY_RUN:
        terms = routing.rested(terms)
    for accounts, before, occasion in _batches(run):
        decisions, terms = owners.decide(accounts=accounts, terms=terms, at=run.asked_at, occasion=occasion)
        moves = [
            _move(run, run.done + place, account, before[account.pk], decision)
            for place, (account, decision) in enumerate(zip(accounts, decisions, strict=True))
        ]
        kept = [move for move in moves if move.is_move or run.kind == RoutingRun.Kind.DRY_RUN]
        bulk.insert(RoutingMove, kept)
        run.done, run.moved = run.done + len(moves), run.moved + sum(move.is_move for move in moves)
    run.total = run.done
    _finish(run)
    run.save()


Place_ = tuple[UUID | None, UUID | None]


def _batches(run: RoutingRun) -> Iterator[tuple[list[Account], dict[UUID, Place_], Occasion]]:
    if run.kind == RoutingRun.Kind.REROUTE:
        why = Reason("rerouted", "owner", run.asked_by)
        gone = frozenset([run.of_owner_id] if run.of_owner_id else [])
        chosen = Account.objects.filter(test_clock=None, owner=run.of_owner_id, queue=run.of_queue_id)
        for keys in _chunks(chosen.order_by("pk").values_list("pk", flat=True).iterator(BATCH)):
            accounts = bulk.select(Account.objects.filter(bulk.among("pk", keys)).order_by("pk"))
            excluded = dict.fromkeys(keys, gone) if gone else {}
            occasion = Occasion({}, fresh=True, excluded=excluded, why=why)
            yield accounts, {a.pk: (a.owner_id, a.queue_id) for a in accounts}, occasion
        return
    queues = dict(Queue.objects.values_list("code", "pk"))
    since = run.asked_at - WINDOW
    leads = Lead.objects.filter(test_clock=None, account__isnull=False, created_at__gt=since)
    rows = leads.order_by("created_at", "pk").values_list("account", "kind", "source", "routing")
    seen: set[UUID] = set()
    for some in _chunks(rows.iterator(BATCH)):
        first: dict[UUID, Any] = {}
        for row in some:
            if row[0] not in seen:
                first.setdefault(row[0], row)
        seen |= first.keys()
        found = Account.objects.in_bulk(first)
        accounts = [found[key] for key in first if key in found]
        told = {key: {"kind": kind, "source": source} for key, kind, source, _routing in first.values()}
        then = {key: _then(routed, queues) for key, _kind, _source, routed in first.values()}
        kept = {key: prior for key, *_said, routed in first.values() if (prior := _prior(routed, then[key][0]))}
        yield accounts, then, Occasion(told, fresh=True, kept=kept)


def _chunks(rows: Iterable[Any]) -> Iterator[list[Any]]:
    found = iter(rows)
    while chunk := list(islice(found, BATCH)):
        yield chunk


def _then(routed: dict[str, Any], queues: dict[str, UUID]) -> Place_:
    """Who got the lead when it came, as it says itself."""
    owner = routed.get("owner")
    return ids.decode(owner, prefix=User.PREFIX) if owner else None, queues.get(routed.get("queue") or "")


def _prior(routed: dict[str, Any], owner_id: UUID | None) -> routing.Prior | None:
    """Whoever came before the rules when the lead came, and so would have under any rules."""
    codes = {reason["code"] for reason in routed.get("reasons", ())}
    code = next((code for code in routing.PRIORS if code in codes), None)
    return routing.Prior(code, owner_id, eligible=True) if code and owner_id else None


def _move(run: RoutingRun, position: int, account: Account, before: Place_, decision: routing.Decision) -> RoutingMove:
    after = (decision.owner_id, decision.queue_id)
    return bulk.new(
        RoutingMove,
        run=run,
        account=account,
        position=position,
        from_owner_id=before[0],
        from_queue_id=before[1],
        to_owner_id=after[0],
        to_queue_id=after[1],
        is_move=before != after,
        reasons=[reason.as_json() for reason in decision.reasons],
    )


# --- carried out, and back ---------------------------------------------------------------------
def _carry_out(run: RoutingRun) -> None:
    """The next batch of what was shown, or of giving it back."""
    is_back = run.undone_at is not None
    rest = run.moves.filter(is_move=True, applied=is_back)
    moves = list((rest.filter(pk__gt=run.cursor) if run.cursor else rest).order_by("pk")[:BATCH])
    at = run.undone_at or run.applied_at
    assert at is not None
    pools = [] if is_back else owners.lock_pools(at=at)
    done = _place(run, moves, at, is_back=is_back)
    RoutingMove.objects.filter(pk__in=[move.pk for move in done]).update(applied=not is_back)
    _advance(pools, done)
    run.done, run.cursor = run.done + len(moves), moves[-1].pk if moves else run.cursor
    if len(moves) < BATCH:
        _finish(run)
    else:
        run.state = RunState.RUNNING
    run.save()


def _place(run: RoutingRun, moves: Sequence[RoutingMove], at: datetime, *, is_back: bool) -> list[RoutingMove]:
    """Put the accounts that still are where they were shown to be where they go; those whose moves were done."""
    accounts = {account.pk: account for account in db.lock(Account, [move.account_id for move in moves])}
    ends = {move.pk: _ends(move, is_back=is_back) for move in moves}
    free = roster.available(user_ids={after[0] for _before, after in ends.values() if after[0]}, at=at)
    due = []
    for move in moves:
        (before, after), account = ends[move.pk], accounts.get(move.account_id)
        is_there = account is not None and (account.owner_id, account.queue_id) == before
        if is_there and any(after) and (after[0] is None or after[0] in free):
            due.append(move)
    owners.place_many(
        accounts=[accounts[move.account_id] for move in due],
        places=[_target(run, move, ends[move.pk][1], is_back=is_back) for move in due],
        at=at,
        trigger="rerouting_undone" if is_back else "rerouted",
    )
    return due


def _ends(move: RoutingMove, *, is_back: bool) -> tuple[Place_, Place_]:
    was, becomes = (move.from_owner_id, move.from_queue_id), (move.to_owner_id, move.to_queue_id)
    return (becomes, was) if is_back else (was, becomes)


def _target(run: RoutingRun, move: RoutingMove, after: Place_, *, is_back: bool) -> Place:
    reasons = [Reason("undone", "owner", context.actor()).as_json()] if is_back else move.reasons
    return Place(*after, reasons=reasons, ruleset=run.ruleset)


def _advance(pools: Sequence[Pool], moves: Sequence[RoutingMove]) -> None:
    """Let the pools that served know who had their turns."""
    for pool in pools:
        turns = [move.to_owner_id for move in moves if _served(move, pool)]
        if not turns:
            continue
        Pool.objects.filter(pk=pool.pk).update(last_assigned_user=turns[-1])
        members = list(PoolMember.objects.filter(pool=pool))
        total = sum(member.weight for member in members)
        for member in members:
            member.current_weight += len(turns) * member.weight - turns.count(member.user_id) * total
        bulk.update(PoolMember, members, ("current_weight",))


def _served(move: RoutingMove, pool: Pool) -> bool:
    return any(reason["code"] in routing.TURNS and reason["value"] == pool.code for reason in move.reasons)


@transaction.atomic
def forget(*, at: datetime) -> int:
    """Throw away whom a dry run of a month ago showed, not how many they were; how many rows that was."""
    old = RoutingRun.objects.filter(kind=RoutingRun.Kind.DRY_RUN, finished_at__lt=at - KEPT)
    return RoutingMove.objects.filter(run__in=old).delete()[0]


def flows(run: RoutingRun) -> list[dict[str, Any]]:
    """How many go from whom to whom; each number is that many rows of ``run.moves`` with these values."""
    names = ("from_owner__name", "from_queue__name", "to_owner__name", "to_queue__name")
    keys = ("from_owner", "from_queue", "to_owner", "to_queue")
    rows = run.moves.values(*keys, *names).annotate(count=Count("pk"), moved=F("is_move")).order_by("-count", *names)
    return list(rows)
