"""Subscriptions: bought, changed, canceled. Renewals are the bill run's (``billing.runs``)."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from billing import (
    catalog,
    charges,
    customers,
    discounts,
    drafting,
    entitlements,
    invoices,
    item_dues,
    meter_use,
    one_off,
    parking,
    payments,
    pricing,
    rating,
    schedule,
    selection,
    standing,
)
from billing.cancellation import cancel, undo_cancellation
from billing.changes import change
from billing.changes import undo as undo_change
from billing.models import (
    Charge,
    CollectionMethod,
    Coupon,
    Customer,
    PaymentMethod,
    Plan,
    PlanVersion,
    Subscription,
    SubscriptionChange,
    SubscriptionItem,
)
from billing.selection import ItemTerms, Selection, default_items
from billing.standing import Status
from gtm.shared import db, periods, saving, vendors
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Vendor
from gtm.shared.periods import Anchor

__all__ = [
    "ItemTerms",
    "cancel",
    "change",
    "create",
    "default_items",
    "undo_cancellation",
    "undo_change",
]

Origin = SubscriptionChange.Origin
MAX_AHEAD = timedelta(days=5 * 366)
MAX_TRIAL_DAYS = 730
MAX_MINIMUM = 10**15


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What was asked for."""

    plan: Plan | None
    plan_version: PlanVersion | None
    items: Sequence[ItemTerms] | None
    interval: str
    origin: str
    start_at: datetime
    trial_days: int | None
    coupons: Sequence[Coupon]


@dataclass(frozen=True, slots=True)
class _Order:
    """What will be written, with the parties under their locks."""

    customer: Customer
    payer: Customer
    selection: Selection
    start_at: datetime
    trial_end: datetime | None
    terms: dict[str, Any]
    coupons: Sequence[Coupon]
    origin: str
    at: datetime

    @property
    def anchor_at(self) -> datetime:
        """What periods are counted from: the end of the trial, where there is one."""
        return self.trial_end or self.start_at


def create(
    *,
    customer: Customer,
    payer: Customer | None = None,
    plan: Plan | None = None,
    plan_version: PlanVersion | None = None,
    interval: str = "month",
    items: Sequence[ItemTerms] | None = None,
    start_at: datetime | None = None,
    trial_days: int | None = None,
    collection_method: str | None = None,
    payment_method: PaymentMethod | None = None,
    net_terms_days: int | None = None,
    po_number: str = "",
    minimum_amount: int | None = None,
    coupons: Sequence[Coupon] = (),
    alignment: str = Subscription.Alignment.ANNIVERSARY,
    origin: str = Origin.API,
    at: datetime,
    external_id: str | None = None,
    metadata: dict[str, Any] | None = None,
    idempotency_id: uuid.UUID | None = None,
    on_session: bool = False,
) -> Subscription:
    """Start a subscription. When this returns, its first invoice is finalized and, by card, was tried.

    Without ``items``, the plan's published base prices of ``interval`` in the payer's currency, with its metered ones.
    ``minimum_amount``: what is due at least, in minor units, for each period of the item with the longest one.
    Declined or unconfirmed, it is ``incomplete`` for 24 hours, in which ``retry_payment`` can save it.
    ``idempotency_id`` becomes its key: a second call with the same one goes on where the first was interrupted. With
    ``on_session`` the payer is there and may be asked to confirm. Raises Invalid with the field's name, and Conflict.
    Not in a transaction, because a card is charged.
    """
    subscription = standing.loaded().filter(pk=idempotency_id).first() if idempotency_id else None
    if subscription is None:
        payer = payer or customer
        wanted = _Wanted(plan, plan_version, items, interval, origin, start_at or at, trial_days, coupons)
        terms = {
            "collection_method": collection_method or payer.collection_method,
            "payment_method": payment_method,
            "net_terms_days": net_terms_days,
            "po_number": po_number,
            "minimum_amount": minimum_amount,
            "alignment": alignment,
            "external_id": external_id,
            "metadata": metadata or {},
            **({"id": idempotency_id} if idempotency_id else {}),
        }
        subscription = _commit(customer, payer, wanted, terms, at=at)
    payments.collect_new(subscription=subscription, on_session=on_session, at=at)
    return standing.loaded().get(pk=subscription.pk)


def on_invoice(
    *,
    customer: Customer,
    plan_version: PlanVersion,
    interval: str,
    items: Sequence[ItemTerms] | None = None,
    coupons: Sequence[Coupon] = (),
    origin: str,
    at: datetime,
) -> Subscription:
    """Start one in the caller's transaction, to be paid by invoice: no card is charged. Raises as ``create`` does."""
    wanted = _Wanted(None, plan_version, items, interval, origin, at, None, coupons)
    terms = {"collection_method": CollectionMethod.SEND_INVOICE, "payment_method": None, "minimum_amount": None}
    return _start(customer, customer, wanted, terms, at=at)


@transaction.atomic(durable=True)
def _commit(
    customer: Customer, payer: Customer, wanted: _Wanted, terms: dict[str, Any], *, at: datetime
) -> Subscription:
    """Commit the subscription with its first invoice before any card is charged."""
    return _start(customer, payer, wanted, terms, at=at)


def _start(
    customer: Customer, payer: Customer, wanted: _Wanted, terms: dict[str, Any], *, at: datetime
) -> Subscription:
    """Write the subscription with its first invoice."""
    locked = {one.pk: one for one in db.lock(Customer, {customer.pk, payer.pk})}
    customer, payer = locked[customer.pk], locked[payer.pk]
    if "id" in terms and (known := Subscription.objects.filter(pk=terms["id"]).first()) is not None:
        return known  # made meanwhile by somebody with the same idempotency_id
    _check_start(wanted.start_at, at)
    order = _Order(
        customer=customer,
        payer=payer,
        selection=(chosen := _select(wanted, payer, at=at)),
        start_at=wanted.start_at,
        trial_end=_trial_end(payer, customer, chosen.plan_version, wanted),
        terms=terms,
        coupons=wanted.coupons,
        origin=wanted.origin,
        at=at,
    )
    _check_parties(order)
    customers.fix_currency(order.payer, order.selection.currency, at=at)
    return _write(order)


def _select(wanted: _Wanted, payer: Customer, *, at: datetime) -> Selection:
    """What is bought, read after it was sealed: until then it could change."""
    version = selection.version_of(
        plan=wanted.plan, plan_version=wanted.plan_version, items=wanted.items, origin=wanted.origin
    )
    sealed = catalog.seal(plan_version=version, at=at)
    return selection.resolve(
        plan_version=sealed, items=wanted.items, interval=wanted.interval, currency=payer.currency, starting=True
    )


def _check_start(start_at: datetime, at: datetime) -> None:
    if start_at > at + MAX_AHEAD:
        raise Invalid("A subscription starts within five years.", attr="start_at")
    if start_at.year < periods.FIRST_YEAR:
        raise Invalid(f"A subscription starts in {periods.FIRST_YEAR} or later.", attr="start_at")


def _trial_end(payer: Customer, customer: Customer, version: PlanVersion, wanted: _Wanted) -> datetime | None:
    """When the trial ends, if there is one.

    A payer has one trial in a family of plans: the plan's own is then left out, and one that was asked for is refused.
    """
    days = version.trial_days if wanted.trial_days is None else wanted.trial_days
    if not 0 <= days <= MAX_TRIAL_DAYS:
        raise Invalid(f"A trial has 0 to {MAX_TRIAL_DAYS} days.", attr="trial_days")
    if days and had_trial(payer, version.plan):
        if wanted.trial_days:
            raise Conflict(_("This payer had its trial of this plan already."), code="trial_used", attr="trial_days")
        days = 0
    return periods.trial_end(wanted.start_at, days, customer.timezone) if days else None


def had_trial(payer: Customer, plan: Plan) -> bool:
    trials = Subscription.objects.filter(payer=payer, trial_end__isnull=False).exclude(ended_at__lte=F("start_at"))
    if plan.family:
        return trials.filter(plan_version__plan__family=plan.family).exists()
    return trials.filter(plan_version__plan=plan).exists()


def _check_parties(order: _Order) -> None:
    terms, payer = order.terms, order.payer
    if not 0 <= (terms["minimum_amount"] or 0) <= MAX_MINIMUM:
        raise Invalid("A minimum is 0 or more, and no more than an invoice can hold.", attr="minimum_amount")
    if order.customer.test_clock_id != payer.test_clock_id:
        raise Invalid("The customer and the payer stand on different test clocks.", attr="payer")
    parking.require_billable(payer, attr="payer")
    customers.require_collection(payer, terms["collection_method"])
    method = terms["payment_method"]
    if method is not None and (method.customer_id != payer.pk or method.detached_at is not None):
        raise Invalid(_("This payment method is not the payer's."), attr="payment_method")
    _check_meters(order)
    _check_card(order)


def _check_meters(order: _Order) -> None:
    meters = {item.price.meter_id for item in order.selection.items if item.price.meter_id}
    if meters:
        meter_use.require_free(customer=order.customer, meters=meters, attr="items")


def _check_card(order: _Order) -> None:
    """Whoever is to be charged automatically has a card, unless nothing will cost, or nothing does yet."""
    waits = order.start_at > order.at
    tries = order.trial_end is not None and not order.selection.plan_version.trial_requires_payment_method
    if waits or tries or not any(costs(item) for item in (*order.selection.items, *order.selection.once)):
        return
    payments.require_method(
        payer=order.payer,
        collection_method=order.terms["collection_method"],
        payment_method=order.terms["payment_method"],
    )


def costs(item: ItemTerms) -> bool:
    quantity = selection.quantity_of(item)
    return item.price.meter_id is not None or pricing.rate(rating.terms_of(item.price), quantity).amount > 0


def _write(order: _Order) -> Subscription:
    vendor = vendors.current()
    subscription = _insert(order, vendor)
    charges.accrue(subscriptions=[subscription], until=order.at, vendor=vendor)
    subscription.status = _first_status(subscription, order)
    standing.save(subscription)
    standing.record_start(subscription, origin=order.origin, at=order.at)
    context = drafting.context(vendor=vendor, at=order.at)
    made = invoices.bill_pending(payers=[order.payer], subscriptions=[subscription], context=context, wait=False)
    if not made and subscription.status == Status.INCOMPLETE and order.start_at <= order.at:
        standing.activate(subscription, at=order.at)
    entitlements.refresh(subscription=subscription, at=order.at)
    return subscription


def _insert(order: _Order, vendor: Vendor) -> Subscription:
    subscription = Subscription(
        customer=order.customer,
        payer=order.payer,
        plan_version=order.selection.plan_version,
        currency=order.selection.currency,
        start_at=order.start_at,
        trial_end=order.trial_end,
        minimum_since=order.anchor_at if order.terms["minimum_amount"] else None,
        test_clock_id=order.customer.test_clock_id,
        **order.terms,
    )
    saving.insert(subscription)
    items = [_item(subscription, item, order, vendor) for item in order.selection.items]
    SubscriptionItem.objects.bulk_create(items)
    discounts.place(
        order.coupons,
        subscription=subscription,
        items=items,
        starts_at=order.start_at,
        counted_from=order.start_at,
        at=order.at,
    )
    once = one_off.of_subscription(subscription=subscription, items=order.selection.once, invoice_at=order.anchor_at)
    Charge.objects.bulk_create(once)
    return standing.loaded().get(pk=subscription.pk)


def _item(subscription: Subscription, wanted: ItemTerms, order: _Order, vendor: Vendor) -> SubscriptionItem:
    anchor = Anchor(order.anchor_at, order.customer.timezone, vendor.proration_unit, subscription.alignment)  # type: ignore[arg-type]  # choices
    state = schedule.opening(
        anchor=anchor,
        interval=item_dues.interval_of(wanted.price),
        in_arrears=wanted.price.timing == wanted.price.Timing.IN_ARREARS,
        start_at=order.start_at,
    )
    if schedule.periods_begun(state, order.at) > schedule.MAX_PERIODS:
        raise Invalid(f"More than {schedule.MAX_PERIODS} periods have begun since then.", attr="start_at")
    item = SubscriptionItem(
        subscription=subscription,
        price=wanted.price,
        quantity=selection.quantity_of(wanted),
        test_clock_id=subscription.test_clock_id,
    )
    charges.place(item, state, ends_at=None)
    return item


def _first_status(subscription: Subscription, order: _Order) -> Status:
    if order.start_at > order.at or order.trial_end is None or order.trial_end <= order.at:
        return Status.INCOMPLETE
    return Status.TRIALING
