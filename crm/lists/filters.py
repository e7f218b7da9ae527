"""Filters of lists, by django-filter: they stand in the address, above the list as chips, and in saved views."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import django_filters
from django import forms
from django.db.models import QuerySet
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from crm.models import Account, SavedView, SavedViewRow
from gtm.shared import ids
from gtm.shared.models import SALES_ROLES, User
from gtm.shared.templatetags.tandem import quantity

MINE, NOBODY = "me", "none"
UNNAMED = ("q", "sort", "column", "at")  # of the address: no filters


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter that is on: what it says, and the query string without it."""

    label: str
    value: str
    without: str


class ListFilters(django_filters.FilterSet):
    """Reads only what fits; what doesn't is left out of the list's conditions and told by ``form.errors``."""

    view = django_filters.CharFilter(method="in_view", widget=forms.HiddenInput)

    def __init__(self, data: QueryDict, queryset: QuerySet[Any], *, user: User, at: datetime) -> None:
        super().__init__(data, queryset=queryset, prefix=None)
        self.user, self.at = user, at
        for field in self.form.fields.values():
            field.required = False
            if isinstance(field, forms.ChoiceField):
                field.choices = list(cast("Iterable[Any]", field.choices))  # asked for once, not at each look at them

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        for name, value in self.form.cleaned_data.items():
            queryset = self.filters[name].filter(queryset, value)
        return queryset

    def in_view(self, rows: QuerySet[Any], _name: str, value: str) -> QuerySet[Any]:
        """Those that were put into a view by hand, where the view is the user's to see."""
        try:
            key = ids.decode(value, prefix=SavedView.PREFIX)
        except ValueError:
            return rows.none()
        views = SavedView.objects.visible_to(self.user).filter(pk=key)
        return rows.filter(pk__in=SavedViewRow.objects.filter(view__in=views).values("object_id"))

    def chips(self) -> list[Chip]:
        self.errors  # noqa: B018 -- cleans the form
        data = cast("QueryDict", self.form.data)
        return [
            Chip(str(self.form.fields[name].label), self._said(name, value), _without(data, name))
            for name, value in self.form.cleaned_data.items()
            if value not in (None, "", []) and name != "view"
        ]

    def _said(self, name: str, value: Any) -> str:
        field = self.form.fields[name]
        if isinstance(field, forms.ChoiceField):
            return str(dict(cast("Iterable[Any]", field.choices)).get(str(value), value))
        return "" if value is True else str(quantity(value) if isinstance(value, int) else value)


def _without(data: QueryDict, *names: str) -> str:
    kept = data.copy()
    for name in (*names, "at"):
        kept.pop(name, None)
    return kept.urlencode()


def number(name: str, lookup: str, label: Any, **widget: Any) -> django_filters.NumberFilter:
    return django_filters.NumberFilter(
        field_name=name, lookup_expr=lookup, label=label, min_value=-(2**31), max_value=2**31 - 1, **widget
    )


def text(name: str, label: Any) -> django_filters.CharFilter:
    return django_filters.CharFilter(field_name=name, lookup_expr="exact", label=label, max_length=100)


class Choice(django_filters.ChoiceFilter):
    """One of some; nothing chosen is everything."""

    def __init__(self, *args: Any, choices: Iterable[Any] | Callable[[], Iterable[Any]], **kwargs: Any) -> None:
        super().__init__(*args, choices=choices, empty_label=_("Any"), **kwargs)


class Flag(django_filters.ChoiceFilter):
    """On, or not asked for: ``?name=1``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        choices = [("1", _("yes"))]
        super().__init__(*args, choices=choices, empty_label=_("Any"), **kwargs)


class OfAccount(django_filters.CharFilter):
    """What is of one account, by its id, as the account's page links to all that it has no room for."""

    def __init__(self) -> None:
        super().__init__(label=_("Account"), max_length=100, widget=forms.HiddenInput)

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        if not value:
            return qs
        try:
            return qs.filter(account_id=ids.decode(value, prefix=Account.PREFIX))
        except ValueError:
            return qs.none()


class Owner(Choice):
    """Me, nobody, or one of those who sell; ``column`` is the owner's."""

    def __init__(self, column: str = "owner", **kwargs: Any) -> None:
        super().__init__(label=_("Owner"), choices=owner_choices, **kwargs)
        self.column = column

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        if not value:
            return qs
        if value == NOBODY:
            return qs.filter(**{self.column: None})
        user = self.parent.user.pk if value == MINE else ids.decode(value, prefix=User.PREFIX)
        return qs.filter(**{self.column: user})


def owner_choices() -> list[tuple[str, Any]]:
    return [(MINE, _("Me")), (NOBODY, _("Nobody")), *reps()]


def reps() -> list[tuple[str, str]]:
    """Who may own something, by name. One query."""
    selling = User.objects.filter(is_active=True, roles__overlap=[*SALES_ROLES, "founder"])
    return [(user.public_id, str(user)) for user in selling.order_by("name", "email")]
