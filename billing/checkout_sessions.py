"""Checkouts that an integrator begins: an address for one buyer, with what is bought and for whom already said."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.urls import reverse

from billing import coupons, returns
from billing.models import Checkout, Coupon, Customer, PlanVersion, Price
from billing.purchase import Purchase, items_of
from billing.queries import shop
from billing.selection import ItemTerms
from gtm.shared import ids, links, outbox
from gtm.shared.errors import Conflict, Invalid

SESSION = "checkout"
LASTS = timedelta(days=7)


@transaction.atomic
def create(
    *,
    plan_version: PlanVersion,
    price: Price,
    quantity: int = 1,
    add_ons: tuple[ItemTerms, ...] = (),
    coupon: Coupon | None = None,
    customer: Customer | None = None,
    email: str = "",
    external_id: str = "",
    return_url: str = "",
    at: datetime,
) -> Checkout:
    """Begin one. ``customer`` buys without signing in; else whoever comes signs up, and becomes ``external_id``.

    Raises Invalid for what isn't sold like that, a code that can't be redeemed, and a ``return_url`` of a host that the
    vendor hasn't listed; Conflict (``external_id_known``) where that is a customer already.
    """
    returns.require_listed(return_url)
    _require_fitting(customer, external_id, price)
    _require_sold(plan_version, price, add_ons)
    order = Purchase(ids.uuid7(), plan_version, price.interval, quantity, price.currency, add_ons=add_ons)
    items_of(order)
    if coupon is not None:
        coupons.check(coupon, plan=plan_version.plan, currency=price.currency, at=at)
    made = Checkout(
        id=order.id,
        plan_version=plan_version,
        price=price,
        quantity=quantity,
        customer=customer,
        email=email.strip().lower() or (customer.email if customer else ""),
        external_id=external_id,
        return_url=return_url,
        detail=_detail(price, coupon, add_ons),
        expires_at=at + LASTS,
    )
    made.save(force_insert=True)
    data = {"plan": plan_version.plan.code, "price": price.public_id, "quantity": quantity}
    outbox.publish("billing.checkout.created", made, at=at, customer_id=customer.pk if customer else None, data=data)
    return made


def _detail(price: Price, coupon: Coupon | None, add_ons: tuple[ItemTerms, ...]) -> dict[str, Any]:
    return {
        "interval": price.interval,
        "coupon": coupon.code if coupon else "",
        "add_ons": {item.price.code: int(item.quantity) for item in add_ons},
        "session": True,
    }


def _require_fitting(customer: Customer | None, external_id: str, price: Price) -> None:
    """The customer pays in the price's currency, and nobody else has the integrator's name for it."""
    if customer is not None and customer.currency not in ("", price.currency):
        detail = f"{customer} is billed in {customer.currency}."
        raise Invalid(detail, attr="price", code="currency_differs")
    known = Customer.objects.filter(external_id=external_id).first() if external_id else None
    if known is not None and known != customer:
        detail = f"{external_id} is {known.public_id} already: name it as the customer."
        raise Conflict(detail, attr="external_id", code="external_id_known")


def _require_sold(plan_version: PlanVersion, price: Price, add_ons: tuple[ItemTerms, ...]) -> None:
    """Raises Invalid for what the checkout's page wouldn't sell."""
    plan = plan_version.plan
    published = {one.pk: one for one in plan_version.prices.filter(published=True)}
    if plan.archived_at is not None or not shop.is_buyable(plan, [one for one in published.values() if not one.add_on]):
        raise Invalid(f"{plan} can't be bought alone.", attr="plan", code="plan_not_for_sale")
    if price.pk not in published or price.add_on or price.interval == Price.Interval.ONE_TIME:
        raise Invalid(f"{price.code} is not a price that {plan} is bought by.", attr="price", code="unknown_price")
    for position, item in enumerate(add_ons):
        is_known = item.price.pk in published and item.price.add_on and item.price.currency == price.currency
        if not is_known or item.price.interval == Price.Interval.ONE_TIME:
            detail = f"{item.price.code} is not an add-on of {plan} in {price.currency}."
            raise Invalid(detail, attr=f"add_ons.{position}.price", code="unknown_price")


def path(checkout: Checkout, *, at: datetime) -> str:
    """The buyer's address, behind ``BASE_URL``. ``at`` is wall time."""
    token = links.make(SESSION, checkout.pk, at=at, lasts=LASTS)
    return f"{reverse('checkout', args=[checkout.plan_version.plan.code])}?session={token}"


def read(token: str, *, at: datetime) -> Checkout:
    """The checkout that a link leads to, as it stands now. Raises LinkInvalid and LinkExpired. ``at`` is wall time."""
    found = current(links.read(SESSION, token, at=at))
    if found is None:
        raise links.LinkInvalid
    return found


def current(checkout_id: uuid.UUID) -> Checkout | None:
    """The checkout of that id, or the one that took its place when the order was changed."""
    related = ("plan_version__plan", "price", "customer", "subscription", "user")
    found = Checkout.objects.select_related(*related).filter(pk=checkout_id).first()
    while found is not None and found.status == Checkout.Status.EXPIRED and "replaced_by" in found.detail:
        found = Checkout.objects.select_related(*related).filter(pk=found.detail["replaced_by"]).first()
    return found
