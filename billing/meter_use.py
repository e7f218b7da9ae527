"""Usage belongs to one item: a second one on the same meter would bill it twice, now or once it has begun."""

import uuid
from collections.abc import Collection

from django.db.models import Q
from django.utils.translation import gettext as _

from billing.models import Customer, Invoice, Subscription, SubscriptionItem
from gtm.shared.errors import Conflict

_LIVE = Q(subscription__status__in=Subscription.LIVE)
_UNBEGUN = Q(subscription__status=Subscription.Status.INCOMPLETE)
_WILL_BEGIN = _UNBEGUN & Q(subscription__next_bill_at__isnull=False)
_IS_BEING_PAID = _UNBEGUN & Q(
    subscription__charges__invoice_line__invoice__payment_status=Invoice.PaymentStatus.PENDING
)


def require_free(
    *, customer: Customer, meters: Collection[uuid.UUID], beside: Subscription | None = None, attr: str | None = None
) -> None:
    """Raise Conflict (``meter_in_use``) where one of the meters counts for another subscription of the customer.

    ``beside`` is the subscription that asks. The caller holds the customer's lock, without which two could ask at once.
    """
    theirs = SubscriptionItem.objects.filter(subscription__customer=customer, price__meter__in=meters, ended_at=None)
    if beside is not None:
        theirs = theirs.exclude(subscription=beside)
    if theirs.filter(_LIVE | _WILL_BEGIN | _IS_BEING_PAID).exists():
        detail = _("This customer's usage is billed by another subscription already.")
        raise Conflict(detail, code="meter_in_use", attr=attr)


def require_free_for(subscription: Subscription) -> None:
    """The same for all meters of a subscription that is about to begin, its items being loaded."""
    items = [item for item in subscription.items.all() if item.ended_at is None]
    meters = {item.price.meter_id for item in items if item.price.meter_id is not None}
    if meters:
        require_free(customer=subscription.customer, meters=meters, beside=subscription)
