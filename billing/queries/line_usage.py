"""What a usage line is made of: the hours, days or single events of its period, which add up to what was used.

Lines of one period (the first, and those for late usage) together bill what is used in it: ``billed`` is what they have
billed so far, ``total`` what the meter counts now. The two differ only while late usage waits to be billed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import msgspec
from django.db import connection
from django.db.models import Sum

from billing import metering
from billing.models import Charge, InvoiceLine, LineKind, Meter
from billing.queries import usage, usage_series
from billing.queries.usage import FOR_THIS_SUBSCRIPTION, Window
from billing.queries.usage_series import MAX_BUCKETS, Bucket
from gtm.shared.errors import Invalid, NotFound

GRANULARITIES = ("day", "hour", "event")


class Counted(NamedTuple):
    """An event and what the meter takes of it."""

    event: str
    timestamp: datetime
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class LineUsage:
    """``buckets`` that nothing was used in are left out. Where events were asked for, they stand there instead."""

    line: InvoiceLine
    meter: Meter
    total: Decimal
    billed: Decimal
    buckets: list[Bucket]
    events: list[Counted]


def of_line(line: InvoiceLine, *, granularity: str = "day", start: datetime | None = None) -> LineUsage:
    """The usage of a line's period; of the hour from ``start`` on alone, where one is given.

    Raises NotFound for a line of something else, Invalid for more than 1,000 hours or events.
    """
    if line.meter is None or line.period_start is None or line.period_end is None:
        raise NotFound("Nothing was metered for this line.")
    whole = Window(line.customer_id, line.meter.pk, line.period_start, line.period_end, line.subscription_id)
    window = _hour_of(whole, start) if start else whole
    bounds = [] if granularity == "event" else list(_bounds(line, window, granularity))
    windows = [Window(whole.customer_id, whole.meter_id, *one, whole.subscription_id) for one in bounds]
    total, *quantities = usage.totals([whole, *windows])
    return LineUsage(
        line=line,
        meter=line.meter,
        total=total,
        billed=_billed(line),
        buckets=[Bucket(*one, quantity) for one, quantity in zip(bounds, quantities, strict=True) if quantity],
        events=_events(window) if granularity == "event" else [],
    )


def _hour_of(whole: Window, start: datetime) -> Window:
    assert whole.end is not None
    hour, end = next(usage_series.hours(start, whole.end), (whole.start, whole.start))
    bounds = max(hour, whole.start), min(end, whole.end)
    if bounds[0] >= bounds[1]:
        raise Invalid("This hour is not in the period of the line.", attr="hour")
    return Window(whole.customer_id, whole.meter_id, *bounds, whole.subscription_id)


def _bounds(line: InvoiceLine, window: Window, granularity: str) -> Iterator[tuple[datetime, datetime]]:
    assert window.end is not None
    found = (
        usage_series.hours(window.start, window.end)
        if granularity == "hour"
        else usage_series.days(window.start, window.end, line.customer.timezone)
    )
    for start, end in usage_series.at_most(found):
        yield max(start, window.start), min(end, window.end)


def _billed(line: InvoiceLine) -> Decimal:
    """What all charges of the period have billed, or were set off against it."""
    charge = Charge.objects.filter(invoice_line=line).first()
    if charge is None:
        return line.quantity
    same = Charge.objects.filter(item=charge.item_id, kind=LineKind.USAGE, period_index=charge.period_index)
    billed = same.exclude(status__in=[Charge.Status.REPLACED, Charge.Status.PENDING])
    return billed.aggregate(quantity=Sum("quantity"))["quantity"] or Decimal()


def _events(window: Window) -> list[Counted]:
    row = {
        "customer_id": window.customer_id,
        "meter_id": window.meter_id,
        "subscription_id": window.subscription_id,
        "start": window.start,
        "stop": window.end,
    }
    with connection.cursor() as cursor:
        cursor.execute(_EVENTS, [msgspec.json.encode([row]).decode(), MAX_BUCKETS + 1])
        found = [Counted(*one) for one in cursor.fetchall()]
    if len(found) > MAX_BUCKETS:
        raise Invalid(f"That is more than {MAX_BUCKETS:,} events. Ask for one hour.", attr="hour")
    return found


_EVENTS = f"""
WITH events AS MATERIALIZED (
    SELECT e.*, w.meter_id AS wanted
    FROM json_to_recordset(%s::json) AS w
        (customer_id uuid, meter_id uuid, subscription_id uuid, start timestamptz, stop timestamptz)
    JOIN billing_meter m ON m.id = w.meter_id
    CROSS JOIN LATERAL (
        SELECT * FROM billing_usageevent e
        WHERE e.customer_id = w.customer_id AND e.name = m.event_name
            AND e.timestamp >= w.start AND e.timestamp < w.stop
            AND {FOR_THIS_SUBSCRIPTION.format(row="e")}
        OFFSET 0
    ) AS e
)
SELECT event_id, timestamp, CASE WHEN aggregation IN ('count', 'unique') THEN 1 ELSE COALESCE(amount, 0) END
FROM ({metering.samples("events", columns="e.event_id, e.wanted,")}) AS every_meter
WHERE meter_id = wanted ORDER BY timestamp, event_id LIMIT %s"""  # noqa: S608 -- put together from constants
