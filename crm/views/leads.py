"""Leads: the list by lifecycle, and one lead with why it came here and what may become of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from crm import accounts, countdown, held_leads, lead_terms, leads, spam, timeline, wording
from crm.forms import LeadStepForm
from crm.lead_desk_forms import AcceptanceForm, OwnerForm, RejectionForm
from crm.lists.filters import reps
from crm.models import Account, HeldLead, Lead, LeadTransition, Opportunity, Queue, SegmentPolicy
from crm.queries import leads as queries
from crm.queries import schedules
from crm.queries.leads import Candidate
from crm.views import desk, work
from gtm.shared import db, vendors
from gtm.shared.api import references
from gtm.shared.errors import DomainError, Incomplete
from gtm.shared.guards import desk_only
from gtm.shared.models import User

PAGE = 50
SOON = timedelta(hours=1)
QUEUE_LABELS: dict[str, Any] = {
    Lead.Lifecycle.LEAD: _("New"),
    Lead.Lifecycle.MQL: _("MQL"),
    Lead.Lifecycle.SQL: _("SQL"),
    Lead.Lifecycle.SAL: _("SAL, last 30 days"),
    Lead.Lifecycle.REJECTED: _("Worth another look"),
}
QUALIFIED_BY = {
    "months_to_project": _("Months until a funded project"),
    "good_fit": _("A good fit"),
    "compelling_event": _("Compelling event"),
    "pain": _("Pain"),
    "has_power": _("Has the power to buy"),
    "connects_with_power": _("Commits to connect us with power"),
}
STEP_LABELS = {
    Lead.Lifecycle.MQL: _("Worth a call (MQL)"),
    Lead.Lifecycle.SQL: _("Qualified (SQL)"),
    Lead.Lifecycle.LEAD: _("Take up again"),
}


@require_safe
@desk_only
def queue(request: HttpRequest) -> HttpResponse:
    """The leads by their place on the way, who waits longest first."""
    user, at = desk.of(request), db.now()
    found = queries.queue(user, at=at)
    hours = _hours([lead for column in found for lead in column.leads], at)
    columns = [
        {
            "lifecycle": column.lifecycle,
            "label": QUEUE_LABELS[column.lifecycle],
            "count": column.count,
            "more": max(column.count - len(column.leads), 0),
            "cards": [_card(lead, at, hours) for lead in column.leads],
        }
        for column in found
    ]
    context = {"columns": columns, "held": _held_count(user)}
    return desk.page(request, "crm/lead_queue.html", context, active="crm_leads")


def _hours(shown: Sequence[Lead], at: datetime) -> schedules.Find:
    """When those work who are to answer."""
    owners, queues = ({getattr(lead, name) for lead in shown} - {None} for name in ("owner_id", "queue_id"))
    return schedules.of(owner_ids=owners, queue_ids=queues, at=at)


def _card(lead: Lead, at: datetime, hours: schedules.Find) -> dict[str, Any]:
    return {"lead": lead, "url": reverse("crm_lead", args=[lead.public_id]), "clock": _clock(lead, at, hours)}


def _clock(lead: Lead, at: datetime, hours: schedules.Find) -> dict[str, Any] | None:
    """Working time until the answer is due; None once it was given."""
    if lead.sla_due_at is None or lead.answered_at is not None or lead.lifecycle != Lead.Lifecycle.LEAD:
        return None
    left = countdown.left(now=at, due=lead.sla_due_at, schedule=hours(lead.owner_id, lead.queue_id))
    whole, minutes = divmod(int(abs(left).total_seconds()) // 60, 60)
    words = _("%(hours)s h %(minutes)s min") % {"hours": whole, "minutes": minutes}
    late = at > lead.sla_due_at
    tone = "negative" if late else "caution" if left <= SOON else "pending"
    return {"words": words, "late": late, "tone": tone, "due": lead.sla_due_at}


@require_safe
@desk_only
def show(request: HttpRequest, lead: str) -> HttpResponse:
    user = desk.of(request)
    found = desk.find(Lead, user, lead)
    context = _context(found, user)
    if found.account and context["account_url"]:
        context |= work.panel(request, found.account, lead=found)
    return desk.page(request, "crm/lead.html", context, active="crm_leads")


def _context(lead: Lead, user: User) -> dict[str, Any]:
    policy = SegmentPolicy.objects.filter(number=lead.routing.get("policy")).first()
    reasons = lead.routing.get("reasons", [])
    currencies = {"motion": policy.currency if policy else "", "owner": vendors.current().base_currency}
    by_decision = {
        decision: wording.sentences([r for r in reasons if r.get("decision") == decision], currency=currency)
        for decision, currency in currencies.items()
    }
    at = db.time_of(lead)
    opportunity = Opportunity.objects.visible_to(user).filter(lead=lead).first()
    may_work = references.is_workable(lead, user)
    return {
        "lead": lead,
        "account_url": _account_url(lead, user),
        "segment_label": wording.segment_label(policy.segments if policy else [], lead.routing.get("segment", "")),
        "reasons": by_decision,
        "needs": [wording.need_label(need) for need in lead.needs],
        "steps": [step for step in STEP_LABELS.items() if may_work and step[0] in leads.STEPS[lead.lifecycle]],
        "may_accept": may_work and lead.lifecycle in queries.OPEN,
        "may_convert": may_work and lead.lifecycle == Lead.Lifecycle.SAL and not _is_converted(lead),
        "may_reject": may_work
        and lead.lifecycle != Lead.Lifecycle.REJECTED
        and not (opportunity and opportunity.state == "open"),
        "rejection": RejectionForm(auto_id="reject_%s"),
        "giving": OwnerForm(offered=reps(), initial={"owner": lead.owner and lead.owner.public_id})
        if may_work
        else None,
        "clock": _clock(lead, at, _hours([lead], at)),
        "qualification": [
            (QUALIFIED_BY[name], lead.qualification[name])
            for name in QUALIFIED_BY
            if lead.qualification.get(name) not in (None, "", False)
        ],
        "duplicates": [
            {"lead": one, "url": reverse("crm_lead", args=[one.public_id])} for one in queries.duplicates(lead, user)
        ],
        "opportunity": opportunity,
        "history": _history(lead),
    }


def _is_converted(lead: Lead) -> bool:
    return Opportunity.objects.filter(lead=lead).exists()


def _account_url(lead: Lead, user: User) -> str:
    """An SDR to whom a lead came back may not see the account of the AE."""
    seen = lead.account and Account.objects.visible_to(user).filter(leads=lead).exists()
    return reverse("crm_account", args=[lead.account.public_id]) if lead.account and seen else ""


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


@desk_only
@require_http_methods(["GET", "HEAD", "POST"])
def accept(request: HttpRequest, lead: str) -> HttpResponse:
    """The acceptance form: qualified, of which account, and the deal that it becomes."""
    user = desk.of(request)
    found = desk.find_to_work(Lead, user, lead)
    words = (request.POST.get("words") or request.GET.get("words", ""))[:200].replace("\0", "")
    offered = queries.candidates(found, user, words=words)
    terms = lead_terms.terms_of(found.account.segment if found.account else "")
    form = AcceptanceForm(
        request.POST or None,
        terms=terms,
        offered=offered,
        currency=vendors.current().base_currency,
        at=db.time_of(found),
        initial={**found.qualification, "name": found.account.name if found.account else str(found)},
    )
    if request.method == "POST" and form.is_valid() and _accepted(form, found, offered, user):
        messages.success(request, _("Accepted."))
        return redirect(_after(found))
    trial = terms.trial_plan and settings.BASE_URL + reverse("checkout", args=[terms.trial_plan])
    context = {"lead": found, "form": form, "words": words, "terms": terms, "trial_url": trial}
    status = 422 if form.errors else 200
    return desk.page(request, "crm/lead_accept.html", context, active="crm_leads", status=status)


def _accepted(form: AcceptanceForm, lead: Lead, offered: Sequence[Candidate], user: User) -> bool:
    """Whether it was; what was refused stands at its field."""
    chosen = next(one.account for one in offered if one.account.public_id == form.cleaned_data["account"])
    said = {"qualification": form.qualification, "opportunity": form.deal, "reason": form.cleaned_data["reason"]}
    try:
        leads.accept(lead=lead, at=db.now_for(lead), account=chosen, by=user, **said)
    except DomainError as refused:
        parts = refused.parts if isinstance(refused, Incomplete) else (refused,)
        for part in parts:
            form.add_error(part.attr if part.attr in form.fields else None, part.detail)
        return False
    return True


def _after(lead: Lead) -> str:
    return reverse("crm_lead", args=[lead.public_id])


@require_POST
@desk_only
def reject(request: HttpRequest, lead: str) -> HttpResponse:
    found = desk.find_to_work(Lead, desk.of(request), lead)
    form = RejectionForm(request.POST)
    if form.is_valid():
        desk.told(request, partial(leads.reject, lead=found, at=db.now_for(found), **form.cleaned_data))
    else:
        messages.error(request, _("Choose why the lead is rejected."))
    return redirect("crm_lead", lead)


@require_POST
@desk_only
def give(request: HttpRequest, lead: str) -> HttpResponse:
    """To another owner, who gets the account with it: there is one accountable owner."""
    found = desk.find_to_work(Lead, desk.of(request), lead)
    form = OwnerForm(request.POST, offered=reps())
    owner = references.find(User.objects.all(), form.cleaned_data["owner"]) if form.is_valid() else None
    if owner is not None and found.account is not None:
        desk.find_to_work(Account, desk.of(request), found.account.public_id)
        change = partial(accounts.give, account=found.account, reason=form.cleaned_data["reason"])
        desk.told(request, partial(change, owner=owner, at=db.now_for(found)))
    return redirect("crm_leads")


# --- what looks like spam ----------------------------------------------------------------------
@require_safe
@desk_only
def held(request: HttpRequest) -> HttpResponse:
    """What was held, newest first, for those who watch the catch-all queue."""
    _refuse_others(desk.of(request))
    found = HeldLead.objects.filter(state=HeldLead.State.HELD).select_related("form").order_by("-received_at")
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    rows = [
        {"held": one, "said": one.said, "why": [spam.LABELS.get(code, code) for code in one.because]} for one in page
    ]
    return desk.page(request, "crm/held_leads.html", {"page": page, "rows": rows}, active="crm_leads")


@require_POST
@desk_only
def decide_held(request: HttpRequest, held: str, decision: str) -> HttpResponse:
    _refuse_others(desk.works(request))
    found = references.find(HeldLead.objects.all(), held)
    if found is None:
        raise Http404
    if decision == "release":
        desk.told(request, partial(held_leads.release, held=found, at=db.now()))
    else:
        desk.told(request, partial(held_leads.discard, held=found, at=db.now()))
    return redirect("crm_held_leads")


def _refuse_others(user: User) -> None:
    if not _watches(user):
        raise Http404


def _watches(user: User) -> bool:
    return user.sees_all or Queue.objects.filter(is_catch_all=True, team__memberships__user=user).exists()


def _held_count(user: User) -> int:
    return HeldLead.objects.filter(state=HeldLead.State.HELD).count() if _watches(user) else 0
