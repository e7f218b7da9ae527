"""Another payment method by a signed link, for whoever pays; nobody signs in. What had failed is charged at once."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from billing import confirmations, dunning_cases, gateways, hosted
from billing.forms import CardForm
from billing.models import Customer
from billing.queries import portal
from billing.views import cards
from billing.views.hosted import FRAME, private, refused
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
    try:
        return private(_page(request, payer, token))
    except DomainError as refusal:  # such as a gateway without a key
        return private(refused(request, refusal))


def _page(request: HttpRequest, payer: Customer, token: str) -> HttpResponse:
    if cards.wants_setup(request):
        return cards.setup(request, payer)
    is_sent, failure = request.method == "POST", ""
    form = CardForm(request.POST if is_sent else None, gateway=gateways.of_customer(payer))
    if is_sent and form.is_valid():
        kept = _keep(request, payer, form)
        if kept.to_confirm is not None:
            return redirect(confirmations.path(kept.to_confirm.pk, at=db.now()))
        if not (failure := kept.failure):
            messages.success(request, _("Saved. Your next invoice is charged to this card."))
            return redirect("hosted_card", token)
    context = {
        "form": form,
        "failure": failure,
        "failed": dunning_cases.failing_of(payer),
        "method": portal.payment_method(payer),
    }
    shown = render(request, "billing/hosted_card.html", FRAME | context, status=422 if is_sent else 200)
    return cards.opened(shown, form.gateway.script)


def _keep(request: HttpRequest, payer: Customer, form: CardForm) -> cards.Replaced:
    if is_flooded(request, page="card_link", senders=[("payer", str(payer.pk), TRIES)]):
        return cards.Replaced(_("Too many cards were tried. Please try again in an hour."))
    return cards.replace(payer, form.cleaned_data["card"], at=db.now_for(payer))
