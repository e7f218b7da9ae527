"""Many subscriptions read whole, in a constant number of queries; what they have in common is read and made once."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from django.db.models import QuerySet

from billing.models import Customer, Discount, LegalEntity, PlanVersion, Price, Subscription, SubscriptionItem
from billing.standing import OPEN_ITEMS
from gtm.shared import bulk

_UNREAD = ("external_id", "metadata", "created_at", "updated_at")
_UNREAD_OF_PARTIES = (
    "billing_emails",
    "traits",
    "managed",
    "allowed_collection",
    "allowed_collection_reason",
    "contact_name",
    "contact_email",
    "parked_reason",
    "parked_code",
)


def locked(due: QuerySet[Subscription]) -> list[Subscription]:
    """The subscriptions of a queryset, locked by id and read whole, but for columns that no bill depends on."""
    theirs = due.defer(*_UNREAD).order_by("pk").select_for_update(of=("self",), no_key=True)
    found = bulk.select(theirs)
    complete(found)
    return found


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
    found = bulk.select(Customer.objects.filter(bulk.among("pk", keys)).defer(*_UNREAD, *_UNREAD_OF_PARTIES))
    entities = LegalEntity.objects.in_bulk({one.legal_entity_id for one in found if one.legal_entity_id})
    bulk.link(found, "legal_entity", entities)
    return {one.pk: one for one in found}


def _items(subscriptions: Sequence[Subscription]) -> dict[UUID, list[SubscriptionItem]]:
    """Their items in order; those that ended only while they are still to be billed."""
    of_theirs = bulk.among("subscription__pk", [one.pk for one in subscriptions])
    items = bulk.select(SubscriptionItem.objects.filter(OPEN_ITEMS, of_theirs).defer(*_UNREAD).order_by("pk"))
    prices = Price.objects.select_related("plan", "meter").in_bulk({item.price_id for item in items})
    bulk.link(items, "price", prices)
    found: dict[UUID, list[SubscriptionItem]] = defaultdict(list)
    for item in items:
        found[item.subscription_id].append(item)
    return found


def _discounts(subscriptions: Sequence[Subscription]) -> dict[UUID, list[Discount]]:
    """Their discounts with coupons; of those that are over, too."""
    found: dict[UUID, list[Discount]] = defaultdict(list)
    of_theirs = bulk.among("subscription__pk", [one.pk for one in subscriptions])
    for discount in Discount.objects.filter(of_theirs).select_related("coupon").order_by("pk"):
        found[discount.subscription_id].append(discount)
    return found
