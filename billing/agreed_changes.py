"""Changes that customers make themselves: chosen, previewed, and made only as they were shown.

The preview hands out a signed token of what was shown. A change that would come to something else by then, because a
price, a period or a tax has changed meanwhile, is refused before anything is written, and shown again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core import signing
from django.utils.translation import gettext as _

from billing import change_preview, changes, items, selection, standing, vendor_terms
from billing.change_preview import ChangePreview, Sum
from billing.changes import Agreed, Made, Wanted
from billing.models import Phase, Plan, Price, Subscription, SubscriptionChange
from billing.queries import shop
from billing.selection import ItemTerms
from gtm.shared import ids, vendors
from gtm.shared.errors import Conflict, Invalid

SALT = "billing.agreed_changes"
LASTS = timedelta(minutes=15)
MAX_SEATS = 100_000


class Stale(Conflict):
    """What was shown is not what it would come to now."""

    code = "stale"


@dataclass(frozen=True, slots=True)
class Choice:
    """What a customer chose. Without a plan the present prices stay; ``add_ons`` are quantities by a price's code."""

    plan: str = ""
    interval: str = ""
    seats: int | None = None
    add_ons: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Offered:
    """What a choice comes to, and the ``token`` that agrees to it; ``seats`` where it has any.

    ``terms``: the version of the vendor's that has to be agreed to beside it; empty for none.
    """

    preview: ChangePreview
    token: str
    seats: int | None
    terms: str


class NotAgreed(Invalid):
    """The vendor's terms are to be agreed to first."""

    code = "terms"

    def __init__(self) -> None:
        super().__init__(_("Please agree before you change it."), attr="terms")


def preview(*, subscription: Subscription, choice: Choice, at: datetime) -> Offered:
    """What the choice comes to; writes nothing. Raises what ``changes.change`` raises."""
    wanted = _wanted(subscription, choice)
    found = change_preview.preview(subscription=subscription, wanted=wanted, at=at)
    version = vendor_terms.wanted(subscription.customer, vendors.current())
    token = {
        "id": str(ids.uuid7()),
        "subscription": subscription.public_id,
        "version": subscription.version,
        "at": at.isoformat(),
        "choice": [choice.plan, choice.interval, choice.seats, dict(choice.add_ons)],
        "shown": _shown(wanted, found.effective_at, found.change, found.to_pay),
        "terms": version,
    }
    seats = max((int(one.quantity) for one in wanted.items or () if is_seat(one.price)), default=None)
    return Offered(found, signing.dumps(token, salt=SALT, compress=True), seats, version)


def chosen(token: str) -> Choice:
    """What a token is about, however old it is. Raises Invalid for one that isn't ours."""
    return _choice(_read(token))


def confirm(*, subscription: Subscription, token: str, agrees: bool = False, at: datetime) -> Subscription:
    """Make the change as it was shown, by the prices and days of that moment; twice is once.

    ``agrees``: to the terms that were shown with it, if any were; that is kept with the change. Raises Stale where it
    would come to something else, NotAgreed, and what ``changes.change`` raises. Not in a transaction.
    """
    held = _read(token)
    shown_at = datetime.fromisoformat(held["at"])
    if held["subscription"] != subscription.public_id:
        raise Invalid(_("This isn't what you were shown."), code="stale")
    change_id = UUID(held["id"])
    if not _is_made(change_id):
        if not timedelta() <= at - shown_at <= LASTS:
            raise Stale(_("You were shown this a while ago."))
        version = _agreed_terms(subscription, held, agrees)
        wanted = _wanted(subscription, _choice(held))
        noted = change_preview.credited(subscription)

        def check(made: Made) -> None:
            cost = change_preview.cost_of(made, noted=noted, at=shown_at)
            if _shown(wanted, made.effective_at, cost, change_preview.to_pay(made)) != held["shown"]:
                raise Stale(_("The price has changed since you looked at it."))
            if version:
                vendor_terms.agree(customer=subscription.customer, version=version, origin=wanted.origin, at=at)

        agreed = Agreed(held["version"], check)
        try:
            return _change(subscription, wanted, agreed, shown_at, change_id)
        except Conflict as refusal:
            if not _is_made(change_id):  # by the other of two clicks
                if refusal.code == Stale.code:
                    raise Stale(refusal.detail) from refusal
                raise
    return _change(subscription, Wanted(), None, at, change_id)


def _change(
    subscription: Subscription, wanted: Wanted, agreed: Agreed | None, at: datetime, change_id: UUID
) -> Subscription:
    return changes.change(
        subscription=subscription,
        plan=wanted.plan,
        items=wanted.items,
        interval=wanted.interval,
        origin=SubscriptionChange.Origin.PORTAL,
        at=at,
        idempotency_id=change_id,
        agreed=agreed,
    )


def _agreed_terms(subscription: Subscription, held: Mapping[str, Any], agrees: bool) -> str:
    """The version that is agreed to by this; empty where none was to be, or a colleague has agreed meanwhile."""
    version = vendor_terms.wanted(subscription.customer, vendors.current())
    if version not in ("", held.get("terms", "")):
        raise Stale(_("The terms have changed since you looked at it."))
    if version and not agrees:
        raise NotAgreed
    return version


def _is_made(change_id: UUID) -> bool:
    return SubscriptionChange.objects.filter(pk=change_id).exists()


# --- what was shown ----------------------------------------------------------------------------
def _read(token: str) -> dict[str, Any]:
    try:
        held: dict[str, Any] = signing.loads(token, salt=SALT)
    except signing.BadSignature as error:
        raise Invalid(_("This isn't what you were shown."), code="stale") from error
    return held


def _choice(held: Mapping[str, Any]) -> Choice:
    plan, interval, seats, add_ons = held["choice"]
    return Choice(plan, interval, seats, add_ons)


def _shown(wanted: Wanted, effective_at: datetime, cost: Sum, to_pay: int) -> list[Any]:
    """All that a customer agrees to: which prices, from when, each amount, and what is paid after its credit."""
    content = [[str(one.price.pk), str(Decimal(one.quantity).normalize())] for one in wanted.items or ()]
    lines = [[line.amount, line.discount_amount, line.tax_amount] for line in cost.lines]
    return [content, effective_at.isoformat(), lines, cost.total, to_pay]


# --- what it means -----------------------------------------------------------------------------
def _wanted(subscription: Subscription, choice: Choice) -> Wanted:
    """The whole new list of items. Raises Invalid for what isn't sold to a customer alone."""
    _require_own(subscription)
    one = standing.loaded().get(pk=subscription.pk)
    held = items.terms_of(one)
    base = _with_seats(held, choice.seats) if not choice.plan else _of_plan(one, held, choice)
    return Wanted(items=_with_add_ons(one, base, choice.add_ons), origin=SubscriptionChange.Origin.PORTAL)


def _require_own(subscription: Subscription) -> None:
    """What a contract has agreed isn't the customer's to change alone."""
    if is_bound(subscription):
        raise Conflict(_("This was agreed in your contract. Write to us to change it."), code="contract")


def is_bound(subscription: Subscription) -> bool:
    return Phase.objects.filter(subscription=subscription, locked=True).exists()


def _with_seats(held: Sequence[ItemTerms], seats: int | None) -> list[ItemTerms]:
    if seats is None:
        return list(held)
    if not 1 <= seats <= MAX_SEATS:
        raise Invalid(_("Choose a number of 1 or more."), attr="seats")
    return [ItemTerms(one.price, seats) if is_seat(one.price) else one for one in held]


def is_seat(price: Price) -> bool:
    """Paid for each of what a customer has as many of as it likes; an add-on has a number of its own."""
    return price.meter_id is None and price.model != Price.Model.FLAT and not price.add_on


def _of_plan(one: Subscription, held: Sequence[ItemTerms], choice: Choice) -> list[ItemTerms]:
    plan = Plan.objects.for_sale().filter(code=choice.plan).first()
    if plan is None:
        raise Invalid(_("This plan is not for sale."), attr="plan")
    own = plan.pk == one.plan_version.plan_id
    interval = choice.interval or leading_interval(held)
    found = _own_prices(one, interval) if own else None
    if found is None:
        (version,) = shop.current_versions(Plan.objects.filter(pk=plan.pk))
        if not shop.is_buyable(plan, shop.published(version, one.currency)):
            raise Invalid(_("This plan is not for sale."), attr="plan")
        found = selection.default_items(plan_version=version, interval=interval, currency=one.currency)
    seats = choice.seats or max((int(terms.quantity) for terms in held if is_seat(terms.price)), default=1)
    kept = [terms for terms in held if own and terms.price.add_on]
    return [*_with_seats(found, seats), *kept]


def leading_interval(held: Sequence[ItemTerms]) -> str:
    """By what the plan itself is billed; its usage may be by another interval."""
    licensed = [one.price for one in held if one.price.meter_id is None and not one.price.add_on]
    return next((price.interval for price in licensed), Price.Interval.MONTH)


def _own_prices(one: Subscription, interval: str) -> list[ItemTerms] | None:
    """The prices that the customer's own version of the plan has by that interval: whoever bought keeps them."""
    try:
        return selection.default_items(plan_version=one.plan_version, interval=interval, currency=one.currency)
    except Invalid:
        return None


def _with_add_ons(one: Subscription, base: Sequence[ItemTerms], add_ons: Mapping[str, int]) -> list[ItemTerms]:
    """With each add-on at the number that was asked for; 0 takes it away."""
    if not add_ons:
        return list(base)
    known = {price.code: price for price in offered_add_ons(one)}
    if unknown := sorted(add_ons.keys() - known.keys()):
        raise Invalid(_("%(code)s is not offered with this plan.") % {"code": unknown[0]}, attr="add_ons")
    if any(not 0 <= number <= MAX_SEATS for number in add_ons.values()):
        raise Invalid(_("Choose a number of 0 or more."), attr="add_ons")
    others = [terms for terms in base if terms.price.code not in add_ons]
    return [*others, *(ItemTerms(known[code], number) for code, number in add_ons.items() if number)]


def offered_add_ons(subscription: Subscription) -> list[Price]:
    """The add-ons of the version that the customer has, in its currency; those it holds, too."""
    held = subscription.items.filter(ended_at=None, price__add_on=True).values("price")
    found = subscription.plan_version.prices.filter(add_on=True, currency=subscription.currency, meter=None)
    found = found.exclude(interval=Price.Interval.ONE_TIME)
    return [*found.filter(published=True).union(found.filter(pk__in=held)).order_by("created_at", "id")]
