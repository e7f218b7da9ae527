"""How far each role reads and writes, as the founders say."""

from datetime import datetime

from django.db import transaction

from crm.models.scoping import DEFAULTS, RANKS, RoleScope
from gtm.shared import db, outbox, saving
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Role


@transaction.atomic
def create(*, role: str, reads: str, writes: str, at: datetime) -> RoleScope:
    """Say how far a role goes for which the default held till now; publishes ``crm.role_scope.changed``.

    Raises Invalid for a level that there isn't, for a role that would work what it can't see, and for founders.
    """
    scope = RoleScope(role=role, reads=reads, writes=writes)
    _check(scope)
    saving.insert(scope)
    _tell(scope, DEFAULTS[role], at=at)
    return scope


@transaction.atomic
def change(*, scope: RoleScope, at: datetime, **changes: str) -> RoleScope:
    """Set ``reads``, ``writes`` or both; publishes ``crm.role_scope.changed``. Raises Invalid as ``create`` does."""
    scope = db.lock_one(scope)
    before = (scope.reads, scope.writes)
    scope.reads, scope.writes = changes.get("reads", scope.reads), changes.get("writes", scope.writes)
    if (scope.reads, scope.writes) != before:
        _check(scope)
        scope.save(update_fields=["reads", "writes"])
        _tell(scope, before, at=at)
    return scope


@transaction.atomic
def remove(*, scope: RoleScope, at: datetime) -> None:
    """Let the default hold again; publishes ``crm.role_scope.changed``."""
    scope = db.lock_one(scope)
    before, (scope.reads, scope.writes) = (scope.reads, scope.writes), DEFAULTS[scope.role]
    _tell(scope, before, at=at)
    scope.delete()


def _check(scope: RoleScope) -> None:
    saving.clean(scope)
    if scope.role == Role.FOUNDER:
        raise Conflict("Founders see and work everything.", code="founders_see_all", attr="role")
    if RANKS[scope.writes] > RANKS[scope.reads]:
        raise Invalid("Nobody works what they can't see: let the role see at least as much.", attr="writes")


def _tell(scope: RoleScope, before: tuple[str, str], *, at: datetime) -> None:
    data = {"role": scope.role, "reads": scope.reads, "writes": scope.writes}
    previous = {"reads": before[0], "writes": before[1]}
    outbox.publish("crm.role_scope.changed", scope, at=at, data=data, previous=previous)
