"""What somebody is about to buy: the order itself, before anybody is signed up for it."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from billing import coupons, subscriptions
from billing.models import Coupon, Customer, Discount, PlanVersion, Price
from billing.selection import ItemTerms, default_items
from gtm.shared.models import User

ADDRESS = ("line1", "line2", "postal_code", "city", "state")


@dataclass(frozen=True, slots=True)
class Purchase:
    """What the buyer typed. ``user`` is who is signed in; without one, ``email`` and ``password`` make a new user.

    ``customer`` was named by the integrator whose session this is: nobody signs up then. ``card`` is what
    ``payment_methods.take`` takes; ``terms_version`` of the terms that were agreed to.
    """

    id: uuid.UUID
    plan_version: PlanVersion
    interval: str
    quantity: int
    currency: str
    card: str = ""
    user: User | None = None
    customer: Customer | None = None
    email: str = ""
    password: str = field(default="", repr=False)
    name: str = ""
    country: str = ""
    state: str = ""
    address: Mapping[str, str] = field(default_factory=dict)
    tax_id: str = ""
    coupon: str = ""
    add_ons: tuple[ItemTerms, ...] = ()
    external_id: str = ""
    return_url: str = ""
    terms_version: str = ""

    @property
    def billing_address(self) -> dict[str, str]:
        """What was typed of it; the country stands in it where a street does."""
        typed = {"state": self.state, **self.address}
        country = {"country": self.country} if typed.get("line1") else {}
        return {name: value for name, value in (typed | country).items() if value}


def items_of(purchase: Purchase) -> list[ItemTerms]:
    """Raises Invalid where the plan has no price by that interval in that currency."""
    base = default_items(
        plan_version=purchase.plan_version,
        interval=purchase.interval,
        currency=purchase.currency,
        quantity=purchase.quantity,
    )
    return [*base, *purchase.add_ons]


def coupons_of(purchase: Purchase, *, at: datetime) -> list[Coupon]:
    """The coupon that was typed, if one was. Raises NotRedeemable, unless this purchase has redeemed it already."""
    if not purchase.coupon:
        return []
    coupon = coupons.named(purchase.coupon)
    if not Discount.objects.filter(subscription=purchase.id, coupon=coupon, ended_at=None).exists():
        coupons.check(coupon, plan=purchase.plan_version.plan, currency=purchase.currency, at=at)
    return [coupon]


def trial_days_of(*, version: PlanVersion, buyer: Customer | None) -> int:
    """The days of the trial that the buyer gets: 0 for one who had it."""
    used = version.trial_days and buyer is not None and subscriptions.had_trial(buyer, version.plan)
    return 0 if used else version.trial_days


def needs_card(*, version: PlanVersion, prices: Sequence[Price], trial_days: int) -> bool:
    """Whether a card must be given: not for what is free, nor for a trial that asks for none."""
    if trial_days and not version.trial_requires_payment_method:
        return False
    return any(subscriptions.costs(ItemTerms(price)) for price in prices)
