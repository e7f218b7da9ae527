"""Lists of the desk: shown, kept as views, edited in place, exported. What is listed is declared in ``crm.lists``."""

import csv
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.db import transaction
from django.db.models import Max
from django.http import Http404, HttpRequest, HttpResponse, QueryDict, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from crm import bulk_edits, imports
from crm.lists import paging, reading
from crm.lists.listing import Column, Edit, Listing
from crm.lists.listings import LISTINGS
from crm.models import SavedView, TeamMembership
from crm.models.scoping import reach_of
from crm.views import desk
from gtm.shared import db
from gtm.shared.api import references
from gtm.shared.errors import Conflict, DomainError
from gtm.shared.guards import desk_only
from gtm.shared.templatetags.tandem import quantity

STALE = "It was changed meanwhile. This is how it stands now; change it again if it should still be changed."


# --- shown -------------------------------------------------------------------------------------
@require_safe
@desk_only
def page(request: HttpRequest, entity: str) -> HttpResponse:
    """The list of ``entity``, as the address asks for it."""
    listing = LISTINGS[entity]
    user, at = desk.of(request), db.now()
    read = reading.read(listing, user, request.GET, at)
    shown = read.page()
    count = read.count()
    tabs = reading.tabs(listing, user, read.query)
    context = {
        "listing": listing,
        "entity": str(listing.entity),
        "tabs": [tab for tab in tabs if tab.view is None or tab.view.pinned or tab.is_current],
        "more_views": [tab for tab in tabs if tab.view is not None and not tab.view.pinned],
        "current_view": next((tab.view for tab in tabs if tab.is_current and tab.view), None),
        "read": read,
        "chips": read.filters.chips(),
        "columns": [_heading(column) for column in read.columns],
        "choices": [(column, column in read.columns) for column in listing.columns[1:]],
        "rows": _rows(read, shown.rows),
        "kept": [(name, value) for name, values in read.query.lists() if name != "at" for value in values],
        "query": _query(read),
        "count": count,
        "count_text": f"{quantity(paging.MOST)}+" if count > paging.MOST else str(quantity(count)),
        "summary": _summary(shown, count),
        "previous": _address(read, shown.previous),
        "next": _address(read, shown.next),
        "actions": bulk_edits.actions(listing),
        "audiences": SavedView.Audience.choices,
        "importable": entity in imports.INTAKES and reach_of(user).writes.works,
    }
    return desk.page(request, "crm/lists/list.html", context, active=listing.page)


def _heading(column: Column) -> dict[str, Any]:
    return {"code": column.code, "label": column.label, "sort": column.sort, "numeric": column.numeric}


def _rows(read: reading.Reading, rows: list[Any]) -> list[dict[str, Any]]:
    listing = read.listing
    workable = listing.workable_among([row.pk for row in rows], read.user)
    return [
        {
            "object": row,
            "id": row.public_id,
            "url": listing.url(row),
            "cells": [
                _cell(listing, row, column, cell, may_edit=row.pk in workable)
                for column, cell in zip(read.columns, cells, strict=True)
            ],
        }
        for row, cells in zip(rows, read.table(rows), strict=True)
    ]


def _cell(listing: Listing, row: Any, column: Column, cell: Any, *, may_edit: bool) -> dict[str, Any]:
    edit = ""
    if column.edit and may_edit:
        edit = reverse("crm_list_cell", args=[listing.entity, row.public_id, column.code])
    return {"cell": cell, "column": column, "edit": edit}


def _query(read: reading.Reading) -> str:
    query = read.query.copy()
    query.pop("at", None)
    return query.urlencode()


def _address(read: reading.Reading, place: paging.Place | None) -> str:
    if place is None:
        return ""
    query = read.query.copy()
    query["at"] = str(place)
    return f"?{query.urlencode()}"


def _summary(shown: paging.Page, count: int) -> str:
    if not shown.rows:
        return ""
    first, last = shown.position + 1, shown.position + len(shown.rows)
    if count > paging.MOST:
        said = _("%(first)s to %(last)s of more than %(most)s")
        return said % {"first": quantity(first), "last": quantity(last), "most": quantity(paging.MOST)}
    said = _("%(first)s to %(last)s of %(count)s")
    return said % {"first": quantity(first), "last": quantity(last), "count": quantity(count)}


# --- exported ----------------------------------------------------------------------------------
class _Echo:
    """A file that gives back what is written to it."""

    def write(self, line: str) -> str:
        return line


@require_safe
@desk_only
def export(request: HttpRequest, entity: str) -> Any:
    """The list as CSV, written while it is read: of the filters and columns in the address, and of what one sees."""
    listing = _listing(entity)
    at = db.now()
    read = reading.read(listing, desk.of(request), request.GET, at)
    answer = StreamingHttpResponse(_written(read.lines()), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{entity}s-{at.date().isoformat()}.csv"'
    return answer


def _written(lines: Iterable[list[str]]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield "\ufeff"  # by which spreadsheets know UTF-8
    for line in lines:
        yield writer.writerow(line)


def _listing(entity: str) -> Listing:
    if entity not in LISTINGS:
        raise Http404
    return LISTINGS[entity]


# --- edited in place ---------------------------------------------------------------------------
class CellForm(forms.Form):
    version = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, field: forms.Field, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["value"] = field
        field.widget.attrs["data-focus"] = ""


@desk_only
def cell(request: HttpRequest, entity: str, row: str, column: str) -> HttpResponse:
    """One cell: its form on GET, the one operation that changes it on POST. Refusals stand in the cell, with 422."""
    listing = _listing(entity)
    user = desk.of(request)
    found = references.find(listing.workable(user).select_related(*listing.related), row)
    of = listing.column(column)
    if found is None or of is None or of.edit is None:
        raise Http404
    if request.GET.get("shown"):
        return _shown(request, listing, of, found)
    form = _form(request, found, of.edit, user)
    if request.method == "POST" and form.is_valid():
        try:
            _write(found, of.edit, form.cleaned_data, db.now_for(found))
        except DomainError as refused:
            found = listing.workable(user).select_related(*listing.related).get(pk=found.pk)
            form = _refused(form, found, of.edit, user, refused)
        else:
            return _shown(request, listing, of, found) if request.htmx else redirect(listing.page)  # type: ignore[attr-defined]
    return _cell_form(request, listing, of, found, form)


def _form(request: HttpRequest, row: Any, edit: Edit, user: Any) -> CellForm:
    initial = {"value": edit.value(row), "version": row.version}
    return CellForm(request.POST or None, field=edit.form_field(user), initial=initial, auto_id=f"{row.public_id}_%s")


def _write(row: Any, edit: Edit, data: dict[str, Any], at: datetime) -> None:
    """One at a time per row, so that of two who edit the same version one is told."""
    with transaction.atomic():
        db.advisory_lock("crm.cell", row.pk)
        version = type(row).objects.values_list("version", flat=True).get(pk=row.pk)
        if version != data["version"]:
            raise Conflict(STALE, code="stale_version")
        edit.write(row, data["value"], at)


def _refused(form: CellForm, row: Any, edit: Edit, user: Any, refused: DomainError) -> CellForm:
    """What was typed stands in the form still; after a stale version the next try is made for what stands now."""
    data = cast("QueryDict", form.data).copy()
    data["version"] = str(row.version)
    again = CellForm(data, field=edit.form_field(user), auto_id=form.auto_id)
    again.add_error("value", refused.detail)
    return again


def _cell_form(request: HttpRequest, listing: Listing, column: Column, row: Any, form: CellForm) -> HttpResponse:
    url = reverse("crm_list_cell", args=[listing.entity, row.public_id, column.code])
    context = {"form": form, "url": url, "row": row, "column": column, "back": reverse(listing.page)}
    status = 422 if form.errors else 200
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "crm/lists/_cell_form.html", context, status=status)
    return desk.page(request, "crm/lists/cell.html", context, active=listing.page, status=status)


def _shown(request: HttpRequest, listing: Listing, column: Column, row: Any) -> HttpResponse:
    """The cell as it stands now."""
    fresh = listing.visible(desk.of(request)).select_related(*listing.related).filter(pk=row.pk).first()
    if fresh is None:
        return HttpResponse(_("No longer yours to see."))
    at = db.now()
    shown = column.cell(fresh, listing.load([fresh], at))
    url = reverse("crm_list_cell", args=[listing.entity, fresh.public_id, column.code])
    named = column is listing.columns[0]
    open_url = listing.url(fresh) if named else ""
    context = {"cell": shown, "edit": url, "column": column, "url": open_url}
    return render(request, "crm/lists/_cell.html", context)


# --- views -------------------------------------------------------------------------------------
class ViewForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = SavedView
        fields = ("name", "audience", "query", "pinned")


@require_POST
@desk_only
def save_view(request: HttpRequest, entity: str) -> HttpResponse:
    """Keep the list as it is filtered, sorted and cut now; a view of one's own of the same name is replaced."""
    listing = _listing(entity)
    user = desk.of(request)
    form = ViewForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("A view needs a name of at most 60 characters."))
        return redirect(f"{reverse(listing.page)}?{request.POST.get('query', '')[:2000]}")
    data = form.cleaned_data
    team = _team(user) if data["audience"] == SavedView.Audience.TEAM else None
    if data["audience"] == SavedView.Audience.TEAM and team is None:
        messages.error(request, _("You are in no team that could share the view."))
        return redirect(f"{reverse(listing.page)}?{data['query']}")
    last = SavedView.objects.filter(entity=entity).aggregate(last=Max("position"))["last"] or 0
    defaults = {"query": data["query"], "audience": data["audience"], "team": team, "pinned": data["pinned"]}
    view, _made = SavedView.objects.update_or_create(
        owner=user,
        entity=entity,
        name=data["name"],
        defaults=defaults,
        create_defaults=defaults | {"position": last + 1},
    )
    messages.success(request, _("The view “%(name)s” is saved.") % {"name": view.name})
    return redirect(f"{reverse(listing.page)}?{view.query}")


def _team(user: Any) -> Any:
    membership = TeamMembership.objects.filter(user=user).select_related("team").order_by("pk").first()
    return membership.team if membership else None


@require_POST
@desk_only
def change_view(request: HttpRequest, view: str) -> HttpResponse:
    """Pin, unpin or delete a view of one's own; founders may do so with everybody's."""
    user = desk.of(request)
    found = references.find(SavedView.objects.visible_to(user), view)
    if found is None or not (found.owner_id == user.pk or (user.sees_all and found.audience == "everybody")):
        raise Http404
    listing = _listing(found.entity)
    if request.POST.get("do") == "delete":
        found.delete()
        messages.success(request, _("The view “%(name)s” is deleted.") % {"name": found.name})
        return redirect(listing.page)
    found.pinned = request.POST.get("do") == "pin"
    found.save(update_fields=["pinned"])
    return redirect(f"{reverse(listing.page)}?{found.query}")
