"""One change of a subscription as it takes effect: what is given back, the items, the grants, the row and the fact."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from billing import charges, entitlements, items, standing, unused
from billing.comparison import Invoicing
from billing.items import Takeover
from billing.models import Charge, LineReason, PlanVersion, Subscription
from billing.selection import ItemTerms
from billing.unused import Stop
from gtm.shared.models import Vendor, write


def switch(
    *,
    subscription: Subscription,
    plan_version: PlanVersion,
    wanted: Sequence[ItemTerms],
    prorate: bool,
    effective_at: datetime,
    invoicing: Invoicing,
    origin: str,
    reason: str,
    vendor: Vendor,
    at: datetime,
    **ids: Any,
) -> tuple[datetime, list[Charge]]:
    """Let the subscription consist of ``wanted`` from ``effective_at`` on.

    Returns when the change is invoiced, and the charges written for what it takes or gives back. The items stand where
    they will be billed, and are not billed here. The caller holds the locks, has billed what was due before, and plans
    the subscription anew. ``ids`` go to the SubscriptionChange.
    """
    takeover = items.take_over(
        subscription=subscription, wanted=wanted, at=effective_at, prorate=prorate, vendor=vendor
    )
    invoice_at = at if invoicing == "now" else _next_renewal(subscription, takeover)
    given = unused.credit(
        stops=[Stop(cut.item, cut.at) for cut in takeover.ended if cut.gives_back],
        vendor=vendor,
        settle="line",
        invoice_at=invoice_at,
        reason=LineReason.SUBSCRIPTION_CHANGE,
        origin=origin,
        at=at,
    )
    if invoicing == "now":
        charges.bring_forward(subscription, to=at)
    standing.refresh([subscription])  # money that settles may have moved it
    previous = {"plan_version": subscription.plan_version.public_id, "mrr": subscription.mrr}
    items.write(subscription, takeover)
    if subscription.plan_version_id != plan_version.pk:
        write(subscription, plan_version=plan_version)
    entitlements.refresh(subscription=subscription, at=at)
    standing.record(
        subscription,
        kind="changed",
        at=at,
        effective_at=effective_at,
        origin=origin,
        reason=reason,
        detail=_detail(subscription),
        **ids,
    )
    standing.fact(subscription, "changed", at=at, previous=previous, reason=f"requested_by_{origin}", publish=True)
    return invoice_at, given


def _detail(subscription: Subscription) -> dict[str, Any]:
    live = charges.live_items(subscription)
    consists_of = [{"price": item.price.public_id, "quantity": f"{item.quantity.normalize():f}"} for item in live]
    return {"plan_version": subscription.plan_version.public_id, "items": consists_of}


def _next_renewal(subscription: Subscription, takeover: Takeover) -> datetime:
    """When the next invoice of what it will consist of is made."""
    ended = {cut.item.pk for cut in takeover.ended}
    kept = [item.next_bill_at for item in charges.live_items(subscription) if item.pk not in ended]
    return min([*(at for at in kept if at), *(item.current_period_end for item in takeover.opened)])
