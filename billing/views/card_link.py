"""Another payment method by a signed link, for whoever pays; nobody signs in. What had failed is charged at once."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from billing import customers, dunning_runs, hosted
from billing.forms import CardForm
from billing.models import Customer, Invoice
from billing.queries import portal
from billing.views.hosted import FRAME, private
from gtm.shared import db, languages, links
from gtm.shared.errors import DomainError
from gtm.shared.flooding import is_flooded

TRIES = "20/h"


@csrf_exempt
@never_cache
def show(request: HttpRequest, token: str) -> HttpResponse:
    """The link is the key: see ``billing.views.hosted``."""
    try:
        payer = Customer.objects.get(pk=links.read(hosted.CARD, token, at=db.now()))
    except (links.LinkInvalid, links.LinkExpired, Customer.DoesNotExist):
        return private(render(request, "billing/hosted_unknown.html", FRAME, status=404))
    languages.prefer(request, payer.preferred_locale)
    return private(_page(request, payer, token))


def _page(request: HttpRequest, payer: Customer, token: str) -> HttpResponse:
    form = CardForm(request.POST if request.method == "POST" else None)
    status, failure = 200, ""
    if request.method == "POST":
        failure = _keep(request, payer, form) if form.is_valid() else ""
        if form.is_valid() and not failure:
            return redirect("hosted_card", token)
        status = 422
    failed = portal.unpaid(payer)
    context = {"form": form, "failure": failure, "failed": failed, "method": portal.payment_method(payer)}
    return render(request, "billing/hosted_card.html", FRAME | context, status=status)


def _keep(request: HttpRequest, payer: Customer, form: CardForm) -> str:
    """Attach the method and charge what had failed; the failure in words, empty when all is well."""
    if is_flooded(request, page="card_link", senders=[("payer", str(payer.pk), TRIES)]):
        return _("Too many cards were tried. Please try again in an hour.")
    try:
        at = db.now_for(payer)
        customers.attach_payment_method(customer=payer, gateway_token=form.cleaned_data["card"], default=True, at=at)
        dunning_runs.retry(payer=payer, at=at)
    except DomainError as refusal:
        return refusal.detail
    stuck = [one for one in portal.unpaid(payer) if one.payment_status == Invoice.PaymentStatus.FAILED]
    if stuck:
        return _("This card was declined, too. Please try another one.")
    messages.success(request, _("Saved. Your next invoice is charged to this card."))
    return ""
