"""What the pages of the portal share: who may see them, their frame, and rows as the templates take them."""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from billing import wording
from billing.models import (
    CollectionMethod,
    CreditNote,
    Customer,
    Invoice,
    Member,
    PaymentMethod,
    Phase,
    Prompt,
    Subscription,
    SubscriptionChange,
)
from billing.queries import EntitlementState
from billing.queries import portal as queries
from billing.queries.portal_steps import Step
from billing.views import portal_access, refusals
from gtm.shared import languages
from gtm.shared.context import act_as
from gtm.shared.errors import DomainError
from gtm.shared.templatetags.tandem import day_text

View = Callable[..., HttpResponse]
SECTIONS = (
    ("portal_overview", lambda: _("Overview")),
    ("portal_usage", lambda: _("Usage")),
    ("portal_invoices", lambda: _("Invoices")),
    ("portal_plan", lambda: _("Plan")),
    ("portal_way", lambda: _("Payment")),
    ("portal_details", lambda: _("Billing details")),
    ("portal_people", lambda: _("People")),
)
FOR_BUYERS, FOR_PEOPLE = {"portal_details", "portal_way"}, {"portal_people"}
ALSO_UNDER = {
    "portal_invoices": ("open-invoices",),
    "portal_plan": ("subscriptions", "quotes"),
    "portal_way": ("card",),
    "portal_details": ("mail",),
}


# --- who may see it ----------------------------------------------------------------------------
def member_only(view: View) -> View:
    """Hand the view the reader's membership of the customer in the address; a 404 for everybody else."""

    @wraps(view)
    @never_cache
    def guarded(request: HttpRequest, customer: str, **kwargs: Any) -> HttpResponse:
        member = portal_access.member_of(request, customer)
        if member is None:
            return _refused(request)
        if member.by_session is not None:
            act_as(f"portal_session:{member.by_session.public_id}")
        languages.prefer(request, member.customer.preferred_locale)
        try:
            return view(request, member, **kwargs)
        except DomainError as refusal:
            is_parked = refusal.code == "payer_parked"
            context = {"refusal": refusals.of(refusal), "held_up": held_up(member) if is_parked else None}
            return page(request, "billing/portal/refused.html", member, context, status=refusal.status)

    return guarded


def _refused(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        raise Http404
    return redirect_to_login(request.get_full_path())


def person_only(view: View) -> View:
    """The same, for members who have signed in themselves: what is about people isn't for a portal session."""

    @wraps(view)
    def guarded(request: HttpRequest, member: Member, **kwargs: Any) -> HttpResponse:
        if member.by_session is not None:
            raise Http404
        return view(request, member, **kwargs)

    return member_only(guarded)


def buyer_only(view: View) -> View:
    """The same, for members who may change what is paid."""

    @wraps(view)
    def guarded(request: HttpRequest, member: Member, **kwargs: Any) -> HttpResponse:
        if not member.may_buy:
            raise Http404
        return view(request, member, **kwargs)

    return member_only(guarded)


def owner_only(view: View) -> View:
    """The same, for members who decide who else has access."""

    @wraps(view)
    def guarded(request: HttpRequest, member: Member, **kwargs: Any) -> HttpResponse:
        if not member.may_invite:
            raise Http404
        return view(request, member, **kwargs)

    return member_only(guarded)


def sent(request: HttpRequest) -> QueryDict | None:
    """What a form was sent with, be it nothing; None before it was."""
    return request.POST if request.method == "POST" else None


def page(
    request: HttpRequest, template: str, member: Member, context: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    customer = member.customer
    frame = {
        "customer": customer,
        "may_buy": member.may_buy,
        "visit": member.by_session,
        "portal_nav": [
            _section_row(name, str(label()), request.path, customer)
            for name, label in SECTIONS
            if _may_open(member, name)
        ],
        "customers": [
            {"name": other.name, "url": reverse("portal_overview", args=[other.public_id])}
            for other in ([] if member.by_session else queries.other_customers(member))
        ],
    }
    return render(request, template, {**frame, **context}, status=status)


def _may_open(member: Member, name: str) -> bool:
    return (member.may_buy or name not in FOR_BUYERS) and (member.by_session is None or name not in FOR_PEOPLE)


def _section_row(name: str, label: str, path: str, customer: Customer) -> dict[str, Any]:
    overview, url = reverse("portal_overview", args=[customer.public_id]), reverse(name, args=[customer.public_id])
    shown = path.removeprefix(overview).partition("/")[0]
    return {
        "url": url,
        "label": label,
        "active": shown in {url.removeprefix(overview).strip("/"), *ALSO_UNDER.get(name, ())},
    }


def held_up(member: Member) -> refusals.HeldUp | None:
    """Why billing waits, without the way to mend it for those who may not; None where it doesn't."""
    found = refusals.held_up(member.customer)
    return found if found is None or member.may_buy else replace(found, url="")


# --- rows --------------------------------------------------------------------------------------
def invoice_row(member: Member, invoice: Invoice) -> dict[str, Any]:
    address = [member.customer.public_id, invoice.public_id]
    payable = member.may_buy and invoice.status == Invoice.Status.OPEN and invoice.amount_due > 0
    return {
        "number": invoice.number,
        "url": reverse("portal_invoice", args=address),
        "issue_date": invoice.issue_date,
        "due_date": invoice.due_date,
        "status": invoice.status,
        "total": invoice.total,
        "amount_due": invoice.amount_due,
        "currency": invoice.currency,
        "pdf_url": reverse("portal_invoice_pdf", args=address),
        "pay_url": reverse("portal_pay", args=address) if payable else "",
    }


def credit_note_row(member: Member, note: CreditNote) -> dict[str, Any]:
    return {
        "number": note.number,
        "issue_date": note.issue_date,
        "invoice": note.invoice.number,
        "invoice_url": reverse("portal_invoice", args=[member.customer.public_id, note.invoice.public_id]),
        "total": note.total,
        "currency": note.currency,
        "pdf_url": reverse("portal_credit_note", args=[member.customer.public_id, note.public_id]),
    }


def usage_rows(customer: Customer, states: list[EntitlementState]) -> list[dict[str, Any]]:
    """What is counted, against its limit; the day it starts again is the customer's own."""
    zone = ZoneInfo(customer.timezone)
    return [
        {
            "label": state.feature_name,
            "value": state.used,
            "limit": state.limit,
            "unit": state.unit,
            "resets_at": state.resets_at and state.resets_at.astimezone(zone).date(),
        }
        for state in states
        if state.used is not None
    ]


def subscription_row(member: Member, subscription: Subscription) -> dict[str, Any]:
    """What it is and what comes; the addresses of what its customer may do alone, not of what a contract has agreed."""
    address = [member.customer.public_id, subscription.public_id]
    free = member.may_buy and not subscription.is_bound  # type: ignore[attr-defined]  # by queries.portal
    running = subscription.status in Subscription.LIVE
    paused = subscription.status == Subscription.Status.PAUSED
    own = free and subscription.payer_id == subscription.customer_id
    ahead = subscription.ahead  # type: ignore[attr-defined]  # by queries.portal
    asked = [phase for phase in ahead if phase.origin == SubscriptionChange.Origin.PORTAL and not phase.locked]
    return {
        "ahead": [_phase_row(phase) for phase in ahead],
        "change_url": reverse("portal_change", args=address) if own and running else "",
        "undo_url": reverse("portal_change_undo", args=address) if own and running and asked else "",
        "unpause_url": reverse("portal_unpause", args=address) if own and (paused or subscription.pause_at) else "",
        "pause_at": subscription.pause_at,
        "resume_at": subscription.resume_at,
        "plan_name": subscription.plan_version.plan.name,
        "status": subscription.status,
        "summary": queries.summary(subscription),
        "prices": queries.price_texts(subscription),
        "discounts": queries.discount_texts(subscription),
        "period_start": subscription.current_period_start,
        "period_end": subscription.current_period_end,
        "url": reverse("portal_plan", args=address[:1]),
        "ends_at": subscription.cancel_at if subscription.status in Subscription.LIVE else subscription.ended_at,
        "ends_on": _last_day(member.customer, subscription),
        "cancel_url": _if(free and (running or paused) and not subscription.cancel_at, "portal_cancel", address),
        "resume_url": _if(free and (running or paused) and subscription.cancel_at, "portal_resume", address),
    }


def _if(open_: Any, name: str, address: list[str]) -> str:
    """The address of a step, where it is open."""
    return reverse(name, args=address) if open_ else ""


def _phase_row(phase: Phase) -> dict[str, Any]:
    return {
        "at": phase.starts_at,
        "plan_name": phase.plan_version.plan.name,
        "summary": queries.summary(phase),
        "prices": [wording.price_text(item.price) for item in phase.items.all()],
    }


def _last_day(customer: Customer, subscription: Subscription) -> str:
    """When a cancellation would take effect."""
    trial = subscription.trial_end if subscription.status == Subscription.Status.TRIALING else None
    return day_text(trial or subscription.current_period_end, customer.timezone)


def step_row(member: Member, step: Step) -> dict[str, Any]:
    payable = step.invoice is not None and invoice_row(member, step.invoice)["pay_url"]
    return {
        "at": step.at,
        "text": step.text,
        "detail": step.detail,
        "upcoming": step.upcoming,
        "amount": step.amount,
        "currency": step.currency,
        "tone": step.tone,
        "url": payable or "",
        "action": _("Pay"),
    }


def prompt_row(member: Member, prompt: Prompt) -> dict[str, Any]:
    dismiss = reverse("portal_dismiss", args=[member.customer.public_id, prompt.pk])
    label = _("Add a card") if prompt.link.endswith("/card/") else _("See plans")
    url = prompt.link if member.may_buy or not prompt.link.endswith("/card/") else ""
    return {"text": prompt.text, "url": url, "label": label, "dismiss_url": dismiss}


def way_row(member: Member) -> dict[str, str]:
    """How the customer pays, in a sentence."""
    by_card = member.customer.collection_method == CollectionMethod.CHARGE_AUTOMATICALLY
    url = reverse("portal_way", args=[member.customer.public_id]) if member.may_buy else ""
    return {"text": _("Charged automatically") if by_card else _("By invoice and transfer"), "url": url}


def payment_row(member: Member, method: PaymentMethod | None) -> dict[str, Any] | None:
    if method is None:
        return None
    values = {"brand": method.brand.title(), "last4": method.last4}
    expires = {"month": f"{method.exp_month:02}", "year": method.exp_year} if method.exp_month else None
    return {
        "label": _("%(brand)s ending in %(last4)s") % values,
        "note": _("Valid until %(month)s/%(year)s") % expires if expires else "",
        "url": reverse("portal_card", args=[member.customer.public_id]) if member.may_buy else "",
    }
