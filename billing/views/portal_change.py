"""Changing what one pays for: choose, see what it comes to, and agree to exactly that."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from billing import agreed_changes, items, standing, wording
from billing.agreed_changes import Choice, NotAgreed, Offered, Stale
from billing.change_preview import ChangePreview, Line, Sum
from billing.models import Invoice, Member, Price, Subscription
from billing.portal_forms import AgreementForm, SeatsForm
from billing.queries import plan_options, shop
from billing.queries import portal as queries
from billing.selection import ItemTerms
from billing.views import refusals
from billing.views.portal_parts import buyer_only, page
from billing.views.portal_plan import own
from gtm.shared import db, vendors
from gtm.shared.errors import DomainError, Invalid
from gtm.shared.templatetags.tandem import day_text
from gtm.shared.templatetags.tandem import money as money_text

NAMED = ("plan", "interval", "seats")


@require_safe
@buyer_only
def choose(request: HttpRequest, member: Member, subscription: str) -> HttpResponse:
    """The plans that one may change to alone, by the month or the year; the number of seats; the add-ons."""
    found = own(member, subscription, "change_url")
    held = items.terms_of(standing.loaded().get(pk=found.pk))
    present, seats = agreed_changes.leading_interval(held), _seats(held)
    interval = request.GET.get("interval", "")
    interval = interval if interval in shop.INTERVALS else present
    options = plan_options.options(found, interval=interval, present=present, seats=seats or 1)
    form = SeatsForm(seats=seats, add_ons=_add_ons(found, held))
    context = {
        "plan_name": found.plan_version.plan.name,
        "plans": [_option_row(member, found, option) for option in options if not option.by_quote],
        "quote_plans": [_option_row(member, found, option) for option in options if option.by_quote],
        "interval": interval,
        "intervals": _switch(options),
        "seats_form": form if form.fields else None,
        "preview_url": _preview_url(member, found),
    }
    return page(request, "billing/portal/change.html", member, context)


def _seats(held: list[ItemTerms]) -> int | None:
    """How many seats there are now; None where none are sold."""
    return max((int(one.quantity) for one in held if agreed_changes.is_seat(one.price)), default=None)


def _add_ons(subscription: Subscription, held: list[ItemTerms]) -> list[tuple[Price, int]]:
    now = {one.price.pk: int(one.quantity) for one in held}
    return [(price, now.get(price.pk, 0)) for price in agreed_changes.offered_add_ons(subscription)]


def _switch(options: list[plan_options.PlanOption]) -> list[tuple[str, str]]:
    """The intervals that plans are sold by, where there is more than one."""
    known = {name for option in options for name in option.intervals}
    found = [(name, wording.interval_name(name)) for name in shop.INTERVALS if name in known]
    return found if len(found) > 1 else []


def _option_row(member: Member, subscription: Subscription, option: plan_options.PlanOption) -> dict[str, Any]:
    query = urlencode({"plan": option.code, "interval": option.interval})
    saving = money_text(option.saving, option.currency)
    return {
        "name": option.name,
        "description": option.description,
        "price_lines": option.price_lines,
        "features": option.features,
        "is_own": option.is_own,
        "is_present": option.is_present,
        "saving": _("%(amount)s less a year than by the month") % {"amount": saving} if option.saving else "",
        "url": f"{_preview_url(member, subscription)}?{query}",
        "quote_url": reverse("portal_quote", args=[member.customer.public_id, option.code]) if option.by_quote else "",
        "asked_at": option.asked_at,
    }


def _preview_url(member: Member, subscription: Subscription) -> str:
    return reverse("portal_change_preview", args=[member.customer.public_id, subscription.public_id])


# --- what it comes to --------------------------------------------------------------------------
@buyer_only
def preview(request: HttpRequest, member: Member, subscription: str) -> HttpResponse:
    """What the choice in the address comes to; sent with its token, it is made."""
    found = own(member, subscription, "change_url")
    at = db.now_for(member.customer)
    if request.method != "POST" and not request.GET:
        return redirect("portal_change", member.customer.public_id, subscription)
    if request.method != "POST":
        return _shown(request, member, found, _chosen(request, found))
    token = request.POST.get("token", "")
    try:
        agrees = bool(request.POST.get("terms"))
        changed = agreed_changes.confirm(subscription=found, token=token, agrees=agrees, at=at)
    except Stale as refusal:
        again = own(member, subscription, "change_url")
        return _shown(request, member, again, agreed_changes.chosen(token), stale=refusal.detail)
    except NotAgreed:
        return _shown(request, member, found, agreed_changes.chosen(token), asked=True)
    return _done(request, member, changed)


def _chosen(request: HttpRequest, subscription: Subscription) -> Choice:
    """Raises Invalid for what is no choice."""
    if request.GET.get("plan"):
        text = {name: request.GET.get(name, "").replace("\0", "") for name in NAMED}
        seats = int(text["seats"]) if text["seats"].isascii() and text["seats"].isdecimal() else None
        interval = text["interval"] if text["interval"] in shop.INTERVALS else ""
        return Choice(text["plan"], interval, seats)
    held = items.terms_of(standing.loaded().get(pk=subscription.pk))
    form = SeatsForm(request.GET, seats=_seats(held), add_ons=_add_ons(subscription, held))
    if not form.fields or not form.is_valid():
        problem = next((str(texts[0]) for texts in form.errors.values()), _("Choose what you want to change."))
        raise Invalid(problem)
    return form.choice()


def _shown(
    request: HttpRequest,
    member: Member,
    subscription: Subscription,
    choice: Choice,
    *,
    stale: str = "",
    asked: bool = False,
) -> HttpResponse:
    """``stale`` says what has changed since; ``asked``: the terms weren't agreed to."""
    customer = member.customer
    at = db.now_for(customer)
    back = reverse("portal_change", args=[customer.public_id, subscription.public_id])
    context: dict[str, Any] = {"back_url": back, "stale": stale, "plan_name": subscription.plan_version.plan.name}
    try:
        offered = agreed_changes.preview(subscription=subscription, choice=choice, at=at)
    except DomainError as refusal:
        if refusal.code == "payer_parked":
            raise  # what to do about it stands on a page of its own
        context |= {"refusal": refusals.of(refusal), "card_url": _card_url(member, refusal)}
        return page(request, "billing/portal/change_preview.html", member, context, status=refusal.status)
    context |= _preview_parts(member, subscription, offered, now=offered.preview.effective_at <= at)
    context["credit"] = queries.credit(customer)
    if choice.plan and offered.seats is not None:
        seats_form = SeatsForm(seats=offered.seats, add_ons=[])
        context |= {"seats_form": seats_form, "chosen": {"plan": choice.plan, "interval": choice.interval}}
    if offered.terms:
        context["terms_form"] = AgreementForm({} if asked else None, vendor=vendors.current())
    status = 409 if stale else 422 if asked else 200
    return page(request, "billing/portal/change_preview.html", member, context, status=status)


def _card_url(member: Member, refusal: DomainError) -> str:
    wants_card = refusal.code == "no_payment_method"
    return reverse("portal_card", args=[member.customer.public_id]) if wants_card else ""


def _preview_parts(member: Member, subscription: Subscription, offered: Offered, *, now: bool) -> dict[str, Any]:
    found, customer = offered.preview, member.customer
    charged_now = now and found.charged_at <= found.effective_at
    return {
        "token": offered.token,
        "currency": found.currency,
        "is_now": now,
        "effective_at": found.effective_at,
        "why": _why(subscription, found, now=now, customer_zone=customer.timezone),
        "change": _sum(found.change, found.currency),
        "charged_now": charged_now,
        "charged_at": found.charged_at,
        "to_pay": found.to_pay,
        "may_undo": found.may_undo,
        "by_invoice": subscription.collection_method == "send_invoice",
        "next_at": found.next_invoice_at,
        "next": _sum(found.next_invoice, found.currency) if found.next_invoice else None,
    }


def _why(subscription: Subscription, found: ChangePreview, *, now: bool, customer_zone: str) -> str:
    """Which rule decides from when it counts."""
    day = {"day": day_text(found.effective_at, customer_zone)}
    if subscription.status == Subscription.Status.TRIALING:
        return _("Your trial goes on, and costs nothing. What you choose now is billed from its end on.")
    if not now:
        return _("It counts from %(day)s on: until then you keep what you have paid for.") % day
    if found.change.total < 0:
        return _("It counts at once. What is too much stands to your credit, and pays your next invoices.")
    return _("It counts at once: you pay the new price from today on, and get back what you haven't used of the old.")


def _sum(found: Sum, currency: str) -> dict[str, Any]:
    return {
        "lines": [_line(line, currency) for line in found.lines],
        "subtotal": found.subtotal,
        "discount": found.discount_total,
        "tax": found.tax_total,
        "total": found.total,
        "invoice_total": found.invoice_total,
        "credit_note_total": found.credit_note_total,
    }


def _line(line: Line, currency: str) -> dict[str, Any]:
    return {
        "description": line.description,
        "explanation": "\n".join(wording.explain(line.explanation, currency)),
        "amount": line.amount,
        "credit_note": line.credit_note,
    }


# --- what came of it ---------------------------------------------------------------------------
def _done(request: HttpRequest, member: Member, changed: Subscription) -> HttpResponse:
    """The change stands. Where the card was refused, the invoice is still to be paid."""
    customer = member.customer
    failed = _failed(changed)
    if failed is not None:
        told = {"number": failed.number}
        if failed.payment_status == Invoice.PaymentStatus.REQUIRES_ACTION:
            messages.warning(request, _("Changed. Your bank asks you to confirm invoice %(number)s.") % told)
        else:
            messages.warning(request, _("Changed, but your card was refused for invoice %(number)s.") % told)
        return redirect("portal_pay", customer.public_id, failed.public_id)
    messages.success(request, _("Done. You see below what comes next."))
    return redirect("portal_overview", customer.public_id)


def _failed(changed: Subscription) -> Invoice | None:
    """Its newest open invoice whose card was refused, or waits for the holder."""
    refused = (Invoice.PaymentStatus.FAILED, Invoice.PaymentStatus.REQUIRES_ACTION)
    found = Invoice.objects.filter(lines__subscription=changed, status=Invoice.Status.OPEN, payment_status__in=refused)
    return found.distinct().order_by("-finalized_at", "-id").first()
