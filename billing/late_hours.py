"""Hours in which usage came or changed after it was charged for: noted here, rated again by ``billing.late_usage``.

That nothing falls between two transactions is held by three things:

- Ingest looks for a charge only where an event is older than ON_TIME; that costs a statement of its own. What is
  younger reaches an invoice that waits for stragglers, because its usage is rated again when it is finalized, SETTLED
  after the period's end. Where that is done earlier (a shorter grace, by hand), the end of the period is watched: noted
  to be rated once more when SETTLED has passed. The day of a pause is charged for before it is over, too.
- A note is written after its event, and touched again by every later one. Whoever rates locks the notes first and skips
  those that somebody is writing. So the events of a note that is dealt with are all committed, and seen.
- While a charge of the period waits for its invoice to be final, its notes wait too.
"""

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from django.db import connection
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL

from billing.models import Charge, Customer, LineKind
from gtm.shared.models import TestClock

ON_TIME = timedelta(minutes=30)
SETTLED = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Used:
    """When a customer used something, by the event's name."""

    customer_id: uuid.UUID
    test_clock_id: uuid.UUID | None
    name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Hour:
    """An hour of a customer's use of a meter."""

    customer_id: uuid.UUID
    meter_id: uuid.UUID
    hour: datetime


def note(used: Iterable[Used]) -> None:
    """Note the hours that a charge covers, in the transaction that wrote or changed their events, and after that."""
    hours = {(one.customer_id, one.test_clock_id, one.name, _hour(one.at)) for one in used}
    rows = [dict(zip(("customer", "clock", "name", "hour"), one, strict=True)) for one in hours]
    if rows:
        _execute(_NOTE, rows)


def is_unsettled(charge: Charge, *, at: datetime) -> bool:
    """Whether usage of its period may still arrive that nobody notes."""
    return charge.period_end is not None and at < charge.period_end + SETTLED


def watch(charges: Iterable[Charge]) -> None:
    """Have usage that is billed for good before stragglers have settled rated once more when they have.

    A test clock needs none of that: nothing passes on it between its instants.
    """
    rows = [
        {
            "customer": one.customer_id,
            "meter": one.meter_id,
            "hour": _hour(one.period_end - timedelta(microseconds=1)),
            "ends": one.period_end.astimezone(UTC),
        }
        for one in charges
        if one.kind == LineKind.USAGE and one.test_clock_id is None and one.period_end is not None
    ]
    if rows:
        _execute(_WATCH, rows, SETTLED)


def charged(*, test_clock: TestClock | None) -> QuerySet[Charge]:
    """The charges that have notes to deal with now; ``payer`` is whom it concerns."""
    found = RawSQL(_CHARGED, [_key(test_clock)])  # noqa: S611 -- put together from constants
    return Charge.objects.filter(pk__in=found, payer__parked_at=None)


def claim(*, payers: Collection[Customer], test_clock: TestClock | None) -> list[Hour]:
    """Lock the notes that concern nobody but these payers, but for those that somebody is writing."""
    keys = [payer.pk for payer in payers]
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [_key(test_clock), keys])
        return [Hour(*row) for row in cursor.fetchall()]


def forget(hours: Collection[Hour]) -> None:
    """Delete notes that the caller has claimed and dealt with."""
    _execute(_FORGET, [{"customer": one.customer_id, "meter": one.meter_id, "hour": one.hour} for one in hours])


def charges_of(hours: Collection[Hour]) -> QuerySet[Charge]:
    """All usage charges of the periods that hold these hours, with those of the other parts of such a period."""
    rows = [{"customer": one.customer_id, "meter": one.meter_id, "hour": one.hour} for one in hours]
    found = RawSQL(_OF_PERIODS, [_json(rows)])  # noqa: S611 -- put together from constants
    return Charge.objects.filter(pk__in=found)


def _key(test_clock: TestClock | None) -> uuid.UUID | None:
    return test_clock.pk if test_clock else None


def _hour(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _json(rows: list[dict[str, Any]]) -> str:
    return msgspec.json.encode(rows).decode()


def _execute(statement: str, rows: list[dict[str, Any]], *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, [_json(rows), *params])


_COVERS = """c.customer_id = l.customer_id AND c.meter_id = l.meter_id AND c.kind = 'usage'
    AND c.period_end > l.hour AND c.period_start < l.hour + interval '1 hour'"""

# In the order of the key, so that two that note the same hours wait for each other in line.
_KEEP = """
    ORDER BY 1, 2, 3
    ON CONFLICT (customer_id, meter_id, hour) DO UPDATE SET noted_at = greatest(kept.noted_at, excluded.noted_at)"""

_NOTE = f"""
INSERT INTO billing_lateusage AS kept (customer_id, meter_id, hour, test_clock_id, noted_at)
SELECT DISTINCT l.customer_id, l.meter_id, l.hour, l.clock, statement_timestamp()
FROM (
    SELECT e.customer AS customer_id, m.id AS meter_id, e.hour, e.clock
    FROM json_to_recordset(%s::json) AS e (customer uuid, clock uuid, name varchar, hour timestamptz)
    JOIN billing_meter m ON m.event_name = e.name AND m.archived_at IS NULL
) AS l
WHERE EXISTS (SELECT FROM billing_charge c WHERE {_COVERS})
{_KEEP}"""  # noqa: S608 -- put together from constants

_WATCH = f"""
INSERT INTO billing_lateusage AS kept (customer_id, meter_id, hour, noted_at)
SELECT e.customer, e.meter, e.hour, greatest(statement_timestamp(), max(e.ends)) + wait
FROM json_to_recordset(%s::json) AS e (customer uuid, meter uuid, hour timestamptz, ends timestamptz),
    CAST(%s AS interval) AS wait
GROUP BY 1, 2, 3, wait
{_KEEP}"""  # noqa: S608 -- put together from constants

# A note waits for its time, and while a charge of its period waits for its invoice to be final.
_IS_DUE = f"""l.test_clock_id IS NOT DISTINCT FROM %s AND l.noted_at <= statement_timestamp() AND NOT EXISTS (
    SELECT FROM billing_charge c
    LEFT JOIN billing_invoiceline line ON line.id = c.invoice_line_id
    LEFT JOIN billing_invoice i ON i.id = line.invoice_id
    WHERE {_COVERS} AND (i.status = 'draft' OR (c.status = 'pending' AND c.reason <> 'late_usage'))
)"""

# OFFSET 0 keeps the planner from reading all charges to find those few.
_CHARGED = f"""
SELECT c.id FROM billing_lateusage l
CROSS JOIN LATERAL (SELECT c.id FROM billing_charge c WHERE {_COVERS} OFFSET 0) AS c
WHERE {_IS_DUE}"""  # noqa: S608 -- put together from constants

_CLAIM = f"""
SELECT l.customer_id, l.meter_id, l.hour FROM billing_lateusage l
WHERE {_IS_DUE} AND EXISTS (SELECT FROM billing_charge c WHERE {_COVERS})
    AND NOT EXISTS (SELECT FROM billing_charge c WHERE {_COVERS} AND c.payer_id <> ALL(%s))
FOR UPDATE OF l SKIP LOCKED"""  # noqa: S608 -- put together from constants

_OF_PERIODS = f"""
SELECT part.id
FROM (
    SELECT DISTINCT c.subscription_id, c.meter_id, c.period_index
    FROM (
        SELECT e.customer AS customer_id, e.meter AS meter_id, e.hour
        FROM json_to_recordset(%s::json) AS e (customer uuid, meter uuid, hour timestamptz)
    ) AS l
    CROSS JOIN LATERAL (SELECT c.* FROM billing_charge c WHERE {_COVERS} OFFSET 0) AS c
) AS period
CROSS JOIN LATERAL (
    SELECT part.id FROM billing_charge part
    WHERE part.subscription_id = period.subscription_id AND part.kind = 'usage'
        AND part.meter_id = period.meter_id AND part.period_index = period.period_index
    OFFSET 0
) AS part"""  # noqa: S608 -- put together from constants

_FORGET = """
DELETE FROM billing_lateusage l
USING json_to_recordset(%s::json) AS e (customer uuid, meter uuid, hour timestamptz)
WHERE l.customer_id = e.customer AND l.meter_id = e.meter AND l.hour = e.hour"""
