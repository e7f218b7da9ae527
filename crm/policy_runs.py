"""Segment policies over all accounts: who would move under a draft, and the move itself.

A run is a row that a task works off in batches, each in a transaction of its own with what it found: whoever is killed
leaves a run that goes on where it stopped. Memory holds one batch. What stands on a test clock is no part of it.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import OperationalError, transaction
from django.db.models import Count, Q

from crm import policies, segments
from crm.models import Account, PolicyMove, PolicyRun, RunState, SegmentPolicy
from crm.segments import Outcome
from gtm.shared import bulk, context, db, nudges, outbox

BATCH = 1000
KEPT = timedelta(days=30)
TASK = "crm.tasks.work_off_runs"
OPEN = Q(state__in=[RunState.QUEUED, RunState.RUNNING])
log = structlog.get_logger(__name__)


# --- asked for ---------------------------------------------------------------------------------
@transaction.atomic
def dry_run(*, policy: SegmentPolicy, at: datetime) -> PolicyRun:
    """Find out who would move if the policy counted, without changing anything; publishes ``crm.policy_run.asked``."""
    return _ask(policy, PolicyRun.Kind.DRY_RUN, at)


@transaction.atomic
def apply(*, policy: SegmentPolicy, at: datetime) -> PolicyRun:
    """Publish a draft and decide all accounts anew under it. Raises Conflict for what is no draft."""
    return _ask(policies.publish(policy=policy, at=at), PolicyRun.Kind.APPLY, at)


@transaction.atomic
def roll_back(*, policy: SegmentPolicy, at: datetime) -> PolicyRun:
    """Publish the terms of an earlier version as the next one, and decide all accounts anew under them.

    Raises Conflict for the version that counts and for a draft.
    """
    return apply(policy=policies.restored(policy=policy, at=at), at=at)


def _ask(policy: SegmentPolicy, kind: str, at: datetime) -> PolicyRun:
    run = PolicyRun.objects.create(policy=policy, kind=kind, asked_at=at, asked_by=context.actor())
    outbox.publish("crm.policy_run.asked", run, at=at, data={"kind": kind, "policy": policy.number})
    nudges.on_commit(TASK)
    return run


# --- worked off --------------------------------------------------------------------------------
def work_off() -> int:
    """Work off all runs that wait, unless others do; how many batches it took."""
    batches, put_off = 0, set[UUID]()
    while (key := _next(put_off)) is not None:
        try:
            batches += _step(key)
        except OperationalError:  # a deadlock, or the database went away: the run goes on later, where it stopped
            log.exception("policy_run_put_off", run=str(key))
            put_off.add(key)
        except Exception as error:  # whatever is wrong with one run, the others go on
            log.exception("policy_run_failed", run=str(key))
            _fail(key, f"{type(error).__name__}: {error}")
    return batches


def _next(put_off: Collection[UUID]) -> UUID | None:
    waiting = PolicyRun.objects.filter(OPEN).exclude(pk__in=put_off).order_by("asked_at", "pk")
    with transaction.atomic():
        return waiting.select_for_update(skip_locked=True).values_list("pk", flat=True).first()


@transaction.atomic
def _step(key: UUID) -> int:
    """Do the next batch of a run: 1, or 0 where somebody else has it."""
    run = PolicyRun.objects.select_for_update(of=("self",), skip_locked=True).filter(OPEN, pk=key).first()
    if run is None:
        return 0
    accounts = Account.objects.filter(test_clock=None)
    if run.state == RunState.QUEUED:
        run.state, run.total = RunState.RUNNING, accounts.count()
    if run.kind == PolicyRun.Kind.APPLY and policies.current_policy(at=run.asked_at) != run.policy:
        _finish(run, RunState.FAILED, "A newer version was published meanwhile.")
        return 1
    rest = accounts.filter(pk__gt=run.cursor) if run.cursor else accounts
    keys = list(rest.order_by("pk").values_list("pk", flat=True)[:BATCH])
    _decide(run, keys)
    run.done, run.cursor = run.done + len(keys), keys[-1] if keys else run.cursor
    if len(keys) < BATCH:
        _finish(run, RunState.DONE)
    run.save()
    return 1


def _decide(run: PolicyRun, keys: Sequence[UUID]) -> None:
    policy, applies = run.policy, run.kind == PolicyRun.Kind.APPLY
    at = max(run.asked_at, db.now()) if applies else run.asked_at  # what changed since it was asked for counts
    accounts = db.lock(Account, keys) if applies else bulk.select(Account.objects.filter(bulk.among("pk", keys)))
    found = segments.outcomes(accounts=accounts, policy=policy, at=at)
    moves = [_move(run, one) for one in found if one.moves]
    bulk.insert(PolicyMove, moves)
    run.moved += len(moves)
    if applies:
        segments.carry_out(found, policy=policy, at=at)


def _move(run: PolicyRun, outcome: Outcome) -> PolicyMove:
    before, after = outcome.previous, outcome.decided
    return bulk.new(
        PolicyMove,
        run=run,
        account=outcome.account,
        from_segment=before["segment"],
        to_segment=after["segment"],
        from_motion=before["motion"],
        to_motion=after["motion"],
        from_dead_zone=before["dead_zone"],
        to_dead_zone=after["dead_zone"],
        reasons=outcome.reasons,
    )


def _finish(run: PolicyRun, state: str, error: str = "") -> None:
    run.state, run.error, run.finished_at = state, error[:2000], db.now()
    run.save()
    data = {"kind": run.kind, "state": state, "policy": run.policy.number, "total": run.total, "moved": run.moved}
    outbox.publish("crm.policy_run.finished", run, at=run.finished_at, data=data)


@transaction.atomic
def _fail(key: UUID, error: str) -> None:
    if run := PolicyRun.objects.select_for_update(of=("self",)).filter(OPEN, pk=key).first():
        _finish(run, RunState.FAILED, error)


@transaction.atomic
def forget(*, at: datetime) -> int:
    """Throw away whom a dry run of a month ago showed, not how many they were; how many rows that was."""
    old = PolicyRun.objects.filter(kind=PolicyRun.Kind.DRY_RUN, finished_at__lt=at - KEPT)
    return PolicyMove.objects.filter(run__in=old).delete()[0]


# --- read --------------------------------------------------------------------------------------
def flows(run: PolicyRun) -> list[dict[str, object]]:
    """How many move from where to where; each number is that many rows of ``run.moves`` with these values."""
    names = ("from_segment", "to_segment", "from_motion", "to_motion", "from_dead_zone", "to_dead_zone")
    rows = run.moves.values(*names).annotate(count=Count("pk")).order_by("-count", *names)
    return list(map(dict, rows))
