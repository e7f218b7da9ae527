"""A payment that waits for its holder: by the checkout's redirect, or by a mailed link, signed in or not."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from billing import checkout, confirmations, gateways, hosted, payments, returns
from billing.gateways import Action, AnswerLost, words
from billing.models import Invoice, Payment
from billing.views import cards, departures, portal_access
from gtm.shared import db, links
from gtm.shared.errors import DomainError


@never_cache
def show(request: HttpRequest, token: str) -> HttpResponse:
    try:
        payment = _payment(token)
        if request.method == "POST":
            payment = _answered(request, payment)
        action = confirmations.action(payment)
        return _page(request, payment, action) if action else _onwards(request, payment)
    except links.LinkInvalid:
        return _told(request, _("This link is not valid"), _("Please use the whole link as you were sent it."), 404)
    except links.LinkExpired:
        return _told(request, _("This link has expired"), _("Write to us, and we send you another one."), 410)
    except (AnswerLost, DomainError):
        return _told(request, _("Not just now"), words.of("gateway_unreachable"), 503)


def _payment(token: str) -> Payment:
    key = links.read(confirmations.PAYMENT, token, at=db.now())
    found = Payment.objects.select_related("customer", "payment_method").filter(pk=key).first()
    if found is None:
        raise links.LinkInvalid
    return found


def _answered(request: HttpRequest, payment: Payment) -> Payment:
    """The payment as it stands after its holder has been asked: by the sandbox's buttons, or by their bank."""
    at, said = db.now_for(payment), request.POST.get("answer", "")
    if said in {"accept", "refuse"}:
        return confirmations.answer(payment=payment, accepted=said == "accept", at=at)
    return payments.refresh(payment=payment, at=at)


def _page(request: HttpRequest, payment: Payment, action: Action) -> HttpResponse:
    script = gateways.named(payment.gateway).script if action.kind == "script" else ""
    context = {"payment": payment, "payer": payment.customer, "action": action, "script": script}
    response = cards.opened(render(request, "billing/confirm.html", context), script)
    begun = checkout.of_payment(payment)
    if begun is not None and begun.return_url:
        cards.allow(response, {"form-action": [returns.origin(begun.return_url)]})
    return response


def _onwards(request: HttpRequest, payment: Payment) -> HttpResponse:
    """What became of it. Whoever comes back before any webhook finds it settled all the same."""
    at = db.now_for(payment)
    payment = payments.refresh(payment=payment, at=at)
    if (outcome := checkout.come_back(payment=payment, at=at)) is not None:
        return departures.onwards(request, outcome)
    if portal_access.member_of(request, payment.customer.public_id) is not None:
        return redirect("portal_invoices", payment.customer.public_id)
    if payment.status == Payment.Status.SUCCEEDED:
        return _told(request, _("Thank you"), _("Your payment is through."))
    if payment.status == Payment.Status.FAILED:
        reason = payment.failure_message or words.of(payment.failure_code)
        return _told(request, _("Nothing was charged"), reason, way=_another_way(payment))
    return _told(request, _("Your payment is under way"), _("We write to you when it is through."))


def _another_way(payment: Payment) -> tuple[str, str]:
    """The page of what is still to be paid, for whoever isn't signed in."""
    owed = Invoice.objects.filter(payment_attempts__payment=payment, status=Invoice.Status.OPEN)
    found = owed.order_by("-created_at").first()
    return (hosted.invoice_url(found.pk, at=db.now()), _("Pay by card")) if found else ("", "")


def _told(
    request: HttpRequest, title: str, text: str, status: int = 200, *, way: tuple[str, str] = ("", "")
) -> HttpResponse:
    url, label = way if way[0] else (reverse("home"), _("My account"))
    context = {"title": title, "text": text, "url": url, "label": label}
    return render(request, "billing/confirmed.html", context, status=status)
