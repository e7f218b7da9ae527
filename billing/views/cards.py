"""The card field on customers' pages: the gateway's own script and frame, and the policy that lets just these in."""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from csp.constants import SELF
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.utils.translation import gettext as _

from billing import confirmations, dunning_runs, payment_methods
from billing.gateways import AnswerLost, words
from billing.models import Customer, Payment, PaymentAttempt
from gtm.shared.errors import DomainError
from gtm.shared.flooding import is_flooded

FOR_ONE_PAYER = "20/h"  # stolen cards are tried out by the hundred
_STRIPE = {  # https://docs.stripe.com/security/guide#content-security-policy
    "script-src": ["https://js.stripe.com", "https://*.js.stripe.com"],
    "frame-src": [SELF, "https://js.stripe.com", "https://*.js.stripe.com", "https://hooks.stripe.com"],
    "connect-src": [SELF, "https://api.stripe.com"],
}


def wants_setup(request: HttpRequest) -> bool:
    """Whether the page's script asks for a secret to hand the card over with, before the form is sent."""
    return request.method == "POST" and bool(request.POST.get("prepare"))


def setup(request: HttpRequest, customer: Customer, *, default: bool = True) -> JsonResponse:
    """The secret for one card of the customer, the ``default`` one or one that is yet to pay.

    The token for the form is new where somebody was just signed in. Each secret lets a card be tried at its bank,
    whatever the page does with it afterwards.
    """
    if is_flooded(request, page="card", senders=[("payer", str(customer.pk), FOR_ONE_PAYER)]):
        return JsonResponse({"error": _("Too many cards were tried. Please try again in an hour.")}, status=429)
    try:
        begun = payment_methods.begin(customer=customer, default=default)
    except AnswerLost:
        return JsonResponse({"error": words.of("gateway_unreachable")}, status=503)
    except DomainError as refusal:
        return JsonResponse({"error": refusal.detail}, status=refusal.status)
    return JsonResponse({"client_secret": begun.client_secret, "csrf": get_token(request)})


@dataclass(frozen=True, slots=True)
class Replaced:
    """What became of a new card: what is wrong with it in words, or a payment that its holder is to confirm."""

    failure: str = ""
    to_confirm: Payment | None = None


def replace(customer: Customer, given: str, *, at: datetime) -> Replaced:
    """Keep the card that a page has brought for later invoices, and charge to it what had failed."""
    try:
        method = payment_methods.take(customer=customer, given=given, at=at)
        dunning_runs.retry(payer=customer, on_session=True, at=at)
    except AnswerLost:
        return Replaced(words.of("gateway_unreachable"))
    except DomainError as refusal:
        return Replaced(refusal.detail)
    tried = PaymentAttempt.objects.filter(payment_method=method).order_by("created_at", "id").last()
    if tried is not None and tried.status == PaymentAttempt.Status.FAILED:
        return Replaced(_("This card was declined, too. Please try another one."))
    return Replaced(to_confirm=confirmations.asked_of(method))


def opened(response: HttpResponse, script: str) -> HttpResponse:
    """The page with its policy opened for the gateway's script, where it has one."""
    if script:
        parts = urlsplit(script)
        origin = f"{parts.scheme}://{parts.netloc}"
        double = {"script-src": [origin], "frame-src": [SELF, origin], "connect-src": [SELF, origin]}
        allow(response, _STRIPE if parts.netloc == "js.stripe.com" else double)
    return response


def allow(response: HttpResponse, policy: dict[str, list[str]]) -> None:
    """Add to what this one page may load or be sent to."""
    response._csp_update = getattr(response, "_csp_update", {}) | policy  # type: ignore[attr-defined]  # django-csp's
