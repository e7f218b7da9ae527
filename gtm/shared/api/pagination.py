"""Pages of lists by keyset: a cursor names the last row seen, so none is shown twice or missed while rows come and go.

REST framework's own cursor counts an offset among rows that share the first column and gives up after a thousand of
them; rows written by one statement share ``created_at`` easily. This one compares the whole key, which ends in a unique
column, as ``WHERE (created_at, id) < (…)``.
"""

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import Field, Model, Q, QuerySet
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True)
class Cursor:
    """A place between two rows: after ``values`` in the list's order, or before it when ``backwards``."""

    backwards: bool
    values: tuple[Any, ...]

    def encode(self) -> str:
        content = json.dumps([int(self.backwards), *map(_text, self.values)], separators=(",", ":"))
        return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def _is_definite(value: Any) -> bool:
    return value is not None and not (isinstance(value, datetime) and value.tzinfo is None)


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


class StableCursorPagination(BasePagination):
    """The view's ``ordering`` names non-null columns, all up or all down, the last one unique."""

    limit_param, cursor_param = "limit", "cursor"
    default_limit, max_limit = 20, 100
    ordering: Sequence[str] = ("-created_at", "-id")

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.request = request
        self._set_order(getattr(view, "ordering", self.ordering))
        limit = self._limit(request)
        self.cursor = self._decode(request.query_params.get(self.cursor_param), queryset.model)
        backwards = self.cursor is not None and self.cursor.backwards
        rows = list(self._after(queryset, backwards=backwards)[: limit + 1])
        more, rows = len(rows) > limit, rows[:limit]
        if backwards:
            rows.reverse()
        self._set_neighbours(rows, more=more, backwards=backwards)
        return rows

    def _set_order(self, ordering: Sequence[str]) -> None:
        self.columns = tuple(name.lstrip("-") for name in ordering)
        self.descending = ordering[0].startswith("-")
        assert all(name.startswith("-") == self.descending for name in ordering), "a list is ordered one way"

    def _limit(self, request: Request) -> int:
        text = request.query_params.get(self.limit_param, str(self.default_limit))
        if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= self.max_limit:
            raise _invalid(self.limit_param, f"Give a whole number from 1 to {self.max_limit}.")
        return int(text)

    def _decode(self, text: str | None, model: type[Model]) -> Cursor | None:
        if text is None:
            return None
        try:
            backwards, *values = json.loads(
                base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            )
            pairs = zip(self.columns, values, strict=True)
            key = tuple(_column(model, name).to_python(str(value)) for name, value in pairs)
            if backwards not in (0, 1) or not all(map(_is_definite, key)):
                raise ValueError(text)
        except (ValueError, TypeError, RecursionError, OverflowError, DjangoValidationError) as error:
            raise _invalid(self.cursor_param, "This is not a cursor of this list.") from error
        return Cursor(bool(backwards), key)

    def _after(self, queryset: QuerySet[Any], *, backwards: bool) -> QuerySet[Any]:
        """The rows behind the cursor, nearest first."""
        falling = self.descending != backwards
        if self.cursor is not None:
            queryset = self._bounded(queryset, self.cursor.values, "lt" if falling else "gt")
        return queryset.order_by(*(f"-{name}" if falling else name for name in self.columns))

    def _bounded(self, queryset: QuerySet[Any], values: Sequence[Any], comparison: str) -> QuerySet[Any]:
        beyond, equal = Q(), Q()
        for name, value in zip(self.columns, values, strict=True):
            beyond |= equal & Q(**{f"{name}__{comparison}": value})
            equal &= Q(**{name: value})
        # The first column alone bounds the index scan; an OR over columns would not.
        return queryset.filter(beyond, **{f"{self.columns[0]}__{comparison}e": values[0]})

    def _set_neighbours(self, rows: list[Any], *, more: bool, backwards: bool) -> None:
        """Whoever came by a cursor can go back to where it came from; a row left over means there are more ahead."""
        came = self.cursor is not None
        has_next, has_previous = (came, more) if backwards else (more, came)
        self.next = self._cursor(rows[-1], backwards=False) if rows and has_next else None
        self.previous = self._cursor(rows[0], backwards=True) if rows and has_previous else None

    def _cursor(self, row: Any, *, backwards: bool) -> Cursor:
        return Cursor(backwards, tuple(getattr(row, name) for name in self.columns))

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"results": data, "next": self._link(self.next), "previous": self._link(self.previous)})

    def _link(self, cursor: Cursor | None) -> str | None:
        if cursor is None:
            return None
        return replace_query_param(self.request.build_absolute_uri(), self.cursor_param, cursor.encode())

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": "string", "format": "uri", "nullable": True}
        properties = {"results": schema, "next": link, "previous": link}
        return {"type": "object", "required": list(properties), "properties": properties}

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        limit = {"type": "integer", "minimum": 1, "maximum": self.max_limit, "default": self.default_limit}
        return [
            {"name": self.limit_param, "in": "query", "required": False, "schema": limit},
            {
                "name": self.cursor_param,
                "in": "query",
                "required": False,
                "description": "From the `next` or `previous` of another page.",
                "schema": {"type": "string"},
            },
        ]


def _column(model: type[Model], name: str) -> "Field[Any, Any]":
    return cast("Field[Any, Any]", model._meta.get_field(name))


def _invalid(attr: str, detail: str) -> ValidationError:
    return ValidationError({attr: [ErrorDetail(detail, code="invalid")]})
