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

from billing import customers, drafting, preview, subscriptions, wording
from billing.models import (
    Charge,
    Checkout,
    Customer,
    Member,
    PaymentAttempt,
    PaymentMethod,
    Plan,
    PlanVersion,
    Price,
    Subscription,
    SubscriptionChange,
)
from billing.selection import ItemTerms, default_items
from billing.taxation import PlaceUnknown
from gtm.shared import db, outbox
from gtm.shared.errors import Conflict
from gtm.shared.models import User
from gtm.shared.templatetags.tandem import day_text, quantity
from gtm.shared.templatetags.tandem import price as format_price


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """Who bought, and why the card was not charged, in words; empty when it was, or still is being (``incomplete``)."""

    user: User
    customer: Customer
    subscription: Subscription
    failure: str = ""


def buyer_of(user: User) -> Customer | None:
    """The customer that a signed-in user buys for: the one joined first in which the user may buy."""
    may_buy = Member.objects.filter(user=user, role__in=[Member.Role.OWNER, Member.Role.BILLING])
    member = may_buy.select_related("customer").order_by("created_at", "id").first()
    return member.customer if member else None


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

    Raises Conflict where the buyer has the plan already, and PlaceUnknown where the tax can't be decided; nobody has
    been signed up then. Not in a transaction: a card is charged.
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
    checkout = Checkout.objects.select_related("user", "customer").filter(pk=purchase.id).first()
    user = purchase.user or (checkout.user if checkout else None) or _new_user(purchase)
    db.lock_one(user)
    known = buyer_of(user)
    customer = _located(known, purchase, at) if known else _new_customer(user, purchase, at)
    if checkout is not None and checkout.user_id not in {None, user.pk}:
        raise Conflict(_("This checkout belongs to somebody else. Start again from the price page."), code="not_yours")
    checkout = checkout or _shared(customer, purchase) or _new_checkout(user, customer, purchase)
    if checkout.status == Checkout.Status.OPEN:
        _require_new(checkout, customer, purchase)
        preview.first_invoice(
            items=_items(purchase), plan_version=purchase.plan_version, buyer=customer, at=at
        )  # or PlaceUnknown, before anybody is signed up
    return checkout, user, customer


def _new_user(purchase: Purchase) -> User:
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
    alive = same.exclude(pk__in=Subscription.objects.filter(status__in=Subscription.ENDED).values("pk"))
    return alive.order_by("-created_at", "-id").first()


def _new_checkout(user: User, customer: Customer, purchase: Purchase) -> Checkout:
    items = _items(purchase)
    return Checkout.objects.create(
        id=purchase.id,
        plan_version=purchase.plan_version,
        price=items[0].price,
        quantity=purchase.quantity,
        user=user,
        customer=customer,
        detail={"interval": purchase.interval},
    )


def _require_new(checkout: Checkout, customer: Customer, purchase: Purchase) -> None:
    live = Subscription.objects.live().filter(customer=customer, plan_version__plan=purchase.plan_version.plan_id)
    if live.exclude(pk=checkout.pk).exists():
        raise Conflict(_("You have this plan already: it is in your account."), code="already_subscribed")


def _items(purchase: Purchase) -> list[ItemTerms]:
    return default_items(
        plan_version=purchase.plan_version,
        interval=purchase.interval,
        currency=purchase.currency,
        quantity=purchase.quantity,
    )


def _subscribe(
    checkout: Checkout, purchase: Purchase, customer: Customer, method: PaymentMethod | None, at: datetime
) -> Subscription:
    """The checkout's subscription: made and tried, or tried again with the new card."""
    known = Subscription.objects.filter(pk=checkout.pk).first()
    if known is not None and known.status == Subscription.Status.INCOMPLETE:
        return subscriptions.retry_payment(subscription=known, payment_method=method, at=at)
    return known or subscriptions.create(
        customer=customer,
        plan_version=checkout.plan_version,
        items=_items(replace(purchase, plan_version=checkout.plan_version)),
        origin=SubscriptionChange.Origin.CHECKOUT,
        idempotency_id=checkout.pk,
        at=at,
    )


def _why(subscription: Subscription) -> str:
    """Why the card was not charged, as the gateway put it; nothing while another click's charge is under way."""
    attempts = PaymentAttempt.objects.filter(invoice__lines__subscription=subscription).select_related("payment")
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


# --- the order beside the form -----------------------------------------------------------------
def order_of(*, purchase: Purchase, buyer: Customer, trial_days: int, at: datetime) -> dict[str, Any]:
    """What is to pay today, as the invoice to come will say it.

    ``lines`` (``amount`` None: not billed today), ``tax`` (None: not known yet), ``total``, ``after``: what follows.
    """
    items = _items(purchase)
    if trial_days:
        return _trial_order(items, purchase, trial_days)
    draft, tax_known = _first_invoice(items, purchase, buyer, at)
    return {
        "currency": purchase.currency,
        "lines": [*_billed_lines(draft, purchase.currency), *_later_lines(items)],
        "tax": draft.invoice.tax_total if draft and tax_known else None,
        "tax_label": ", ".join(f"{tax.name} {tax.percentage.normalize():f} %" for tax in draft.taxes) if draft else "",
        "total": draft.invoice.total if draft else 0,
        "after": [_renewal(draft, buyer.timezone), "" if tax_known else _ask_for_place(buyer)],
    }


def _ask_for_place(buyer: Customer) -> str:
    return _("Name your state or region to see the tax.") if buyer.place else _("Choose your country to see the tax.")


def _trial_order(items: list[ItemTerms], purchase: Purchase, days: int) -> dict[str, Any]:
    version = purchase.plan_version
    charged = version.trial_end == PlanVersion.TrialEnd.CHARGE
    after = (
        _("Nothing is charged for %(days)s days, and nothing at all if you cancel before.")
        if charged
        else _("The trial lasts %(days)s days. Nothing is charged when it ends.")
    )
    return {
        "currency": purchase.currency,
        "lines": [_later_line(item) for item in items],
        "tax": None,
        "tax_label": "",
        "total": 0,
        "after": [after % {"days": days}],
    }


def _first_invoice(
    items: list[ItemTerms], purchase: Purchase, buyer: Customer, at: datetime
) -> tuple[drafting.Draft | None, bool]:
    """The invoice to come, and whether its tax is known; before the buyer's place is, it is shown untaxed."""
    try:
        return preview.first_invoice(items=items, plan_version=purchase.plan_version, buyer=buyer, at=at), True
    except PlaceUnknown:
        untaxed = Customer(name=buyer.name, timezone=buyer.timezone, tax_exempt=Customer.TaxExempt.EXEMPT)
        return preview.first_invoice(items=items, plan_version=purchase.plan_version, buyer=untaxed, at=at), False


def _billed_lines(draft: drafting.Draft | None, currency: str) -> list[dict[str, Any]]:
    if draft is None:
        return []
    billed = zip(draft.lines, draft.charges, strict=True)
    return [
        {"text": line.description, "detail": _detail(charge, currency), "amount": line.amount}
        for line, charge in billed
    ]


def _detail(charge: Charge, currency: str) -> str:
    """How the amount comes about, and how often it will."""
    price = charge.price
    if price is None:
        return ""
    steps = wording.explain(charge.explanation, currency) if wording.is_per_seat(price) else []
    return ", ".join([*steps, wording.billed(price.interval, price.interval_count)])


def _later_lines(items: list[ItemTerms]) -> list[dict[str, Any]]:
    return [_later_line(item) for item in items if item.price.meter_id is not None]


def _later_line(item: ItemTerms) -> dict[str, Any]:
    """What is billed when it has been used, or when the trial has ended."""
    price, line = item.price, wording.price_line(item.price)
    name = price.name or (price.meter.name if price.meter else price.plan.name)
    costs = f"{format_price(line['amount'], price.currency)} {line['per']}" if line["amount"] is not None else ""
    units = _("%(n)s units") % {"n": quantity(item.quantity)} if wording.is_per_seat(price) else ""
    return {"text": name, "detail": "; ".join(filter(None, [units, costs, line["text"]])), "amount": None}


def _renewal(draft: drafting.Draft | None, timezone: str) -> str:
    ends = [charge.period_end for charge in draft.charges if charge.period_end] if draft else []
    day = day_text(min(ends), timezone) if ends else ""
    return _("Renews on %(day)s, and so on until you cancel.") % {"day": day} if day else ""
