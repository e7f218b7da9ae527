"""Teams and their members, and the queues that a team watches."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from crm.models import Queue, Team, TeamMembership
from gtm.shared import db, outbox, saving
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import User, write


@dataclass(frozen=True, slots=True)
class MemberTerms:
    """A member of a team; a manager sees everything of the team and of those right below it."""

    user: User
    is_manager: bool = False


# --- teams -------------------------------------------------------------------------------------
@transaction.atomic
def create_team(
    *,
    at: datetime,
    code: str,
    name: str,
    parent: Team | None = None,
    members: Sequence[MemberTerms] = (),
    **fields: Any,
) -> Team:
    """Make a team; publishes ``crm.team.created``. Raises Invalid for a code that is taken and for a member twice."""
    team = Team(code=code, name=name, parent=parent, **fields)
    saving.insert(team)
    _write_members(team, members)
    data = {"code": team.code, "parent": parent.code if parent else None, "members": _told(members)}
    outbox.publish("crm.team.created", team, at=at, data=data)
    return team


@transaction.atomic
def change_team(*, team: Team, at: datetime, members: Sequence[MemberTerms] | None = None, **changes: Any) -> Team:
    """Set what is given, and replace the members where they are; publishes ``crm.team.changed``.

    Raises Invalid for a parent that stands below the team.
    """
    db.advisory_lock("crm.teams")  # two new parents at once could close a circle that neither of them sees
    team = db.lock_one(team)
    if _is_below(changes.get("parent"), team):
        raise Invalid("A team can't stand below itself.", attr="parent")
    before = _members(team)
    changed = set(saving.change(team, **changes))
    if members is not None and set(members) != set(before):
        _write_members(team, members)
        if not changed:
            write(team)
        changed.add("members")
    if changed:
        data = {"code": team.code, "changed": sorted(changed), "members": _told(_members(team))}
        outbox.publish("crm.team.changed", team, at=at, data=data)
    return team


def _is_below(team: Team | None, above: Team) -> bool:
    while team is not None:
        if team == above:
            return True
        team = team.parent
    return False


def _members(team: Team) -> list[MemberTerms]:
    rows = team.memberships.select_related("user").order_by("user_id")
    return [MemberTerms(row.user, row.is_manager) for row in rows]


def _write_members(team: Team, members: Sequence[MemberTerms]) -> None:
    users = [terms.user for terms in members]
    if twice := next((user for user in users if users.count(user) > 1), None):
        raise Invalid(f"{twice} is listed twice.", attr="members")
    team.memberships.exclude(user__in=users).delete()
    for terms in members:
        TeamMembership.objects.update_or_create(team=team, user=terms.user, defaults={"is_manager": terms.is_manager})


def _told(members: Sequence[MemberTerms]) -> list[dict[str, Any]]:
    return [{"user": terms.user.public_id, "is_manager": terms.is_manager} for terms in members]


# --- queues ------------------------------------------------------------------------------------
@transaction.atomic
def create_queue(*, at: datetime, code: str, name: str, team: Team, is_catch_all: bool = False) -> Queue:
    """Make a queue that the team watches; publishes ``crm.queue.created``.

    A new catch-all replaces the one before; the first queue is it in any case.
    """
    is_catch_all = is_catch_all or not Queue.objects.filter(is_catch_all=True).exists()
    if is_catch_all:
        _retire_catch_all()
    queue = Queue(code=code, name=name, team=team, is_catch_all=is_catch_all)
    saving.insert(queue)
    data = {"code": queue.code, "team": team.code, "is_catch_all": is_catch_all}
    outbox.publish("crm.queue.created", queue, at=at, data=data)
    return queue


@transaction.atomic
def change_queue(*, queue: Queue, at: datetime, **changes: Any) -> Queue:
    """Set name, team or is_catch_all; publishes ``crm.queue.changed``.

    Raises Conflict (``no_catch_all``) for taking the last catch-all away: another queue is made the catch-all instead.
    """
    queue = db.lock_one(queue)
    changed = {name: value for name, value in changes.items() if getattr(queue, name) != value}
    if changed.get("is_catch_all") is False:
        raise Conflict("Make another queue the catch-all instead.", code="no_catch_all", attr="is_catch_all")
    if changed.get("is_catch_all"):
        _retire_catch_all()
    for name, value in changed.items():
        setattr(queue, name, value)
    if changed:
        saving.clean(queue, only=set(changed))
        queue.save(update_fields=list(changed))
        data = {"code": queue.code, "changed": sorted(changed), "is_catch_all": queue.is_catch_all}
        outbox.publish("crm.queue.changed", queue, at=at, data=data)
    return queue


def _retire_catch_all() -> None:
    """There is one at any time; the lock keeps two new ones from both finding the old one."""
    db.advisory_lock("crm.catch_all")
    Queue.objects.filter(is_catch_all=True).update(is_catch_all=False)
