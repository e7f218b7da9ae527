"""The history of fields: what was said before, what is said now, where that came from, who did it and when.

Facts name the fields that changed and hold no personal data; the values stand here, for whoever sees the account.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from crm.models import FieldChange
from gtm.shared import bulk, context
from gtm.shared.models import Resource, Row

HAND, API = "hand", "api"
UNTOLD = frozenset({"name_key", "email_domain", "metadata", "external_id"})


def by_whom() -> str:
    """The source of a change that somebody makes: a person by hand, an integrator by the API."""
    return API if context.actor().startswith("key:") else HAND


def started(thing: Resource, *, account_id: UUID, facts: Mapping[str, Any], at: datetime, source: str) -> None:
    """Keep what a new object says from the beginning; empty fields have no history yet."""
    said = {name: (None, value) for name, value in facts.items() if value not in (None, "", [], {}, False)}
    record(thing, account_id=account_id, changes=said, at=at, source=source)


def record(thing: Row, *, account_id: UUID, changes: Mapping[str, tuple[Any, Any]], at: datetime, source: str) -> None:
    """Keep (old, new) of each field; values of the founders' own fields are kept one by one, as ``custom.CODE``."""
    keep(rows(thing, account_id=account_id, changes=changes, at=at, source=source))


def move(thing: Row, *, account_id: UUID) -> None:
    """Let the history go along to the account of which the object is now: it is read with that one from then on."""
    FieldChange.objects.filter(object_id=thing.pk).update(account=account_id)


def keep(changes: Iterable[FieldChange]) -> None:
    """Write what ``rows`` made, of one object or of many."""
    if found := list(changes):
        bulk.insert(FieldChange, found)


def rows(
    thing: Row, *, account_id: UUID, changes: Mapping[str, tuple[Any, Any]], at: datetime, source: str
) -> list[FieldChange]:
    """What ``record`` keeps, not yet written."""
    return [
        bulk.new(
            FieldChange,
            account_id=account_id,
            object_type=thing._meta.model_name or "",
            object_id=thing.pk,
            field=field,
            old=plain(old),
            new=plain(new),
            source=source[:60],
            actor=context.actor(),
            at=at,
        )
        for field, (old, new) in _spread(changes).items()
    ]


def _spread(changes: Mapping[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
    told = {name: values for name, values in changes.items() if name not in UNTOLD and name != "custom"}
    before, after = (value or {} for value in changes.get("custom", ({}, {})))
    own = {f"custom.{code}": (before.get(code), after.get(code)) for code in sorted({*before, *after})}
    return told | {name: values for name, values in own.items() if values[0] != values[1]}


def plain(value: Any) -> Any:
    """The value as JSON holds it."""
    if isinstance(value, date | Decimal):
        return str(value)
    return value.public_id if isinstance(value, Row) else value
