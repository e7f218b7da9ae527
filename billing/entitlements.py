"""Grants: what a customer may use, kept up to date by what changes it, so that reading them is one indexed query."""

from datetime import datetime
from decimal import Decimal

from django.db import transaction

from billing.models import Entitlement, Grant, Price, Subscription

_TERMS = ("feature_id", "granted", "limit", "hard", "reset")


@transaction.atomic
def refresh(*, subscription: Subscription, at: datetime) -> None:
    """Rewrite the grants that the subscription's plan version gives, where they differ; limits are for each seat.

    The caller holds the subscription's lock, with its items loaded. They stay when it ends: its status says whether
    they hold, and why not.
    """
    seats = _seats(subscription)
    terms = Entitlement.objects.filter(plan_version_id=subscription.plan_version_id).values_list(*_TERMS)
    wanted = {
        (feature_id, granted, None if limit is None else limit * seats, hard, reset)
        for feature_id, granted, limit, hard, reset in terms
    }
    theirs = Grant.objects.filter(subscription=subscription, source=Grant.Source.PLAN)
    if set(theirs.values_list(*_TERMS)) == wanted:
        return
    theirs.delete()
    Grant.objects.bulk_create(
        Grant(
            customer_id=subscription.customer_id,
            subscription=subscription,
            source=Grant.Source.PLAN,
            feature_id=feature_id,
            granted=granted,
            limit=limit,
            hard=hard,
            reset=reset,
        )
        for feature_id, granted, limit, hard, reset in sorted(wanted, key=lambda terms: terms[0])
    )


def _seats(subscription: Subscription) -> Decimal:
    """How many of the plan there are: the quantity of what is priced by it, add-ons and usage apart."""
    base = [item for item in subscription.items.all() if item.ended_at is None and not item.price.add_on]
    quantities = [
        item.quantity for item in base if item.price.meter_id is None and item.price.model != Price.Model.FLAT
    ]
    return max(quantities, default=Decimal(1))


@transaction.atomic
def remove(*, subscription: Subscription) -> None:
    """Take away what its plan version would have given a subscription that never began. The caller holds its lock."""
    Grant.objects.filter(subscription=subscription, source=Grant.Source.PLAN).delete()
