"""What would be billed, by the code that bills it, without writing anything."""

from collections.abc import Sequence
from datetime import datetime

from billing import charges, discounts, drafting, item_dues, schedule, selection
from billing.drafting import Draft
from billing.models import CollectionMethod, Coupon, Customer, PlanVersion, Subscription, SubscriptionItem
from billing.queries import billing_periods
from billing.queries.discounts import Book
from billing.selection import ItemTerms
from gtm.shared import vendors
from gtm.shared.models import Vendor
from gtm.shared.periods import Anchor


def first_invoice(
    *,
    items: Sequence[ItemTerms],
    plan_version: PlanVersion,
    buyer: Customer,
    coupons: Sequence[Coupon] = (),
    at: datetime,
) -> Draft | None:
    """The first invoice of a subscription that would start now; None where nothing is due at once.

    ``buyer`` may be unsaved. Raises PlaceUnknown where the tax can't be decided.
    """
    vendor = vendors.current()
    subscription = _subscription(items, plan_version, buyer, at, vendor)
    book = _book(coupons, subscription)
    due = charges.due(subscriptions=[subscription], until=at, vendor=vendor)
    drafts = drafting.gather(due, context=drafting.context(vendor=vendor, at=at), book=book)
    return drafts[0] if drafts else None


def _book(coupons: Sequence[Coupon], subscription: Subscription) -> Book:
    """The discounts that the coupons would become."""
    if not coupons:
        return Book()
    items, start_at = subscription.items.all(), subscription.start_at
    rows = discounts.planned(coupons, subscription=subscription, items=items, starts_at=start_at, counted_from=start_at)
    periods = billing_periods.of_items(subscription, items, unit=vendors.current().proration_unit)
    return Book(rows, {subscription.pk: periods} if periods else {})


def _subscription(
    items: Sequence[ItemTerms], version: PlanVersion, buyer: Customer, at: datetime, vendor: Vendor
) -> Subscription:
    subscription = Subscription(
        customer=buyer,
        payer=buyer,
        plan_version=version,
        currency=items[0].price.currency,
        collection_method=CollectionMethod.CHARGE_AUTOMATICALLY,
        start_at=at,
    )
    rows = [_item(subscription, item, at, vendor) for item in items]
    subscription._prefetched_objects_cache = {"items": rows}  # type: ignore[attr-defined]  # unsaved, so there is nothing to fetch
    return subscription


def _item(subscription: Subscription, wanted: ItemTerms, at: datetime, vendor: Vendor) -> SubscriptionItem:
    anchor = Anchor(at, subscription.customer.timezone, vendor.proration_unit, subscription.alignment)  # type: ignore[arg-type]  # choices
    in_arrears = wanted.price.timing == wanted.price.Timing.IN_ARREARS
    item = SubscriptionItem(subscription=subscription, price=wanted.price, quantity=selection.quantity_of(wanted))
    state = schedule.opening(
        anchor=anchor, interval=item_dues.interval_of(wanted.price), in_arrears=in_arrears, start_at=at
    )
    charges.place(item, state, ends_at=None)
    return item
