"""One opportunity: made on an account, shown with its path and history, changed, moved through a guard."""

from functools import partial
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from crm import confirmations, opportunities, pipelines, risks, stakeholders
from crm.models import Account, Opportunity, Risk, Stage, StageRequirement, Stakeholder
from crm.opportunity_forms import MoveForm, OpportunityForm, RiskForm, StakeholderForm, shown
from crm.queries import opportunity as queries
from crm.views import desk, work
from gtm.shared import db, ids, vendors
from gtm.shared.errors import DomainError
from gtm.shared.guards import desk_only

MOVED = "pipeline:moved"


@require_safe
@desk_only
def show(request: HttpRequest, opportunity: str) -> HttpResponse:
    found = desk.find(Opportunity, desk.of(request), opportunity)
    return _show(request, found)


def _show(request: HttpRequest, deal: Opportunity, status: int = 200, **forms: Any) -> HttpResponse:
    context = {
        "around": queries.around(deal, at=db.time_of(deal)),
        "deal": deal,
        "stakeholder_form": forms.get("stakeholder_form") or StakeholderForm(deal=deal),
        "risk_form": forms.get("risk_form") or RiskForm(),
        **work.panel(request, deal.account, opportunity=deal),
    }
    return desk.page(request, "crm/opportunity.html", context, active="crm_pipeline", status=status)


# --- made and changed --------------------------------------------------------------------------
@desk_only
def create(request: HttpRequest, account: str) -> HttpResponse:
    user = desk.of(request)
    found = desk.find_to_work(Account, user, account)
    owner = found.owner or (user if user.sells else None)
    initial = {"currency": vendors.current().base_currency, "name": found.name, "owner": owner}
    form = OpportunityForm(request.POST or None, user=user, initial=initial)
    if request.method == "POST" and form.is_valid():
        values = form.values()
        try:
            if not form.errors:
                made = opportunities.create(account=found, at=db.now_for(found), **values)
                return redirect("crm_opportunity", made.public_id)
        except DomainError as refused:
            form.refuse(refused)
    context = {"form": form, "account": found}
    status = 422 if form.errors else 200
    return desk.page(request, "crm/opportunity_new.html", context, active="crm_pipeline", status=status)


@desk_only
def edit(request: HttpRequest, opportunity: str) -> HttpResponse:
    user = desk.of(request)
    deal = desk.find_to_work(Opportunity, user, opportunity)
    form = OpportunityForm(request.POST or None, user=user, deal=deal, initial=shown(deal, user))
    if request.method == "POST" and form.is_valid():
        values = form.values()
        try:
            if not form.errors:
                version = form.cleaned_data["version"]
                opportunities.change(opportunity=deal, at=db.now_for(deal), version=version, **values)
                return redirect("crm_opportunity", opportunity)
        except DomainError as refused:
            form.refuse(refused)
    context = {"form": form, "deal": deal}
    status = 422 if form.errors else 200
    return desk.page(request, "crm/opportunity_edit.html", context, active="crm_pipeline", status=status)


# --- moved -------------------------------------------------------------------------------------
@desk_only
def move(request: HttpRequest, opportunity: str) -> HttpResponse:
    """The guard of a move: the page, or the board's dialog. What is refused comes back as the form, with 422."""
    user = desk.of(request)
    deal = desk.find_to_work(Opportunity, user, opportunity)
    path = pipelines.path(deal.pipeline)
    data = request.POST if request.method == "POST" else None
    target = _target(path, request.POST.get("to") or request.GET.get("to") or "")
    initial = {"version": deal.version, "to": target.code if target else _next(path, deal)}
    form = MoveForm(data, user=user, deal=deal, path=path, target=target, initial=initial)
    if data is not None and form.is_first_sight:
        form = MoveForm(None, user=user, deal=deal, path=path, target=target, initial=_seen(data, initial))
        return _guard(request, deal, form, status=422)
    if data is not None and target and form.is_valid():
        values = form.values()
        try:
            if not form.errors:
                opportunities.move(opportunity=deal, stage=target, at=db.now_for(deal), **values)
                return _moved(request, deal, target)
        except DomainError as refused:
            form.refuse(refused)
    return _guard(request, deal, form, status=422 if data is not None else 200)


def _target(path: list[Stage], code: str) -> Stage | None:
    return next((stage for stage in path if stage.code == code), None)


def _next(path: list[Stage], deal: Opportunity) -> str:
    """The stage that usually follows: the next one that the account's segment doesn't leave out."""
    after = [s for s in path if s.position > deal.stage.position and deal.account.segment not in s.skip_segments]
    return after[0].code if after else path[0].code


def _seen(data: Any, initial: dict[str, Any]) -> dict[str, Any]:
    """The version that whoever dragged the card had seen."""
    seen = str(data.get("version") or "")
    return initial | ({"version": seen} if seen.isdigit() else {})


def _moved(request: HttpRequest, deal: Opportunity, target: Stage) -> HttpResponse:
    messages.success(request, _("%(name)s is in “%(stage)s” now.") % {"name": deal.name, "stage": target.label})
    if request.htmx:  # type: ignore[attr-defined]  # set by HtmxMiddleware
        return HttpResponse(status=204, headers={"HX-Trigger": MOVED})
    return redirect("crm_opportunity", deal.public_id)


def _guard(request: HttpRequest, deal: Opportunity, form: MoveForm, *, status: int) -> HttpResponse:
    context = {"deal": deal, "form": form, "target": form.target}
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "crm/opportunity/_move.html", context, status=status)
    return desk.page(request, "crm/opportunity_move.html", context, active="crm_pipeline", status=status)


# --- criteria, people, risks ---------------------------------------------------------------------
@require_POST
@desk_only
def confirm(request: HttpRequest, opportunity: str, requirement: str) -> HttpResponse:
    """Tick a criterion off, with what shows it, or take that back."""
    deal = desk.find_to_work(Opportunity, desk.of(request), opportunity)
    asked = _row(StageRequirement.objects.filter(stage__pipeline=deal.pipeline_id), requirement)
    at = db.now_for(deal)
    if "withdraw" in request.POST:
        act = partial(confirmations.withdraw, opportunity=deal, requirement=asked, at=at)
        desk.told(request, act)
    else:
        evidence = request.POST.get("evidence", "")[:500].replace("\0", "")
        desk.told(
            request, partial(confirmations.confirm, opportunity=deal, requirement=asked, at=at, evidence=evidence)
        )
    return redirect("crm_opportunity", opportunity)


@require_POST
@desk_only
def add_stakeholder(request: HttpRequest, opportunity: str) -> HttpResponse:
    deal = desk.find_to_work(Opportunity, desk.of(request), opportunity)
    form = StakeholderForm(request.POST, deal=deal)
    if form.is_valid():
        try:
            stakeholders.put(opportunity=deal, at=db.now_for(deal), **form.cleaned_data)
            return redirect("crm_opportunity", opportunity)
        except DomainError as refused:
            form.refuse(refused)
    return _show(request, deal, 422, stakeholder_form=form)


@require_POST
@desk_only
def remove_stakeholder(request: HttpRequest, opportunity: str, stakeholder: str) -> HttpResponse:
    deal = desk.find_to_work(Opportunity, desk.of(request), opportunity)
    row = _row(Stakeholder.objects.filter(opportunity=deal), stakeholder)
    desk.told(request, partial(stakeholders.remove, stakeholder=row, at=db.now_for(deal)))
    return redirect("crm_opportunity", opportunity)


@require_POST
@desk_only
def add_risk(request: HttpRequest, opportunity: str) -> HttpResponse:
    deal = desk.find_to_work(Opportunity, desk.of(request), opportunity)
    form = RiskForm(request.POST)
    if form.is_valid():
        try:
            risks.raise_risk(opportunity=deal, at=db.now_for(deal), **form.cleaned_data)
            return redirect("crm_opportunity", opportunity)
        except DomainError as refused:
            form.refuse(refused)
    return _show(request, deal, 422, risk_form=form)


@require_POST
@desk_only
def resolve_risk(request: HttpRequest, opportunity: str, risk: str) -> HttpResponse:
    deal = desk.find_to_work(Opportunity, desk.of(request), opportunity)
    row = _row(Risk.objects.filter(opportunity=deal), risk)
    desk.told(request, partial(risks.resolve, risk=row, at=db.now_for(deal)))
    return redirect("crm_opportunity", opportunity)


def _row(rows: Any, public_id: str) -> Any:
    """What the address names among these. Raises Http404."""
    try:
        found = rows.filter(pk=ids.decode(public_id, prefix=rows.model.PREFIX)).first()
    except ValueError as error:
        raise Http404 from error
    if found is None:
        raise Http404
    return found
