"""Taking in the rows of a file: what each comes to, decided for a batch at a time and written by few statements.

A noun's intake (``crm.account_intake`` and its neighbours) has FIELDS, KEYS, and the functions of ``Intake``: ``plan``
only reads, ``carry_out`` only writes, and ``hanging`` says what keeps a row from being taken away again.
Cells that are empty overwrite nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from django.db import connection
from django.db.models.fields.reverse_related import ForeignObjectRel

from crm.import_fields import Error, Field, Row
from crm.models import ImportRow
from gtm.shared import db
from gtm.shared.models import Resource, User

SOURCE = "import"
State = ImportRow.State
REFUSED = "This row can't be taken in. Ask a founder or a sales manager."  # the same whatever stands behind it


@dataclass(slots=True)
class Outcome:
    """What becomes of a row: what it is to make (``new``), or to change of ``found``, and what stood there before."""

    row: Row
    state: str = State.CREATED
    found: Any = None
    new: Any = None
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)

    def refuse(self, of: str, text: str) -> None:
        self.row.errors.append(Error(of, text))
        self.state = State.REFUSED

    @property
    def object_id(self) -> UUID | None:
        thing = self.new or self.found
        return thing.pk if thing is not None and self.state != State.REFUSED else None


class Intake(Protocol):
    FIELDS: Sequence[Field]
    KEYS: Sequence[str]
    MODEL: type[Resource]
    BATCH: int

    def lock(self, rows: Sequence[Row], at: datetime) -> None:
        """Hold what the batch may make or change, in the order that all keep."""

    def plan(self, rows: Sequence[Row], *, key: str, user: User, at: datetime) -> list[Outcome]:
        """What the rows come to. Reads, by a fixed number of queries, and writes nothing."""

    def carry_out(self, outcomes: Sequence[Outcome], *, at: datetime) -> None:
        """Write what was planned, by a fixed number of statements."""

    def restore(self, things: Sequence[tuple[Any, Mapping[str, Any]]], *, at: datetime) -> None:
        """Put these values back, by a fixed number of statements. The objects are locked."""

    def remove(self, things: Collection[Any], *, at: datetime) -> None:
        """Take away what an import made and nothing hangs on."""

    def hanging(self, keys: Sequence[UUID]) -> set[UUID]:
        """Those on which something hangs that did not come with them."""

    def worked(self, keys: Sequence[UUID]) -> set[UUID]:
        """Those that somebody has worked since in ways of which no field tells."""


def changed(found: Any, values: Mapping[str, Any], names: Collection[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values before and after of what the row says otherwise."""
    after = {name: values[name] for name in names if name in values and values[name] != getattr(found, name)}
    return {name: getattr(found, name) for name in after}, after


def advisory_locks(name: str, keys: Collection[str]) -> None:
    """The locks of ``db.advisory_lock(name, None, key)`` for many keys, by one statement and always in one order."""
    if not keys:
        return
    numbers = sorted(db.lock_number(name, None, key) for key in set(keys))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(n) FROM unnest(%s::bigint[]) AS n", [numbers])


def related_keys(model: type[Resource], keys: Sequence[UUID], *, own: Collection[str]) -> set[UUID]:
    """The rows to which any other table refers, but for the tables ``own``, whose rows come and go with them.

    Tables that can't be asked for from here are asked as well (``related_name="+"``), as their rows go by cascade too.
    """
    held: set[UUID] = set()
    for relation in model._meta.get_fields(include_hidden=True):
        if not isinstance(relation, ForeignObjectRel) or relation.many_to_many:
            continue
        label = relation.related_model._meta.label
        if label not in own:
            column = relation.field.attname
            rows = relation.related_model._base_manager.filter(**{f"{column}__in": keys})
            held |= set(rows.values_list(column, flat=True))
    return held
