"""Checkout: one page, resumable, the same for everybody. Nothing here depends on what sales knows."""

from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from billing import buyers, checkout, gateways, returns, vendor_terms, wording
from billing.checkout_summary import order_of
from billing.forms import CheckoutForm, add_on_field
from billing.gateways import AnswerLost, Gateway, GatewayUnavailable, words
from billing.models import Coupon, Customer, Plan, PlanVersion, Price, TaxRate
from billing.purchase import ADDRESS, Purchase, needs_card, trial_days_of
from billing.queries import shop
from billing.views import arrivals, cards, departures, refusals
from billing.views.arrivals import Arrival
from billing.views.pricing import talk_url
from gtm.shared import accounts, db, ids, links, vendors
from gtm.shared.api.throttling import address
from gtm.shared.errors import DomainError
from gtm.shared.flooding import is_flooded
from gtm.shared.models import User, Vendor
from gtm.shared.templatetags.tandem import price as format_price

CODES_FROM_ONE_ADDRESS = "120/h"
FROM_ONE_ADDRESS = "60/h"  # stolen cards are tried out by the hundred


@dataclass(frozen=True)
class Sale:
    """What is on sale to whom: the plan's current version, by its prices in the buyer's currency."""

    version: PlanVersion
    user: User | None
    buyer: Customer | None
    currency: str
    prices: list[Price]
    trial_days: int
    arrival: Arrival
    vendor: Vendor
    gateway: Gateway
    is_open: bool  # what is known of the buyer was typed here and may still be changed
    at: datetime

    @property
    def add_ons(self) -> list[Price]:
        return shop.add_ons(self.version, self.currency)

    @property
    def plan(self) -> Plan:
        return self.version.plan

    @property
    def intervals(self) -> tuple[str, ...]:
        return shop.intervals(self.prices) or (Price.Interval.MONTH,)

    @property
    def offer(self) -> str:
        """By what a page that was shown can be compared: a price never changes, a plan gets another one."""
        return " ".join([str(self.version.pk), *(price.code for price in self.prices)])


@never_cache
def show(request: HttpRequest, plan: str) -> HttpResponse:
    try:
        sale = _sale(request, plan)
    except links.LinkInvalid:
        raise Http404 from None
    except links.LinkExpired:
        return _expired(request, plan)
    except GatewayUnavailable:
        text = words.of("gateway_unreachable")
        return render(request, "billing/confirmed.html", {"title": _("Not just now"), "text": text}, status=503)
    if (closed := _closed(request, sale)) is not None:
        return closed
    if cards.wants_setup(request):
        return _take_card(request, sale)
    if request.POST.get("preview"):
        is_fragment = bool(request.htmx)  # type: ignore[attr-defined]
        return _page(request, sale, _untouched(request, sale), fragment=is_fragment)
    interrupted = _interrupted(sale)
    form = _form(request, sale, interrupted)
    if request.method == "POST" and form.is_valid():
        if _is_flooded(request, "checkout"):
            form.add_error(None, _too_many())
            return _page(request, sale, form, status=429)
        return _buy(request, sale, form)
    failure = interrupted.failure if interrupted and request.method != "POST" else ""
    return _page(request, sale, form, failure=failure, status=422 if form.errors else 200)


def _too_many() -> str:
    return _("Too many orders were sent from here. Please try again in an hour.")


def _is_flooded(request: HttpRequest, page: str) -> bool:
    sender = address(request)  # type: ignore[arg-type]  # it has META, too
    return is_flooded(request, page=page, senders=[("address", sender, FROM_ONE_ADDRESS)])


def _sale(request: HttpRequest, plan: str) -> Sale:
    """Raises Http404 for a plan that can't be bought alone, LinkInvalid and LinkExpired for a session's link, and
    GatewayUnavailable.
    """
    found = shop.current_versions(Plan.objects.for_sale().filter(code=plan))
    vendor = vendors.current()
    if not found:
        raise Http404
    arrival = arrivals.of_request(request, found[0], vendor)
    currency = shop.currency_of(found[0], arrival.currency, vendor.base_currency)
    if not shop.is_buyable(found[0].plan, shop.published(found[0], currency)):
        raise Http404
    user = request.user if request.user.is_authenticated else None
    buyer = arrival.customer or (buyers.buyer_of(user, external_id=arrival.external_id) if user else None)
    currency = (buyer.currency if buyer else "") or currency
    begun = arrivals.key(str(request.POST.get("checkout", ""))) or arrival.checkout_id
    return Sale(
        version=found[0],
        user=None if arrival.customer else user,
        buyer=buyer,
        currency=currency,
        prices=shop.published(found[0], currency),
        trial_days=trial_days_of(version=found[0], buyer=buyer),
        arrival=arrival,
        vendor=vendor,
        gateway=gateways.of_customer(buyer or Customer()),
        is_open=bool(begun and buyer and checkout.is_own(begun, customer=buyer)),
        at=db.now_for(buyer),
    )


def _expired(request: HttpRequest, plan: str) -> HttpResponse:
    context = {
        "title": _("This link has expired"),
        "text": _("Nothing was bought by it. Start again with today's price."),
        "url": reverse("checkout", args=[plan]),
        "label": _("Start again"),
    }
    return render(request, "billing/confirmed.html", context, status=410)


def _closed(request: HttpRequest, sale: Sale) -> HttpResponse | None:
    """The page for a buyer who has the plan, or pays in a currency it has no price in.

    What is sent twice is answered as it was the first time.
    """
    session = sale.arrival.session
    if session is not None and session.subscription is not None and session.customer is not None:
        return departures.onwards(
            request, checkout.Outcome(session, session.user, session.customer, session.subscription)
        )
    if sale.buyer is None:
        return None
    context: dict[str, Any] = {"plan": sale.plan, "portal_url": reverse("portal_overview", args=[sale.buyer.public_id])}
    if not shop.is_buyable(sale.plan, sale.prices):
        context["currency"], context["talk_url"] = sale.currency, talk_url(sale.plan.code)
        return render(request, "billing/checkout_closed.html", context)
    if request.method != "POST" and checkout.owned(customer=sale.buyer, plan=sale.plan):
        return render(request, "billing/checkout_closed.html", context)
    return None


# --- the form ----------------------------------------------------------------------------------
def _interrupted(sale: Sale) -> checkout.Interrupted | None:
    """The purchase that the address says to go on with: after a card was refused, or as an integrator has begun it."""
    named, session = sale.arrival.checkout_id, sale.arrival.session
    if named is None:
        return None
    if session is not None:
        return checkout.interrupted(checkout_id=named, user=None, held=True) or checkout.resumable(session)
    return checkout.interrupted(checkout_id=named, user=sale.user) if sale.user else None


def _form(request: HttpRequest, sale: Sale, interrupted: checkout.Interrupted | None = None) -> CheckoutForm:
    wished = sale.arrival
    begun = interrupted or checkout.Interrupted(ids.uuid7(), wished.interval, wished.quantity, failure="")
    initial = {
        "checkout": begun.checkout_id,
        "offer": sale.offer,
        "interval": _one_of(begun.interval, sale.intervals),
        "quantity": begun.quantity,
        "coupon": begun.coupon or wished.coupon,
        "email": wished.email,
        **{add_on_field(price): begun.add_ons.get(price.code, 0) for price in sale.add_ons},
        **(_details(sale.buyer) if sale.buyer and sale.is_open else {}),
    }
    intervals = [(name, _interval_label(name, sale.prices)) for name in sale.intervals]
    sent = request.POST if request.method == "POST" else None
    return CheckoutForm(
        sent,
        initial=initial,
        gateway=sale.gateway,
        vendor=sale.vendor,
        intervals=intervals,
        asks=_asks(sale),
        add_ons=sale.add_ons,
    )


def _details(buyer: Customer) -> dict[str, Any]:
    """What was typed of the buyer before, to be changed."""
    known = {name: buyer.billing_address.get(name, "") for name in ADDRESS}
    return known | {"name": buyer.name, "country": buyer.place, "tax_id": buyer.tax_id}


def _untouched(request: HttpRequest, sale: Sale) -> CheckoutForm:
    """The form with what was typed so far, not judged yet."""
    form = _form(request, sale)
    form.is_bound, form.initial = False, {**form.initial, **request.POST.dict()}
    return form


def _asks(sale: Sale) -> set[str]:
    """The fields that the page has: what isn't known yet and makes a difference."""
    buyer, is_new = sale.buyer, sale.buyer is None or sale.is_open
    signs_up = sale.user is None and sale.arrival.customer is None
    tax_id = (is_new or not (buyer and buyer.tax_id)) and TaxRate.objects.exists()
    wanted = {
        "quantity": any(wording.is_per_seat(price) for price in sale.prices),
        "coupon": Coupon.objects.filter(archived_at=None).exists(),
        "email": signs_up,
        "password": signs_up,
        "name": is_new,
        "country": is_new or not (buyer and buyer.place),
        "state": (is_new or not (buyer and buyer.billing_address.get("state"))) and _taxes_by_region(buyer),
        "tax_id": tax_id,
        "card": needs_card(version=sale.version, prices=[*sale.prices, *sale.add_ons], trial_days=sale.trial_days),
        "terms": bool(sale.vendor.terms_url),
    }
    if is_new or (tax_id and not (buyer and buyer.billing_address.get("line1"))):
        wanted |= dict.fromkeys(("line1", "line2", "postal_code", "city"), True)
    return {name for name, is_wanted in wanted.items() if is_wanted}


def _taxes_by_region(buyer: Customer | None) -> bool:
    """Whether the tax may depend on more than the country: of the buyer, where that is known."""
    regional = TaxRate.objects.exclude(region="")
    return (regional.filter(country=buyer.place) if buyer and buyer.place else regional).exists()


def _interval_label(interval: str, prices: list[Price]) -> str:
    name = wording.interval_name(interval)
    line = next((wording.price_line(price) for price in shop.base_prices(prices, interval)), None)
    if line is None or line["amount"] is None:
        return name
    return f"{name}, {format_price(line['amount'], line['currency'])} {line['per']}"


def _one_of(value: str, known: tuple[str, ...]) -> str:
    return value if value in known else known[0]


# --- the page ----------------------------------------------------------------------------------
def _page(
    request: HttpRequest,
    sale: Sale,
    form: CheckoutForm,
    *,
    failure: str = "",
    status: int = 200,
    fragment: bool = False,
) -> HttpResponse:
    context = {
        "plan": sale.plan,
        "buyer": sale.buyer,
        "has_plans": checkout.plans_of(customer=sale.buyer) if sale.buyer else [],
        "form": form,
        "sections": form.sections,
        "failure": failure,
        "trial_days": sale.trial_days,
        "needs_card": "card" in form.fields,
        "sign_in_url": "" if sale.user else _sign_in_url(request),
        "talk_url": talk_url(sale.plan.code) if shop.talks(sale.plan) else "",
        "change_url": reverse("portal_plan", args=[sale.buyer.public_id]) if sale.user and sale.buyer else "",
        "order": _order(request, sale, form),
        "privacy_url": "" if "terms" in form.fields else sale.vendor.privacy_url,
    }
    template = "billing/checkout.html#order" if fragment else "billing/checkout.html"
    script = form.entry["script"] if form.entry else ""
    response = cards.opened(render(request, template, context, status=status), script)
    if sale.arrival.return_url:
        cards.allow(response, {"form-action": [returns.origin(sale.arrival.return_url)]})
    return response


def _sign_in_url(request: HttpRequest) -> str:
    return f"{reverse('account_login')}?{urlencode({'next': request.get_full_path()})}"


def _order(request: HttpRequest, sale: Sale, form: CheckoutForm) -> dict[str, Any]:
    """The order as it stands in the form, valid or not yet. Codes aren't for trying out by the hundred."""
    values = form.data if form.is_bound else form.initial
    purchase = _ordered(sale, form, values)
    buyer = _as_typed(sale.buyer or Customer(name=""), values, anew=sale.is_open)
    terms: dict[str, Any] = {"buyer": buyer, "trial_days": sale.trial_days, "at": sale.at}
    tries = [("address", address(request), CODES_FROM_ONE_ADDRESS)]  # type: ignore[arg-type]  # it has META, too
    if purchase.coupon and is_flooded(request, page="coupon", senders=tries):
        problem = _("Too many codes were tried. Please try again in an hour.")
        return order_of(purchase=replace(purchase, coupon=""), **terms) | {"coupon_problem": problem}
    return order_of(purchase=purchase, **terms)


def _ordered(sale: Sale, form: CheckoutForm, values: Any) -> Purchase:
    return Purchase(
        id=arrivals.key(str(values.get("checkout", ""))) or ids.uuid7(),
        plan_version=sale.version,
        interval=_one_of(str(values.get("interval", "")), sale.intervals),
        quantity=arrivals.quantity(str(values.get("quantity", ""))),
        currency=sale.currency,
        coupon=str(values.get("coupon", "")).strip() if "coupon" in form.fields else "",
        add_ons=form.ordered(values),
    )


def _as_typed(buyer: Customer, values: Any, *, anew: bool) -> Customer:
    """The buyer with the place and the tax id that stand in the form, where none is known."""
    typed, country = copy(buyer), str(values.get("country", ""))
    state, tax_id = str(values.get("state", "")), str(values.get("tax_id", "")).strip()[:40]
    if anew:
        typed.country, typed.tax_id = country or buyer.country, tax_id
        typed.billing_address = {**buyer.billing_address, "state": state}
        return typed
    typed.country = buyer.country or ("" if buyer.place else country)
    typed.billing_address = {"state": state, **buyer.billing_address}
    typed.tax_id = buyer.tax_id or tax_id
    return typed


# --- the purchase ------------------------------------------------------------------------------
def _take_card(request: HttpRequest, sale: Sale) -> HttpResponse:
    """What the card's script asks for once the rest is right: somebody to give the card for.

    A form that isn't right is answered with the page, and the script then sends it as it is.
    """
    form = _form(request, sale, _interrupted(sale))
    if not form.is_valid() and set(form.errors) != {"card"}:
        return _page(request, sale, form, status=422)
    if _is_flooded(request, "checkout_card"):
        return JsonResponse({"error": _too_many()}, status=429)
    try:
        begun = checkout.begin(purchase=_purchase(sale, form), at=sale.at)
    except DomainError as error:
        form.errors.pop("card", None)  # which is asked for next
        refusals.explain(form, error)
        return JsonResponse({"error": refusals.in_words(form)}, status=422)
    _sign_in(request, begun.user)
    return cards.setup(request, begun.customer)


def _sign_in(request: HttpRequest, user: User | None) -> None:
    if user is not None and not request.user.is_authenticated:
        accounts.sign_in(request, user)
        accounts.ask_to_confirm(request, user)


def _buy(request: HttpRequest, sale: Sale, form: CheckoutForm) -> HttpResponse:
    try:
        outcome = checkout.complete(purchase=_purchase(sale, form), at=sale.at)
    except AnswerLost:
        form.add_error(None, words.of("gateway_unreachable"))
        return _page(request, sale, form, status=503)
    except DomainError as error:
        refusals.explain(form, error)
        return _page(request, sale, form, status=422)
    _sign_in(request, outcome.user)
    return departures.onwards(request, outcome, token=sale.arrival.token)


def _purchase(sale: Sale, form: CheckoutForm) -> Purchase:
    data: dict[str, Any] = form.cleaned_data
    names = ("card", "email", "password", "name", "country", "state", "tax_id")
    return Purchase(
        id=data["checkout"],
        plan_version=sale.version,
        interval=data["interval"],
        quantity=data.get("quantity", 1),
        currency=sale.currency,
        user=sale.user,
        customer=sale.arrival.customer,
        coupon=data.get("coupon", "").strip(),
        add_ons=form.ordered(data),
        address={name: data[name] for name in ADDRESS if name in data and name != "state"},
        external_id=sale.arrival.external_id,
        return_url=sale.arrival.return_url,
        terms_version=vendor_terms.version_of(sale.vendor) if data.get("terms") else "",
        **{name: data[name] for name in names if name in data},
    )
