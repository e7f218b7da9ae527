"""Hand-overs: whose book, what is in it and what to ask before, who takes over, how far it is, and back."""

from functools import partial
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from crm import hand_overs
from crm.models import HandOver, HandOverRow
from crm.models.scoping import led_by, reach_of
from crm.queries import books, people
from crm.team_forms import HandOverForm
from crm.views import desk
from gtm.shared import db
from gtm.shared.api import references
from gtm.shared.guards import desk_only
from gtm.shared.models import User

LISTED, ROWS = 50, 200


@require_safe
@desk_only
def listed(request: HttpRequest) -> HttpResponse:
    user = _leader(request)
    found = HandOver.objects.visible_to(user).select_related("leaver", "receiver", "pool", "user")
    context = {
        "members": people.members(user, at=db.now()),
        "hand_overs": found.order_by("-created_at", "-id")[:LISTED],
    }
    return desk.page(request, "crm/team/hand_overs.html", context, active="crm_team")


def _leader(request: HttpRequest) -> User:
    """Who leads nobody has nothing to hand over but their own, which is for others to do."""
    user = desk.of(request)
    if not led_by(user).exists():
        raise Http404
    return user


@desk_only
def prepare(request: HttpRequest, leaver: str) -> HttpResponse:
    """The book, with the checklist of each account; sending it begins the hand-over."""
    user = desk.works(request) if request.method == "POST" else desk.of(request)
    found = references.find(led_by(user), leaver)
    if found is None:
        raise Http404
    form = HandOverForm(found, user, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        begun: list[HandOver] = []
        act = partial(hand_overs.start, leaver=found, user=user, at=db.now(), **form.cleaned_data)
        if desk.told(request, lambda: begun.append(act())):
            return redirect("crm_hand_over", begun[0].public_id)
    context = {
        "leaver": found,
        "form": form,
        "book": [(books.NOUNS[books.Kind(kind)][1], count) for kind, count in books.counts(found).items()],
        "checklists": books.checklists(found),
        "rows": [(HandOverRow.Kind(kind).label, rows) for kind, rows in books.rows(found).items() if rows],
        "shown": books.SHOWN,
    }
    status = 422 if form.errors else 200
    return desk.page(request, "crm/team/hand_over_new.html", context, active="crm_team", status=status)


@require_safe
@desk_only
def show(request: HttpRequest, hand_over: str) -> HttpResponse:
    """While it runs the progress, which asks for itself again; afterwards what was left alone, and the way back."""
    user = desk.of(request)
    context = _context(desk.find(HandOver, user, hand_over), user)
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "crm/team/_hand_over.html", context)
    return desk.page(request, "crm/team/hand_over.html", context, active="crm_team")


def _context(hand_over: HandOver, user: User) -> dict[str, Any]:
    kept = hand_over.rows.filter(state=HandOverRow.State.KEPT).select_related("receiver").order_by("position")
    return {
        "hand_over": hand_over,
        "kept": list(kept[:ROWS]),
        "left": "" if hand_over.is_working else books.told(hand_over.leaver),
        "may_undo": hand_over.state == HandOver.State.DONE and reach_of(user).writes.works,
    }


@require_POST
@desk_only
def undo(request: HttpRequest, hand_over: str) -> HttpResponse:
    found = desk.find(HandOver, desk.works(request), hand_over)
    desk.told(request, partial(hand_overs.undo, hand_over=found, at=db.now()))
    return redirect("crm_hand_over", hand_over)
