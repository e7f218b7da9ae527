"""What a subscription consists of: the plan's prices that were asked for, or its base prices of an interval."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.utils.translation import gettext as _

from billing import plan_versions
from billing.models import Plan, PlanVersion, Price, Subscription, SubscriptionChange, SubscriptionItem
from gtm.shared import vendors
from gtm.shared.errors import Invalid

MAX_QUANTITY = Decimal(1_000_000_000)
MAX_ITEMS = 100
_BY_BUYERS = (SubscriptionChange.Origin.CHECKOUT, SubscriptionChange.Origin.PORTAL)


@dataclass(frozen=True, slots=True)
class ItemTerms:
    """One price at a quantity; a metered price takes what was used instead."""

    price: Price
    quantity: Decimal | int = 1


def quantity_of(item: ItemTerms) -> Decimal:
    return Decimal(1) if item.price.meter_id is not None else Decimal(item.quantity)


@dataclass(frozen=True, slots=True)
class Selection:
    """The plan version that is bought, and its prices: all of one currency, each once.

    ``items`` recur; ``once`` are one-time prices, such as a set-up fee.
    """

    plan_version: PlanVersion
    items: tuple[ItemTerms, ...]
    currency: str
    once: tuple[ItemTerms, ...] = ()


def default_items(
    *, plan_version: PlanVersion, interval: str, currency: str, quantity: Decimal | int = 1
) -> list[ItemTerms]:
    """The published base prices of ``interval`` in ``currency`` at a quantity, with the plan's metered ones.

    Where a meter is priced by several intervals, it is the one of ``interval``, else the shortest. Raises Invalid
    without a base price, unless the plan is metered alone.
    """
    prices = _published(plan_version, currency)
    recurring = [price for price in prices if price.meter_id is None and price.interval != Price.Interval.ONE_TIME]
    base = [price for price in recurring if price.interval == interval]
    metered = _one_for_each_meter([price for price in prices if price.meter_id is not None], interval)
    if not base and (recurring or not metered):
        detail = f"{plan_version.plan} has no published price in {currency or 'any currency'} by the {interval}."
        raise Invalid(detail, code="no_price", attr="interval" if recurring else "plan")
    return [*(ItemTerms(price, quantity) for price in base), *(ItemTerms(price) for price in metered)]


def _published(plan_version: PlanVersion, currency: str) -> list[Price]:
    prices = plan_version.prices.filter(published=True, add_on=False, currency=currency)
    return list(prices.select_related("plan", "meter").order_by("created_at", "id"))


def _one_for_each_meter(prices: Sequence[Price], interval: str) -> list[Price]:
    lengths = [Price.Interval.WEEK, Price.Interval.MONTH, Price.Interval.QUARTER, Price.Interval.YEAR]
    best: dict[object, Price] = {}
    for price in sorted(
        prices, key=lambda one: (one.interval != interval, lengths.index(Price.Interval(one.interval)))
    ):
        best.setdefault(price.meter_id, price)
    return list(best.values())


def version_of(
    *, plan: Plan | None, plan_version: PlanVersion | None, items: Sequence[ItemTerms] | None, origin: str
) -> PlanVersion:
    """The plan version that is bought, read now: the given one, or the newest of the plan. Raises Invalid."""
    if plan_version is None:
        plan = plan or (items[0].price.plan if items else None)
        if plan is None:
            raise Invalid("Name a plan, or items with its prices.", code="required", attr="plan")
        plan_version = plan.current_version
    version = PlanVersion.objects.select_related("plan").get(pk=plan_version.pk)
    _require_for_sale(version.plan, origin)
    return version


def resolve(
    *,
    plan_version: PlanVersion,
    items: Sequence[ItemTerms] | None,
    interval: str,
    currency: str,
    starting: bool = False,
) -> Selection:
    """Find what is bought of a version that is sealed. ``currency`` is the payer's, empty where it has none yet.

    One-time prices are sold to what is ``starting``. Raises Invalid with the field's name.
    """
    if items is None:
        chosen_currency = currency or _first_currency(plan_version, interval)
        chosen = default_items(plan_version=plan_version, interval=interval, currency=chosen_currency)
    else:
        chosen = list(items)
        _require_known(chosen, plan_version)
    _require_sound(chosen, currency)
    recurring, once = _split(chosen, starting=starting)
    return Selection(plan_version, recurring, chosen[0].price.currency, once)


def is_once(item: ItemTerms) -> bool:
    return item.price.interval == Price.Interval.ONE_TIME


def _split(chosen: Sequence[ItemTerms], *, starting: bool) -> tuple[tuple[ItemTerms, ...], tuple[ItemTerms, ...]]:
    """What recurs, and what doesn't: a subscription has something that does, and is sold the rest as it starts."""
    recurring, once = (tuple(item for item in chosen if is_once(item) is wanted) for wanted in (False, True))
    for position, item in enumerate(chosen):
        if is_once(item) and not (starting and recurring):
            raise Invalid("A one-time price doesn't recur.", code="one_time_price", attr=f"items.{position}.price")
    return recurring, once


def retarget(
    *,
    subscription: Subscription,
    plan: Plan | None,
    items: Sequence[ItemTerms] | None,
    interval: str | None,
    origin: str,
    at: datetime,
) -> Selection:
    """What a subscription is to consist of after a change.

    Its plan version stays while it has all the prices that are asked for: whoever bought keeps what they bought. Other
    prices, and a plan by itself, mean the newest version of theirs, which is sealed; a plan by itself brings its
    published base prices of ``interval`` (of the present one unless given) for as many seats. One-time prices may stand
    beside what recurs. Raises Invalid.
    """
    held = [item for item in subscription.items.all() if item.ended_at is None]
    kept = {item.price_id for item in held}
    own = kept | _known(subscription.plan_version)
    if items is None and plan is None:
        raise Invalid("Name a plan, or the whole new list of items.", code="required", attr="items")
    same = plan is None or plan.pk == subscription.plan_version.plan_id
    if items is not None and same and all(item.price.pk in own for item in items):
        version, chosen = subscription.plan_version, list(items)
    else:
        version = _newest(plan or _plan_of(items or (), own), origin=origin, at=at)
        chosen = list(items) if items is not None else _defaults(version, subscription, held, interval)
        _require_known(chosen, version, kept if version.plan_id == subscription.plan_version.plan_id else frozenset())
    _require_sound(chosen, subscription.currency)
    recurring, once = _split(chosen, starting=True)
    return Selection(version, recurring, subscription.currency, once)


def _plan_of(items: Sequence[ItemTerms], own: set[uuid.UUID]) -> Plan:
    """Whose price the first one is that the subscription's version doesn't have."""
    return next(item.price for item in items if item.price.pk not in own).plan


def _newest(plan: Plan, *, origin: str, at: datetime) -> PlanVersion:
    _require_for_sale(plan, origin)
    return plan_versions.seal(plan_version=plan.current_version, at=at)


def _defaults(
    version: PlanVersion, subscription: Subscription, held: Sequence[SubscriptionItem], interval: str | None
) -> list[ItemTerms]:
    """The plan's own items: those with seats for as many as there are now."""
    base = [item for item in held if item.price.meter_id is None and not item.price.add_on]
    present = max(base or held, key=lambda item: item.current_period_end).price.interval
    seats = max((item.quantity for item in base if item.price.model != Price.Model.FLAT), default=Decimal(1))
    found = default_items(plan_version=version, interval=interval or present, currency=subscription.currency)
    return [ItemTerms(one.price, one.quantity if one.price.model == Price.Model.FLAT else seats) for one in found]


def _known(version: PlanVersion) -> set[uuid.UUID]:
    return set(version.price_rows.values_list("price_id", flat=True))


def _require_for_sale(plan: Plan, origin: str) -> None:
    """Staff and integrators may sell what the shop doesn't show, but nothing that left the catalogue."""
    if plan.archived_at is not None:
        raise Invalid(_("%(plan)s is archived.") % {"plan": plan}, code="plan_archived", attr="plan")
    if origin not in _BY_BUYERS:
        return
    if not plan.published:
        raise Invalid(_("%(plan)s is not for sale.") % {"plan": plan}, code="plan_not_published", attr="plan")
    if plan.purchase_mode == Plan.PurchaseMode.QUOTE_ONLY:
        raise Invalid(_("%(plan)s is sold by quote.") % {"plan": plan}, code="plan_quote_only", attr="plan")


def _first_currency(version: PlanVersion, interval: str) -> str:
    """The vendor's own currency where the plan has a price in it, else the first one it has."""
    prices = version.prices.filter(published=True, add_on=False).order_by("created_at", "id")
    known = list(prices.filter(interval=interval).values_list("currency", flat=True))
    known = known or list(prices.values_list("currency", flat=True))
    base = vendors.current().base_currency
    return base if base in known or not known else known[0]


def _require_known(
    items: Sequence[ItemTerms], version: PlanVersion, beside: Collection[uuid.UUID] = frozenset()
) -> None:
    known = _known(version) | set(beside)
    for position, item in enumerate(items):
        if item.price.pk not in known:
            detail = f"{item.price.code} is not a price of {version.plan}."
            raise Invalid(detail, code="unknown_price", attr=f"items.{position}.price")


def _require_sound(items: Sequence[ItemTerms], currency: str) -> None:
    if not items:
        raise Invalid(_("A subscription has at least one item."), code="required", attr="items")
    if len(items) > MAX_ITEMS:
        raise Invalid(_("A subscription has at most %(count)s items.") % {"count": MAX_ITEMS}, attr="items")
    expected = currency or items[0].price.currency
    seen: set[object] = set()
    for position, item in enumerate(items):
        attr = f"items.{position}"
        if item.price.currency != expected:
            detail = f"{item.price.code} is in {item.price.currency}, not in {expected}."
            raise Invalid(detail, code="currency_differs", attr=f"{attr}.price")
        if not 0 <= Decimal(item.quantity) <= MAX_QUANTITY:
            raise Invalid(_("A quantity is 0 to %(most)s.") % {"most": f"{MAX_QUANTITY:f}"}, attr=f"{attr}.quantity")
        if (what := item.price.meter_id or item.price.pk) in seen:
            raise Invalid(f"{item.price.code} is listed twice.", code="listed_twice", attr=f"{attr}.price")
        seen.add(what)
