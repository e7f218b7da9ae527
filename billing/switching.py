"""One change of a subscription as it takes effect: what is given back, the items, the grants, the row and the fact."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from billing import charges, entitlements, items, standing, unused
from billing.comparison import Invoicing
from billing.items import Takeover
from billing.models import Charge, LineReason, PlanVersion, Subscription
from billing.selection import ItemTerms
from billing.unused import Stop
from gtm.shared.models import Vendor, write


@dataclass(frozen=True, slots=True)
class Switch:
    """What a subscription is to become, from when on, and at whose wish."""

    plan_version: PlanVersion
    wanted: Sequence[ItemTerms]
    effective_at: datetime
    prorate: bool
    invoicing: Invoicing
    origin: str
    reason: str


def take_over(subscription: Subscription, to: Switch, *, vendor: Vendor) -> Takeover:
    """What becomes of the items; nothing is written. Raises Conflict where the change can't take effect."""
    return items.take_over(
        subscription=subscription, wanted=to.wanted, at=to.effective_at, prorate=to.prorate, vendor=vendor
    )


def switch(
    subscription: Subscription, to: Switch, takeover: Takeover, *, vendor: Vendor, at: datetime, **ids: Any
) -> tuple[datetime, list[Charge]]:
    """Let the subscription consist of something else, with what it comes to by ``take_over``.

    Returns when the change is invoiced, and the charges written for what it takes or gives back. The items stand where
    they will be billed, and are not billed here. The caller holds the locks, has billed what was due before, and plans
    the subscription anew. ``ids`` go to the SubscriptionChange.
    """
    invoice_at = at if to.invoicing == "now" else _next_renewal(subscription, takeover)
    given = unused.credit(
        stops=[Stop(cut.item, cut.at) for cut in takeover.ended if cut.gives_back],
        vendor=vendor,
        settle="line",
        invoice_at=invoice_at,
        reason=LineReason.SUBSCRIPTION_CHANGE,
        origin=to.origin,
        at=at,
    )
    if to.invoicing == "now":
        charges.bring_forward([subscription], to=at)
    standing.refresh([subscription])  # money that settles may have moved it
    previous = {"plan_version": subscription.plan_version.public_id, "mrr": subscription.mrr}
    items.write(subscription, takeover)
    if subscription.plan_version_id != to.plan_version.pk:
        write(subscription, plan_version=to.plan_version)
    entitlements.refresh(subscription=subscription, at=at)
    _tell(subscription, to, previous, at=at, ids=ids)
    return invoice_at, given


def _tell(
    subscription: Subscription, to: Switch, previous: dict[str, Any], *, at: datetime, ids: dict[str, Any]
) -> None:
    told: dict[str, Any] = {"effective_at": to.effective_at, "origin": to.origin, "reason": to.reason}
    standing.record(subscription, kind="changed", at=at, detail=_detail(subscription), **told, **ids)
    standing.fact(subscription, "changed", at=at, previous=previous, reason=f"requested_by_{to.origin}", publish=True)


def _detail(subscription: Subscription) -> dict[str, Any]:
    return described(subscription.plan_version, items.terms_of(subscription))


def described(version: PlanVersion, wanted: Iterable[ItemTerms]) -> dict[str, Any]:
    """A plan version and a list of items, as the rows of changes keep them."""
    consists_of = [
        {"price": one.price.public_id, "quantity": f"{Decimal(one.quantity).normalize():f}"} for one in wanted
    ]
    return {"plan_version": version.public_id, "items": consists_of}


def _next_renewal(subscription: Subscription, takeover: Takeover) -> datetime:
    """When the next invoice of what it will consist of is made."""
    ended = {cut.item.pk for cut in takeover.ended}
    kept = [item.next_bill_at for item in charges.live_items(subscription) if item.pk not in ended]
    return min([*(at for at in kept if at), *(item.current_period_end for item in takeover.opened)])
