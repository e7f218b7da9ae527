"""Buying alone: what an order comes to, and the one purchase that follows from it.

A checkout is a row whose id the form carries, so a double click, the back button and a retry after a declined card all
go on with the same purchase. Two tabs of one buyer meet under the buyer's lock and share the open checkout of the plan.
The subscription's key is the checkout's id: it can be made once.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from billing import coupons, customers, preview, subscriptions
from billing.models import (
    Checkout,
    Coupon,
    Customer,
    Discount,
    Member,
    PaymentAttempt,
    PaymentMethod,
    Plan,
    PlanVersion,
    Price,
    Subscription,
    SubscriptionChange,
)
from billing.selection import ItemTerms, default_items, quantity_of
from gtm.shared import db, ids, outbox
from gtm.shared.errors import Conflict
from gtm.shared.models import User


@dataclass(frozen=True, slots=True)
class Purchase:
    """What the buyer typed. ``user`` is who is signed in; without one, ``email`` and ``password`` make a new user."""

    id: uuid.UUID
    plan_version: PlanVersion
    interval: str
    quantity: int
    currency: str
    card: str = ""
    user: User | None = None
    email: str = ""
    password: str = field(default="", repr=False)
    name: str = ""
    country: str = ""
    state: str = ""
    coupon: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Who bought, and why the card was not charged, in words; empty when it was, or still is being (``incomplete``)."""

    user: User
    customer: Customer
    subscription: Subscription
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A purchase that waits for another card, and why the last one was not charged, in words."""

    checkout_id: uuid.UUID
    interval: str
    quantity: int
    failure: str
    coupon: str = ""


def buyer_of(user: User) -> Customer | None:
    """The customer that a signed-in user buys for: the one joined first in which the user may buy."""
    may_buy = Member.objects.filter(user=user, role__in=[Member.Role.OWNER, Member.Role.BILLING])
    member = may_buy.select_related("customer").order_by("created_at", "id").first()
    return member.customer if member else None


def interrupted(*, checkout_id: uuid.UUID, user: User) -> Interrupted | None:
    """The user's checkout whose card was refused, if it still is."""
    found = Checkout.objects.filter(pk=checkout_id, user=user, status=Checkout.Status.OPEN).first()
    waiting = Subscription.objects.filter(pk=checkout_id, status=Subscription.Status.INCOMPLETE).first()
    if found is None or waiting is None or not (failure := _why(waiting)):
        return None
    return Interrupted(found.pk, found.detail["interval"], found.quantity, failure, found.detail.get("coupon", ""))


def plans_of(*, customer: Customer) -> list[str]:
    """The names of the plans that the customer has."""
    live = Subscription.objects.live().filter(customer=customer)
    return list(live.order_by("created_at").values_list("plan_version__plan__name", flat=True))


def owned(*, customer: Customer, plan: Plan) -> bool:
    """Whether the customer has the plan already."""
    return Subscription.objects.live().filter(customer=customer, plan_version__plan=plan).exists()


def trial_days_of(*, version: PlanVersion, buyer: Customer | None) -> int:
    """The days of the trial that the buyer gets: 0 for one who had it."""
    used = version.trial_days and buyer is not None and subscriptions.had_trial(buyer, version.plan)
    return 0 if used else version.trial_days


def needs_card(*, version: PlanVersion, prices: Sequence[Price], trial_days: int) -> bool:
    """Whether a card must be given: not for what is free, nor for a trial that asks for none."""
    if trial_days and not version.trial_requires_payment_method:
        return False
    return any(subscriptions.costs(ItemTerms(price)) for price in prices)


def complete(*, purchase: Purchase, at: datetime) -> Outcome:
    """Buy. A refused card leaves an incomplete subscription that the next call with the same id tries again.

    Raises Conflict where the buyer has the plan already, PlaceUnknown where the tax can't be decided, and NotRedeemable
    for a coupon; nobody has been signed up then. Not in a transaction: a card is charged.
    """
    checkout, user, customer = _open(purchase, at)
    method = _card(purchase, customer, at)
    subscription = _subscribe(checkout, purchase, customer, method, at)
    if subscription.status == Subscription.Status.INCOMPLETE:
        return Outcome(user, customer, subscription, failure=_why(subscription))
    _close(checkout, subscription, at)
    return Outcome(user, customer, subscription)


@transaction.atomic
def _open(purchase: Purchase, at: datetime) -> tuple[Checkout, User, Customer]:
    """The checkout that this purchase goes on with, its user and its customer, made where they are missing."""
    db.advisory_lock("checkout", purchase.id)
    begun = _begun(purchase.id)
    user = purchase.user or _same_user(begun, purchase) or _new_user(purchase)
    db.lock_one(user)
    if begun is not None and begun.user_id != user.pk:
        raise Conflict(_("This checkout belongs to somebody else. Start again from the price page."), code="not_yours")
    known = buyer_of(user)
    customer = _located(known, purchase, at) if known else _new_customer(user, purchase, at)
    begun = begun or _shared(customer, purchase)
    if begun is not None and begun.status == Checkout.Status.COMPLETED:
        return _still_good(begun), user, customer
    _require_new(begun, customer, purchase)
    _require_place(purchase, customer, at)
    checkout = _resumed(begun, purchase, user, customer, at)
    coupons_of(replace(purchase, id=checkout.pk), at=at)
    return checkout, user, customer


def _begun(checkout_id: uuid.UUID) -> Checkout | None:
    """The checkout of that id, or the one that took its place when the order was changed."""
    found = Checkout.objects.select_related("subscription").filter(pk=checkout_id).first()
    while found is not None and found.status == Checkout.Status.EXPIRED:
        found = Checkout.objects.select_related("subscription").filter(pk=found.detail["replaced_by"]).first()
    return found


def _same_user(begun: Checkout | None, purchase: Purchase) -> User | None:
    """Who signed up by the first of two clicks. The form's id alone lets nobody in."""
    if begun is None or begun.user is None or begun.user.email != purchase.email:
        return None
    return begun.user if begun.user.check_password(purchase.password) else None


def _new_user(purchase: Purchase) -> User:
    db.advisory_lock("sign_up", purchase.email)
    if User.objects.filter(email=purchase.email).exists():
        raise Conflict(_("There is an account with this address already. Sign in to buy with it."), code="known")
    return User.objects.create_user(
        purchase.email, purchase.password, name=purchase.name, locale=get_language() or "en"
    )


def _new_customer(user: User, purchase: Purchase, at: datetime) -> Customer:
    customer = customers.create(
        at=at,
        name=purchase.name or user.name or user.email,
        email=user.email,
        country=purchase.country,
        billing_address={"state": purchase.state} if purchase.state else {},
        preferred_locale=user.locale,
    )
    customers.add_member(customer=customer, user=user, role=Member.Role.OWNER, at=at)
    return customer


def _located(customer: Customer, purchase: Purchase, at: datetime) -> Customer:
    """The customer with the place that was asked for because it was missing."""
    address = customer.billing_address
    missing: dict[str, Any] = {"country": purchase.country} if purchase.country and not customer.place else {}
    if purchase.state and not address.get("state"):
        missing["billing_address"] = address | {"state": purchase.state}
    return customers.change(customer=customer, at=at, **missing) if missing else customer


def _card(purchase: Purchase, customer: Customer, at: datetime) -> PaymentMethod | None:
    if not purchase.card:
        return None
    return customers.attach_payment_method(customer=customer, gateway_token=purchase.card, default=True, at=at)


def _shared(customer: Customer, purchase: Purchase) -> Checkout | None:
    """The open checkout of the same plan that another tab of this buyer has begun, if it did."""
    same = Checkout.objects.filter(
        customer=customer, plan_version__plan=purchase.plan_version.plan_id, status=Checkout.Status.OPEN
    )
    return same.order_by("-created_at", "-id").first()


def _still_good(completed: Checkout) -> Checkout:
    if completed.subscription is None or completed.subscription.status in Subscription.ENDED:
        raise Conflict(_("What you bought here has ended. Start again from the price page."), code="checkout_over")
    return completed


def _require_new(begun: Checkout | None, customer: Customer, purchase: Purchase) -> None:
    live = Subscription.objects.live().filter(customer=customer, plan_version__plan=purchase.plan_version.plan_id)
    if (live.exclude(pk=begun.pk) if begun else live).exists():
        raise Conflict(_("You have this plan already: it is in your account."), code="already_subscribed")


def _require_place(purchase: Purchase, customer: Customer, at: datetime) -> None:
    """Raises PlaceUnknown before anybody is signed up."""
    preview.first_invoice(items=items_of(purchase), plan_version=purchase.plan_version, buyer=customer, at=at)


def _resumed(begun: Checkout | None, purchase: Purchase, user: User, customer: Customer, at: datetime) -> Checkout:
    """The checkout with the order as it is wanted now: nobody pays for what stood in another tab, or before."""
    if begun is None:
        return _new_checkout(purchase.id, purchase, user, customer)
    subscription = Subscription.objects.filter(pk=begun.pk).first()
    if subscription is None or subscription.status in Subscription.LIVE:
        return begun
    gone = subscription.status in Subscription.ENDED
    if not gone and _is_ordered(subscription, purchase):
        return begun
    if not (gone or subscriptions.abandon(subscription=subscription, at=at, reason="order_changed")):
        raise _under_way()
    fresh = _new_checkout(ids.uuid7(), purchase, user, customer)
    begun.status, begun.detail = Checkout.Status.EXPIRED, begun.detail | {"replaced_by": str(fresh.pk)}
    begun.save(update_fields=["status", "detail"])
    return fresh


def _new_checkout(checkout_id: uuid.UUID, purchase: Purchase, user: User, customer: Customer) -> Checkout:
    return Checkout.objects.create(
        id=checkout_id,
        plan_version=purchase.plan_version,
        price=items_of(purchase)[0].price,
        quantity=purchase.quantity,
        user=user,
        customer=customer,
        detail={"interval": purchase.interval, "coupon": purchase.coupon},
    )


def _is_ordered(subscription: Subscription, purchase: Purchase) -> bool:
    """Whether the subscription is what the buyer wants now."""
    wanted = {(item.price.pk, quantity_of(item)) for item in items_of(purchase)}
    had = set(subscription.items.values_list("price_id", "quantity"))
    redeemed = subscription.discounts.filter(ended_at=None).values_list("coupon__code", flat=True)
    same_coupon = [code.upper() for code in redeemed] == ([purchase.coupon.upper()] if purchase.coupon else [])
    return wanted == had and same_coupon and subscription.plan_version_id == purchase.plan_version.pk


def _under_way() -> Conflict:
    return Conflict(_("Your payment is under way. Wait a moment, then look at your account."), code="in_progress")


def items_of(purchase: Purchase) -> list[ItemTerms]:
    """Raises Invalid where the plan has no price by that interval in that currency."""
    return default_items(
        plan_version=purchase.plan_version,
        interval=purchase.interval,
        currency=purchase.currency,
        quantity=purchase.quantity,
    )


def coupons_of(purchase: Purchase, *, at: datetime) -> list[Coupon]:
    """The coupon that was typed, if one was. Raises NotRedeemable, unless this purchase has redeemed it already."""
    if not purchase.coupon:
        return []
    coupon = coupons.named(purchase.coupon)
    if not Discount.objects.filter(subscription=purchase.id, coupon=coupon, ended_at=None).exists():
        coupons.check(coupon, plan=purchase.plan_version.plan, currency=purchase.currency, at=at)
    return [coupon]


def _subscribe(
    checkout: Checkout, purchase: Purchase, customer: Customer, method: PaymentMethod | None, at: datetime
) -> Subscription:
    """The checkout's subscription: made and tried, or tried again with the new card."""
    known = Subscription.objects.filter(pk=checkout.pk).first()
    if known is not None and known.status == Subscription.Status.INCOMPLETE:
        if not _is_ordered(known, purchase):
            raise _under_way()  # another tab's, made since this one looked
        return subscriptions.retry_payment(subscription=known, payment_method=method, at=at)
    return known or subscriptions.create(
        customer=customer,
        plan_version=purchase.plan_version,
        items=items_of(purchase),
        coupons=coupons_of(purchase, at=at),
        origin=SubscriptionChange.Origin.CHECKOUT,
        idempotency_id=checkout.pk,
        at=at,
    )


def _why(subscription: Subscription) -> str:
    """Why the card was not charged, as the gateway put it; nothing while another click's charge is under way."""
    attempts = PaymentAttempt.objects.filter(invoices__lines__subscription=subscription).select_related("payment")
    attempt = attempts.order_by("-created_at", "-id").first()
    if attempt is not None and attempt.status == PaymentAttempt.Status.LIVE:
        return ""
    return (attempt.payment.failure_message if attempt else "") or _("The payment did not go through.")


@transaction.atomic
def _close(checkout: Checkout, subscription: Subscription, at: datetime) -> None:
    won = Checkout.objects.filter(pk=checkout.pk, status=Checkout.Status.OPEN).update(
        status=Checkout.Status.COMPLETED, subscription=subscription, completed_at=at
    )
    if won:
        outbox.publish(
            "billing.checkout.completed",
            checkout,
            at=at,
            customer_id=subscription.customer_id,
            account_id=subscription.customer.account_id,
            data={"subscription": subscription.public_id, "plan": subscription.plan_version.plan.code},
        )
