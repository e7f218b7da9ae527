"""Checkout: one page, resumable, the same for everybody. Nothing here depends on what sales knows."""

from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth import login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from billing import checkout, wording
from billing.checkout_summary import order_of
from billing.forms import MAX_QUANTITY, CheckoutForm
from billing.models import Coupon, Customer, Plan, PlanVersion, Price, Subscription, TaxRate
from billing.queries import shop
from billing.taxation import PlaceUnknown
from billing.views.pricing import talk_url
from gtm.shared import db, ids, vendors
from gtm.shared.api.throttling import address
from gtm.shared.errors import DomainError
from gtm.shared.flooding import is_flooded
from gtm.shared.models import User
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
    at: datetime

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
    sale = _sale(request, plan)
    if (closed := _closed(request, sale)) is not None:
        return closed
    if request.POST.get("preview"):
        return _page(request, sale, _untouched(request, sale), fragment=bool(request.htmx))  # type: ignore[attr-defined]
    interrupted = _interrupted(request, sale)
    form = _form(request, sale, interrupted)
    if request.method == "POST" and form.is_valid():
        if is_flooded(request, page="checkout", senders=[("address", address(request), FROM_ONE_ADDRESS)]):  # type: ignore[arg-type]  # it has META, too
            form.add_error(None, _("Too many orders were sent from here. Please try again in an hour."))
            return _page(request, sale, form, status=429)
        return _buy(request, sale, form)
    failure = interrupted.failure if interrupted and request.method != "POST" else ""
    return _page(request, sale, form, failure=failure, status=422 if form.errors else 200)


def _sale(request: HttpRequest, plan: str) -> Sale:
    """Raises Http404 for a plan that can't be bought alone."""
    found = shop.current_versions(Plan.objects.for_sale().filter(code=plan))
    base = vendors.current().base_currency
    if not found or not shop.is_buyable(found[0].plan, shop.published(found[0], base)):
        raise Http404
    user = request.user if request.user.is_authenticated else None
    buyer = checkout.buyer_of(user) if user else None
    currency = (buyer.currency if buyer else "") or base
    return Sale(
        version=found[0],
        user=user,
        buyer=buyer,
        currency=currency,
        prices=shop.published(found[0], currency),
        trial_days=checkout.trial_days_of(version=found[0], buyer=buyer),
        at=db.now_for(buyer),
    )


def _closed(request: HttpRequest, sale: Sale) -> HttpResponse | None:
    """The page for a buyer who has the plan, or pays in a currency it has no price in.

    What is sent twice is answered as it was the first time.
    """
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
def _interrupted(request: HttpRequest, sale: Sale) -> checkout.Interrupted | None:
    """The purchase that the address says to go on with, after a card was refused."""
    named = _key(request.GET.get("resume", ""))
    return checkout.interrupted(checkout_id=named, user=sale.user) if sale.user and named else None


def _key(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _form(request: HttpRequest, sale: Sale, interrupted: checkout.Interrupted | None = None) -> CheckoutForm:
    begun = interrupted or checkout.Interrupted(
        ids.uuid7(), request.GET.get("interval", ""), _quantity(request.GET.get("quantity", "")), failure=""
    )
    initial = {
        "checkout": begun.checkout_id,
        "offer": sale.offer,
        "interval": _one_of(begun.interval, sale.intervals),
        "quantity": begun.quantity,
        "coupon": begun.coupon or request.GET.get("coupon", ""),
    }
    intervals = [(name, _interval_label(name, sale.prices)) for name in sale.intervals]
    sent = request.POST if request.method == "POST" else None
    return CheckoutForm(sent, initial=initial, intervals=intervals, asks=_asks(sale))


def _untouched(request: HttpRequest, sale: Sale) -> CheckoutForm:
    """The form with what was typed so far, not judged yet."""
    form = _form(request, sale)
    form.is_bound, form.initial = False, {**form.initial, **request.POST.dict()}
    return form


def _asks(sale: Sale) -> set[str]:
    """The fields that the page has: what isn't known yet and makes a difference."""
    buyer = sale.buyer
    wanted = {
        "quantity": any(wording.is_per_seat(price) for price in sale.prices),
        "coupon": Coupon.objects.filter(archived_at=None).exists(),
        "email": sale.user is None,
        "password": sale.user is None,
        "name": buyer is None,
        "country": buyer is None or not buyer.place,
        "state": (buyer is None or not buyer.billing_address.get("state")) and _taxes_by_region(buyer),
        "card": checkout.needs_card(version=sale.version, prices=sale.prices, trial_days=sale.trial_days),
    }
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


def _quantity(text: str) -> int:
    """As many as were asked for, within bounds; 1 for what is no number."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_QUANTITY))
    return min(max(int(text), 1), MAX_QUANTITY) if is_number else 1


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
        "order": _order(request, sale, form),
    }
    template = "billing/checkout.html#order" if fragment else "billing/checkout.html"
    return render(request, template, context, status=status)


def _sign_in_url(request: HttpRequest) -> str:
    return f"{reverse('account_login')}?{urlencode({'next': request.get_full_path()})}"


def _order(request: HttpRequest, sale: Sale, form: CheckoutForm) -> dict[str, Any]:
    """The order as it stands in the form, valid or not yet. Codes aren't for trying out by the hundred."""
    values = form.data if form.is_bound else form.initial
    purchase = _ordered(sale, form, values)
    buyer = _as_typed(sale.buyer or Customer(name=""), values)
    terms: dict[str, Any] = {"buyer": buyer, "trial_days": sale.trial_days, "at": sale.at}
    tries = [("address", address(request), CODES_FROM_ONE_ADDRESS)]  # type: ignore[arg-type]  # it has META, too
    if purchase.coupon and is_flooded(request, page="coupon", senders=tries):
        problem = _("Too many codes were tried. Please try again in an hour.")
        return order_of(purchase=replace(purchase, coupon=""), **terms) | {"coupon_problem": problem}
    return order_of(purchase=purchase, **terms)


def _ordered(sale: Sale, form: CheckoutForm, values: Any) -> checkout.Purchase:
    return checkout.Purchase(
        id=_key(str(values.get("checkout", ""))) or ids.uuid7(),
        plan_version=sale.version,
        interval=_one_of(str(values.get("interval", "")), sale.intervals),
        quantity=_quantity(str(values.get("quantity", ""))),
        currency=sale.currency,
        coupon=str(values.get("coupon", "")).strip() if "coupon" in form.fields else "",
    )


def _as_typed(buyer: Customer, values: Any) -> Customer:
    """The buyer with the place that stands in the form, where none is known."""
    typed = copy(buyer)
    typed.country = buyer.country or ("" if buyer.place else str(values.get("country", "")))
    typed.billing_address = {"state": str(values.get("state", "")), **buyer.billing_address}
    return typed


# --- the purchase ------------------------------------------------------------------------------
def _buy(request: HttpRequest, sale: Sale, form: CheckoutForm) -> HttpResponse:
    try:
        outcome = checkout.complete(purchase=_purchase(sale, form), at=sale.at)
    except DomainError as error:
        _explain(form, error)
        return _page(request, sale, form, status=422)
    if not request.user.is_authenticated:
        login(request, outcome.user, backend="allauth.account.auth_backends.AuthenticationBackend")
    if outcome.failure:
        return redirect(f"{request.path}?{urlencode({'resume': outcome.subscription.pk})}")
    if outcome.subscription.status == Subscription.Status.INCOMPLETE:
        messages.info(request, _("Your payment is being processed. This page shows it as soon as it is through."))
    else:
        messages.success(request, _("You are subscribed to %(plan)s.") % {"plan": sale.plan.name})
    return redirect("portal_overview", outcome.customer.public_id)


def _explain(form: CheckoutForm, error: DomainError) -> None:
    """Say what is wrong where it can be put right."""
    field = "state" if error.attr == "region" else error.attr
    is_place = isinstance(error, PlaceUnknown)
    if field in form.fields:
        form.add_error(field, _("Needed to work out the tax.") if is_place else error.detail)
    else:
        form.add_error(None, _in_words(PlaceUnknown.code if is_place else error.code) or error.detail)


def _in_words(code: str) -> str:
    """What a buyer is told of refusals that are worded for integrators."""
    return {
        PlaceUnknown.code: _("Your billing details lack a country or a state, which the tax depends on."),
        "meter_in_use": _("Another subscription of yours bills this usage already. Cancel it first, or write to us."),
        "payer_parked": _("Billing of your account is held up. Write to us, and we sort it out."),
        "collection_not_allowed": _("Your account is billed by invoice. Write to us, and we set it up."),
    }.get(code, "")


def _purchase(sale: Sale, form: CheckoutForm) -> checkout.Purchase:
    data: dict[str, Any] = form.cleaned_data
    typed = {name: data[name] for name in ("card", "email", "password", "name", "country", "state") if name in data}
    return checkout.Purchase(
        id=data["checkout"],
        plan_version=sale.version,
        interval=data["interval"],
        quantity=data.get("quantity", 1),
        currency=sale.currency,
        user=sale.user,
        coupon=data.get("coupon", "").strip(),
        **typed,
    )
