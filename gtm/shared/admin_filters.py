"""Filters of lists that several nouns share."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest


class OnTestClock(admin.SimpleListFilter):
    """What stands on test clocks, apart from what is real."""

    title = "test clock"
    parameter_name = "clocked"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "Real"), ("yes", "On a test clock")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        return queryset.filter(test_clock__isnull=self.value() == "no")
