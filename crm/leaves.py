"""Out of office: when a rep gets nothing new, and who stands in.

The stand-in sees and works the accounts of who is away on [``starts_at``, ``ends_at``), see ``crm.models.scoping``;
nothing has to be undone afterwards.
"""

from datetime import datetime
from typing import Any

from django.db import transaction

from crm.models import Leave
from gtm.shared import db, outbox
from gtm.shared.errors import Invalid
from gtm.shared.models import User

CHANGEABLE = frozenset({"starts_at", "ends_at", "cover"})


@transaction.atomic
def create(*, at: datetime, user: User, starts_at: datetime, ends_at: datetime, cover: User | None = None) -> Leave:
    """Keep new work from a rep on [``starts_at``, ``ends_at``), and let ``cover`` stand in; ``crm.leave.created``.

    Raises Invalid where it ends before it starts, and for a stand-in who does not sell or is away then, too.
    """
    leave = Leave(user=user, starts_at=starts_at, ends_at=ends_at, cover=cover)
    _check(leave)
    leave.save()
    outbox.publish("crm.leave.created", leave, at=at, data=_told(leave))
    return leave


@transaction.atomic
def change(*, leave: Leave, at: datetime, **changes: Any) -> Leave:
    """Set when it starts or ends, or who stands in; publishes ``crm.leave.changed``. Raises Invalid as ``create``."""
    assert changes.keys() <= CHANGEABLE
    leave = db.lock_one(leave)
    changed = {name: value for name, value in changes.items() if getattr(leave, name) != value}
    if changed:
        previous = _told(leave)
        for name, value in changed.items():
            setattr(leave, name, value)
        _check(leave)
        leave.save(update_fields=list(changed))
        outbox.publish("crm.leave.changed", leave, at=at, data=_told(leave), previous=previous)
    return leave


def end(*, leave: Leave, at: datetime) -> None:
    """Be back at ``at``: what has not begun is called off, what has begun ends now."""
    if leave.starts_at >= at:
        remove(leave=leave, at=at)
    elif leave.ends_at > at:
        change(leave=leave, at=at, ends_at=at)


@transaction.atomic
def remove(*, leave: Leave, at: datetime) -> None:
    """Call a leave off; publishes ``crm.leave.removed``."""
    leave = db.lock_one(leave)
    outbox.publish("crm.leave.removed", leave, at=at, data=_told(leave))
    leave.delete()


def _check(leave: Leave) -> None:
    if leave.ends_at <= leave.starts_at:
        raise Invalid("A leave ends after it starts.", attr="ends_at")
    if leave.cover is None:
        return
    if leave.cover == leave.user:
        raise Invalid("Somebody else stands in.", attr="cover")
    if not leave.cover.sells:
        raise Invalid(f"{leave.cover} works no accounts.", attr="cover")
    meanwhile = Leave.objects.filter(user=leave.cover, starts_at__lt=leave.ends_at, ends_at__gt=leave.starts_at)
    if meanwhile.exclude(pk=leave.pk).exists():
        raise Invalid(f"{leave.cover} is away then, too.", attr="cover")


def _told(leave: Leave) -> dict[str, str | None]:
    return {
        "user": leave.user.public_id,
        "cover": leave.cover.public_id if leave.cover else None,
        "starts_at": leave.starts_at.isoformat(),
        "ends_at": leave.ends_at.isoformat(),
    }
