"""Meters and features: what is counted of the usage stream, and what plans grant of it.

Neither changes its meaning once it is used.
"""

from copy import copy
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from billing import metering
from billing.models import Feature, Meter, UsageRollup, UsageValue
from gtm.shared import db, outbox, saving
from gtm.shared.errors import Conflict, Invalid

_METER_NAMES = frozenset({"name", "unit", "metadata", "external_id"})
_FEATURE_NAMES = frozenset({"name", "metadata", "external_id"})
_NEEDS_PROPERTY = frozenset({Meter.Aggregation.MAX, Meter.Aggregation.UNIQUE, Meter.Aggregation.LATEST})
_MAX_FILTER_VALUES = 100


@transaction.atomic
def create_meter(*, at: datetime, code: str, name: str, event_name: str, **fields: Any) -> Meter:
    """Count events named ``event_name``, those of the past included.

    ``filters`` is ``{property: value or values}``; all must hold. ``max``, ``unique`` and ``latest`` need a
    ``property``; ``sum`` adds it, or without one the events' quantity. Raises Invalid.
    """
    meter = Meter(code=code, name=name, event_name=event_name, **fields)
    _check_meter(meter)
    metering.hold_name(event_name)
    saving.insert(meter)
    _count_past(meter)
    data = {"code": code, "event_name": event_name, "aggregation": meter.aggregation}
    outbox.publish("billing.meter.created", meter, at=at, data=data)
    return meter


@transaction.atomic
def change_meter(*, meter: Meter, at: datetime, **changes: Any) -> Meter:
    """Rename a meter, or define one anew that nothing uses yet: its past is then counted again.

    Raises Conflict (``meter_in_use``) where a feature or a price gives the definition a meaning, and Invalid.
    """
    meter = db.lock_one(meter)
    wished = _with(meter, changes)
    _check_meter(wished)
    changed = {name for name in changes if getattr(wished, name) != getattr(meter, name)}
    redefined = sorted(changed - _METER_NAMES)
    if redefined and (meter.features.exists() or meter.prices.exists()):
        raise Conflict(
            f"{meter} is used by features or prices: make a new meter.", code="meter_in_use", attr=redefined[0]
        )
    for name in {meter.event_name, wished.event_name} if redefined else ():
        metering.hold_name(name)
    if saving.change(meter, **{name: getattr(wished, name) for name in changed}):
        outbox.publish("billing.meter.changed", meter, at=at, data={"code": meter.code, "changed": sorted(changed)})
    if redefined:
        UsageRollup.objects.filter(meter_id=meter.pk).delete()
        UsageValue.objects.filter(meter_id=meter.pk).delete()
        _count_past(meter)
    return meter


@transaction.atomic
def create_feature(
    *,
    at: datetime,
    code: str,
    name: str,
    type: str,  # noqa: A002 -- the field's name
    meter: Meter | None = None,
    **fields: Any,
) -> Feature:
    """Something that plans can grant: a switch (boolean), a limit, or metered use. Raises Invalid."""
    feature = Feature(code=code, name=name, type=type, meter=meter, **fields)
    _check_feature(feature)
    saving.insert(feature)
    data = {"code": code, "type": type, "meter": meter.code if meter else None}
    outbox.publish("billing.feature.created", feature, at=at, data=data)
    return feature


@transaction.atomic
def change_feature(*, feature: Feature, at: datetime, **changes: Any) -> Feature:
    """Rename a feature, or change what it is while no plan and no grant has it.

    Raises Conflict (``feature_in_use``) and Invalid.
    """
    feature = db.lock_one(feature)
    wished = _with(feature, changes)
    _check_feature(wished)
    changed = {name for name in changes if getattr(wished, name) != getattr(feature, name)}
    redefined = sorted(changed - _FEATURE_NAMES)
    if redefined and (feature.entitlements.exists() or feature.grants.exists()):
        raise Conflict(f"{feature} is granted by plans: make a new feature.", code="feature_in_use", attr=redefined[0])
    if saving.change(feature, **{name: getattr(wished, name) for name in changed}):
        outbox.publish(
            "billing.feature.changed", feature, at=at, data={"code": feature.code, "changed": sorted(changed)}
        )
    return feature


def _with(instance: Any, changes: dict[str, Any]) -> Any:
    wished = copy(instance)
    for name, value in changes.items():
        setattr(wished, name, value)
    return wished


def _check_meter(meter: Meter) -> None:
    meter.filters = _filters(meter.filters)
    saving.clean(meter)
    if meter.aggregation in _NEEDS_PROPERTY and not meter.property:
        raise Invalid(
            f"{meter.get_aggregation_display()} needs the property it looks at.", attr="property", code="required"
        )


def _filters(filters: Any) -> dict[str, list[Any]]:
    """Each property with the list of plain values that count."""
    if not isinstance(filters, dict) or "" in filters:
        raise Invalid('Give the values that count by property, such as {"region": ["eu"]}.', attr="filters")
    normal = {name: value if isinstance(value, list) else [value] for name, value in filters.items()}
    for name, values in normal.items():
        if not 1 <= len(values) <= _MAX_FILTER_VALUES or not all(isinstance(one, str | int | float) for one in values):
            detail = f"{name}: give 1 to {_MAX_FILTER_VALUES} strings, numbers, true or false."
            raise Invalid(detail, attr="filters")
    return normal


def _check_feature(feature: Feature) -> None:
    saving.clean(feature)
    if feature.type == Feature.Type.METERED and feature.meter is None:
        raise Invalid("A metered feature needs a meter.", attr="meter", code="required")
    if feature.type == Feature.Type.BOOLEAN and feature.meter is not None:
        raise Invalid("A switch counts nothing: it has no meter.", attr="meter")


def _count_past(meter: Meter) -> None:
    """Fill the roll-ups of a meter from the events that are there, in one statement each."""
    of_meter = f"SELECT * FROM ({metering.samples('billing_usageevent')}) all_meters WHERE meter_id = %s"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(f"WITH samples AS MATERIALIZED ({of_meter}) {metering.ROLL_UP}", [meter.pk])
        cursor.execute(f"WITH samples AS MATERIALIZED ({of_meter}) {metering.KEEP_VALUES}", [meter.pk])
