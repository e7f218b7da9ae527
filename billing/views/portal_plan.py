"""What a customer is subscribed to: its plan page, cancelling with a reason and an offer, and taking things back."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from billing import cancellation_offers, changes, pauses, quote_requests, subscriptions, wording
from billing.models import Member, Plan, Subscription, SubscriptionChange
from billing.portal_forms import CancellationForm, QuoteForm
from billing.queries import portal as queries
from billing.views import portal_parts as parts
from billing.views.portal_parts import buyer_only, member_only, page, sent
from gtm.shared import db
from gtm.shared.templatetags.tandem import day_text

PORTAL = SubscriptionChange.Origin.PORTAL


@require_safe
@member_only
def plan(request: HttpRequest, member: Member) -> HttpResponse:
    found = queries.subscriptions(member.customer)
    rows = [parts.subscription_row(member, subscription) for subscription in found]
    return page(request, "billing/portal/plan.html", member, {"subscriptions": rows, "pricing_url": reverse("pricing")})


# --- cancelling --------------------------------------------------------------------------------
@buyer_only
def cancel(request: HttpRequest, member: Member, subscription: str) -> HttpResponse:
    """End it with the period that is paid; until then it can be taken back. No reason has to be given."""
    found = own(member, subscription, "cancel_url")
    at = db.now_for(member.customer)
    form = CancellationForm(sent(request))
    if request.method == "POST" and form.is_valid():
        subscriptions.cancel(
            subscription=found,
            reason=form.cleaned_data["reason"],
            reason_code=form.cleaned_data["reason_code"],
            origin=PORTAL,
            at=at,
        )
        told = {"plan": found.plan_version.plan.name}
        messages.success(request, _("Your subscription of %(plan)s is canceled.") % told)
        return redirect("portal_plan", member.customer.public_id)
    context = {
        "form": form,
        "subscription": parts.subscription_row(member, found),
        "offer": _offer(member, found, cancellation_offers.of(found, at=at)),
    }
    return page(request, "billing/portal/cancel.html", member, context, status=422 if form.errors else 200)


def _offer(
    member: Member, subscription: Subscription, offer: cancellation_offers.Offer | None
) -> dict[str, Any] | None:
    """The one thing that may help instead, in words; None where there is nothing."""
    if offer is None:
        return None
    address = [member.customer.public_id, subscription.public_id]
    take = reverse("portal_offer", args=address)
    if offer.coupon is not None and offer.kind == Plan.CancelOffer.COUPON:
        text = _("Stay for less: %(offer)s.") % {"offer": wording.offer(offer.coupon)}
        return {"text": text, "action": _("Take it and stay"), "url": take, "is_form": True}
    if offer.plan is not None and offer.kind == Plan.CancelOffer.DOWNGRADE:
        url = f"{reverse('portal_change_preview', args=address)}?plan={offer.plan.code}"
        text = _("%(plan)s may be enough for you, and costs less.") % {"plan": offer.plan.name}
        return {"text": text, "action": _("See what it would cost"), "url": url, "is_form": False}
    text = _("Take a break instead: a month without paying, then it goes on by itself.")
    return {"text": text, "action": _("Pause for a month"), "url": take, "is_form": True}


@require_POST
@buyer_only
def take_offer(request: HttpRequest, member: Member, subscription: str) -> HttpResponse:
    found = own(member, subscription, "cancel_url")
    cancellation_offers.take(subscription=found, at=db.now_for(member.customer))
    messages.success(request, _("Done. It is good to have you."))
    return redirect("portal_plan", member.customer.public_id)


# --- taking back -------------------------------------------------------------------------------
@require_POST
@buyer_only
def resume(request: HttpRequest, member: Member, subscription: str) -> HttpResponse:
    """Take a cancellation back."""
    found, at = own(member, subscription, "cancel_url", "resume_url"), db.now_for(member.customer)
    subscriptions.undo_cancellation(subscription=found, origin=PORTAL, at=at)
    return _goes_on(request, member, found)


@require_POST
@buyer_only
def unpause(request: HttpRequest, member: Member, subscription: str) -> HttpResponse:
    """Go on now after a pause, or drop one that is ahead."""
    found, at = own(member, subscription, "unpause_url"), db.now_for(member.customer)
    pauses.resume(subscription=found, origin=PORTAL, at=at)
    return _goes_on(request, member, found)


def _goes_on(request: HttpRequest, member: Member, subscription: Subscription) -> HttpResponse:
    told = {"plan": subscription.plan_version.plan.name}
    messages.success(request, _("Your subscription of %(plan)s goes on.") % told)
    return redirect("portal_plan", member.customer.public_id)


@require_POST
@buyer_only
def undo_change(request: HttpRequest, member: Member, subscription: str) -> HttpResponse:
    """Drop the changes that are scheduled."""
    found, at = own(member, subscription, "change_url"), db.now_for(member.customer)
    changes.undo(subscription=found, all_=True, origin=PORTAL, at=at)
    messages.success(request, _("The change is taken back. Everything stays as it is."))
    return redirect("portal_plan", member.customer.public_id)


def own(member: Member, public_id: str, *needs: str) -> Subscription:
    """A subscription of the customer that one of these steps is open for. Raises Http404."""
    for found in queries.subscriptions(member.customer):
        if found.public_id == public_id:
            row = parts.subscription_row(member, found)
            if any(row[name] for name in needs):
                return found
    raise Http404


# --- what is sold by quote ---------------------------------------------------------------------
@buyer_only
def quote(request: HttpRequest, member: Member, plan: str) -> HttpResponse:
    """Ask for a quote. Everything goes on as it is meanwhile."""
    wanted = Plan.objects.for_sale().filter(code=plan, purchase_mode=Plan.PurchaseMode.QUOTE_ONLY).first()
    if wanted is None:
        raise Http404
    customer = member.customer
    form = QuoteForm(sent(request))
    if request.method == "POST" and form.is_valid():
        asked = quote_requests.request(customer=customer, plan=wanted, at=db.now_for(customer), **form.cleaned_data)
        told = {"plan": wanted.name, "day": day_text(asked.requested_at, customer.timezone)}
        sentence = _("We have your request for %(plan)s of %(day)s, and answer by email. Nothing changes meanwhile.")
        messages.success(request, sentence % told)
        return redirect("portal_plan", customer.public_id)
    context = {"plan": wanted, "form": form}
    return page(request, "billing/portal/quote.html", member, context, status=422 if form.errors else 200)
