"""Imports: a file, what its columns mean, what its first rows would come to, the progress, and what was refused."""

import csv
from collections.abc import Iterator
from functools import partial
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from crm import csv_files, imports
from crm.intake import Outcome
from crm.lists.cells import safe
from crm.lists.listings import LISTINGS
from crm.models import Entity, ImportJob, ImportRow
from crm.views import desk
from gtm.shared import db
from gtm.shared.api import references
from gtm.shared.errors import DomainError
from gtm.shared.guards import desk_only

TOLD = 100
LATEST = 20


class UploadForm(forms.Form):
    entity = forms.ChoiceField(label=gettext_lazy("What the rows are"))
    file = forms.FileField(
        label=gettext_lazy("CSV file"),
        help_text=gettext_lazy("With the names of the columns in its first row; at most 20 MB and 100,000 rows."),
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,.tsv,.txt,text/csv"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        labels = dict(Entity.choices)
        self.fields["entity"].choices = [(code, labels[Entity(code)]) for code in imports.INTAKES]  # type: ignore[attr-defined]


@desk_only
def listed(request: HttpRequest) -> HttpResponse:
    """One's own imports, and the form for a new one."""
    user = desk.works(request) if request.method == "POST" else desk.of(request)
    posted = (request.POST, request.FILES) if request.method == "POST" else ()
    form = UploadForm(*posted, initial={"entity": request.GET.get("entity", "account")})
    if request.method == "POST" and form.is_valid():
        file = form.cleaned_data["file"]
        content = file.read(csv_files.MAX_BYTES + 1)
        try:
            job = imports.upload(user=user, entity=form.cleaned_data["entity"], filename=file.name, content=content)
        except DomainError as refused:
            form.add_error("file", refused.detail)
        else:
            return redirect("crm_import", job.public_id)
    jobs = ImportJob.objects.filter(user=user).defer("content").order_by("-created_at", "-pk")[:LATEST]
    context = {"form": form, "jobs": jobs}
    status = 422 if form.errors else 200
    return desk.page(request, "crm/imports.html", context, active="crm_imports", status=status)


@desk_only
def show(request: HttpRequest, job: str) -> HttpResponse:
    """Before the start the columns and the first rows; afterwards how far it is and what became of the rows."""
    found = _find(request, job)
    if found.state == ImportJob.State.DRAFT:
        return _prepare(request, found)
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "crm/_import_progress.html", _progress(found))
    return desk.page(request, "crm/import.html", _progress(found), active="crm_imports")


def _prepare(request: HttpRequest, job: ImportJob) -> HttpResponse:
    if request.method == "POST":
        mapping = {n: request.POST.get(f"column-{n}", "") for n in range(len(job.header))}
        act = partial(imports.understand, job=job, mapping=mapping, key=request.POST.get("key", ""))
        if desk.told(request, act):
            return redirect("crm_import", job.public_id)
        return desk.page(request, "crm/import_draft.html", _draft(job, mapping), active="crm_imports", status=422)
    return desk.page(request, "crm/import_draft.html", _draft(job, None), active="crm_imports")


def _draft(job: ImportJob, said: dict[int, str] | None) -> dict[str, Any]:
    fields = imports.fields_of(job.entity)
    mapping = said or {int(number): code for number, code in job.mapping.items()}
    outcomes = imports.look(job, at=db.now()) if job.key else []
    intake = imports.INTAKES[job.entity]
    labels = {field.code: field.label for field in fields}
    return {
        "job": job,
        "entity": Entity(job.entity).label,
        "encoding": csv_files.ENCODINGS[job.encoding],
        "delimiter": csv_files.DELIMITER_NAMES[job.delimiter],
        "columns": [(n, name, mapping.get(n, "")) for n, name in enumerate(job.header)],
        "fields": [(field.code, field.label) for field in fields],
        "keys": [(field.code, field.label) for field in fields if field.code in intake.KEYS],
        "outcomes": [
            _shown(outcome, sorted(n for n, code in mapping.items() if code in labels)) for outcome in outcomes
        ],
        "used": [(n, labels[code]) for n, code in sorted(mapping.items()) if code in labels],
    }


def _shown(outcome: Outcome, columns: list[int]) -> dict[str, Any]:
    cells = outcome.row.cells
    return {
        "row": outcome.row,
        "state": outcome.state,
        "shown": [cells[n] if n < len(cells) else "" for n in columns],
    }


def _progress(job: ImportJob) -> dict[str, Any]:
    undoing = job.state in (ImportJob.State.UNDOING, ImportJob.State.UNDONE)
    touched = job.created + job.updated
    kept = job.rows.filter(state=ImportRow.State.KEPT).order_by("position")[:TOLD] if undoing else ()
    return {
        "job": job,
        "undoing": undoing,
        "done": job.undone if undoing else job.position,
        "of": touched if undoing else job.total,
        "refused": job.rows.filter(state=ImportRow.State.REFUSED).order_by("position")[:TOLD],
        "kept": kept,
        "untold": max(0, job.refused - TOLD),
        "list_url": reverse(LISTINGS[job.entity].page) if job.entity in LISTINGS else "",
        "taken_back": touched - job.kept,
    }


@require_POST
@desk_only
def start(request: HttpRequest, job: str) -> HttpResponse:
    desk.told(request, partial(imports.start, job=_find(request, job), at=db.now()))
    return redirect("crm_import", job)


@require_POST
@desk_only
def undo(request: HttpRequest, job: str) -> HttpResponse:
    desk.told(request, partial(imports.undo, job=_find(request, job), at=db.now()))
    return redirect("crm_import", job)


@require_POST
@desk_only
def discard(request: HttpRequest, job: str) -> HttpResponse:
    """Forget a file that was never imported."""
    found = _find(request, job)
    if found.state == ImportJob.State.DRAFT:
        found.delete()
        messages.success(request, _("The file is forgotten."))
    return redirect("crm_imports")


@require_safe
@desk_only
def refused(request: HttpRequest, job: str) -> Any:
    """The rows that were refused, as a file to mend and import again, with their lines and why."""
    found = _find(request, job)
    answer = StreamingHttpResponse(_lines(found), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="refused.csv"'
    return answer


class _Echo:
    def write(self, line: str) -> str:
        return line


def _lines(job: ImportJob) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield "\ufeff"
    yield writer.writerow([*map(safe, job.header), _("Line"), _("Why")])
    for row in job.rows.filter(state=ImportRow.State.REFUSED).order_by("position").iterator(chunk_size=1000):
        cells = [*row.raw, *[""] * (len(job.header) - len(row.raw))][: len(job.header)]
        yield writer.writerow([*map(safe, cells), row.line, " ".join(f"{e['text']}." for e in row.errors)])


def _find(request: HttpRequest, job: str) -> ImportJob:
    """One's own."""
    mine = ImportJob.objects.filter(user=desk.of(request)).select_related("user").defer("content")
    found = references.find(mine, job)
    if found is None:
        raise Http404
    return found
