"""Ingest: each event once per installation, with its roll-ups and a fact, in one transaction of few queries.

Identity comes first: the ids are inserted in their order, and only those that are new go on to the events and the
roll-ups, which are written in the order of their keys. So two calls that bring the same events, in whatever order, wait
for each other in line, and each event counts in one of them. Ingest never refuses for a limit: see ``consumption``.
"""

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec
from django.db import connection, transaction

from billing import late_hours, metering
from billing.models import Customer, Meter, Subscription
from billing.partitions import make_partitions
from billing.usage_events import (
    CustomerScope,
    EventRow,
    MeterTerms,
    Recorded,
    Refused,
    Rejected,
    UsageInput,
    UsageUser,
    decode,
    prepare,
)
from gtm.shared import ids, outbox
from gtm.shared.models import Event, TestClock

__all__ = ["Recorded", "Rejected", "UsageInput", "UsageUser", "customers_in", "decode", "make_partitions", "record"]

AHEAD = timedelta(minutes=5)  # clocks of machines differ
RECORDED = "billing.usage.recorded"
_EXTERNAL = "external_id:"
_Indexed = tuple[int, EventRow]


@transaction.atomic
def record(*, events: Sequence[UsageInput], at: datetime) -> Recorded:
    """Keep the events that are new and well-formed, whatever the others are.

    A timestamp that is left out is ``at``, for clocked customers their clock's time. It may lie 5 minutes ahead of
    ``at``, for clocked customers of the later of both. The same id with the same body is a duplicate, with another body
    rejected as ``id_reused``. Publishes ``billing.usage.recorded``, one for each test clock and one for none.
    """
    metering.share({event.name for event in events})
    book = _Book(events, at)
    rows, rejected = book.rows(events)
    first, repeated = _first_of_each(rows)
    new = _write([row for _index, row in first.values()]) if first else set()
    stored = _digests(known) if (known := [event_id for event_id in first if event_id not in new]) else {}
    again = [first[event_id] for event_id in stored] + repeated
    digests = {event_id: first[event_id][1].digest for event_id in new} | stored
    reused = [_reused(index, row) for index, row in again if digests[row.id] != row.digest]
    _note_late([first[event_id][1] for event_id in new], book)
    _tell({first[event_id][1].customer for event_id in new}, book, at)
    rejected = sorted([*rejected, *reused], key=lambda one: one.index)
    return Recorded(accepted=len(new), duplicates=len(again) - len(reused), rejected=rejected)


def customers_in(event: Event) -> list[uuid.UUID]:
    """The customers whose usage a ``billing.usage.recorded`` fact tells of."""
    return [ids.decode(text, prefix=Customer.PREFIX) for text in event.data["customers"]]


class _Book:
    """All that the events of one call refer to, read with a query for each kind."""

    def __init__(self, events: Sequence[UsageInput], at: datetime) -> None:
        self.customers = scopes({event.customer for event in events}, at)
        self.subscriptions = _subscriptions({event.subscription for event in events if event.subscription})
        self.meters = looking_at({event.name for event in events})
        self.scopes = {scope.id: scope for scope in self.customers.values()}

    def rows(self, events: Sequence[UsageInput]) -> tuple[list[_Indexed], list[Rejected]]:
        rows, rejected = [], []
        for index, event in enumerate(events):
            try:
                rows.append((index, self._row(event)))
            except Refused as refusal:
                rejected.append(Rejected(index, event.id, refusal.code, refusal.detail))
        return rows, rejected

    def _row(self, event: UsageInput) -> EventRow:
        customer = self.customers.get(event.customer)
        if customer is None:
            raise Refused("unknown_customer", f"There is no customer {event.customer!r}.")
        if customer.clock_is_advancing:
            raise Refused("clock_advancing", "The customer's test clock is being advanced. Send the event again.")
        subscription = self._subscription(event, customer)
        return prepare(event, customer=customer, subscription=subscription, meters=self.meters.get(event.name, ()))

    def _subscription(self, event: UsageInput, customer: CustomerScope) -> uuid.UUID | None:
        if event.subscription is None:
            return None
        subscription, owner = self.subscriptions.get(event.subscription, (None, None))
        if owner != customer.id:
            raise Refused("unknown_subscription", f"{event.customer} has no subscription {event.subscription!r}.")
        return subscription


def scopes(references: set[str], at: datetime) -> dict[str, CustomerScope]:
    """The customers by the references that name them."""
    by_id, by_external_id = _named(references, Customer.PREFIX)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT c.id, c.external_id, c.version, c.account_id, c.test_clock_id, t.frozen_time, t.status
            FROM billing_customer c LEFT JOIN shared_testclock t ON t.id = c.test_clock_id
            WHERE c.id = ANY(%s) OR c.external_id = ANY(%s)""",
            [list(by_id), list(by_external_id)],
        )
        found = cursor.fetchall()
    scopes: dict[str, CustomerScope] = {}
    for key, external_id, version, account_id, clock_id, frozen_time, status in found:
        latest = max(frozen_time or at, at) + AHEAD
        scope = CustomerScope(
            id=key,
            version=version,
            account_id=account_id,
            test_clock_id=clock_id,
            now=frozen_time or at,
            latest=latest,
            on_time_since=latest if frozen_time else at - late_hours.ON_TIME,  # a clock may have charged ahead of it
            clock_is_advancing=status == TestClock.Status.ADVANCING,
        )
        scopes |= {name: scope for name in (by_id.get(key), by_external_id.get(external_id)) if name}
    return scopes


def _subscriptions(references: set[str]) -> dict[str, tuple[uuid.UUID, uuid.UUID]]:
    """(subscription, customer) by the references that name them."""
    if not references:
        return {}
    by_id, by_external_id = _named(references, Subscription.PREFIX)
    found: dict[str, tuple[uuid.UUID, uuid.UUID]] = {}
    named = Subscription.objects.filter(pk__in=by_id) | Subscription.objects.filter(external_id__in=by_external_id)
    for key, external_id, customer_id in named.values_list("pk", "external_id", "customer_id"):
        names = (by_id.get(key), by_external_id.get(external_id) if external_id else None)
        found |= {name: (key, customer_id) for name in names if name}
    return found


def _named(references: Iterable[str], prefix: str) -> tuple[dict[uuid.UUID, str], dict[str, str]]:
    """References by the id or the external id that they stand for; what is neither names nothing."""
    by_id: dict[uuid.UUID, str] = {}
    by_external_id: dict[str, str] = {}
    for reference in references:
        if "\0" in reference:
            continue
        if reference.startswith(_EXTERNAL):
            by_external_id[reference.removeprefix(_EXTERNAL)] = reference
            continue
        try:
            by_id[ids.decode(reference, prefix=prefix)] = reference
        except ValueError:
            continue
    return by_id, by_external_id


def looking_at(names: set[str]) -> dict[str, list[MeterTerms]]:
    """The meters that look at a property of these events: those that count or take the quantity can read any event."""
    plain_names = [name for name in names if "\0" not in name]
    looking = Meter.objects.filter(event_name__in=plain_names, archived_at=None).exclude(property="")
    found: dict[str, list[MeterTerms]] = {}
    for terms in looking.values_list("event_name", "aggregation", "property", "filters"):
        found.setdefault(terms[0], []).append(MeterTerms(*terms))
    return found


def _first_of_each(rows: Iterable[_Indexed]) -> tuple[dict[str, _Indexed], list[_Indexed]]:
    """The first row of each id, and the rows that repeat one."""
    first: dict[str, _Indexed] = {}
    repeated = [(index, row) for index, row in rows if first.setdefault(row.id, (index, row))[0] != index]
    return first, repeated


# One text parameter: psycopg and PostgreSQL are several times slower with arrays of ten thousand rows.
_INGEST = f"""
WITH incoming AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%s::json) AS row
        (id varchar, digest text, customer uuid, name varchar, "user" varchar, at timestamptz, quantity numeric,
         properties jsonb, subscription uuid)
), new AS (
    INSERT INTO billing_usageeventkey (event_id, body_digest, customer_id, timestamp)
    SELECT id, decode(digest, 'hex'), customer, at FROM incoming ORDER BY id COLLATE "C"
    ON CONFLICT (event_id) DO NOTHING RETURNING event_id
), events AS MATERIALIZED (
    SELECT id AS event_id, customer AS customer_id, name, "user", at AS timestamp, quantity, properties,
        subscription AS subscription_id
    FROM incoming WHERE id COLLATE "C" IN (SELECT event_id FROM new)
), written AS (
    INSERT INTO billing_usageevent
        (event_id, customer_id, name, "user", timestamp, quantity, properties, subscription_id)
    SELECT event_id, customer_id, name, "user", timestamp, quantity, properties, subscription_id FROM events
), samples AS MATERIALIZED (
    {metering.samples("events")}
), rolled_up AS (
    {metering.ROLL_UP}
), valued AS (
    {metering.KEEP_VALUES}
)
SELECT event_id FROM events"""  # noqa: S608 -- put together from constants


def _write(rows: Sequence[EventRow]) -> set[str]:
    """Keep the rows whose ids are new, and count them; return those ids."""
    with connection.cursor() as cursor:
        cursor.execute(_INGEST, [msgspec.json.encode(rows).decode()])
        return {event_id for (event_id,) in cursor.fetchall()}


def _note_late(rows: Iterable[EventRow], book: _Book) -> None:
    """Note the events that may belong to a period that was charged for. Without any that old it asks nothing."""
    old = [(row, scope) for row in rows if row.at < (scope := book.scopes[row.customer]).on_time_since]
    if old:
        late_hours.note(late_hours.Used(row.customer, scope.test_clock_id, row.name, row.at) for row, scope in old)


def _digests(event_ids: list[str]) -> dict[str, str]:
    """What the bodies of known events were. A statement of its own: the one before may not see them yet."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT event_id, encode(body_digest, 'hex') FROM billing_usageeventkey WHERE event_id = ANY(%s)",
            [event_ids],
        )
        return dict(cursor.fetchall())


def _reused(index: int, row: EventRow) -> Rejected:
    return Rejected(index, row.id, "id_reused", "Another event has this id, with another body.")


def _tell(customer_ids: set[uuid.UUID], book: _Book, at: datetime) -> None:
    """One fact for each clock, about one customer where it is only one."""
    by_clock: dict[uuid.UUID | None, list[CustomerScope]] = {}
    for customer_id in sorted(customer_ids):
        scope = book.scopes[customer_id]
        by_clock.setdefault(scope.test_clock_id, []).append(scope)
    if by_clock:
        outbox.publish_many(_fact(clock_id, scopes, at) for clock_id, scopes in by_clock.items())


def _fact(clock_id: uuid.UUID | None, scopes: list[CustomerScope], at: datetime) -> Event:
    first, alone = scopes[0], len(scopes) == 1
    return outbox.fact(
        RECORDED,
        Customer(pk=first.id, version=first.version, test_clock_id=clock_id),
        at=first.now if clock_id else at,
        customer_id=first.id if alone else None,
        account_id=first.account_id if alone else None,
        data={"customers": [ids.encode(Customer.PREFIX, scope.id) for scope in scopes], "test": clock_id is not None},
    )
