"""Who acted, by name: rows keep ids such as ``user:usr_…``, and a page's names are read at once, for all its rows."""

import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import QuerySet
from django.db.models.query import ModelIterable
from unfold.decorators import display

from gtm.shared import admin_columns as columns
from gtm.shared import ids
from gtm.shared.models import ApiKey, User
from gtm.shared.templatetags import tandem

_PAGES = {"user": "admin:shared_user_change", "key": "admin:shared_apikey_change"}


class NamesActors:
    """A page or a table of rows with an ``actor``: show it as ``who``, by the column of that name."""

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        found: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]  # of the page beside it
        named = found.all()
        named._iterable_class = _Named
        return named

    @display(description="By", ordering="actor")
    def who(self, row: Any) -> str:
        kind, _, name = row.actor.partition(":")
        if kind not in _PAGES:
            return kind.replace("_", " ").capitalize() or tandem.ABSENT
        return columns.anchor(_PAGES[kind], row.actor_key, row.actor_name or name)


class _Named(ModelIterable):
    """The rows, with ``actor_key`` and ``actor_name``: two more queries for however many there are."""

    def __iter__(self) -> Iterator[Any]:
        rows = list(super().__iter__())
        _name(rows)
        return iter(rows)


def _name(rows: Iterable[Any]) -> None:
    kinds: dict[str, set[uuid.UUID]] = {kind: set() for kind in _PAGES}
    for row in rows:
        kind, _, name = row.actor.partition(":")
        row.actor_key, row.actor_name = _decoded(name), ""
        if row.actor_key is not None and kind in kinds:
            kinds[kind].add(row.actor_key)
    known: dict[Any, str] = {}
    for model, keys in ((User, kinds["user"]), (ApiKey, kinds["key"])):
        known |= {found.pk: str(found) for found in model._default_manager.filter(pk__in=keys)} if keys else {}
    for row in rows:
        row.actor_name = known.get(row.actor_key, "")


def _decoded(text: str) -> uuid.UUID | None:
    try:
        return ids.decode(text, prefix=text.rpartition("_")[0])
    except ValueError:
        return None
