"""Where an order leads: to its confirmation, to another card, back to the vendor's product, or into the portal."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from billing import checkout_sessions, confirmations, returns
from billing.checkout import Outcome
from billing.models import Checkout, Subscription
from gtm.shared import db, links


def onwards(request: HttpRequest, outcome: Outcome, *, token: str = "") -> HttpResponse:
    begun = outcome.checkout
    if outcome.confirm is not None:
        return redirect(confirmations.path(outcome.confirm.pk, at=db.now()))
    if outcome.failure:
        return redirect(_again(begun, token))
    waits = outcome.subscription.status == Subscription.Status.INCOMPLETE
    status = "processing" if waits else "completed"
    if away := returns.address(begun, outcome.customer, status=status, at=db.now()):
        return redirect(away)
    text = (
        _("Your payment is being processed. This page shows it as soon as it is through.")
        if waits
        else _("You are subscribed to %(plan)s.") % {"plan": begun.plan_version.plan.name}
    )
    if not request.user.is_authenticated:
        return render(request, "billing/confirmed.html", {"title": _("Thank you"), "text": text})
    (messages.info if waits else messages.success)(request, text)
    return redirect("portal_overview", outcome.customer.public_id)


def _again(begun: Checkout, token: str) -> str:
    """The page with the order as it was, for another card."""
    resumed: dict[str, Any] = {"resume": begun.pk}
    if begun.detail.get("session") or begun.expires_at:
        token = token or links.make(checkout_sessions.SESSION, begun.pk, at=db.now(), lasts=checkout_sessions.LASTS)
    if token:
        resumed = {"session": token}
    else:
        known = {"external_id": begun.external_id, "return_url": begun.return_url}
        resumed |= {name: value for name, value in known.items() if value}
    return f"{reverse('checkout', args=[begun.plan_version.plan.code])}?{urlencode(resumed)}"
