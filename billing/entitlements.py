"""Grants: what a customer may use, kept up to date by what changes it, so that reading them is one indexed query."""

from datetime import datetime

from django.db import transaction

from billing.models import Entitlement, Grant, Subscription

_TERMS = ("feature_id", "granted", "limit", "hard", "reset")


@transaction.atomic
def refresh(*, subscription: Subscription, at: datetime) -> None:
    """Rewrite the grants that the subscription's plan version gives, where they differ.

    The caller holds the subscription's lock. They stay when it ends: its status says whether they hold, and why not.
    """
    wanted = set(Entitlement.objects.filter(plan_version_id=subscription.plan_version_id).values_list(*_TERMS))
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


@transaction.atomic
def remove(*, subscription: Subscription) -> None:
    """Take away what its plan version would have given a subscription that never began. The caller holds its lock."""
    Grant.objects.filter(subscription=subscription, source=Grant.Source.PLAN).delete()
