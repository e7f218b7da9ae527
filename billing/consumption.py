"""Consumption: taking from a limit or being refused, once per id, where ingest would only count."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from billing import metering, usage
from billing.models import Customer, Feature, Meter, UsageEventKey
from billing.queries.entitlements import LIMIT_REACHED, EntitlementState, entitlements_of
from billing.usage import UsageInput
from gtm.shared import db
from gtm.shared.errors import Conflict, Invalid, NotFound

MAX_COUNTED = 1000


@dataclass(frozen=True, slots=True)
class Consumed:
    """The entitlement after it; ``is_new`` says whether this call took something, or a former one had."""

    state: EntitlementState
    is_new: bool


@transaction.atomic
def consume(
    *,
    customer: Customer,
    feature: str,
    quantity: Decimal,
    id: str,  # noqa: A002 -- the field's name
    at: datetime,
) -> Consumed:
    """Use ``quantity`` of a limit, counted by an event of that ``id``, unless it is hard and doesn't hold so much.

    A meter that counts events gets one for each unit, at most 1,000. Raises Conflict with the code ``limit_reached``,
    with the entitlement's reason where nothing is granted, or with ``id_reused``; NotFound and Invalid.
    """
    meter = _meter_of(feature)
    events = _events(customer, meter, quantity, id)
    metering.share({meter.event_name})
    # Whoever takes from the same limit waits here, so that the two of them can't both take the last unit.
    db.advisory_lock("consumption", customer.pk, meter.pk)
    if not UsageEventKey.objects.filter(pk=id).exists():
        _check(_state(customer, feature, at), quantity)
    recorded = usage.record(events=events, at=at)
    if recorded.rejected:
        first = recorded.rejected[0]
        kind = Conflict if first.code in {"id_reused", "clock_advancing"} else Invalid
        raise kind(first.detail, code=first.code, attr="id")
    return Consumed(state=_state(customer, feature, at), is_new=recorded.accepted > 0)


def _meter_of(code: str) -> Meter:
    feature = Feature.objects.select_related("meter").filter(code=code).first()
    if feature is None:
        raise NotFound(f"There is no feature {code!r}.", attr="feature")
    if feature.meter is None or feature.meter.aggregation not in {Meter.Aggregation.COUNT, Meter.Aggregation.SUM}:
        raise Invalid(f"{feature} has no meter that adds up, so nothing can be taken from it.", attr="feature")
    return feature.meter


def _events(customer: Customer, meter: Meter, quantity: Decimal, event_id: str) -> list[UsageInput]:
    """What the meter counts as ``quantity``: its property or the quantity, and properties that pass its filters."""
    counts = meter.aggregation == Meter.Aggregation.COUNT
    if not 0 < quantity <= (MAX_COUNTED if counts else metering.MAX_AMOUNT) or (counts and quantity != int(quantity)):
        detail = (
            f"Take a whole number from 1 to {MAX_COUNTED:,}: the meter counts events."
            if counts
            else "Take more than 0."
        )
        raise Invalid(detail, attr="quantity")
    properties: dict[str, Any] = {name: values[0] for name, values in meter.filters.items()}
    if counts:
        properties["taken"] = int(quantity)  # the same id for another number of units is another body
    elif meter.property:
        properties[meter.property] = float(quantity)
    units = int(quantity) if counts else 1
    ids = [event_id, *(f"{event_id}:{number}" for number in range(2, units + 1))]
    return [
        UsageInput(
            id=one,
            name=meter.event_name,
            customer=customer.public_id,
            quantity=Decimal(1) if counts or meter.property else quantity,
            properties=properties,
        )
        for one in ids
    ]


def _state(customer: Customer, feature: str, at: datetime) -> EntitlementState:
    return entitlements_of(customer_id=customer.pk, at=at, feature=feature)[0]


def _check(state: EntitlementState, quantity: Decimal) -> None:
    if not state.granted and state.reason != LIMIT_REACHED:
        raise Conflict(f"{state.feature} is not granted.", code=state.reason, attr="feature")
    if state.hard and state.remaining is not None and quantity > state.remaining:
        left = f"{state.remaining.normalize():f}"
        raise Conflict(f"Only {left} of {state.feature} is left.", code=LIMIT_REACHED, attr="quantity")
