"""The bell: what one was told, and how one wants to be told."""

from functools import partial
from typing import Any

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from crm import notifications, timeline
from crm.models import Notification
from crm.views import desk
from crm.work_forms import NotificationForm
from gtm.shared import db, ids
from gtm.shared.guards import desk_only

PAGE = 50


@require_safe
@desk_only
def listed(request: HttpRequest) -> HttpResponse:
    user = desk.of(request)
    page = Paginator(notifications.of(user), PAGE).get_page(request.GET.get("page"))
    names = timeline.names({one.actor for one in page})
    setting = notifications.setting_of(user)
    told = [kind for kind in notifications.KINDS if kind not in setting.muted]
    form = NotificationForm(initial={"told": told, "mailed": setting.mailed, "digest": setting.digest})
    context = {"page": page, "rows": [_row(one, names.get(one.actor, "")) for one in page], "form": form}
    return desk.page(request, "crm/notifications.html", context, active="crm_notifications")


def _row(one: Notification, actor: str) -> dict[str, Any]:
    words = {
        Notification.Kind.MENTION: _("%(who)s mentioned you: “%(what)s”"),
        Notification.Kind.TASK: _("%(who)s gave you a task: %(what)s"),
        Notification.Kind.REMINDER: _("Reminder: %(what)s"),
        Notification.Kind.REPLY: _("Mail from a customer: %(what)s"),
        Notification.Kind.ACCOUNT: _("%(who)s made you the owner"),
    }[Notification.Kind(one.kind)]
    what = one.note.text[:200] if one.note else one.task.title if one.task else one.email.subject if one.email else ""
    return {
        "id": one.public_id,
        "text": words % {"who": actor or _("Tandem"), "what": what},
        "account": one.account.name if one.account else "",
        "at": one.told_at,
        "unread": one.read_at is None,
    }


def _url(one: Notification) -> str:
    if one.task is not None:
        return reverse("crm_task", args=[one.task.public_id])
    if one.email is not None:
        return reverse("crm_email", args=[one.email.public_id])
    if one.account is not None:
        return reverse("crm_account", args=[one.account.public_id]) + "#work"
    return reverse("crm_notifications")


@require_POST
@desk_only
def read(request: HttpRequest, notification: str) -> HttpResponse:
    """Read it, by going to what it is about."""
    user = desk.of(request)
    try:
        key = ids.decode(notification, prefix=Notification.PREFIX)
    except ValueError as error:
        raise Http404 from error
    found = notifications.of(user).filter(pk=key).first()
    if found is None:
        raise Http404
    notifications.read(user=user, at=db.now(), ids=[key])
    return redirect(_url(found))


@require_POST
@desk_only
def read_all(request: HttpRequest) -> HttpResponse:
    notifications.read(user=desk.of(request), at=db.now())
    return redirect("crm_notifications")


@require_POST
@desk_only
def choose(request: HttpRequest) -> HttpResponse:
    form = NotificationForm(request.POST)
    if form.is_valid():
        data = form.cleaned_data
        muted = set(notifications.KINDS) - set(data["told"])
        mailed = set(data["mailed"]) - muted
        choose = partial(notifications.choose, user=desk.of(request), muted=muted, mailed=mailed)
        desk.told(request, partial(choose, digest=data["digest"]))
    return redirect("crm_notifications")
