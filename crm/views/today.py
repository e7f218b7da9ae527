"""Today: what needs the rep now, worked through from the top."""

from datetime import datetime
from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import reswap, retarget

from crm import alerts, leads
from crm.forms import AlertStepForm, LeadStepForm
from crm.models import Alert, Lead
from crm.queries import desk
from crm.views import desk as desk_views
from gtm.shared import db
from gtm.shared.guards import desk_only
from gtm.shared.models import User


@require_safe
@desk_only
def today(request: HttpRequest) -> HttpResponse:
    return desk_views.page(request, "crm/today.html", _context(request, request.GET.get("tab", "")), active="today")


def _context(request: HttpRequest, tab: str) -> dict[str, Any]:
    user, at = desk_views.of(request), db.now()
    tab = tab if tab in desk.TABS else desk.NOW
    since = desk_views.start_of_day(user, at)
    waiting = desk.leads(user) if tab == desk.NOW else []
    return {
        "tab": tab,
        "today": at,
        "counts": desk.counts(user, since=since),
        "alerts": [_card(alert, user, tab) for alert in desk.alerts(user, tab, since=since)],
        "leads": [_lead(lead, at) for lead in waiting],
    }


def _card(alert: Alert, user: User, tab: str) -> dict[str, Any]:
    """What the alert component asks for. The owner is named where it is somebody else."""
    return {
        "id": alert.public_id,
        "account_name": alert.account.name,
        "account_url": reverse("crm_account", args=[alert.account.public_id]),
        "severity": alert.severity,
        "state": alert.state,
        "evidence": alert.evidence,
        "value_at_stake": alert.value_at_stake,
        "currency": alert.currency,
        "stake_label": _("a year at stake"),
        "play": alert.play,
        "created_at": alert.raised_at,
        "owner_name": "" if alert.owner in (None, user) else str(alert.owner),
        "snoozed_until": alert.snoozed_until,
        "transition_url": f"{reverse('crm_alert_transition', args=[alert.public_id])}?tab={tab}",
    }


def _lead(lead: Lead, at: datetime) -> dict[str, Any]:
    return {
        "id": lead.public_id,
        "name": lead.name,
        "company": lead.company,
        "url": reverse("crm_lead", args=[lead.public_id]),
        "message": lead.message,
        "employee_count": lead.employee_count,
        "sla_due_at": lead.sla_due_at,
        "late": bool(lead.sla_due_at and lead.sla_due_at < at),
        "owner_name": str(lead.owner or ""),
        "transition_url": reverse("today_lead", args=[lead.public_id]),
    }


@require_POST
@desk_only
def transition(request: HttpRequest, alert: str) -> HttpResponse:
    """A button of an alert."""
    found = desk_views.find_to_work(Alert, desk_views.of(request), alert)
    form = AlertStepForm(request.POST)
    if form.is_valid():
        desk_views.told(request, partial(_step, found, form.cleaned_data))
    return _answer(request)


@require_POST
@desk_only
def answer_lead(request: HttpRequest, lead: str) -> HttpResponse:
    """A button of a lead that waits for an answer."""
    found = desk_views.find_to_work(Lead, desk_views.of(request), lead)
    form = LeadStepForm(request.POST)
    if form.is_valid():
        desk_views.told(request, partial(leads.transition, lead=found, at=db.now_for(found), **form.cleaned_data))
    return _answer(request)


def _answer(request: HttpRequest) -> HttpResponse:
    """The whole of Today, so that every count stays true; without scripts the page itself."""
    tab = request.GET.get("tab", "")
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect(reverse("today") + (f"?tab={tab}" if tab in desk.TABS else ""))
    context = _context(request, tab)
    answer = render(request, "crm/today.html#desk", {**context, "oob": True})
    return reswap(retarget(answer, "#today"), "outerHTML")


def _step(alert: Alert, data: dict[str, Any]) -> None:
    at = db.now_for(alert)
    snooze = AlertStepForm.SNOOZES.get(data["until"])
    until = at + snooze if snooze and data["to"] == Alert.State.SNOOZED else None
    alerts.transition(alert=alert, to=data["to"], at=at, until=until, feedback=data["feedback"], reason=data["reason"])
