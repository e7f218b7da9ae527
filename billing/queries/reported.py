"""Single events as they were reported, and what became of them since."""

import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from billing.models import Customer, UsageCorrection, UsageEvent, UsageEventKey
from gtm.shared import ids


@dataclass(frozen=True, slots=True)
class Reported:
    """An event as it counts now; one that was voided counts nowhere, and is as it was before."""

    id: str
    customer_id: uuid.UUID
    name: str
    user: str
    timestamp: datetime
    quantity: Decimal
    properties: dict[str, Any]
    subscription_id: uuid.UUID | None
    received_at: datetime
    voided_at: datetime | None = None


def find(event_id: str) -> Reported | None:
    """The event that was reported under this id; two queries, a third where it was voided."""
    key = UsageEventKey.objects.filter(pk=event_id).first() if "\0" not in event_id else None
    if key is None:
        return None
    event = UsageEvent.objects.filter(timestamp=key.timestamp, event_id=event_id).first()
    return of(event) if event else _voided(key)


def of_customer(customer: Customer, *, since: date, until: date, limit: int) -> list[Reported]:
    """The newest events of a customer from one day to another (both inclusive, UTC)."""
    start = datetime.combine(since, time.min, UTC)
    end = datetime.combine(until, time.max, UTC)
    found = UsageEvent.objects.filter(customer_id=customer.pk, timestamp__gte=start, timestamp__lte=end)
    return [of(event) for event in found.order_by("-timestamp", "-event_id")[:limit]]


def of(event: UsageEvent) -> Reported:
    return Reported(
        id=event.event_id,
        customer_id=event.customer_id,
        name=event.name,
        user=event.user,
        timestamp=event.timestamp,
        quantity=event.quantity,
        properties=event.properties,
        subscription_id=event.subscription_id,
        received_at=event.received_at,
    )


def _voided(key: UsageEventKey) -> Reported | None:
    voids = UsageCorrection.objects.filter(event_id=key.event_id, action=UsageCorrection.Action.VOID)
    correction = voids.order_by("-id").first()
    if correction is None:
        return None
    before, subscription = correction.before, correction.before["subscription"]
    return Reported(
        id=key.event_id,
        customer_id=key.customer_id,
        name=before["name"],
        user="",
        timestamp=key.timestamp,
        quantity=Decimal(before["quantity"]),
        properties=before["properties"],
        subscription_id=ids.decode(subscription, prefix="sub") if subscription else None,
        received_at=key.received_at,
        voided_at=correction.occurred_at,
    )
