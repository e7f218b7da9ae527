"""Buying alone: what an order comes to, and the one purchase that follows from it.

A checkout is a row whose id the form carries, so a double click, the back button and a retry after a declined card all
go on with the same purchase. Two tabs of one buyer meet under the buyer's lock and share the open checkout of the plan.
The subscription's key is the checkout's id: it can be made once.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from billing import buyers, first_payments, payment_methods, preview, subscriptions, vendor_terms
from billing.models import (
    Checkout,
    Customer,
    InvoiceLine,
    Payment,
    PaymentAttempt,
    PaymentMethod,
    Plan,
    Subscription,
    SubscriptionChange,
)
from billing.purchase import Purchase, coupons_of, items_of
from billing.selection import quantity_of
from gtm.shared import db, ids, outbox
from gtm.shared.errors import Conflict
from gtm.shared.models import User


@dataclass(frozen=True, slots=True)
class Begun:
    """A checkout with its customer, and who signed up or in for it: nobody where an integrator named the customer."""

    checkout: Checkout
    user: User | None
    customer: Customer


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it: bought, or not.

    ``confirm`` is the payment that waits for its holder. ``failure`` says why the card was not charged; empty when it
    was, or still is being (the subscription is ``incomplete``).
    """

    checkout: Checkout
    user: User | None
    customer: Customer
    subscription: Subscription
    failure: str = ""
    confirm: Payment | None = None


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A purchase that waits for another card, and why the last one was not charged, in words."""

    checkout_id: uuid.UUID
    interval: str
    quantity: int
    failure: str
    coupon: str = ""
    add_ons: Mapping[str, int] = field(default_factory=dict)


# --- who buys what -----------------------------------------------------------------------------
def interrupted(*, checkout_id: uuid.UUID, user: User | None, held: bool = False) -> Interrupted | None:
    """The user's checkout whose card was refused, if it still is; ``held``: whoever holds the link may go on."""
    open_ones = Checkout.objects.filter(status=Checkout.Status.OPEN)
    found = (open_ones if held else open_ones.filter(user=user)).filter(pk=checkout_id).first()
    waiting = Subscription.objects.filter(pk=checkout_id, status=Subscription.Status.INCOMPLETE).first()
    if found is None or waiting is None or not (failure := _why(waiting)):
        return None
    return resumable(found, failure=failure)


def resumable(found: Checkout, *, failure: str = "") -> Interrupted:
    """The order as it stands in a checkout."""
    detail = found.detail
    add_ons = detail.get("add_ons", {})
    return Interrupted(found.pk, detail["interval"], found.quantity, failure, detail.get("coupon", ""), add_ons)


def is_own(checkout_id: uuid.UUID, *, customer: Customer) -> bool:
    """Whether this checkout has made the customer and nothing was ordered yet: what was typed may still be changed."""
    found = Checkout.objects.filter(pk=checkout_id, customer=customer, status=Checkout.Status.OPEN, detail__made=True)
    return found.exists() and not Subscription.objects.filter(pk=checkout_id).exists()


def plans_of(*, customer: Customer) -> list[str]:
    """The names of the plans that the customer has."""
    live = Subscription.objects.live().filter(customer=customer)
    return list(live.order_by("created_at").values_list("plan_version__plan__name", flat=True))


def owned(*, customer: Customer, plan: Plan) -> bool:
    """Whether the customer has the plan already."""
    return Subscription.objects.live().filter(customer=customer, plan_version__plan=plan).exists()


# --- buy ---------------------------------------------------------------------------------------
def complete(*, purchase: Purchase, at: datetime) -> Outcome:
    """Buy. A refused card leaves an incomplete subscription that the next call with the same id tries again.

    Raises Conflict where the buyer has the plan already, PlaceUnknown where the tax can't be decided, NotRedeemable for
    a coupon (nobody has been signed up then), and as ``payment_methods.take`` does. Not in a transaction: a card is
    charged.
    """
    begun = begin(purchase=purchase, at=at)
    method = _card(purchase, begun.customer, at)
    subscription = _subscribe(begun.checkout, purchase, begun.customer, method, at)
    return _outcome(begun, subscription, at)


def _outcome(begun: Begun, subscription: Subscription, at: datetime) -> Outcome:
    found = Outcome(begun.checkout, begun.user, begun.customer, subscription)
    if subscription.status != Subscription.Status.INCOMPLETE:
        close(checkout_id=begun.checkout.pk, at=at)
        return found
    if (attempt := _to_confirm(subscription)) is not None:
        return replace(found, confirm=attempt.payment)
    return replace(found, failure=_why(subscription))


def of_payment(payment: Payment) -> Checkout | None:
    """The checkout whose order the payment is for."""
    paid_for = InvoiceLine.objects.filter(invoice__payment_attempts__payment=payment).values("subscription")
    related = ("user", "customer", "subscription", "plan_version__plan")
    return Checkout.objects.select_related(*related).filter(pk__in=paid_for).first()


def come_back(*, payment: Payment, at: datetime) -> Outcome | None:
    """What became of the order that a payment was for, once its holder has answered; None where it was for another."""
    found = of_payment(payment)
    if found is None or found.customer is None:
        return None
    return _outcome(Begun(found, found.user, found.customer), Subscription.objects.get(pk=found.pk), at)


@transaction.atomic
def begin(*, purchase: Purchase, at: datetime) -> Begun:
    """The checkout that this purchase goes on with, its user and its customer, made where they are missing."""
    db.advisory_lock("checkout", purchase.id)
    begun = _begun(purchase.id)
    user = purchase.user or _same_user(begun, purchase) or (None if purchase.customer else buyers.sign_up(purchase, at))
    if user is not None:
        db.lock_one(user)
    if begun is not None and not _is_theirs(begun, user, purchase):
        raise _somebody_elses()
    known = purchase.customer or (buyers.buyer_of(user, external_id=purchase.external_id) if user else None)
    anew = begun is not None and known is not None and is_own(begun.pk, customer=known)
    customer = buyers.told(known, purchase, at, anew=anew) if known else buyers.new_customer(user, purchase, at)
    begun = begun or _shared(customer, purchase)
    if begun is not None and begun.status == Checkout.Status.COMPLETED:
        return Begun(_still_good(begun), user, customer)
    _require_new(begun, customer, purchase)
    _require_place(purchase, customer, at)
    checkout = _resumed(begun, purchase, user, customer, at, made=known is None)
    coupons_of(replace(purchase, id=checkout.pk), at=at)
    return Begun(checkout, user, customer)


def _is_theirs(begun: Checkout, user: User | None, purchase: Purchase) -> bool:
    """Whoever began it; or whoever holds the link to one that an integrator has begun."""
    if begun.user_id is not None:
        return user is not None and begun.user_id == user.pk
    return begun.customer_id is None or (purchase.customer is not None and begun.customer_id == purchase.customer.pk)


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


def _card(purchase: Purchase, customer: Customer, at: datetime) -> PaymentMethod | None:
    return payment_methods.take(customer=customer, given=purchase.card, at=at) if purchase.card else None


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


def _resumed(
    begun: Checkout | None, purchase: Purchase, user: User | None, customer: Customer, at: datetime, *, made: bool
) -> Checkout:
    """The checkout with the order as it is wanted now: nobody pays for what stood in another tab, or before.

    An id that the form made up must not be that of something bought another way, which this order would pass for.
    """
    if begun is None:
        if Subscription.objects.filter(pk=purchase.id).exists():
            raise _somebody_elses()
        return _noted(Checkout(id=purchase.id, detail={"made": made}), purchase, user, customer, at)
    subscription = Subscription.objects.filter(pk=begun.pk).first()
    if subscription is None:
        begun.detail["made"] = made or begun.detail.get("made", False)
        return _noted(begun, purchase, user, customer, at)
    if subscription.status in Subscription.LIVE:
        return begun
    gone = subscription.status in Subscription.ENDED
    if not gone and _is_ordered(subscription, purchase):
        return begun
    if not (gone or first_payments.abandon(subscription=subscription, at=at, reason="order_changed")):
        raise _under_way()
    first = Checkout(id=ids.uuid7(), detail={"begun_as": begun.detail.get("begun_as", str(begun.pk))})
    fresh = _noted(first, purchase, user, customer, at)
    begun.status, begun.detail = Checkout.Status.EXPIRED, begun.detail | {"replaced_by": str(fresh.pk)}
    begun.save(update_fields=["status", "detail"])
    return fresh


def _noted(checkout: Checkout, purchase: Purchase, user: User | None, customer: Customer, at: datetime) -> Checkout:
    """The checkout with what is ordered, by whom and for whom."""
    checkout.plan_version, checkout.price = purchase.plan_version, items_of(purchase)[0].price
    checkout.quantity, checkout.user, checkout.customer = purchase.quantity, user, customer
    checkout.external_id, checkout.return_url = purchase.external_id, purchase.return_url
    checkout.email = purchase.email or (user.email if user else customer.email)
    checkout.detail |= {
        "interval": purchase.interval,
        "coupon": purchase.coupon,
        "add_ons": {item.price.code: int(item.quantity) for item in purchase.add_ons},
    }
    if purchase.terms_version:
        checkout.terms_version, checkout.terms_accepted_at = purchase.terms_version, at
        origin = SubscriptionChange.Origin.CHECKOUT
        vendor_terms.agree(customer=customer, version=purchase.terms_version, origin=origin, at=at)
    checkout.save()
    return checkout


def _is_ordered(subscription: Subscription, purchase: Purchase) -> bool:
    """Whether the subscription is what the buyer wants now."""
    wanted = {(item.price.pk, quantity_of(item)) for item in items_of(purchase)}
    had = set(subscription.items.values_list("price_id", "quantity"))
    redeemed = subscription.discounts.filter(ended_at=None).values_list("coupon__code", flat=True)
    same_coupon = [code.upper() for code in redeemed] == ([purchase.coupon.upper()] if purchase.coupon else [])
    return wanted == had and same_coupon and subscription.plan_version_id == purchase.plan_version.pk


def _somebody_elses() -> Conflict:
    return Conflict(_("This checkout belongs to somebody else. Start again from the price page."), code="not_yours")


def _under_way() -> Conflict:
    return Conflict(_("Your payment is under way. Wait a moment, then look at your account."), code="in_progress")


def _subscribe(
    checkout: Checkout, purchase: Purchase, customer: Customer, method: PaymentMethod | None, at: datetime
) -> Subscription:
    """The checkout's subscription: made and tried, or tried again with the new card."""
    known = Subscription.objects.filter(pk=checkout.pk).first()
    if known is not None and known.status == Subscription.Status.INCOMPLETE:
        if not _is_ordered(known, purchase):
            raise _under_way()  # another tab's, made since this one looked
        waiting = _to_confirm(known)
        if waiting is not None and method is not None and _is_same(waiting.payment_method, method):
            return known  # the second of two clicks: the first one's payment waits for its holder
        return first_payments.retry_payment(subscription=known, payment_method=method, on_session=True, at=at)
    return known or subscriptions.create(
        customer=customer,
        plan_version=purchase.plan_version,
        items=items_of(purchase),
        coupons=coupons_of(purchase, at=at),
        origin=SubscriptionChange.Origin.CHECKOUT,
        idempotency_id=checkout.pk,
        on_session=True,
        at=at,
    )


def _is_same(one: PaymentMethod, other: PaymentMethod) -> bool:
    return (one.gateway, one.gateway_reference) == (other.gateway, other.gateway_reference)


def _newest_attempt(subscription: Subscription) -> PaymentAttempt | None:
    attempts = PaymentAttempt.objects.filter(invoices__lines__subscription=subscription)
    return attempts.select_related("payment", "payment_method").order_by("-created_at", "-id").first()


def _to_confirm(subscription: Subscription) -> PaymentAttempt | None:
    attempt = _newest_attempt(subscription)
    return attempt if attempt is not None and attempt.status == PaymentAttempt.Status.REQUIRES_ACTION else None


def _why(subscription: Subscription) -> str:
    """Why the card was not charged, as the gateway put it; nothing while another click's charge is under way."""
    attempt = _newest_attempt(subscription)
    if attempt is not None and attempt.status == PaymentAttempt.Status.LIVE:
        return ""
    return (attempt.payment.failure_message if attempt else "") or _("The payment did not go through.")


@transaction.atomic
def close(*, checkout_id: uuid.UUID, at: datetime) -> None:
    """Complete the checkout whose subscription has begun, whoever learns of it first."""
    begun = Subscription.objects.filter(pk=checkout_id).exclude(status=Subscription.Status.INCOMPLETE)
    subscription = begun.select_related("customer", "plan_version__plan").first()
    if subscription is None:
        return
    won = Checkout.objects.filter(pk=checkout_id, status=Checkout.Status.OPEN).update(
        status=Checkout.Status.COMPLETED, subscription=subscription, completed_at=at
    )
    if won:
        outbox.publish(
            "billing.checkout.completed",
            Checkout.objects.get(pk=checkout_id),
            at=at,
            customer_id=subscription.customer_id,
            account_id=subscription.customer.account_id,
            data={"subscription": subscription.public_id, "plan": subscription.plan_version.plan.code},
        )
