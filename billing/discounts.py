"""Discounts: coupons on subscriptions, from their redemption until they are used up, over or taken away."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from billing import coupons, proration, standing
from billing.cycles import Cycles
from billing.models import Coupon, Discount, Subscription, SubscriptionChange, SubscriptionItem
from billing.queries import billing_periods
from billing.queries.discounts import Book
from gtm.shared import bulk, outbox, vendors
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event

Duration, EndReason, Origin = Coupon.Duration, Discount.EndReason, SubscriptionChange.Origin
_END = ("ended_at", "end_reason")


@transaction.atomic
def redeem(
    *, coupon: Coupon, subscription: Subscription, origin: str = Origin.API, reason: str = "", at: datetime
) -> Discount:
    """Put a coupon on a running subscription, for service that begins today or later.

    Raises NotRedeemable, and Conflict for a subscription that has ended.
    """
    subscription = standing.locked(subscription)
    if subscription.status in Subscription.ENDED:
        raise Conflict(_("This subscription has ended."), code="subscription_ended")
    starts_at, counted_from = _today(subscription, at), max(at, subscription.start_at)
    (discount,) = place(
        [coupon],
        subscription=subscription,
        items=subscription.items.all(),
        starts_at=starts_at,
        counted_from=counted_from,
        at=at,
    )
    _replan(subscription, kind="discount_applied", origin=origin, reason=reason, at=at)
    return discount


def place(
    given: Iterable[Coupon],
    *,
    subscription: Subscription,
    items: Iterable[SubscriptionItem],
    starts_at: datetime,
    counted_from: datetime,
    at: datetime,
) -> list[Discount]:
    """Redeem coupons for a subscription with these items (``counted_from``: its periods); return the discounts.

    In the caller's transaction, which holds the locks of the customers and of the subscription, and plans it anew.
    Raises NotRedeemable.
    """
    taken = [coupons.take(coupon, subscription=subscription, at=at) for coupon in given]
    made = planned(taken, subscription=subscription, items=items, starts_at=starts_at, counted_from=counted_from)
    bulk.insert(Discount, made)
    outbox.publish_many(_applied_fact(discount, at=at) for discount in made)
    return made


def planned(
    taken: Sequence[Coupon],
    *,
    subscription: Subscription,
    items: Iterable[SubscriptionItem],
    starts_at: datetime,
    counted_from: datetime,
) -> list[Discount]:
    """The discounts (unsaved) that coupons become on a subscription with these items. Raises Invalid."""
    if not taken:
        return []
    periods = billing_periods.of_items(subscription, items, unit=vendors.current().proration_unit)
    return [
        Discount(
            coupon=coupon,
            customer=subscription.customer,
            subscription=subscription,
            starts_at=starts_at,
            ends_at=_end_of(coupon, periods, counted_from),
            test_clock_id=subscription.test_clock_id,
        )
        for coupon in taken
    ]


@transaction.atomic
def remove(*, discount: Discount, origin: str = Origin.API, reason: str = "", at: datetime) -> Discount:
    """Take a discount away: service that begins from now on costs the full price. Raises Conflict where it is over."""
    subscription = standing.locked(discount.subscription)
    discount = Discount.objects.select_related("coupon").get(pk=discount.pk)
    if discount.ended_at is not None:
        raise Conflict(_("This discount is over already."), code="discount_ended")
    discount.ended_at, discount.end_reason = at, EndReason.REMOVED
    discount.save(update_fields=_END)
    outbox.publish_many([coupons.ended_fact(discount, reason=EndReason.REMOVED, at=at)])
    _replan(subscription, kind="discount_removed", origin=origin, reason=reason, at=at)
    return discount


def end_due(subscriptions: Sequence[Subscription], *, by: datetime, at: datetime) -> None:
    """End the discounts whose time is over ``by`` then: revenue goes up from then on.

    The caller holds the locks, has read the discounts with their coupons, and plans the subscriptions anew.
    """
    over = [one for subscription in subscriptions for one in standing.open_discounts(subscription)]
    over = [one for one in over if one.ends_at is not None and one.ends_at <= by]
    if not over:
        return
    for discount in over:
        discount.ended_at, discount.end_reason = discount.ends_at, EndReason.OVER
    bulk.update(Discount, over, _END)
    by_key = {subscription.pk: subscription for subscription in subscriptions}
    _write_ends(over, by_key, kind="discount_ended", at=at)


def settle(book: Book, *, at: datetime) -> None:
    """After documents were drawn up: end the single amounts that are spent, and reopen those that were freed again."""
    spent, freed = book.turned()
    for discount in spent:
        discount.ended_at, discount.end_reason = at, EndReason.USED_UP
    for discount in freed:
        discount.ended_at, discount.end_reason = None, ""
    if spent or freed:
        bulk.update(Discount, [*spent, *freed], _END)
    if spent:
        found = standing.loaded().filter(pk__in=[one.subscription_id for one in spent])
        _write_ends(spent, {one.pk: one for one in found}, kind="discount_used_up", at=at)


def _write_ends(
    ended: Sequence[Discount], subscriptions: dict[uuid.UUID, Subscription], *, kind: str, at: datetime
) -> None:
    zone = vendors.current().reporting_zone
    rows = [
        standing.change(subscriptions[one.subscription_id], kind=kind, effective_at=one.ended_at, at=at, zone=zone)
        for one in ended
    ]
    standing.append(rows)
    outbox.publish_many(coupons.ended_fact(one, reason=one.end_reason, at=at) for one in ended)
    outbox.publish_many(_moved_facts(rows, at=at))


def _moved_facts(rows: Iterable[SubscriptionChange], *, at: datetime) -> list[Event]:
    """That subscriptions earn something else now, where they do."""
    return [
        standing.fact(row.subscription, "changed", at=at, previous={"mrr": row.mrr_before}, reason=row.kind)
        for row in rows
        if row.mrr_after != row.mrr_before
    ]


def _replan(subscription: Subscription, *, kind: str, origin: str, reason: str, at: datetime) -> None:
    """Plan the subscription with its discounts as they are now, and say what that does to revenue."""
    changed = standing.loaded().get(pk=subscription.pk)
    standing.save(changed)
    row = standing.record(changed, kind=kind, origin=origin, reason=reason, at=at)
    outbox.publish_many(_moved_facts([row], at=at))


def _today(subscription: Subscription, at: datetime) -> datetime:
    """Since when service is discounted that changes today: the day of a change belongs to the new terms."""
    return proration.boundary(
        at,
        unit=vendors.current().proration_unit,  # type: ignore[arg-type]  # the vendor's choices
        timezone=subscription.customer.timezone,
        not_before=subscription.start_at,
    )


def _end_of(coupon: Coupon, periods: Cycles | None, counted_from: datetime) -> datetime | None:
    """A share that holds once holds for the first period; an amount that does is spent whenever it can be."""
    count = {Duration.REPEATING: coupon.duration_in_periods, Duration.ONCE: 1 if coupon.percent_off else None}.get(
        Duration(coupon.duration)
    )
    if count is None or periods is None:
        return None
    try:
        return periods.end_of(count, after=counted_from)
    except ValueError as error:
        raise Invalid(f"{coupon} lasts longer than anybody can reckon with.", attr="coupon") from error


def _applied_fact(discount: Discount, *, at: datetime) -> Event:
    subscription, terms = discount.subscription, coupons.terms(discount.coupon)
    data = {
        "coupon": terms["code"],
        "subscription": subscription.public_id,
        "currency": subscription.currency,
        **{name: terms[name] for name in ("percent_off", "amount_off", "duration")},
    }
    return outbox.fact(
        "billing.discount.applied",
        discount,
        at=at,
        customer_id=discount.customer_id,
        account_id=subscription.customer.account_id,
        data=data,
    )
