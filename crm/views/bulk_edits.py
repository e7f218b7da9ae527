"""Bulk edits: what is meant to be changed and what may not be, the change itself with its progress, and its undoing."""

from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from crm import bulk_edits
from crm.lists import reading
from crm.lists.listing import Listing
from crm.lists.listings import LISTINGS
from crm.models import BulkJob, BulkRow
from crm.views import desk
from gtm.shared import db, ids
from gtm.shared.api import references
from gtm.shared.errors import DomainError
from gtm.shared.guards import desk_only
from gtm.shared.models import User

TOLD = 200


@require_POST
@desk_only
def draft(request: HttpRequest, entity: str) -> HttpResponse:
    """From the ticked rows of a list, or from all that its address finds."""
    if entity not in LISTINGS:
        raise Http404
    listing, user = LISTINGS[entity], desk.of(request)
    keys = _all(request, listing, user) if request.POST.get("all") else _ticked(request, listing, user)
    try:
        job = bulk_edits.draft(listing=listing, user=user, keys=keys, code=request.POST.get("action", ""))
    except DomainError as refused:
        messages.error(request, refused.detail)
        return redirect(f"{reverse(listing.page)}?{request.POST.get('query', '')[:2000]}")
    return redirect("crm_bulk", job.public_id)


def _all(request: HttpRequest, listing: Listing, user: User) -> list[UUID]:
    read = reading.read(listing, user, QueryDict(request.POST.get("query", "")[:2000]), db.now())
    return list(read.rows.order_by().values_list("pk", flat=True)[: bulk_edits.MOST + 1])


def _ticked(request: HttpRequest, listing: Listing, user: User) -> list[UUID]:
    """Of the named rows, those that the user sees: others are no rows at all."""
    named = []
    for text in request.POST.getlist("row")[: bulk_edits.MOST]:
        try:
            named.append(ids.decode(text, prefix=listing.model.PREFIX))
        except ValueError:
            continue
    return list(listing.visible(user).filter(pk__in=named).values_list("pk", flat=True))


@desk_only
def show(request: HttpRequest, job: str) -> HttpResponse:
    """Before the start the form, while it runs the progress, afterwards what became of the rows."""
    found = _find(request, job)
    if found.state == BulkJob.State.DRAFT:
        return _prepare(request, found)
    template = "crm/lists/_bulk_progress.html" if request.htmx else "crm/lists/bulk.html"  # type: ignore[attr-defined]
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, template, _context(found))
    return desk.page(request, template, _context(found), active=LISTINGS[found.entity].page)


def _prepare(request: HttpRequest, job: BulkJob) -> HttpResponse:
    listing = LISTINGS[job.entity]
    action = bulk_edits.action(listing, job.action)
    form: Any = action.form(desk.of(request), *([request.POST] if request.method == "POST" else []))
    if request.method == "POST" and form.is_valid():
        act = partial(bulk_edits.start, job=job, params=form.params(), at=db.now())
        if desk.told(request, act) and job.total <= bulk_edits.AT_ONCE:
            bulk_edits.work(job=job)
        return redirect("crm_bulk", job.public_id)
    context = {"job": job, "listing": listing, "action": action, "form": form, "preview": bulk_edits.preview(job)}
    status = 422 if form.errors else 200
    return desk.page(request, "crm/lists/bulk_draft.html", context, active=listing.page, status=status)


def _context(job: BulkJob) -> dict[str, Any]:
    listing = LISTINGS[job.entity]
    told = job.rows.filter(state__in=[BulkRow.State.REFUSED, BulkRow.State.KEPT]).order_by("position")[:TOLD]
    rows = list(told)
    named = listing.visible(job.user).in_bulk([row.object_id for row in rows])
    undoing = job.state in (BulkJob.State.UNDOING, BulkJob.State.UNDONE)
    ended = job.state in (BulkJob.State.DONE, BulkJob.State.FAILED)
    return {
        "job": job,
        "listing": listing,
        "action": bulk_edits.action(listing, job.action),
        "done": job.undone if undoing else job.position,
        "changed": job.rows.filter(state=BulkRow.State.DONE).count(),
        "refused": [(named.get(row.object_id), row.error) for row in rows],
        "may_undo": ended and bulk_edits.action(listing, job.action).undo is not None,
    }


@require_POST
@desk_only
def undo(request: HttpRequest, job: str) -> HttpResponse:
    found = _find(request, job)
    if desk.told(request, partial(bulk_edits.undo, job=found, at=db.now())) and found.total <= bulk_edits.AT_ONCE:
        bulk_edits.work(job=found)
    return redirect("crm_bulk", job)


def _find(request: HttpRequest, job: str) -> BulkJob:
    """One's own: nobody sees what others work on."""
    found = references.find(BulkJob.objects.filter(user=desk.of(request)).select_related("user"), job)
    if found is None:
        raise Http404
    return found
