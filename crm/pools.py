"""Pools: the reps who take turns, and in which order."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from crm.models import Pool, PoolMember
from gtm.shared import db, outbox, saving
from gtm.shared.errors import Invalid
from gtm.shared.models import User

MAX_WEIGHT = 100


@dataclass(frozen=True, slots=True)
class TurnTerms:
    """A rep's place in a pool: ``weight`` turns for another's one, at most ``capacity`` new leads in 30 days."""

    user: User
    position: int = 0
    weight: int = 1
    capacity: int | None = None


# --- pools -------------------------------------------------------------------------------------
@transaction.atomic
def create_pool(*, at: datetime, code: str, name: str, members: Sequence[TurnTerms] = ()) -> Pool:
    """Raises Invalid for a code that is taken and for members who don't sell."""
    pool = Pool(code=code, name=name)
    saving.insert(pool)
    _write_members(pool, members)
    outbox.publish("crm.pool.created", pool, at=at, data={"code": code, "members": _told(members)})
    return pool


@transaction.atomic
def change_pool(*, pool: Pool, at: datetime, members: Sequence[TurnTerms] | None = None, **changes: Any) -> Pool:
    """Rename a pool or replace its members. Who stays keeps their turn: the pointer is a person, not a place.

    Whoever leaves right after their turn hands the pointer to the nearest one before them who stays.
    """
    assert "code" not in changes, "a pool keeps its code"
    pool = db.lock_one(pool)
    changed = {name for name, value in changes.items() if getattr(pool, name) != value}
    for name in changed:
        setattr(pool, name, changes[name])
    saving.clean(pool)
    pool.save(update_fields=changed)
    if members is not None and _key(members) != _key(_members(pool)):
        _pass_pointer(pool, staying={terms.user for terms in members})
        _write_members(pool, members)
        changed.add("members")
    if changed:
        data = {"code": pool.code, "changed": sorted(changed), "members": _told(_members(pool))}
        outbox.publish("crm.pool.changed", pool, at=at, data=data)
    return pool


def _pass_pointer(pool: Pool, *, staying: set[User]) -> None:
    order = [terms.user for terms in _members(pool)]
    last = pool.last_assigned_user
    if last in order and last not in staying:
        place = order.index(last)
        before = [*reversed(order[:place]), *reversed(order[place:])]
        pool.last_assigned_user = next((user for user in before if user in staying), None)
        pool.save(update_fields=["last_assigned_user"])


def _members(pool: Pool) -> list[TurnTerms]:
    rows = pool.members.select_related("user").order_by("position", "user_id")
    return [TurnTerms(row.user, row.position, row.weight, row.capacity) for row in rows]


def _key(members: Sequence[TurnTerms]) -> set[tuple[Any, ...]]:
    return {(terms.user.pk, terms.position, terms.weight, terms.capacity) for terms in members}


def _write_members(pool: Pool, members: Sequence[TurnTerms]) -> None:
    users = [terms.user for terms in members]
    if twice := next((user for user in users if users.count(user) > 1), None):
        raise Invalid(f"{twice} is listed twice.", attr="members")
    for terms in members:
        _check(terms)
    pool.members.exclude(user__in=users).delete()
    for terms in members:
        place = {"position": terms.position, "weight": terms.weight, "capacity": terms.capacity}
        PoolMember.objects.update_or_create(pool=pool, user=terms.user, defaults=place)


def _check(terms: TurnTerms) -> None:
    if not terms.user.sells:
        raise Invalid(f"{terms.user} does not sell: give the user a sales role first.", attr="members")
    if not 1 <= terms.weight <= MAX_WEIGHT:
        raise Invalid(f"A weight is 1 to {MAX_WEIGHT}.", attr="members")


def _told(members: Sequence[TurnTerms]) -> list[dict[str, Any]]:
    return [{"user": terms.user.public_id, "position": terms.position, "weight": terms.weight} for terms in members]
