"""Many subscriptions read whole, in a constant number of queries; what they have in common is read and made once."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from billing.models import Customer, Discount, LegalEntity, PlanVersion, Price, Subscription, SubscriptionItem
from billing.standing import OPEN_ITEMS
from gtm.shared import bulk


def complete(subscriptions: Sequence[Subscription]) -> None:
    """Give them their parties, plan versions, discounts and items, as ``standing.loaded`` reads a single one."""
    parties = _parties({key for one in subscriptions for key in (one.customer_id, one.payer_id)})
    bulk.link(subscriptions, "customer", parties)
    bulk.link(subscriptions, "payer", parties)
    versions = PlanVersion.objects.select_related("plan").in_bulk({one.plan_version_id for one in subscriptions})
    bulk.link(subscriptions, "plan_version", versions)
    items, discounts = _items(subscriptions), _discounts(subscriptions)
    for one in subscriptions:
        one._prefetched_objects_cache = {"items": items[one.pk], "discounts": discounts[one.pk]}  # type: ignore[attr-defined]  # as a prefetch does


def _parties(keys: set[UUID]) -> dict[UUID, Customer]:
    found = bulk.select(Customer.objects.filter(pk__in=keys))
    entities = LegalEntity.objects.in_bulk({one.legal_entity_id for one in found if one.legal_entity_id})
    bulk.link(found, "legal_entity", entities)
    return {one.pk: one for one in found}


def _items(subscriptions: Sequence[Subscription]) -> dict[UUID, list[SubscriptionItem]]:
    """Their items in order; those that ended only while they are still to be billed."""
    still_open = SubscriptionItem.objects.filter(OPEN_ITEMS, subscription__in=[one.pk for one in subscriptions])
    items = bulk.select(still_open.order_by("pk"))
    prices = Price.objects.select_related("plan", "meter").in_bulk({item.price_id for item in items})
    bulk.link(items, "price", prices)
    bulk.link(items, "subscription", {one.pk: one for one in subscriptions})
    found: dict[UUID, list[SubscriptionItem]] = defaultdict(list)
    for item in items:
        found[item.subscription_id].append(item)
    return found


def _discounts(subscriptions: Sequence[Subscription]) -> dict[UUID, list[Discount]]:
    """Their discounts with coupons; of those that are over, too."""
    found: dict[UUID, list[Discount]] = defaultdict(list)
    theirs = Discount.objects.filter(subscription__in=[one.pk for one in subscriptions]).select_related("coupon")
    for discount in theirs.order_by("pk"):
        found[discount.subscription_id].append(discount)
    return found
