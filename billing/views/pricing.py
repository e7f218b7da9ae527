"""The price page. It looks the same to everybody: nothing here asks who the visitor is."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.models import Plan
from billing.queries import shop
from gtm.shared import vendors
from gtm.shared.templatetags.tandem import money


def show(request: HttpRequest) -> HttpResponse:
    interval = request.GET.get("interval", "month")
    interval = interval if interval in shop.SWITCH else "month"
    base = vendors.current().base_currency
    offers = shop.offers(interval=interval, currency=request.GET.get("currency", "").upper(), base=base)
    by_quote = [offer for offer in offers if offer.purchase_mode == Plan.PurchaseMode.QUOTE_ONLY]
    on_sale = [offer for offer in offers if offer not in by_quote]
    savings = [offer.saving for offer in on_sale if offer.saving]
    context = {
        "plans": [_card(offer, interval) for offer in on_sale],
        "quote_plans": [_card(offer, interval) for offer in by_quote],
        "interval": interval if any("year" in offer.intervals for offer in on_sale) else "",
        "year_note": _saving(max(savings, key=lambda one: one.percent)) if savings else "",
        "currencies": _currencies(on_sale),
        "compared": shop.comparison(on_sale) if len(on_sale) > 1 else [],
    }
    return render(request, "billing/pricing.html", context)


def _currencies(offers: Sequence[shop.Offer]) -> list[dict[str, Any]]:
    """What the page can be turned to; nothing where there is no choice."""
    known = sorted({code for offer in offers for code in offer.currencies})
    shown = {offer.currency for offer in offers}
    return [{"code": code, "is_shown": code in shown} for code in known] if len(known) > 1 else []


def _saving(saving: shop.Saving) -> str:
    """Two months free, where it is whole months."""
    if saving.months:
        return ngettext("%(count)s month free", "%(count)s months free", saving.months) % {"count": saving.months}
    return _("save %(percent)s %%") % {"percent": saving.percent}


def _card(offer: shop.Offer, interval: str) -> dict[str, Any]:
    bought_by = interval if interval in offer.intervals else next(iter(offer.intervals), "month")
    wished = {"interval": bought_by} | ({"currency": offer.currency} if len(offer.currencies) > 1 else {})
    buy = f"{reverse('checkout', args=[offer.code])}?{urlencode(wished)}"
    return asdict(offer) | {
        "buy_url": buy if offer.buyable else "",
        "talk_url": talk_url(offer.code) if offer.talk_to_us else "",
        "saving_text": _by_year(offer, bought_by),
    }


def _by_year(offer: shop.Offer, interval: str) -> str:
    """What paying by the year saves, in words."""
    if offer.saving is None:
        return ""
    values = {"saving": _saving(offer.saving), "amount": money(offer.saving.amount, offer.currency)}
    if interval == "year":
        return _("You save %(amount)s a year: %(saving)s.") % values
    return _("By the year: %(saving)s.") % values


def talk_url(plan: str) -> str:
    """The contact form belongs to the app above; its address is part of the contract (`/contact-sales/`)."""
    return f"/contact-sales/?{urlencode({'plan': plan})}"
