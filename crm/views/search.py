"""Search over everything at the desk: a page, and what the palette shows while somebody types."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from crm.accounts import fold
from crm.models.scoping import reach_of
from crm.queries import search
from crm.views import desk
from gtm.shared.guards import desk_only
from gtm.shared.models import User

ON_PAGE, IN_PALETTE = 20, 5
LONGEST = 100
COMMANDS = (  # what it is called, where it leads, and with which query
    (_("Go to Today"), "today", ""),
    (_("Go to accounts"), "crm_accounts", ""),
    (_("My accounts"), "crm_accounts", "owner=me"),
    (_("Go to contacts"), "crm_contacts", ""),
    (_("Go to leads"), "crm_leads", ""),
    (_("Leads that wait for an answer"), "crm_leads", "lifecycle=lead"),
    (_("Go to the pipeline"), "crm_pipeline", ""),
    (_("My open deals"), "crm_opportunities", "owner=me&state=open"),
    (_("New task"), "crm_task_new", ""),
    (_("My open tasks"), "crm_tasks", "assignee=me&state=open"),
    (_("New account"), "crm_account_new", ""),
    (_("Import a file"), "crm_imports", ""),
)
MAKING = ("crm_task_new", "crm_account_new", "crm_imports")  # for those alone who may change something


@require_safe
@desk_only
def page(request: HttpRequest) -> HttpResponse:
    text = _asked(request)
    context = {"q": text, "groups": search.find(desk.of(request), text, limit=ON_PAGE), "shortest": search.SHORTEST}
    return desk.page(request, "crm/search.html", context, active="crm_search")


@require_safe
@desk_only
def palette(request: HttpRequest) -> JsonResponse:
    """Commands and hits for what is typed, as the palette lists them."""
    text = _asked(request)
    entries = [*_commands(text, desk.of(request)), *_hits(request, text)]
    answer = JsonResponse({"entries": entries})
    answer["Cache-Control"] = "no-store"
    return answer


def _commands(text: str, user: User) -> list[dict[str, Any]]:
    wanted, hidden = fold(text).split(), () if reach_of(user).writes.works else MAKING
    known = [command for command in COMMANDS if command[1] not in hidden]
    named = [(str(label), reverse(name) + (f"?{query}" if query else "")) for label, name, query in known]
    fitting = [(label, url) for label, url in named if all(word in fold(label) for word in wanted)]
    return [{"label": label, "note": "", "url": url, "kind": str(_("Command"))} for label, url in fitting]


def _hits(request: HttpRequest, text: str) -> list[dict[str, Any]]:
    groups = search.find(desk.of(request), text, limit=IN_PALETTE)
    return [
        {"label": hit.label, "note": hit.note, "url": hit.url, "kind": str(group.label)}
        for group in groups
        for hit in group.hits
    ]


def _asked(request: HttpRequest) -> str:
    return request.GET.get("q", "").strip()[:LONGEST]
