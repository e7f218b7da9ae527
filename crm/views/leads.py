"""Leads: the list by lifecycle, and one lead with why it came here and what may become of it."""

from functools import partial
from typing import Any

from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from crm import leads, timeline, wording
from crm.forms import LeadStepForm
from crm.models import Lead, LeadTransition, SegmentPolicy
from crm.views import desk
from gtm.shared import db
from gtm.shared.guards import desk_only
from gtm.shared.models import User

PAGE = 50
STEP_LABELS = {
    Lead.Lifecycle.MQL: _("Worth a call (MQL)"),
    Lead.Lifecycle.SQL: _("Qualified (SQL)"),
    Lead.Lifecycle.SAL: _("Accept (SAL)"),
    Lead.Lifecycle.LEAD: _("Take up again"),
}


@require_safe
@desk_only
def listed(request: HttpRequest) -> HttpResponse:
    visible = _visible(desk.of(request), request.GET.get("q", "")[:200].replace("\0", ""))
    counts = dict(visible.order_by().values_list("lifecycle").annotate(n=Count("pk")))
    lifecycle = request.GET.get("lifecycle", "")
    shown = visible.filter(lifecycle=lifecycle) if lifecycle in Lead.Lifecycle.values else visible
    found = shown.select_related("owner", "queue", "account").order_by("-created_at", "-id")
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": [{"lead": lead, "url": reverse("crm_lead", args=[lead.public_id])} for lead in page],
        "at": db.now(),
        "lifecycle": lifecycle,
        "lifecycles": [(code, label, counts.get(code, 0)) for code, label in Lead.Lifecycle.choices],
        "total": sum(counts.values()),
        "q": request.GET.get("q", ""),
    }
    return desk.page(request, "crm/leads.html", context, active="crm_leads")


def _visible(user: User, words: str) -> QuerySet[Lead]:
    found = Lead.objects.visible_to(user)
    if words := words.strip():
        found = found.filter(Q(company__icontains=words) | Q(name__icontains=words) | Q(email__icontains=words.lower()))
    return found


@require_safe
@desk_only
def show(request: HttpRequest, lead: str) -> HttpResponse:
    found = desk.find(Lead, desk.of(request), lead)
    return desk.page(request, "crm/lead.html", _context(found), active="crm_leads")


def _context(lead: Lead) -> dict[str, Any]:
    policy = SegmentPolicy.objects.filter(number=lead.routing.get("policy")).first()
    reasons = lead.routing.get("reasons", [])
    currency = policy.currency if policy else ""
    by_decision = {
        decision: wording.sentences([r for r in reasons if r.get("decision") == decision], currency=currency)
        for decision in ("motion", "owner")
    }
    return {
        "lead": lead,
        "account_url": reverse("crm_account", args=[lead.account.public_id]) if lead.account else "",
        "segment_label": wording.segment_label(policy.segments if policy else [], lead.routing.get("segment", "")),
        "reasons": by_decision,
        "needs": [wording.need_label(need) for need in lead.needs],
        "steps": [(step, label) for step, label in STEP_LABELS.items() if step in leads.STEPS[lead.lifecycle]],
        "may_reject": Lead.Lifecycle.REJECTED in leads.STEPS[lead.lifecycle],
        "late": bool(lead.sla_due_at and lead.lifecycle == Lead.Lifecycle.LEAD and lead.sla_due_at < db.time_of(lead)),
        "history": _history(lead),
    }


def _history(lead: Lead) -> list[dict[str, Any]]:
    """Newest first, as the timeline component takes it."""
    steps = list(LeadTransition.objects.filter(lead=lead).order_by("-at", "-pk"))
    names = timeline.names({step.actor for step in steps})
    return [
        {
            "at": step.at,
            "text": f"{step.from_lifecycle.upper()} → {step.to_lifecycle.upper()}",
            "detail": step.reason,
            "actor": names.get(step.actor, ""),
        }
        for step in steps
    ]


@require_POST
@desk_only
def transition(request: HttpRequest, lead: str) -> HttpResponse:
    found = desk.find_to_work(Lead, desk.of(request), lead)
    form = LeadStepForm(request.POST)
    if form.is_valid():
        desk.told(request, partial(leads.transition, lead=found, at=db.now_for(found), **form.cleaned_data))
    return redirect("crm_lead", lead)
