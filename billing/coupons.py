"""Coupons: what is offered, to whom, and how often it was taken. ``billing.discounts`` puts them on subscriptions.

A coupon's terms stay as they are: whoever redeemed it keeps what was promised. Redemptions are counted under the
coupon's row lock, so that the last one has one winner.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Count, F
from django.utils.translation import gettext as _

from billing.models import Coupon, Discount, Plan, Subscription
from gtm.shared import db, money, outbox, saving
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event, TestClock, write

MAX_PERIODS = 120
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", re.ASCII)
_CHANGEABLE = frozenset({"name", "max_redemptions", "expires_at", "plans", "metadata", "external_id"})
_UNTOLD = frozenset({"name", "metadata", "external_id"})


class NotRedeemable(Invalid):
    """The coupon can't be put on this subscription; ``attr`` is coupon, and the detail may be shown to the buyer."""

    code = "coupon_not_redeemable"

    def __init__(self, detail: str, *, code: str) -> None:
        super().__init__(detail, code=code, attr="coupon")


@transaction.atomic
def create(
    *,
    at: datetime,
    code: str,
    percent_off: Decimal | None = None,
    amount_off: int | None = None,
    currency: str = "",
    duration: str = Coupon.Duration.ONCE,
    duration_in_periods: int | None = None,
    plans: Iterable[Plan] = (),
    **fields: Any,
) -> Coupon:
    """Offer a share or an amount off. ``plans``: all where there is none. Raises Invalid with the field's name."""
    coupon = Coupon(
        code=code,
        percent_off=percent_off,
        amount_off=amount_off,
        currency=currency,
        duration=duration,
        duration_in_periods=duration_in_periods,
        **fields,
    )
    _check_code(code)
    _check_terms(coupon)
    _check_limits(fields, at=at, redeemed=0)
    saving.insert(coupon)
    coupon.plans.set(plans)
    outbox.publish("billing.coupon.created", coupon, at=at, data=terms(coupon))
    return coupon


@transaction.atomic
def change(*, coupon: Coupon, at: datetime, **changes: Any) -> Coupon:
    """Rename it, or change how often, until when and for which plans it can be redeemed. Raises Invalid, Conflict."""
    assert changes.keys() <= _CHANGEABLE, "what a coupon takes off stays as it was promised"
    coupon = _locked(coupon)
    plans = changes.pop("plans", None)
    _check_limits(changes, at=at, redeemed=coupon.times_redeemed)
    previous = saving.change(coupon, **changes)
    if plans is not None and set(plans) != set(coupon.plans.all()):
        coupon.plans.set(plans)
        previous["plans"] = None
        write(coupon)
    if previous:
        data = {"code": coupon.code, "changed": sorted(previous)}
        told = {name: _plain(value) for name, value in previous.items() if name not in _UNTOLD}
        outbox.publish("billing.coupon.changed", coupon, at=at, data=data, previous=told)
    return coupon


@transaction.atomic
def archive(*, coupon: Coupon, at: datetime) -> Coupon:
    """Let nobody redeem it any more; whoever has it keeps it."""
    coupon = db.lock_one(coupon)
    if coupon.archived_at is None:
        saving.change(coupon, archived_at=at)
        data = {"code": coupon.code, "changed": ["archived_at"]}
        outbox.publish("billing.coupon.changed", coupon, at=at, data=data, previous={"archived_at": None})
    return coupon


def named(code: str) -> Coupon:
    """The coupon of that code, in capital or small letters. Raises NotRedeemable."""
    found = Coupon.objects.filter(code__iexact=code.strip()).first() if _CODE.fullmatch(code.strip()) else None
    if found is None:
        raise NotRedeemable(_("There is no coupon %(code)s.") % {"code": code.strip()[:60]}, code="unknown_coupon")
    return found


def check(coupon: Coupon, *, plan: Plan, currency: str, at: datetime) -> None:
    """Whether a subscription to ``plan`` in ``currency`` could have it. Raises NotRedeemable."""
    said = {"code": coupon.code, "currency": coupon.currency, "plan": plan.name}
    if coupon.archived_at is not None:
        raise NotRedeemable(_("%(code)s is no longer offered.") % said, code="coupon_archived")
    if coupon.expires_at is not None and coupon.expires_at <= at:
        raise NotRedeemable(_("%(code)s has expired.") % said, code="coupon_expired")
    if coupon.max_redemptions is not None and coupon.times_redeemed >= coupon.max_redemptions:
        raise NotRedeemable(_("%(code)s has been used up.") % said, code="coupon_used_up")
    if coupon.amount_off is not None and coupon.currency != currency:
        refused = _("%(code)s is only for payments in %(currency)s.") % said
        raise NotRedeemable(refused, code="coupon_currency_differs")
    fitting = {one.pk for one in coupon.plans.all()}
    if fitting and plan.pk not in fitting:
        raise NotRedeemable(_("%(code)s isn't for the plan %(plan)s.") % said, code="coupon_of_other_plan")


def take(coupon: Coupon, *, subscription: Subscription, at: datetime) -> Coupon:
    """Count one redemption, under the coupon's lock. Raises NotRedeemable.

    In the caller's transaction, which holds the locks of the customers and of the subscription.
    """
    coupon = db.lock_one(coupon)
    check(coupon, plan=subscription.plan_version.plan, currency=subscription.currency, at=at)
    if Discount.objects.filter(coupon=coupon, subscription=subscription).exists():
        refused = _("%(code)s is on this subscription already.") % {"code": coupon.code}
        raise NotRedeemable(refused, code="coupon_already_applied")
    write(coupon, times_redeemed=coupon.times_redeemed + 1)
    return coupon


def put_back(*, subscription: Subscription, at: datetime) -> None:
    """Let others redeem what a subscription had that never began. In the caller's transaction."""
    unused = list(Discount.objects.filter(subscription=subscription, ended_at=None).select_related("coupon"))
    Coupon.objects.filter(discounts__in=unused).update(times_redeemed=F("times_redeemed") - 1)
    Discount.objects.filter(pk__in=[one.pk for one in unused]).update(
        ended_at=at, end_reason=Discount.EndReason.REMOVED
    )
    outbox.publish_many(ended_fact(one, reason="subscription_expired", at=at) for one in unused)


def forget(*, clock: TestClock) -> None:
    """Delete what stands on a test clock: for those outside of it, nothing was ever redeemed there."""
    theirs = Discount.objects.filter(test_clock=clock)
    counts = dict(theirs.values_list("coupon").annotate(count=Count("pk")))
    theirs.delete()
    for coupon in db.lock(Coupon, counts):
        write(coupon, times_redeemed=coupon.times_redeemed - counts[coupon.pk])


def terms(coupon: Coupon) -> dict[str, Any]:
    """What it takes off and how often, as a fact holds it."""
    names = ("code", "percent_off", "amount_off", "currency", "duration", "duration_in_periods", "max_redemptions")
    return {name: _plain(getattr(coupon, name)) for name in names}


def ended_fact(discount: Discount, *, reason: str, at: datetime) -> Event:
    """The fact (unwritten) that a discount is over; its coupon and customer are at hand."""
    return outbox.fact(
        "billing.discount.ended",
        discount,
        at=at,
        customer_id=discount.customer_id,
        data={"coupon": discount.coupon.code},
        reason=reason,
    )


def _locked(coupon: Coupon) -> Coupon:
    coupon = db.lock_one(coupon)
    if coupon.archived_at is not None:
        raise Conflict(f"{coupon} is archived.", code="coupon_archived")
    return coupon


def _check_code(code: str) -> None:
    if not _CODE.fullmatch(code):
        raise Invalid("A code is of letters, digits, dots, dashes and underscores, at most 60.", attr="code")
    if Coupon.objects.filter(code__iexact=code).exists():
        raise Invalid("There is a coupon with this code already.", code="unique", attr="code")


def _check_terms(coupon: Coupon) -> None:
    """Either a share or an amount of a currency, for a number of periods or not. Raises Invalid."""
    if (coupon.percent_off is None) == (coupon.amount_off is None):
        raise Invalid("Give either percent_off, or amount_off with its currency.", attr="percent_off")
    if coupon.percent_off is not None and not 0 < coupon.percent_off <= 100:
        raise Invalid("A share is above 0 and at most 100 %.", attr="percent_off")
    if coupon.percent_off is not None and coupon.currency:
        raise Invalid("A share is of any currency: leave this empty.", attr="currency")
    if coupon.amount_off is not None:
        _check_amount(coupon.amount_off, coupon.currency)
    is_repeating = coupon.duration == Coupon.Duration.REPEATING
    if is_repeating and not 1 <= (coupon.duration_in_periods or 0) <= MAX_PERIODS:
        raise Invalid(f"A repeating coupon lasts 1 to {MAX_PERIODS} periods.", attr="duration_in_periods")
    if not is_repeating and coupon.duration_in_periods is not None:
        raise Invalid("Only a repeating coupon lasts a number of periods.", attr="duration_in_periods")


def _check_amount(amount: int, currency: str) -> None:
    if amount <= 0:
        raise Invalid("An amount is above 0.", attr="amount_off")
    try:
        money.exponent(currency)
    except ValueError as error:
        raise Invalid("An amount needs its currency.", attr="currency") from error


def _check_limits(given: Mapping[str, Any], *, at: datetime, redeemed: int) -> None:
    expires_at, most = given.get("expires_at"), given.get("max_redemptions")
    if expires_at is not None and expires_at <= at:
        raise Invalid("It would have expired already; to take it back, archive it.", attr="expires_at")
    if most is not None and most < max(1, redeemed):
        raise Invalid(f"It was redeemed {redeemed} times: allow {max(1, redeemed)} or more.", attr="max_redemptions")


def _plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return value.isoformat() if isinstance(value, datetime) else value
