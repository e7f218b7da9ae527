"""Corrections of usage: an event that was wrong is voided, or amended, and everything counts as if it had been right.

What the meters had counted in the hours it touches is counted again from the events, in the same transaction. Writers
of events of that name wait meanwhile, so that nothing is counted twice or missed. A period that was charged for is
rated again, as for late usage. The id stays taken: sent again as at first the event is a duplicate, whatever it says
now, and otherwise ``id_reused``; a void is for good.
"""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from django.db import connection, transaction

from billing import late_hours, metering, usage
from billing.models import Customer, Subscription, UsageCorrection
from billing.queries import reported
from billing.queries.reported import Reported
from billing.usage_events import CustomerScope, EventRow, Refused, UsageInput, prepare
from gtm.shared import context, ids, outbox
from gtm.shared.errors import Conflict, Invalid, NotFound

Action = UsageCorrection.Action
CORRECTED = "billing.usage.corrected"
_SETTABLE = frozenset({"quantity", "properties", "timestamp"})
_ATTRS = {"invalid_quantity": "quantity", "timestamp_in_future": "timestamp", "timestamp_too_old": "timestamp"}


@transaction.atomic
def void(*, event_id: str, reason: str = "", at: datetime) -> Reported:
    """Let an event count no more. Once it is voided, a second time changes nothing.

    ``at`` is the wall-clock time, as for ingest. Raises NotFound, and Conflict while the customer's test clock is being
    advanced.
    """
    event, scope = _locked(event_id, at)
    if event.voided_at is not None:
        return event
    _execute("DELETE FROM billing_usageevent WHERE timestamp = %s AND event_id = %s", event.timestamp, event.id)
    _count_again(event, {event.timestamp})
    _record(event, None, scope, action=Action.VOID, reason=reason, at=at)
    return _found(event_id)


@transaction.atomic
def amend(*, event_id: str, reason: str = "", at: datetime, **changes: Any) -> Reported:
    """Let an event say something else: ``quantity``, ``properties`` (all of them), ``timestamp``.

    What it says already changes nothing. Raises Invalid as ingest rejects, with the field named; NotFound; Conflict
    where it was voided, or while the customer's test clock is being advanced.
    """
    assert changes.keys() <= _SETTABLE
    event, scope = _locked(event_id, at)
    if event.voided_at is not None:
        raise Conflict("This event was voided.", code="usage_event_voided")
    row = _amended(event, scope, changes)
    after = {"timestamp": row.at, "quantity": Decimal(row.quantity), "properties": msgspec.json.decode(row.properties)}
    if all(getattr(event, name) == value for name, value in after.items()):
        return event
    _execute(
        "UPDATE billing_usageevent SET timestamp = %s, quantity = %s, properties = %s::jsonb"
        " WHERE timestamp = %s AND event_id = %s",
        *(row.at, row.quantity, bytes(row.properties).decode(), event.timestamp, event.id),
    )
    _execute("UPDATE billing_usageeventkey SET timestamp = %s WHERE event_id = %s", row.at, event.id)
    _count_again(event, {event.timestamp, row.at})
    changed = _found(event_id)
    _record(event, changed, scope, action=Action.AMENDMENT, reason=reason, at=at)
    return changed


def _locked(event_id: str, at: datetime) -> tuple[Reported, CustomerScope]:
    """The event with its writers kept away, and its customer."""
    metering.share(())
    metering.hold_name(_found(event_id).name)  # which never changes
    event = _found(event_id)
    reference = ids.encode(Customer.PREFIX, event.customer_id)
    scope = usage.scopes({reference}, at)[reference]
    if scope.clock_is_advancing:
        raise Conflict("The customer's test clock is being advanced. Try again.", code="clock_advancing")
    return event, scope


def _found(event_id: str) -> Reported:
    event = reported.find(event_id)
    if event is None:
        raise NotFound("There is no such event.")
    return event


def _amended(event: Reported, scope: CustomerScope, changes: dict[str, Any]) -> EventRow:
    """The row as it would have come in. What isn't changed isn't checked against meters that were made since."""
    wanted = UsageInput(
        id=event.id,
        name=event.name,
        customer="",
        timestamp=changes.get("timestamp", event.timestamp),
        quantity=changes.get("quantity", event.quantity),
        properties=changes.get("properties", event.properties),
    )
    meters = usage.looking_at({event.name}).get(event.name, ()) if "properties" in changes else ()
    try:
        return prepare(wanted, customer=scope, subscription=event.subscription_id, meters=meters)
    except Refused as refusal:
        raise Invalid(str(refusal), code=refusal.code, attr=_ATTRS.get(refusal.code, "properties")) from refusal


def _count_again(event: Reported, instants: Collection[datetime]) -> None:
    """Make what the meters keep of the touched hours anew from the events."""
    bounds: dict[str, Any] = {
        "customer": event.customer_id,
        "name": event.name,
        "hours": [at.isoformat() for at in instants],
    }
    for statement in _COUNT_AGAIN:
        with connection.cursor() as cursor:
            cursor.execute(statement, bounds)


def _record(
    before: Reported, after: Reported | None, scope: CustomerScope, *, action: Action, reason: str, at: datetime
) -> None:
    """Note what has to be rated again, write down what was corrected, and tell of it."""
    late_hours.note(
        late_hours.Used(scope.id, scope.test_clock_id, before.name, one.timestamp) for one in (before, after) if one
    )
    happened_at = scope.now if scope.test_clock_id else at
    correction = UsageCorrection.objects.create(
        event_id=before.id,
        customer_id=scope.id,
        action=action,
        before=_said(before),
        after=_said(after) if after else None,
        actor=context.actor(),
        reason=reason[:500],
        test_clock_id=scope.test_clock_id,
        occurred_at=happened_at,
    )
    outbox.publish(
        CORRECTED,
        correction,
        at=happened_at,
        customer_id=scope.id,
        account_id=scope.account_id,
        data={
            "action": action,
            "customers": [ids.encode(Customer.PREFIX, scope.id)],
            "test": scope.test_clock_id is not None,
            "name": before.name,
        },
    )


def _said(event: Reported) -> dict[str, Any]:
    return {
        "name": event.name,
        "timestamp": event.timestamp.isoformat(),
        "quantity": f"{event.quantity:f}",
        "properties": event.properties,
        "subscription": ids.encode(Subscription.PREFIX, event.subscription_id) if event.subscription_id else None,
    }


def _execute(statement: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


_HOURS = """hours AS (
    SELECT DISTINCT date_trunc('hour', hour, 'UTC') AS hour FROM unnest(%(hours)s::timestamptz[]) AS hour
)"""
_FORGET = """
WITH {hours} DELETE FROM {table} kept USING billing_meter m, hours
WHERE m.event_name = %(name)s AND m.archived_at IS NULL AND kept.meter_id = m.id
    AND kept.customer_id = %(customer)s AND kept.hour = hours.hour"""
_SAMPLES = f"""
WITH {_HOURS}, events AS MATERIALIZED (
    SELECT e.* FROM hours CROSS JOIN LATERAL (
        SELECT * FROM billing_usageevent e
        WHERE e.customer_id = %(customer)s AND e.name = %(name)s
            AND e.timestamp >= hours.hour AND e.timestamp < hours.hour + interval '1 hour'
        OFFSET 0
    ) AS e
), samples AS MATERIALIZED (
    {metering.samples("events")}
)"""  # noqa: S608 -- put together from constants
_COUNT_AGAIN = (
    *(_FORGET.format(hours=_HOURS, table=table) for table in ("billing_usagerollup", "billing_usagevalue")),
    f"{_SAMPLES} {metering.ROLL_UP}",
    f"{_SAMPLES} {metering.KEEP_VALUES}",
)
