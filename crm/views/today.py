"""Today: what needs the rep now, worked through from the top, by mouse, by keyboard, several rows at once."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import reswap, retarget

from crm import inbox, lead_terms, opportunities
from crm import today as steps
from crm.forms import NextStepForm
from crm.models import Opportunity
from crm.opportunity_forms import end_of_work
from crm.queries import inbox as rows
from crm.queries.upcoming import next_evaluation
from crm.views import desk
from crm.views.today_rows import dismissals, shown
from gtm.shared import db, ids
from gtm.shared.errors import DomainError
from gtm.shared.guards import desk_only
from gtm.shared.models import Resource, User

UNDO = "today_undo"
MOST = 200
DONE_WORDS = {
    inbox.TAKE: _("Taken"),
    inbox.DO: _("Done"),
    inbox.SNOOZE: _("Snoozed"),
    inbox.DISMISS: _("Put away as not useful"),
    inbox.BACK: _("Brought back"),
}


@require_safe
@desk_only
def today(request: HttpRequest) -> HttpResponse:
    tab, after = request.GET.get("tab", ""), request.GET.get("after", "")[:500]
    return desk.page(request, "crm/today.html", _context(request, tab, after=after), active="today")


def _context(request: HttpRequest, tab: str, *, after: str = "") -> dict[str, Any]:
    user, at = desk.of(request), db.now()
    tab = tab if tab in inbox.TABS else inbox.NOW
    of = rows.desk(user, at=at)
    page, counts = rows.listed(of, tab, after=after), rows.counts(of)
    reasons = _reasons(page.rows) if tab == inbox.NOW else []
    return {
        "tab": tab,
        "today": at,
        "counts": counts,
        "rows": [shown(row, user, at=at, tab=tab, rejections=reasons) for row in page.rows],
        "reasons": dismissals({row.kind for row in page.rows}, reasons) if tab == inbox.NOW else [],
        "next_url": "?" + urlencode({"tab": tab, "after": page.next}) if page.next else "",
        "step_url": reverse("today_step") + f"?tab={tab}",
        "undo_url": reverse("today_undo") + f"?tab={tab}",
        "undo_label": request.session.get(UNDO, {}).get("label", ""),
        "next_evaluation": None if page.rows or tab != inbox.NOW else next_evaluation(at=at),
    }


def _reasons(found: Iterable[rows.Found]) -> list[tuple[str, str]]:
    """Why a lead may be rejected, where there are any on the page."""
    if not any(row.kind == inbox.LEAD for row in found):
        return []
    return [(reason.code, reason.label) for reason in lead_terms.reasons()]


# --- steps -------------------------------------------------------------------------------------
@require_POST
@desk_only
def step(request: HttpRequest) -> HttpResponse:
    """A button of one row, or of all that are selected: ``row`` names each, ``step`` says what to do."""
    name, _colon, detail = request.POST.get("step", "").partition(":")
    user = desk.of(request)
    keys = _keys(request.POST.getlist("row")[:MOST])
    found = [(kind, thing) for kind, of in keys.items() for thing in rows.found_by(user, kind, of).values()]
    if not found and keys:
        raise PermissionDenied(_("These rows are not yours to work on."))
    if name == inbox.DISMISS and "/" in detail:  # a reason for several rows: it is that of some kinds
        of, _slash, detail = detail.partition("/")
        fitting = [one for one in found if one[0] in of.split(",")]
        _tell_of_others(request, len(found) - len(fitting))
        found = fitting
    taken, refused = _take(found, name, detail, user)
    _tell(request, name, taken, refused)
    return _answer(request, said=_said(name, len(taken)))


def _keys(names: Iterable[str]) -> dict[str, list[Any]]:
    """Kinds and keys of rows that were named; what names nothing is left out."""
    found: dict[str, list[Any]] = {}
    for name in names:
        kind, _colon, public_id = name.partition(":")
        if kind in inbox.KINDS:
            try:
                found.setdefault(kind, []).append(ids.decode(public_id, prefix=rows.RELATED[kind][0].PREFIX))
            except ValueError:
                continue
    return found


def _take(
    found: list[tuple[str, Any]], name: str, detail: str, user: User
) -> tuple[list[dict[str, Any]], list[DomainError]]:
    """Each row by itself, so that one that is refused doesn't keep the others."""
    taken: list[dict[str, Any]] = []
    refused: list[DomainError] = []
    for kind, thing in found:
        try:
            at = db.now_for(thing) if isinstance(thing, Resource) else db.now()
            until = at + inbox.SNOOZES[detail] if name == inbox.SNOOZE and detail in inbox.SNOOZES else None
            before = steps.step(kind=kind, thing=thing, step=name, user=user, at=at, until=until, reason=detail)
            taken.append({"kind": kind, "id": str(thing.pk), "before": before})
        except DomainError as error:
            refused.append(error)
    return taken, refused


def _tell(request: HttpRequest, name: str, taken: list[dict[str, Any]], refused: list[DomainError]) -> None:
    for words in dict.fromkeys(error.detail for error in refused):
        messages.error(request, words)
    if taken:
        can_undo = [one for one in taken if one["before"]]
        request.session[UNDO] = {"label": _said(name, len(taken)), "rows": can_undo} if can_undo else {}


def _tell_of_others(request: HttpRequest, count: int) -> None:
    if count:
        words = ngettext(
            "%(count)d row stays: it has other reasons.", "%(count)d rows stay: they have other reasons.", count
        )
        messages.info(request, words % {"count": count})


def _said(name: str, count: int) -> str:
    """What was done, as it is shown and read out."""
    if not count or name not in DONE_WORDS:
        return ""
    rows_ = ngettext("%(count)d row", "%(count)d rows", count) % {"count": count}
    return f"{DONE_WORDS[name]}: {rows_}."


@require_POST
@desk_only
def undo(request: HttpRequest) -> HttpResponse:
    """Take the last step back, of as many rows as it had."""
    last, user = request.session.pop(UNDO, {}), desk.of(request)
    for one in last.get("rows", ()):
        found = rows.found_by(user, one["kind"], [one["id"]])
        for thing in found.values():
            at = db.now_for(thing) if isinstance(thing, Resource) else db.now()
            act = partial(steps.undo, kind=one["kind"], thing=thing, before=one["before"], user=user, at=at)
            desk.told(request, act)
    return _answer(request, said=_("Undone.") if last else _("There is nothing to undo."))


@require_POST
@desk_only
def next_step(request: HttpRequest, opportunity: str) -> HttpResponse:
    """The step that was due is done: the next one, and by when, for an open opportunity always has one."""
    user = desk.of(request)
    found = desk.find_to_work(Opportunity, user, opportunity)
    form = NextStepForm(request.POST)
    if form.is_valid():
        on = end_of_work(form.cleaned_data["next_step_on"], user)
        words = form.cleaned_data["next_step"]
        change = partial(opportunities.change, opportunity=found, at=db.now_for(found))
        if desk.told(request, partial(change, next_step=words, next_step_at=on)):
            return _answer(request, said=_("The next step is kept."))
    else:
        messages.error(request, _("Say what the next step is, and on which day."))
    return _answer(request, said="")


def _answer(request: HttpRequest, *, said: str) -> HttpResponse:
    """The whole of Today, so that every count stays true; without scripts the page itself."""
    tab = request.GET.get("tab", "")
    if not request.htmx:  # type: ignore[attr-defined]
        if said:
            messages.success(request, said)
        return redirect(reverse("today") + (f"?tab={tab}" if tab in inbox.TABS else ""))
    context = _context(request, tab)
    left = ngettext("%(count)d row left.", "%(count)d rows left.", context["counts"].now)
    said = f"{said} {left % {'count': context['counts'].now}}".strip()
    answer = render(request, "crm/today.html#desk", {**context, "oob": True, "said": said})
    return reswap(retarget(answer, "#today"), "outerHTML")
