"""Teams, the queues they watch, the pools whose reps take turns, and who is away."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import models, transaction

from crm.models import Leave, Pool, PoolMember, Queue, Team, TeamMembership
from gtm.shared import db, outbox, saving
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import User


@dataclass(frozen=True, slots=True)
class Membership:
    user: User
    is_manager: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A rep's place in a pool. ``capacity``: new accounts in a rolling 30 days; None is no limit."""

    user: User
    weight: int = 1
    capacity: int | None = None


# --- teams -------------------------------------------------------------------------------------
@transaction.atomic
def create_team(*, at: datetime, code: str, name: str, parent: Team | None = None, **fields: Any) -> Team:
    """Make a team; publishes ``crm.team.created``. Raises Invalid where the code is taken or none."""
    team = Team(code=code, name=name, parent=parent, **fields)
    saving.insert(team)
    _tell("crm.team.created", team, at, {"code": team.code, "parent": _code(team.parent)})
    return team


@transaction.atomic
def change_team(*, team: Team, at: datetime, **changes: Any) -> Team:
    """Set code, name, parent, external_id or metadata; publishes ``crm.team.changed``. Raises Invalid for a circle."""
    db.advisory_lock("crm.teams")  # two changes of parents at once could close a circle that neither sees
    team = db.lock_one(team)
    if _is_below(changes.get("parent"), team):
        raise Invalid("A team can't stand below itself.", attr="parent")
    previous = saving.change(team, **changes)
    if previous:
        _tell("crm.team.changed", team, at, {"changed": sorted(previous), "parent": _code(team.parent)})
    return team


def _is_below(team: Team | None, above: Team) -> bool:
    while team is not None:
        if team == above:
            return True
        team = team.parent
    return False


@transaction.atomic
def set_members(*, team: Team, members: Sequence[Membership], at: datetime) -> Team:
    """Make these the team's members; publishes ``crm.team.changed``. Raises Invalid for one who is named twice."""
    wanted = {member.user.pk: member.is_manager for member in members}
    if len(wanted) < len(members):
        raise Invalid("Name each member once.", attr="members")
    team = db.lock_one(team)
    before = dict(team.memberships.values_list("user", "is_manager"))
    if before == wanted:
        return team
    team.memberships.exclude(user__in=wanted).delete()
    TeamMembership.objects.bulk_create(
        [TeamMembership(team=team, user_id=key, is_manager=manages) for key, manages in wanted.items()],
        update_conflicts=True,
        unique_fields=["team", "user"],
        update_fields=["is_manager"],
    )
    saving.change(team, version=team.version)
    told = {
        "members": [member.user.public_id for member in members],
        "managers": [member.user.public_id for member in members if member.is_manager],
    }
    _tell("crm.team.changed", team, at, told)
    return team


# --- queues ------------------------------------------------------------------------------------
@transaction.atomic
def create_queue(*, at: datetime, code: str, name: str, team: Team, is_catch_all: bool = False) -> Queue:
    """Make a queue that the team watches; publishes ``crm.queue.created``. As the catch-all it replaces the one before."""
    if is_catch_all:
        _retire_catch_all()
    queue = Queue(code=code, name=name, team=team, is_catch_all=is_catch_all)
    saving.insert(queue)
    _tell("crm.queue.created", queue, at, {"code": queue.code, "team": team.code, "is_catch_all": is_catch_all})
    return queue


@transaction.atomic
def change_queue(*, queue: Queue, at: datetime, **changes: Any) -> Queue:
    """Set code, name, team or is_catch_all; publishes ``crm.queue.changed``.

    Raises Conflict (``no_catch_all``) for taking the last catch-all away: make another queue the catch-all instead.
    """
    queue = db.lock_one(queue)
    if queue.is_catch_all and changes.get("is_catch_all") is False:
        raise Conflict("Make another queue the catch-all instead.", code="no_catch_all", attr="is_catch_all")
    if changes.get("is_catch_all") and not queue.is_catch_all:
        _retire_catch_all()
    if _save(queue, changes):
        _tell("crm.queue.changed", queue, at, {"changed": sorted(changes), "is_catch_all": queue.is_catch_all})
    return queue


def _retire_catch_all() -> None:
    db.advisory_lock("crm.catch_all")
    Queue.objects.filter(is_catch_all=True).update(is_catch_all=False)


# --- pools -------------------------------------------------------------------------------------
@transaction.atomic
def create_pool(*, at: datetime, code: str, name: str) -> Pool:
    """Make a pool; publishes ``crm.pool.created``."""
    pool = Pool(code=code, name=name)
    saving.insert(pool)
    _tell("crm.pool.created", pool, at, {"code": pool.code})
    return pool


@transaction.atomic
def change_pool(*, pool: Pool, at: datetime, **changes: Any) -> Pool:
    """Set code or name; publishes ``crm.pool.changed``."""
    pool = db.lock_one(pool)
    if _save(pool, changes):
        _tell("crm.pool.changed", pool, at, {"changed": sorted(changes)})
    return pool


@transaction.atomic
def set_pool_members(*, pool: Pool, members: Sequence[Place], at: datetime) -> Pool:
    """Make these the pool's reps, in this order; publishes ``crm.pool.changed``.

    Whoever leaves right after their turn hands the pointer to the rep before them, so that nobody is skipped or served
    twice. Raises Invalid for somebody named twice or a weight below 1.
    """
    if len({place.user.pk for place in members}) < len(members):
        raise Invalid("Name each rep once.", attr="members")
    if any(place.weight < 1 for place in members):
        raise Invalid("A weight is 1 or more.", attr="members")
    pool = db.lock_one(pool)
    before = list(pool.members.order_by("position", "user"))
    pool.last_assigned_user_id = _pointer(pool, before, members)
    pool.save(update_fields=["last_assigned_user"])
    pool.members.exclude(user__in=[place.user.pk for place in members]).delete()
    PoolMember.objects.bulk_create(
        [
            PoolMember(pool=pool, user=place.user, position=position, weight=place.weight, capacity=place.capacity)
            for position, place in enumerate(members)
        ],
        update_conflicts=True,
        unique_fields=["pool", "user"],
        update_fields=["position", "weight", "capacity"],
    )
    _tell("crm.pool.changed", pool, at, {"members": [place.user.public_id for place in members]})
    return pool


def _pointer(pool: Pool, before: Sequence[PoolMember], after: Sequence[Place]) -> Any:
    """The user last assigned, or the nearest before them who stays; None starts from the beginning."""
    staying = {place.user.pk for place in after}
    order = [member.user_id for member in before]
    last = pool.last_assigned_user_id
    if last is None or last in staying or last not in order:
        return last
    place = order.index(last)
    backwards = [*reversed(order[:place]), *reversed(order[place + 1 :])]
    return next((user_id for user_id in backwards if user_id in staying), None)


# --- leave -------------------------------------------------------------------------------------
@transaction.atomic
def add_leave(*, user: User, starts_at: datetime, ends_at: datetime, at: datetime) -> Leave:
    """Let the rep be away on [starts_at, ends_at); publishes ``crm.leave.added``. Raises Invalid for an end before."""
    if ends_at <= starts_at:
        raise Invalid("Leave ends after it starts.", attr="ends_at")
    leave = Leave.objects.create(user=user, starts_at=starts_at, ends_at=ends_at)
    _tell("crm.leave.added", leave, at, _dates(leave))
    return leave


@transaction.atomic
def change_leave(*, leave: Leave, at: datetime, **changes: Any) -> Leave:
    """Set user, starts_at or ends_at; publishes ``crm.leave.changed``."""
    leave = db.lock_one(leave)
    if changes.get("ends_at", leave.ends_at) <= changes.get("starts_at", leave.starts_at):
        raise Invalid("Leave ends after it starts.", attr="ends_at")
    if _save(leave, changes):
        _tell("crm.leave.changed", leave, at, _dates(leave))
    return leave


@transaction.atomic
def remove_leave(*, leave: Leave, at: datetime) -> None:
    """Publishes ``crm.leave.removed``."""
    leave = db.lock_one(leave)
    _tell("crm.leave.removed", leave, at, _dates(leave))
    leave.delete()


def _dates(leave: Leave) -> dict[str, str]:
    return {
        "user": leave.user.public_id,
        "starts_at": leave.starts_at.isoformat(),
        "ends_at": leave.ends_at.isoformat(),
    }


# --- what they share ---------------------------------------------------------------------------
def _save(row: models.Model, changes: Mapping[str, Any]) -> bool:
    """Set what differs on a row without a version; True when something did. Raises Invalid."""
    differing = {name: value for name, value in changes.items() if getattr(row, name) != value}
    for name, value in differing.items():
        setattr(row, name, value)
    if differing:
        saving.clean(row, only=set(differing))
        row.validate_constraints()
        row.save(update_fields=list(differing))
    return bool(differing)


def _code(team: Team | None) -> str | None:
    return team.code if team else None


def _tell(fact: str, row: models.Model, at: datetime, data: dict[str, Any]) -> None:
    outbox.publish(fact, row, at=at, data=data)
