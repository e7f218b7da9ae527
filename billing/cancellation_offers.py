"""What a customer who cancels is offered, once: a coupon, a pause of a month, or a smaller plan. Never a condition."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from billing import coupons, discounts, pauses, standing
from billing.models import Coupon, Discount, Plan, Subscription, SubscriptionChange
from gtm.shared import periods
from gtm.shared.errors import Conflict, DomainError

Kind, Origin = Plan.CancelOffer, SubscriptionChange.Origin
TAKEN = "offer_taken"
PAUSE_DAYS = 30


@dataclass(frozen=True, slots=True)
class Offer:
    """``coupon`` for one, ``plan`` for a smaller one; a pause needs neither."""

    kind: str
    coupon: Coupon | None = None
    plan: Plan | None = None


def of(subscription: Subscription, *, at: datetime) -> Offer | None:
    """What its plan offers now; None where it offers nothing, was taken up before, or can't be kept."""
    plan = Plan.objects.select_related("cancel_coupon", "cancel_plan").get(pk=subscription.plan_version.plan_id)
    if plan.cancel_offer == Kind.NONE or _was_taken(subscription):
        return None
    offer = Offer(plan.cancel_offer, plan.cancel_coupon, plan.cancel_plan)
    return offer if _holds(offer, subscription, at) else None


def _was_taken(subscription: Subscription) -> bool:
    return SubscriptionChange.objects.filter(subscription=subscription, kind=TAKEN).exists()


def _holds(offer: Offer, subscription: Subscription, at: datetime) -> bool:
    """Nobody is offered what would be refused."""
    if offer.kind == Kind.COUPON:
        return offer.coupon is not None and _fits(offer.coupon, subscription, at)
    if offer.kind == Kind.PAUSE:
        return subscription.status == standing.Status.ACTIVE and subscription.pause_at is None
    return offer.plan is not None and Plan.objects.for_sale().filter(pk=offer.plan.pk).exists()


def _fits(coupon: Coupon, subscription: Subscription, at: datetime) -> bool:
    try:
        coupons.check(coupon, plan=subscription.plan_version.plan, currency=subscription.currency, at=at)
    except DomainError:
        return False
    return not Discount.objects.filter(coupon=coupon, subscription=subscription).exists()


@transaction.atomic
def take(*, subscription: Subscription, at: datetime) -> Subscription:
    """Accept the coupon or the pause. Raises Conflict where it isn't offered (any more); a smaller plan is a change."""
    subscription = standing.locked(subscription)
    offer = of(subscription, at=at)
    if offer is None or offer.kind == Kind.DOWNGRADE:
        raise Conflict(_("This isn't offered any more."), code="no_offer")
    if offer.kind == Kind.COUPON and offer.coupon is not None:
        discounts.redeem(coupon=offer.coupon, subscription=subscription, origin=Origin.PORTAL, at=at)
    else:
        _pause(subscription, at)
    taken = standing.loaded().get(pk=subscription.pk)
    standing.record(taken, kind=TAKEN, origin=Origin.PORTAL, at=at, detail={"offer": offer.kind})
    standing.fact(taken, TAKEN, at=at, also={"offer": offer.kind}, reason="requested_by_portal", publish=True)
    return taken


def _pause(subscription: Subscription, at: datetime) -> None:
    """From the end of what is paid for, so that nothing is lost."""
    begins = max(subscription.current_period_end or at, at)
    resume_at = periods.add_days(begins, PAUSE_DAYS, subscription.customer.timezone)
    pauses.pause(subscription=subscription, when=pauses.PERIOD_END, resume_at=resume_at, origin=Origin.PORTAL, at=at)
