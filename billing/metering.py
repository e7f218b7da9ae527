"""What meters see in events: one piece of SQL, so that ingest, back-fill and the raw hours of a period count alike.

Of each event a meter takes an amount (its property, else the event's quantity) and, for ``unique``, a value. Whatever
is no number between 0 and 10^15, or no plain value of at most 200 characters, counts as missing.

Locks: whoever writes events shares the locks of their names, whoever makes a meter or a partition holds them alone. So
no event is written under a meter's back-fill, counted twice or missed.
"""

import zlib
from collections.abc import Iterable

from django.db import connection

NO_SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
MAX_AMOUNT = 10**15
MAX_VALUE_LENGTH = 200
MAX_PROPERTIES_BYTES = 8 * 1024

_LOCK_CLASS = 0x7D5A6E
_PARTITIONS = -1
_BUCKETS = 16  # names share them, so that a call with thousands of names takes few locks


def samples(events: str, *, columns: str = "") -> str:
    """SQL for (event, meter) pairs of the relation ``events``: what each meter takes of each event that it counts.

    ``columns`` (``e.name, …``) are handed through from the relation.
    """
    return f"""
    SELECT {columns} e.customer_id, m.id AS meter_id, m.aggregation, e.timestamp,
        date_trunc('hour', e.timestamp, 'UTC') AS hour,
        COALESCE(e.subscription_id, '{NO_SUBSCRIPTION}'::uuid) AS subscription_id,
        CASE
            WHEN m.property = '' THEN e.quantity
            WHEN jsonb_typeof(e.properties -> m.property) = 'number' THEN
                CASE WHEN (e.properties ->> m.property)::numeric BETWEEN 0 AND {MAX_AMOUNT}
                     THEN round((e.properties ->> m.property)::numeric, 6) END
        END AS amount,
        CASE
            WHEN m.aggregation = 'unique'
                AND jsonb_typeof(e.properties -> m.property) IN ('string', 'number', 'boolean')
                AND length(e.properties ->> m.property) <= {MAX_VALUE_LENGTH}
            THEN e.properties ->> m.property
        END AS value
    FROM {events} e
    JOIN billing_meter m ON m.event_name = e.name AND m.archived_at IS NULL
    WHERE m.filters = '{{}}' OR NOT EXISTS (
        SELECT FROM jsonb_each(m.filters) AS f (name, allowed)
        WHERE jsonb_typeof(e.properties -> f.name) IN ('array', 'object')
            OR (f.allowed @> (e.properties -> f.name)) IS NOT TRUE
    )"""  # noqa: S608 -- the relation is one of ours


# Both write in the order of the key: two transactions that meet in the same hours wait for each other in line.
ROLL_UP = """
    INSERT INTO billing_usagerollup AS kept
        (customer_id, meter_id, hour, subscription_id, count, sum, max, latest, latest_at)
    SELECT customer_id, meter_id, hour, subscription_id, count(*), COALESCE(sum(amount), 0), max(amount),
        (array_agg(amount ORDER BY timestamp DESC, amount DESC) FILTER (WHERE amount IS NOT NULL))[1],
        max(timestamp) FILTER (WHERE amount IS NOT NULL)
    FROM samples
    GROUP BY customer_id, meter_id, hour, subscription_id
    ORDER BY customer_id, meter_id, hour, subscription_id
    ON CONFLICT (customer_id, meter_id, hour, subscription_id) DO UPDATE SET
        count = kept.count + excluded.count,
        sum = kept.sum + excluded.sum,
        max = greatest(kept.max, excluded.max),
        latest = CASE
            WHEN kept.latest_at IS NULL OR (excluded.latest_at, excluded.latest) > (kept.latest_at, kept.latest)
            THEN excluded.latest ELSE kept.latest END,
        latest_at = greatest(kept.latest_at, excluded.latest_at)"""

KEEP_VALUES = """
    INSERT INTO billing_usagevalue (customer_id, meter_id, hour, subscription_id, value)
    SELECT DISTINCT customer_id, meter_id, hour, subscription_id, value
    FROM samples
    WHERE value IS NOT NULL
    ORDER BY customer_id, meter_id, hour, subscription_id, value
    ON CONFLICT DO NOTHING"""


def share(names: Iterable[str]) -> None:
    """Wait until nobody changes what counts events of these names, and keep it so until the transaction ends."""
    _lock("pg_advisory_xact_lock_shared", {_PARTITIONS, *map(_bucket, names)})


def hold_name(name: str) -> None:
    """Wait for the writers of events of this name, and keep others away until the transaction ends."""
    _lock("pg_advisory_xact_lock", {_bucket(name)})


def hold_partitions() -> None:
    """Wait for all writers of events, and keep others away until the transaction ends."""
    _lock("pg_advisory_xact_lock", {_PARTITIONS})


def _bucket(name: str) -> int:
    return zlib.crc32(name.encode()) % _BUCKETS


def _lock(function: str, buckets: set[int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {function}(%s, bucket) FROM unnest(%s::int[]) AS bucket",  # noqa: S608 -- one of two names
            [_LOCK_CLASS, sorted(buckets)],
        )
