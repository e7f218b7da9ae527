"""Checkout: one page, resumable, the same for everybody. Nothing here depends on what sales knows."""

from typing import Any

from django.contrib import messages
from django.contrib.auth import login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from billing import checkout
from billing.forms import MAX_QUANTITY, CheckoutForm
from billing.models import Customer, Plan, PlanVersion, Subscription
from billing.queries import shop
from billing.views.pricing import talk_url
from billing.wording import is_per_seat
from gtm.shared import db, ids, vendors
from gtm.shared.errors import DomainError
from gtm.shared.models import User


def show(request: HttpRequest, plan: str) -> HttpResponse:
    version = _version(plan)
    form = _form(request, version)
    if request.POST.get("preview"):
        return _page(request, version, form, fragment=bool(request.htmx))  # type: ignore[attr-defined]
    if request.method == "POST" and form.is_valid():
        return _buy(request, version, form)
    return _page(request, version, form, status=422 if form.errors else 200)


def _version(plan: str) -> PlanVersion:
    """The version on sale of a plan that can be bought alone."""
    found = shop.current_versions(Plan.objects.for_sale().filter(code=plan))
    if not found or not shop.is_buyable(found[0].plan, shop.published(found[0], _currency())):
        raise Http404
    return found[0]


def _currency() -> str:
    return vendors.current().base_currency


def _user(request: HttpRequest) -> User | None:
    return request.user if request.user.is_authenticated else None


def _customer(request: HttpRequest) -> Customer | None:
    return checkout.buyer_of(user) if (user := _user(request)) else None


def _form(request: HttpRequest, version: PlanVersion) -> CheckoutForm:
    prices = shop.published(version, _currency())
    known = [name for name in shop.INTERVALS if any(price.interval == name for price in prices if not price.meter_id)]
    asked = request.GET.get("interval", "")
    quantity = request.GET.get("quantity", "")
    initial = {
        "checkout": ids.uuid7(),
        "interval": _one_of(asked, known),
        "quantity": int(quantity) if quantity.isdecimal() and 0 < int(quantity) <= MAX_QUANTITY else 1,
    }
    return CheckoutForm(
        request.POST or None,
        initial=initial,
        intervals=known,
        per_seat=any(is_per_seat(price) for price in prices),
        user=_user(request),
        customer=_customer(request),
    )


def _page(
    request: HttpRequest,
    version: PlanVersion,
    form: CheckoutForm,
    *,
    failure: str = "",
    status: int = 200,
    fragment: bool = False,
) -> HttpResponse:
    context = {
        "plan": version.plan,
        "form": form,
        "sections": form.sections,
        "failure": failure,
        "talk_url": talk_url(version.plan.code) if version.plan.talk_to_us else "",
        "order": _order(request, version, form),
    }
    template = "billing/checkout.html#order" if fragment else "billing/checkout.html"
    return render(request, template, context, status=status)


def _order(request: HttpRequest, version: PlanVersion, form: CheckoutForm) -> dict[str, Any]:
    """The order as it stands in the form, valid or not yet."""
    values = form.data if form.is_bound else form.initial
    quantity = str(values.get("quantity") or 1)
    purchase = checkout.Purchase(
        id=ids.uuid7(),
        plan_version=version,
        interval=_one_of(str(values.get("interval", "")), form.intervals),
        quantity=int(quantity) if quantity.isdecimal() and 0 < int(quantity) <= MAX_QUANTITY else 1,
        currency=_currency(),
    )
    buyer = form.customer or Customer(name="", country=str(values.get("country") or ""))
    return checkout.order_of(purchase=purchase, buyer=buyer, trial_days=version.trial_days, at=db.now())


def _one_of(value: str, known: list[str]) -> str:
    return value if value in known else known[0]


def _buy(request: HttpRequest, version: PlanVersion, form: CheckoutForm) -> HttpResponse:
    try:
        outcome = checkout.complete(purchase=_purchase(version, form, _user(request)), at=db.now())
    except DomainError as error:
        form.add_error(error.attr if error.attr in form.fields else None, error.detail)
        return _page(request, version, form, status=422)
    if not request.user.is_authenticated:
        login(request, outcome.user, backend="allauth.account.auth_backends.AuthenticationBackend")
    if outcome.failure:
        return _page(request, version, _again(request, version), failure=outcome.failure, status=422)
    if outcome.subscription.status == Subscription.Status.INCOMPLETE:
        messages.info(request, _("Your payment is being processed. This page shows it as soon as it is through."))
    else:
        messages.success(request, _("You are subscribed to %(plan)s.") % {"plan": version.plan.name})
    return redirect("portal_overview", outcome.customer.public_id)


def _purchase(version: PlanVersion, form: CheckoutForm, user: User | None) -> checkout.Purchase:
    data: dict[str, Any] = form.cleaned_data
    return checkout.Purchase(
        id=data["checkout"],
        plan_version=version,
        interval=data["interval"],
        quantity=data.get("quantity", 1),
        currency=_currency(),
        card=data["card"],
        user=user,
        email=data.get("email", ""),
        password=data.get("password", ""),
        name=data.get("name", ""),
        country=data.get("country", ""),
    )


def _again(request: HttpRequest, version: PlanVersion) -> CheckoutForm:
    """The same purchase, now signed in and with a customer: what was typed once isn't asked again."""
    form = _form(request, version)
    form.is_bound, form.initial = False, form.initial | request.POST.dict()
    return form
