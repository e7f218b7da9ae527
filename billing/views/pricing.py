"""The price page. It looks the same to everybody: nothing here asks who the visitor is."""

from dataclasses import asdict
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from billing.models import Plan
from billing.queries import shop
from gtm.shared import vendors


def show(request: HttpRequest) -> HttpResponse:
    interval = request.GET.get("interval", "month")
    interval = interval if interval in shop.SWITCH else "month"
    offers = shop.offers(interval=interval, currency=vendors.current().base_currency)
    by_quote = [offer for offer in offers if offer.purchase_mode == Plan.PurchaseMode.QUOTE_ONLY]
    context = {
        "plans": [_card(offer, interval) for offer in offers if offer not in by_quote],
        "quote_plans": [_card(offer, interval) for offer in by_quote],
        "interval": interval if any("year" in offer.intervals for offer in offers) else "",
    }
    return render(request, "billing/pricing.html", context)


def _card(offer: shop.Offer, interval: str) -> dict[str, Any]:
    bought_by = interval if interval in offer.intervals else next(iter(offer.intervals), "month")
    buy = f"{reverse('checkout', args=[offer.code])}?{urlencode({'interval': bought_by})}"
    return asdict(offer) | {
        "buy_url": buy if offer.buyable else "",
        "talk_url": talk_url(offer.code) if offer.talk_to_us else "",
    }


def talk_url(plan: str) -> str:
    """The contact form belongs to the app above; its address is part of the contract (`/contact-sales/`)."""
    return f"/contact-sales/?{urlencode({'plan': plan})}"
