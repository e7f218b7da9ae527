"""Pages that cost the same at any depth of any number of rows: they go on from the last row by the sort key's index.

A place in a list is the sort key and the id of the row beyond which it goes on, with how many rows stand before it. The
rows are counted up to ``MOST`` and not beyond.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import BooleanField, F, Func, QuerySet, Value
from django.db.models.expressions import Combinable

from crm.lists.listing import Sort

SIZE = 50
MOST = 10_000
CHUNK = 1000


class _Pair(Func):
    template = "(%(expressions)s)"
    output_field = BooleanField()


class _Compared(Func):
    """A comparison of two rows of values: one range of an index that holds both columns."""

    template = "%(expressions)s"
    output_field = BooleanField()


@dataclass(frozen=True, slots=True)
class Place:
    """Beyond the row with this sort key and id; ``position`` rows come before what is shown."""

    key: Any
    pk: UUID
    position: int = 0
    backwards: bool = False

    def __str__(self) -> str:
        key = self.key if isinstance(self.key, int | str) else str(self.key)
        said = json.dumps([key, str(self.pk), self.position, int(self.backwards)])
        return base64.urlsafe_b64encode(said.encode()).decode().rstrip("=")


def place(text: str, sort: Sort) -> Place | None:
    """What stands in an address; None for what is no place in a list that is sorted so."""
    try:
        said = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        key, pk, position, backwards = said
        if "\0" in str(key).encode().decode():  # half a character is no text either
            return None
        return Place(sort.column.to_python(key), UUID(pk), max(0, int(position)), bool(backwards))
    except (ValueError, TypeError, AttributeError, OverflowError, ValidationError):
        return None


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[Any]
    position: int
    previous: Place | None
    next: Place | None


def ordered(rows: QuerySet[Any], sort: Sort, *, descending: bool) -> QuerySet[Any]:
    keyed = rows.annotate(list_key=_key(sort))
    return keyed.order_by("-list_key", "-pk") if descending else keyed.order_by("list_key", "pk")


def _key(sort: Sort) -> Combinable:
    return F(sort.key) if isinstance(sort.key, str) else sort.key


def page(rows: QuerySet[Any], sort: Sort, *, descending: bool, at: Place | None, size: int = SIZE) -> Page:
    """One query; one row more than is shown tells whether there are more."""
    backwards = bool(at and at.backwards)
    found = ordered(rows, sort, descending=descending != backwards)
    if at:
        found = found.filter(_beyond(sort, at, descending=descending != backwards))
    taken = list(found[: size + 1])
    more, shown = len(taken) > size, taken[:size]
    if backwards:
        shown.reverse()
        return _framed(shown, max(0, at.position - len(shown)) if at else 0, before=more, after=True)
    return _framed(shown, at.position if at else 0, before=at is not None, after=more)


def _framed(shown: list[Any], position: int, *, before: bool, after: bool) -> Page:
    first, last = (shown[0], shown[-1]) if shown else (None, None)
    return Page(
        rows=shown,
        position=position if before else 0,
        previous=Place(first.list_key, first.pk, position, backwards=True) if first and before else None,
        next=Place(last.list_key, last.pk, position + len(shown)) if last and after else None,
    )


def _beyond(sort: Sort, at: Place, *, descending: bool) -> Func:
    there = _Pair(Value(at.key, output_field=sort.column), Value(at.pk))
    return _Compared(_Pair(_key(sort), F("pk")), there, arg_joiner=" < " if descending else " > ")


def chunks(rows: QuerySet[Any], sort: Sort, *, descending: bool) -> Iterator[list[Any]]:
    """All rows in order, ``CHUNK`` at a time: what an export holds in memory, however many there are."""
    at = None
    while True:
        found = page(rows, sort, descending=descending, at=at, size=CHUNK)
        if found.rows:
            yield found.rows
        if found.next is None:
            return
        at = found.next


def count(rows: QuerySet[Any]) -> int:
    """How many there are, up to one more than ``MOST``."""
    return rows.order_by().values("pk")[: MOST + 1].count()


def without_place(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if name != "at"}
