"""The single transactions of a period, for percentages with parts per transaction: one query for many periods.

A transaction is an event that the meter counts and takes an amount of; an event without the property is none. They come
summed up by what is charged of them: those that are free, the one of which a part is, and of the others those below
the minimum, those above the maximum and those between. So a million transactions are five rows: the database reads
them, in some seconds, and no process holds them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import msgspec
from django.db import connection

from billing import metering
from billing.queries.usage import FOR_THIS_SUBSCRIPTION, Window

Run = tuple[Decimal, int]


@dataclass(frozen=True, slots=True)
class Asked:
    """A window and what a price does with its transactions. None is no such bound.

    Free are the first ``free_count``, as far as ``free_money`` goes. What is free is shared by all that is asked for in
    one ``pool``, in the order of time.
    """

    window: Window
    free_count: int | None
    free_money: Decimal | None
    low: Decimal | None = None
    high: Decimal | None = None
    pool: int | None = None


def runs(asked: Sequence[Asked]) -> list[list[Run]]:
    """The transactions of each window as (sum, how many), those that are free first."""
    found: list[list[Run]] = [[] for _one in asked]
    if asked:
        rows = [_row(n, one) for n, one in enumerate(asked)]
        with connection.cursor() as cursor:
            cursor.execute(_RUNS, [msgspec.json.encode(rows).decode()])
            for n, total, count in cursor.fetchall():
                found[n].append((total, count))
    return found


def _row(n: int, one: Asked) -> dict[str, object]:
    window = one.window
    return {
        "n": n,
        "pool": -n - 1 if one.pool is None else one.pool,
        "customer_id": window.customer_id,
        "meter_id": window.meter_id,
        "subscription_id": window.subscription_id,
        "start": window.start,
        "stop": window.end or "infinity",
        "free_count": one.free_count,
        **{name: _text(getattr(one, name)) for name in ("free_money", "low", "high")},
    }


def _text(number: Decimal | None) -> str | None:
    return None if number is None else format(number, "f")


_RUNS = f"""
WITH windows AS MATERIALIZED (
    SELECT w.*, m.event_name
    FROM json_to_recordset(%s::json) AS w
        (n int, pool int, customer_id uuid, meter_id uuid, subscription_id uuid, start timestamptz, stop timestamptz,
         free_count numeric, free_money numeric, low numeric, high numeric)
    JOIN billing_meter m ON m.id = w.meter_id
), events AS (
    SELECT w.n, w.meter_id AS wanted, e.*
    FROM windows w
    CROSS JOIN LATERAL (
        SELECT * FROM billing_usageevent e
        WHERE e.customer_id = w.customer_id AND e.name = w.event_name
            AND e.timestamp >= w.start AND e.timestamp < w.stop
            AND {FOR_THIS_SUBSCRIPTION.format(row="e")}
        OFFSET 0
    ) AS e
), counted AS (
    SELECT w.*, amount, row_number() OVER in_time AS position, sum(amount) OVER so_far AS taken
    FROM ({metering.samples("events", columns="e.n, e.wanted, e.event_id,")}) AS s JOIN windows w USING (n)
    WHERE s.meter_id = s.wanted AND amount IS NOT NULL
    WINDOW in_time AS (PARTITION BY pool ORDER BY timestamp, event_id),
        so_far AS (in_time ROWS UNBOUNDED PRECEDING)
), placed AS (
    SELECT n, amount, CASE
        WHEN position > free_count OR taken - amount >= free_money THEN
            CASE WHEN amount < low THEN 2 WHEN amount > high THEN 3 ELSE 4 END
        WHEN taken > free_money THEN 1
        ELSE 0 END AS part
    FROM counted
)
SELECT n, sum(amount), count(*) FROM placed GROUP BY n, part ORDER BY n, part"""  # noqa: S608 -- put together from constants
