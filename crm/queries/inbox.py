"""Today's rows: one statement over all sources finds, counts and sorts them, and one query per kind shows a page.

Where they come from stands in ``inbox_sources``.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db import connection

from crm import inbox
from crm.models import Alert, EmailMessage, Lead, Notification, Opportunity, Task
from crm.queries.inbox_sources import COLUMNS, Desk, Rows, desk, factors_at, of_tab
from gtm.shared.models import Row, User

__all__ = ["Counts", "Desk", "Found", "Page", "counts", "desk", "found_by", "listed"]
PAGE = 50


@dataclass(frozen=True, slots=True)
class Counts:
    """How many stand under each tab."""

    now: int
    snoozed: int
    done: int


# --- counted -----------------------------------------------------------------------------------
def counts(of: Desk) -> Counts:
    """One query: exactly the rows that the tabs show."""
    sources = [rows for tab in inbox.TABS for rows in of_tab(of, {}, tab)]
    sql, params = _union([rows.values_list("tab") for rows in sources], ["tab"])
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT tab, count(*) FROM ({sql}) AS desk GROUP BY tab", params)  # noqa: S608 -- no words from outside
        found = dict(cursor.fetchall())
    return Counts(*(found.get(tab, 0) for tab in inbox.TABS))


# --- listed ------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Found:
    """A row that is listed, with what it is about; ``place`` is where the next page goes on."""

    kind: str
    thing: Any
    due_at: datetime | None
    since: datetime
    worth: int
    band: int
    place: str


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[Found]
    next: str


def listed(of: Desk, tab: str, *, after: str = "") -> Page:
    """A page of the tab, after the row that ``after`` names; under Now in the order of ``inbox.place``.

    Snoozed rows stand by when they return, done ones latest first. Two queries (rates, rows), one per kind on the page.
    """
    at, key = _read(after)
    of = Desk(of.user, at or of.at, of.since, of.until)
    rows = _rows(of, tab, key)
    shown = rows[:PAGE]
    things = _things({kind: [row[1] for row in shown if row[0] == kind] for kind in inbox.KINDS})
    found = [
        Found(kind, things[key], due, since, worth, band, "")
        for kind, key, _tab, _severity, due, since, worth, band in shown
        if key in things
    ]
    return Page(found, _written(of.at, shown[-1], tab) if len(rows) > PAGE else "")


def _rows(of: Desk, tab: str, key: list[Any] | None) -> list[tuple[Any, ...]]:
    sql, params = _union(of_tab(of, factors_at(of.at), tab), COLUMNS)
    order = _order(tab)
    after = f"WHERE ({', '.join(order)}) > ({', '.join(['%s'] * len(order))})" if key else ""
    with connection.cursor() as cursor:
        statement = f"SELECT * FROM ({sql}) AS desk {after} ORDER BY {', '.join(order)} LIMIT %s"  # noqa: S608 -- as above
        cursor.execute(statement, [*params, *(key or ()), PAGE + 1])
        return cursor.fetchall()


def _order(tab: str) -> tuple[str, ...]:
    """Every column ascends, so that one comparison of rows goes on after a page."""
    if tab == inbox.NOW:
        return "band", "-worth", "coalesce(due, since)", "id"
    sign = "-" if tab == inbox.DONE else ""
    return f"{sign}extract(epoch FROM since)", "id"


def _written(at: datetime, last: tuple[Any, ...], tab: str) -> str:
    _kind, key, _tab, _severity, due, since, worth, band = last
    seconds = Decimal(str(since.timestamp())) * (-1 if tab == inbox.DONE else 1)
    place = [band, -worth, (due or since).isoformat(), str(key)] if tab == inbox.NOW else [str(seconds), str(key)]
    return base64.urlsafe_b64encode(json.dumps([at.isoformat(), *place]).encode()).decode().rstrip("=")


def _read(text: str) -> tuple[datetime | None, list[Any] | None]:
    """The instant of the first page and the place of the last row; nothing for what nobody wrote here."""
    try:
        at, *place = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if len(place) == len(_order(inbox.NOW)):
            key: list[Any] = [int(place[0]), int(place[1]), datetime.fromisoformat(place[2]), UUID(place[3])]
        else:
            key = [Decimal(place[0]), UUID(place[1])]
        return datetime.fromisoformat(at), key
    except (ValueError, TypeError, IndexError, ArithmeticError):
        return None, None


# --- shown -------------------------------------------------------------------------------------
RELATED: dict[str, tuple[type[Row], tuple[str, ...]]] = {
    inbox.ALERT: (Alert, ("account", "owner")),
    inbox.LEAD: (Lead, ("account", "owner")),
    inbox.TASK: (Task, ("account", "contact", "opportunity")),
    inbox.OPPORTUNITY: (Opportunity, ("account", "stage")),
    inbox.REPLY: (EmailMessage, ("account", "contact", "opportunity")),
    inbox.MENTION: (Notification, ("account", "note", "note__author")),
}


def _things(keys: Mapping[str, Sequence[UUID]]) -> dict[UUID, Any]:
    found: dict[UUID, Any] = {}
    for kind, (model, related) in RELATED.items():
        if keys.get(kind):
            found |= model._default_manager.select_related(*related).in_bulk(keys[kind])
    return found


def _union(sources: Sequence[Rows], names: Sequence[str]) -> tuple[str, list[Any]]:
    """One statement over all; a source that can hold nothing is left out."""
    parts: list[str] = []
    params: list[Any] = []
    for rows in sources:
        with suppress(EmptyResultSet):
            sql, values = rows.query.sql_with_params()
            parts.append(f"({sql})")
            params += values
    return f"SELECT * FROM ({' UNION ALL '.join(parts)}) AS found ({', '.join(names)})", params  # noqa: S608 -- as above


def found_by(user: User, kind: str, keys: Sequence[UUID]) -> dict[UUID, Any]:
    """The rows' own objects, those that are the user's to work on, whatever their tab; one query."""
    of: dict[str, Any] = {
        inbox.ALERT: Alert.objects.workable_by(user),
        inbox.LEAD: Lead.objects.workable_by(user),
        inbox.TASK: Task.objects.workable_by(user),
        inbox.OPPORTUNITY: Opportunity.objects.workable_by(user),
        inbox.REPLY: EmailMessage.objects.workable_by(user).exclude(account=None),
        inbox.MENTION: Notification.objects.of(user).filter(kind=Notification.Kind.MENTION),
    }
    related = RELATED[kind][1]
    found: dict[UUID, Any] = of[kind].select_related(*related).in_bulk(list(keys))
    return found
