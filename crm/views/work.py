"""Work at an account: notes and calls written from its page, and tasks made, changed and closed from anywhere."""

from functools import partial
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from crm import calls, notes, todos
from crm.models import Account, Call, Lead, Opportunity, Task
from crm.queries import work as queries
from crm.views import desk
from crm.work_forms import CallForm, NoteForm, TaskForm, task_initial
from gtm.shared import db
from gtm.shared.api import references
from gtm.shared.errors import DomainError
from gtm.shared.guards import desk_only
from gtm.shared.models import User


def back(request: HttpRequest, fallback: str) -> HttpResponse:
    """To the page that the form stood on, if it is one of ours."""
    url = request.POST.get("next", "")
    return redirect(url if url_has_allowed_host_and_scheme(url, allowed_hosts=None) else fallback)


def about(request: HttpRequest, user: User, account: Account | None) -> dict[str, Any]:
    """The deal or the request that the page is about, among those of the account that the user sees."""
    found: dict[str, Any] = {}
    for name, model in (("opportunity", Opportunity), ("lead", Lead)):
        if public_id := request.POST.get(name) or request.GET.get(name):
            thing = desk.find(model, user, public_id)
            if account is not None and thing.account_id != account.pk:  # type: ignore[attr-defined]
                raise Http404
            found[name] = thing
    return found


def page_of(account: Account) -> str:
    return reverse("crm_account", args=[account.public_id]) + "#work"


def panel(request: HttpRequest, account: Account, **things: Any) -> dict[str, Any]:
    """What ``crm/account/_work.html`` asks for; ``things`` name the deal or the request that the page is about."""
    user = desk.of(request)
    about_it = "&".join(f"{name}={thing.public_id}" for name, thing in things.items())
    return {
        "work": queries.of_account(account, user, **things),
        "work_about": about_it,
        "work_next": request.path + "#work" if things else "",
        "may_work": references.is_workable(account, user),
        "call_outcomes": Call.Outcome.choices,
        "note_draft": request.session.pop("note_draft", ""),
    }


# --- notes and calls ---------------------------------------------------------------------------
@require_POST
@desk_only
def write_note(request: HttpRequest, account: str) -> HttpResponse:
    user = desk.of(request)
    found = desk.find_to_work(Account, user, account)
    form = NoteForm(request.POST)
    if form.is_valid():
        write = partial(
            notes.write_note, account=found, at=db.now_for(found), author=user, **about(request, user, found)
        )
        if not desk.told(request, partial(write, text=form.cleaned_data["text"])):
            request.session["note_draft"] = form.cleaned_data["text"][:5000]
    else:
        messages.error(request, _("Write something."))
    return back(request, page_of(found))


@require_POST
@desk_only
def log_call(request: HttpRequest, account: str) -> HttpResponse:
    user = desk.of(request)
    found = desk.find_to_work(Account, user, account)
    form = CallForm(request.POST, user=user, account=found)
    if form.is_valid():
        at = db.now_for(found)
        log = partial(calls.log, account=found, at=at, caller=user, **about(request, user, found), **form.said())
        if desk.told(request, log):
            messages.success(request, _("The call is kept."))
    else:
        messages.error(request, " ".join(str(words) for errors in form.errors.values() for words in errors))
    return back(request, page_of(found))


# --- tasks -------------------------------------------------------------------------------------
@desk_only
def new_task(request: HttpRequest) -> HttpResponse:
    """From anywhere: ``account``, ``opportunity`` or ``lead`` in the address say what it is about."""
    user = desk.of(request)
    public_id = request.POST.get("account") or request.GET.get("account", "")
    account = desk.find_to_work(Account, user, public_id) if public_id else None
    things = about(request, user, account)
    account = account or todos.account_of(**things)
    form = TaskForm(request.POST or None, user=user, account=account)
    if request.method == "POST" and form.is_valid():
        at = db.now_for(form.account)
        create = partial(todos.create, at=at, created_by=user, account=form.account, **things, **form.said())
        if _kept(form, partial(create, contact=form.cleaned_data.get("contact"))):
            messages.success(request, _("The task is made."))
            return back(request, page_of(form.account) if form.account else reverse("crm_tasks"))
    context = {"form": form, "account": account, "about": things, "title": _("New task"), "next": _next(request)}
    return desk.page(request, "crm/task_form.html", context, active="crm_tasks", status=422 if form.errors else 200)


@desk_only
def task(request: HttpRequest, task: str) -> HttpResponse:
    """One task, with its form."""
    user = desk.of(request)
    found = desk.find(Task, user, task)
    form = TaskForm(request.POST or None, user=user, account=found.account, initial=task_initial(found, user))
    if request.method == "POST":
        found = desk.find_to_work(Task, user, task)
        if form.is_valid() and _kept(form, partial(todos.change, task=found, at=db.now_for(found), **form.said())):
            return back(request, reverse("crm_task", args=[task]))
    context = {"form": form, "task": found, "account": found.account, "title": found.title, "next": _next(request)}
    return desk.page(request, "crm/task_form.html", context, active="crm_tasks", status=422 if form.errors else 200)


@require_POST
@desk_only
def close_task(request: HttpRequest, task: str) -> HttpResponse:
    """Done, canceled with a reason, or taken up again."""
    found = desk.find_to_work(Task, desk.of(request), task)
    step, words, at = request.POST.get("step"), request.POST.get("outcome", "")[:500], db.now_for(found)
    acts = {
        "done": partial(todos.complete, task=found, at=at, outcome=words),
        "cancel": partial(todos.cancel, task=found, at=at, reason=words),
        "reopen": partial(todos.reopen, task=found, at=at),
    }
    if step in acts:
        desk.told(request, acts[step])
    return back(request, reverse("crm_task", args=[task]))


def _next(request: HttpRequest) -> str:
    return request.POST.get("next") or request.GET.get("next", "")


def _kept(form: TaskForm, act: partial[Any]) -> bool:
    """Do it, or say at the field why not."""
    try:
        act()
    except DomainError as refused:
        form.add_error(refused.attr if refused.attr in form.fields else None, refused.detail)
        return False
    return True
