"""The parts that a list is declared of."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.db import models
from django.db.models import QuerySet
from django.db.models.expressions import Combinable
from django.utils.functional import Promise

from crm.lists.cells import Cell
from crm.models import Entity
from gtm.shared.models import Resource, User

if TYPE_CHECKING:
    from crm.lists.filters import ListFilters

Text = str | Promise


@dataclass(frozen=True, slots=True)
class Sort:
    """A sort key that stands on an index together with the row's id. It is never null: the unknown is the smallest."""

    key: str | Combinable
    column: "models.Field[Any, Any]"


@dataclass(frozen=True, slots=True)
class Edit:
    """How one cell is changed: the form's field, its present value, and the one operation that writes it.

    ``undo`` says what to write back, from the value that ``value`` gave; by default the same.
    """

    form_field: Callable[[User], forms.Field]
    value: Callable[[Any], Any]
    write: Callable[[Any, Any, datetime], Any]


@dataclass(frozen=True, slots=True)
class Column:
    """``cell`` takes a row and what ``Listing.load`` brought for the page."""

    code: str
    label: Text
    cell: Callable[[Any, Any], Cell]
    sort: str = ""
    edit: Edit | None = None
    shown: bool = True
    numeric: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """A view that everybody finds: a name and the query string that it stands for."""

    code: str
    label: Text
    query: str


@dataclass(frozen=True, slots=True)
class Action:
    """What is done to many rows. ``form`` asks for what it needs; ``apply`` calls the operation and tells the state
    before, or None where nothing was to be changed; ``undo`` puts that back and says why it didn't, where it didn't.
    """

    code: str
    label: Text
    form: Callable[[User], forms.Form]
    apply: Callable[[Any, Mapping[str, Any], datetime, User], dict[str, Any] | None]
    undo: Callable[[Any, dict[str, Any], datetime, User], str] | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    entity: Entity
    label: Text
    model: type[Resource]
    page: str
    url: Callable[[Any], str]
    columns: Sequence[Column]
    sorts: Mapping[str, Sort]
    default_sort: str
    filters: "type[ListFilters]"
    views: Sequence[View]
    load: Callable[[Sequence[Any], datetime], Any]
    matching: Callable[[QuerySet[Any], str], QuerySet[Any]]
    empty: tuple[Text, Text]
    search_label: Text
    related: tuple[str, ...] = ()
    actions: Sequence[Action] = field(default=())
    pages: Sequence[tuple[Text, str]] = ()  # other ways to look at the same: a label and the name of an address

    def column(self, code: str) -> Column | None:
        return next((column for column in self.columns if column.code == code), None)

    def visible(self, user: User) -> QuerySet[Any]:
        """The rows that ``user`` may read."""
        manager: Any = self.model._default_manager
        found: QuerySet[Any] = manager.visible_to(user)
        return found

    def workable(self, user: User) -> QuerySet[Any]:
        """The rows that ``user`` may change."""
        manager: Any = self.model._default_manager
        found: QuerySet[Any] = manager.workable_by(user)
        return found

    def workable_among(self, keys: Collection[Any], user: User) -> set[Any]:
        return set(self.workable(user).filter(pk__in=keys).values_list("pk", flat=True))
