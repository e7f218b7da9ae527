"""What was used: sums over the hourly roll-ups, and over the raw events of the hours that a bound cuts.

Windows begin and end on any instant: those of customers in zones with half hours cut an hour at both ends. Many windows
are summed by one statement, and each reads an index range per table.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import msgspec
from django.db import connection

from billing import metering


@dataclass(frozen=True, slots=True)
class Window:
    """A customer's use of a meter on [start, end); ``end`` None is open.

    With ``subscription_id`` the events that name another subscription don't count; those that name none do.
    """

    customer_id: uuid.UUID
    meter_id: uuid.UUID
    start: datetime
    end: datetime | None
    subscription_id: uuid.UUID | None = None


def totals(windows: Sequence[Window]) -> list[Decimal]:
    """The use in each window, in their order, by one query; 0 where nothing was used.

    ``count``, ``sum`` and ``unique`` add up; ``max`` is the largest amount and ``latest`` the last one in the window.
    """
    if not windows:
        return []
    rows = [
        {
            "n": n,
            "customer_id": window.customer_id,
            "meter_id": window.meter_id,
            "subscription_id": window.subscription_id,
            "start": window.start,
            "stop": window.end or "infinity",
        }
        for n, window in enumerate(windows)
    ]
    with connection.cursor() as cursor:
        cursor.execute(_TOTALS, [msgspec.json.encode(rows).decode()])
        return [Decimal(total) for (total,) in cursor.fetchall()]


FOR_THIS_SUBSCRIPTION = (
    "(w.subscription_id IS NULL OR {row}.subscription_id IS NULL OR {row}.subscription_id IN (w.subscription_id, '"
    + metering.NO_SUBSCRIPTION
    + "'))"
)
_OF_ROLLUP = FOR_THIS_SUBSCRIPTION.format(row="r")

# OFFSET 0 keeps the planner from turning a few index ranges into a scan of all events.
_TOTALS = f"""
WITH windows AS MATERIALIZED (
    SELECT w.*, m.aggregation, m.event_name,
        CASE WHEN date_trunc('hour', w.start, 'UTC') = w.start THEN w.start
             ELSE date_trunc('hour', w.start, 'UTC') + interval '1 hour' END AS first_hour,
        date_trunc('hour', w.stop, 'UTC') AS last_hour
    FROM json_to_recordset(%s::json) AS w
        (n int, customer_id uuid, meter_id uuid, subscription_id uuid, start timestamptz, stop timestamptz)
    JOIN billing_meter m ON m.id = w.meter_id
), cut_events AS MATERIALIZED (
    SELECT w.n, w.meter_id AS wanted, e.*
    FROM windows w
    CROSS JOIN LATERAL (VALUES
        (w.start, least(w.first_hour, w.stop)),
        (greatest(w.first_hour, w.last_hour), w.stop)
    ) AS piece (start, stop)
    CROSS JOIN LATERAL (
        SELECT * FROM billing_usageevent e
        WHERE e.customer_id = w.customer_id AND e.name = w.event_name
            AND e.timestamp >= piece.start AND e.timestamp < piece.stop
            AND {FOR_THIS_SUBSCRIPTION.format(row="e")}
        OFFSET 0
    ) AS e
    WHERE piece.start < piece.stop
), cut AS MATERIALIZED (
    SELECT * FROM ({metering.samples("cut_events", columns="e.n, e.wanted,")}) AS every_meter WHERE meter_id = wanted
)
SELECT CASE w.aggregation
    WHEN 'count' THEN whole.count + part.count
    WHEN 'sum' THEN whole.sum + part.sum
    WHEN 'max' THEN COALESCE(greatest(whole.max, part.max), 0)
    WHEN 'latest' THEN COALESCE(
        CASE WHEN whole.latest_at IS NULL OR (part.latest_at, part.latest) > (whole.latest_at, whole.latest)
             THEN part.latest ELSE whole.latest END, 0)
    WHEN 'unique' THEN (
        SELECT count(DISTINCT value) FROM (
            SELECT r.value FROM billing_usagevalue r
            WHERE r.customer_id = w.customer_id AND r.meter_id = w.meter_id
                AND r.hour >= w.first_hour AND r.hour < w.last_hour AND {_OF_ROLLUP}
            UNION ALL
            SELECT cut.value FROM cut WHERE cut.n = w.n
        ) AS seen)
    END
FROM windows w
CROSS JOIN LATERAL (
    SELECT COALESCE(sum(r.count), 0) AS count, COALESCE(sum(r.sum), 0) AS sum, max(r.max) AS max,
        max(r.latest_at) AS latest_at,
        (array_agg(r.latest ORDER BY r.latest_at DESC, r.latest DESC)
            FILTER (WHERE w.aggregation = 'latest' AND r.latest_at IS NOT NULL))[1] AS latest
    FROM billing_usagerollup r
    WHERE r.customer_id = w.customer_id AND r.meter_id = w.meter_id
        AND r.hour >= w.first_hour AND r.hour < w.last_hour AND {_OF_ROLLUP}
) AS whole
CROSS JOIN LATERAL (
    SELECT count(*) AS count, COALESCE(sum(cut.amount), 0) AS sum, max(cut.amount) AS max,
        max(cut.timestamp) FILTER (WHERE cut.amount IS NOT NULL) AS latest_at,
        (array_agg(cut.amount ORDER BY cut.timestamp DESC, cut.amount DESC)
            FILTER (WHERE cut.amount IS NOT NULL))[1] AS latest
    FROM cut WHERE cut.n = w.n
) AS part
ORDER BY w.n"""  # noqa: S608 -- put together from constants
