"""What all pages of the desk share: navigation with true counts, and finding what the address names."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.forms import BaseForm
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from crm import notifications
from crm.models.scoping import reach_of
from crm.queries import inbox, people
from gtm.shared import db
from gtm.shared.api import references
from gtm.shared.errors import DomainError
from gtm.shared.models import Role, Row, User

R = TypeVar("R", bound=Row)


def page(
    request: HttpRequest, template: str, context: Mapping[str, Any], *, active: str, status: int = 200
) -> HttpResponse:
    """A page of the desk; ``active`` is the name of the address that its entry in the navigation has."""
    user = of(request)
    counts = context.get("counts") or inbox.counts(inbox.desk(user, at=db.now()))
    frame = {
        "nav": navigation(user, counts=counts, active=active),
        "more": more(user, active=active),
        "desk_url": reverse("today"),
        "search_url": reverse("crm_search"),
        "palette_url": reverse("crm_palette"),
        "unread": notifications.unread(user),
        "standing_in": people.stood_in_for(user),
    }
    return render(request, template, {**frame, **context}, status=status)


MAIN = (
    ("today", _("Today")),
    ("crm_accounts", _("Accounts")),
    ("crm_contacts", _("Contacts")),
    ("crm_leads", _("Leads")),
    ("crm_pipeline", _("Pipeline")),
    ("crm_tasks", _("Tasks")),
)
MORE = (
    ("crm_opportunities", _("Opportunities")),
    ("crm_unmatched_mail", _("Unmatched mail")),
    ("crm_imports", _("Imports")),
)


def navigation(user: User, *, counts: inbox.Counts, active: str) -> list[dict[str, Any]]:
    return [
        {"url": reverse(name), "label": label, "active": name == active}
        | ({"count": counts.now, "id": "nav-today"} if name == "today" else {})
        for name, label in MAIN
    ]


def more(user: User, *, active: str) -> list[dict[str, Any]]:
    """What is needed now and then."""
    entries = [*MORE]
    if user.sells or user.has_role(Role.FOUNDER):
        entries.append(("crm_team", _("Team")))
    if user.sees_all:
        entries.append(("admin:index", _("Back office")))
    return [{"url": reverse(name), "label": label, "active": name == active} for name, label in entries]


def of(request: HttpRequest) -> User:
    """The member of staff; ``guards.desk_only`` has let nobody else in."""
    assert isinstance(request.user, User)
    return request.user


def find(model: type[R], user: User, public_id: str) -> R:
    """What the address names, among what the user may see. Raises Http404."""
    found = references.find(references.visible(model, user), public_id)
    if found is None:
        raise Http404
    return found


def find_to_work(model: type[R], user: User, public_id: str) -> R:
    """The same for a page that changes it. Raises PermissionDenied for what the user may read and not work."""
    found = find(model, user, public_id)
    if not references.is_workable(found, user):
        raise PermissionDenied(_("You may read this, and not change it."))
    return found


def works(request: HttpRequest) -> User:
    """The member of staff, for a page that adds something. Raises PermissionDenied for who works no accounts at all."""
    user = of(request)
    if not reach_of(user).writes.works:
        raise PermissionDenied(_("You may read this, and not change it."))
    return user


def told(request: HttpRequest, act: Callable[[], Any]) -> bool:
    """Do it and tell the user of a refusal; True when it was done."""
    try:
        act()
    except DomainError as refused:
        messages.error(request, refused.detail)
        return False
    return True


def filled(form: BaseForm, act: Callable[[], Any]) -> bool:
    """Do what a filled-in form asks for; a refusal stands at the field that it names. True when it was done."""
    try:
        act()
    except DomainError as refused:
        attr = (refused.attr or "").replace("custom.", "custom_")
        form.add_error(attr if attr in form.fields else None, refused.detail)
        return False
    return True


def first_error(form: BaseForm) -> str:
    """What is wrong with the first field that is wrong, with its name."""
    name, said = next(iter(form.errors.items()))
    label = form.fields[name].label or name.replace("_", " ").capitalize() if name in form.fields else ""
    return f"{label}: {said[0]}" if label else str(said[0])


def refuse(request: HttpRequest, detail: str) -> None:
    """Tell the user why nothing was done."""
    messages.error(request, detail)
