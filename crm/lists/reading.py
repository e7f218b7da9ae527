"""A list as an address asks for it: filters, words, sort, columns and the place in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from django.db.models import QuerySet
from django.http import QueryDict

from crm.lists import cells, paging
from crm.lists.filters import ListFilters
from crm.lists.listing import Column, Listing, Sort
from crm.models import SavedView
from gtm.shared.models import User

LONGEST = 200


@dataclass(frozen=True, slots=True)
class Reading:
    """What the user sees of a list, before any row of it is read."""

    listing: Listing
    user: User
    at: datetime
    query: QueryDict
    filters: ListFilters
    rows: QuerySet[Any]
    columns: Sequence[Column]
    sort_code: str
    descending: bool

    @property
    def sort(self) -> Sort:
        return self.listing.sorts[self.sort_code]

    @property
    def words(self) -> str:
        return self.query.get("q", "").strip()

    @property
    def is_filtered(self) -> bool:
        return bool(self.words or self.query.get("view") or self.filters.chips())

    def page(self) -> paging.Page:
        place = paging.place(self.query.get("at", ""), self.sort)
        return paging.page(self._whole(), self.sort, descending=self.descending, at=place)

    def _whole(self) -> QuerySet[Any]:
        return self.rows.select_related(*self.listing.related) if self.listing.related else self.rows

    def count(self) -> int:
        return paging.count(self.rows)

    def table(self, rows: Sequence[Any]) -> list[list[cells.Cell]]:
        """The cells of these rows; how often the database is asked does not depend on how many they are."""
        found = self.listing.load(rows, self.at)
        return [[column.cell(row, found) for column in self.columns] for row in rows]

    def lines(self) -> Iterator[list[str]]:
        """The whole list as an export has it, a chunk of rows in memory at a time."""
        yield [str(column.label) for column in self.columns]
        for rows in paging.chunks(self._whole(), self.sort, descending=self.descending):
            for row in self.table(rows):
                yield [cell.plain for cell in row]


def read(listing: Listing, user: User, query: QueryDict, at: datetime) -> Reading:
    query = _clean(query)
    found = listing.visible(user)
    filters = listing.filters(query, found, user=user, at=at)
    rows = filters.qs
    if words := query.get("q", "").strip():
        rows = listing.matching(rows, words)
    asked = query.get("sort", "")
    code, descending = asked.removeprefix("-"), asked.startswith("-")
    if code not in listing.sorts:
        code, descending = listing.default_sort.removeprefix("-"), listing.default_sort.startswith("-")
    return Reading(listing, user, at, query, filters, rows, _columns(listing, query), code, descending)


def _clean(query: QueryDict) -> QueryDict:
    """What people type into addresses: no byte that PostgreSQL refuses, and nothing without end."""
    clean = QueryDict(mutable=True)
    for name, values in query.lists():
        clean.setlist(name, [value[:LONGEST].replace("\0", "") for value in values[:50]])
    return clean


def _columns(listing: Listing, query: QueryDict) -> Sequence[Column]:
    """The chosen ones in the order of the declaration; the first, which names the row, is always there."""
    chosen = set(query.getlist("column"))
    if not chosen:
        return [column for column in listing.columns if column.shown]
    return [column for n, column in enumerate(listing.columns) if n == 0 or column.code in chosen]


# --- views -------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Tab:
    label: str
    query: str
    is_current: bool
    view: SavedView | None = None


def tabs(listing: Listing, user: User, query: QueryDict) -> list[Tab]:
    """All, the views that everybody finds, and those that were saved. One query."""
    now = canonical(query.urlencode())
    known = [Tab(str(view.label), view.query, canonical(view.query) == now) for view in listing.views]
    saved = SavedView.objects.visible_to(user).filter(entity=listing.entity).select_related("owner")
    kept = [
        Tab(view.name, view.query, canonical(view.query) == now, view)
        for view in saved.order_by("position", "name", "pk")
    ]
    return [Tab("", "", not now), *known, *kept]


def canonical(query: str) -> frozenset[tuple[str, str]]:
    """What a query string asks for, however it is written; the place in the list is no part of it."""
    return frozenset((name, value) for name, value in parse_qsl(query) if name != "at")
