"""Filters of lists: by field name, by reference, and by time with bracketed comparisons (``updated_at[gte]``)."""

from collections.abc import Iterable
from typing import Any, ClassVar

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import exceptions
from rest_framework.request import Request

from gtm.shared import ids
from gtm.shared.api import fields, references
from gtm.shared.models import Row, TestClock

COMPARISONS = ("gt", "gte", "lt", "lte")


class ReferenceFilter(django_filters.Filter):
    """``?customer=cus_…``, a code or ``external_id:…``; what names nothing finds nothing, without being looked up."""

    def __init__(self, model: type[Row], **kwargs: Any) -> None:
        self.target = model  # a filter's own ``model`` is the one of the list
        super().__init__(**kwargs)

    @property
    def field(self) -> forms.Field:
        return _ReferenceFormField(self.target, required=False)

    def filter(self, queryset: QuerySet[Any], value: dict[str, Any] | None) -> QuerySet[Any]:
        if not value:
            return queryset
        return queryset.filter(**{f"{self.field_name}__{name}": wanted for name, wanted in value.items()})


class IdFilter(django_filters.Filter):
    """``?customer=cus_…`` where the column is a plain UUID. Without ``prefix`` any kind of id is taken."""

    def __init__(self, prefix: str = "", **kwargs: Any) -> None:
        self.prefix = prefix
        super().__init__(**kwargs)

    @property
    def field(self) -> forms.Field:
        return _IdFormField(self.prefix, required=False)


class InstantFilter(django_filters.IsoDateTimeFilter):
    """An instant with its offset, as in bodies."""

    @property
    def field(self) -> forms.Field:
        return _InstantFormField(required=False)


class FlagFilter(django_filters.BooleanFilter):
    """true or false."""

    @property
    def field(self) -> forms.Field:
        return _FlagFormField(required=False)


class _ReferenceFormField(forms.CharField):
    def __init__(self, model: type[Row], **kwargs: Any) -> None:
        self.model = model
        super().__init__(**kwargs)

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return None
        found = references.lookup(self.model, text)
        if found is None:
            raise ValidationError(f"Not an id that starts with {self.model.PREFIX}_.", code="invalid")
        return found


class _IdFormField(forms.CharField):
    def __init__(self, prefix: str, **kwargs: Any) -> None:
        self.prefix = prefix
        super().__init__(**kwargs)

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return None
        try:
            return ids.decode(text, prefix=self.prefix or text.rpartition("_")[0])
        except ValueError as error:
            raise ValidationError("Not a well-formed id.", code="invalid") from error


class _InstantFormField(forms.CharField):
    def clean(self, value: Any) -> Any:
        # An unescaped plus sign of an offset arrives as a space.
        text = super().clean(value).replace(" ", "+")
        if not text:
            return None
        try:
            return fields.instant(text)
        except (ValueError, OverflowError) as error:
            detail = "Give an instant with its offset, such as 2026-01-31T09:00:00Z."
            raise ValidationError(detail, code="invalid") from error


class _FlagFormField(forms.CharField):
    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if text not in {"", "true", "false"}:
            raise ValidationError("Give true or false.", code="invalid")
        return None if text == "" else text == "true"


class InstantsFilter(django_filters.FilterSet):
    """Adds ``NAME[gt]``, ``[gte]``, ``[lt]`` and ``[lte]`` for each name in ``instants``."""

    instants: ClassVar[Iterable[str]] = ()

    @classmethod
    def get_filters(cls) -> dict[str, django_filters.Filter]:
        filters = super().get_filters()
        for name in cls.instants:
            for comparison in COMPARISONS:
                filters[f"{name}[{comparison}]"] = InstantFilter(field_name=name, lookup_expr=comparison)
        return filters


class ResourceFilter(InstantsFilter):
    """What every list of resources can be filtered by. Subclasses add filters by the names of fields."""

    instants: ClassVar[Iterable[str]] = ("created_at", "updated_at")
    external_id = django_filters.CharFilter()
    test_clock = ReferenceFilter(TestClock)


class StrictFilterBackend(DjangoFilterBackend):
    """Refuses parameters that nobody reads: a misspelt filter would answer with everything."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        filterset = self.get_filterset_class(view, queryset)
        known = {*(filterset.base_filters if filterset else ()), *view.query_parameters}
        if view.paginator is not None:
            known |= {view.paginator.limit_param, view.paginator.cursor_param}
        refuse_unknown(request, known)
        return super().filter_queryset(request, queryset, view)


def refuse_unknown(request: Request, known: Iterable[str]) -> None:
    """Raise ValidationError for each query parameter that is not among the known ones."""
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        detail = {name: [exceptions.ErrorDetail("Unknown parameter.", code="unknown_parameter")] for name in unknown}
        raise exceptions.ValidationError(detail)
