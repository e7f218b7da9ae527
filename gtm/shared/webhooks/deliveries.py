"""One fact for one endpoint: made from the list of new facts, tried until it is taken, sent again, forgotten."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.db import connection, transaction
from django.db.models import F, QuerySet

from gtm.shared import db, ids, nudges, outbox
from gtm.shared.errors import Invalid
from gtm.shared.models import Event, UnsentFact, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from gtm.shared.webhooks import endpoints, event_types, retries
from gtm.shared.webhooks.transport import Answer

FACTS_AT_ONCE = 1000
MAX_REPLAYED = 100_000
LEASE = timedelta(minutes=2)  # longer than any attempt takes: then its worker is held to be dead
AT_ONCE = 8  # requests under way to one endpoint, by all workers together; just one to an endpoint that fails
OWN_OBJECT = "webhookendpoint"  # facts about endpoints go to none, or a failure would lead to the next
_HEAD_START = timedelta(hours=1)  # at most, of a fact's id, which has an index, before the time at which it is written
Status = WebhookDelivery.Status


# --- made --------------------------------------------------------------------------------------
@transaction.atomic
def fan_out(*, at: datetime, limit: int = FACTS_AT_ONCE) -> int:
    """Make the deliveries of the next facts on the list, and return how many facts were taken off it.

    Two workers take different facts; a fact and its deliveries change hands in one transaction.
    """
    listed = UnsentFact.objects.select_for_update(skip_locked=True).order_by("position")
    positions = list(listed.values_list("position", flat=True)[:limit])
    if positions:
        recent = Event.objects.filter(position__in=positions, recorded_at__gt=at - retries.KEPT_FOR)
        facts = recent.order_by("position").only("pk", "type", "recorded_at")
        made = _for_each(_listening(), facts, at=at)
        WebhookDelivery.objects.bulk_create(made, ignore_conflicts=True)
        UnsentFact.objects.filter(position__in=positions).delete()
    return len(positions)


def _listening() -> list[WebhookEndpoint]:
    """Those that are on; none of them can be deleted until the deliveries are there."""
    sql = "SELECT * FROM shared_webhookendpoint WHERE enabled ORDER BY id FOR KEY SHARE"
    return list(WebhookEndpoint.objects.raw(sql))


def _for_each(listening: Sequence[WebhookEndpoint], facts: Iterable[Event], *, at: datetime) -> list[WebhookDelivery]:
    return [
        _new(endpoint, fact, at=at)
        for fact in facts
        for endpoint in listening
        if fact.recorded_at >= endpoint.created_at and event_types.matches(endpoint.event_types, fact.type)
    ]


def _new(endpoint: WebhookEndpoint, fact: Event, *, at: datetime) -> WebhookDelivery:
    return WebhookDelivery(endpoint=endpoint, event=fact, queued_at=at, next_attempt_at=at)


# --- tried -------------------------------------------------------------------------------------
# From each endpoint in turn, its oldest first, so that neither a long queue nor a slow receiver holds up the others.
_DUE = """
SELECT due.id
FROM shared_webhookendpoint e
CROSS JOIN LATERAL (
    SELECT d.id, d.next_attempt_at
    FROM shared_webhookdelivery d
    WHERE d.endpoint_id = e.id AND d.status = 'pending' AND d.next_attempt_at <= %(at)s
    ORDER BY d.next_attempt_at, d.id
    LIMIT GREATEST(0, CASE WHEN e.failing_since IS NULL THEN %(at_once)s ELSE 1 END - (
        SELECT count(*)
        FROM shared_webhookattempt a JOIN shared_webhookdelivery o ON o.id = a.delivery_id
        WHERE o.endpoint_id = e.id AND a.finished_at IS NULL AND a.started_at > %(leased_since)s
    ))
    FOR UPDATE SKIP LOCKED
) due
WHERE e.enabled
ORDER BY row_number() OVER (PARTITION BY e.id ORDER BY due.next_attempt_at, due.id), due.next_attempt_at, due.id
LIMIT %(limit)s
"""


@transaction.atomic
def claim(*, at: datetime, limit: int) -> list[WebhookAttempt]:
    """Take up to ``limit`` due deliveries: each gets an attempt, and is due again when its lease is over."""
    values: dict[str, Any] = {"at": at, "at_once": AT_ONCE, "leased_since": at - LEASE, "limit": limit}
    with connection.cursor() as cursor:
        cursor.execute(_DUE, values)
        keys = [row[0] for row in cursor.fetchall()]
    if not keys:
        return []
    WebhookDelivery.objects.filter(pk__in=keys).update(attempts=F("attempts") + 1, next_attempt_at=at + LEASE)
    claimed = WebhookDelivery.objects.select_related("endpoint", "event").in_bulk(keys)
    return WebhookAttempt.objects.bulk_create(
        [WebhookAttempt(delivery=claimed[key], number=claimed[key].attempts, started_at=at) for key in keys]
    )


@transaction.atomic
def settle(*, attempt: WebhookAttempt, answer: Answer, at: datetime) -> None:
    """Write down what came of an attempt; the endpoint first, as all do who need both.

    Where the lease was over and another attempt has begun, a success still counts, and a failure is the other's matter.
    """
    note = endpoints.note_success if answer.is_success else endpoints.note_failure
    note(attempt.delivery.endpoint_id, at=at)
    open_ones = WebhookDelivery.objects.select_for_update(no_key=True).exclude(status=Status.SUCCEEDED)
    delivery = open_ones.filter(pk=attempt.delivery_id).first()
    if delivery is not None and (changes := _after(delivery, attempt, answer, at=at)):
        changes |= {"response_status": answer.status, "last_error": answer.error}
        WebhookDelivery.objects.filter(pk=delivery.pk).update(**changes)
    WebhookAttempt.objects.filter(pk=attempt.pk).update(
        finished_at=at,
        duration_ms=answer.milliseconds,
        response_status=answer.status,
        response_excerpt=answer.excerpt,
        error=answer.error,
    )


def _after(delivery: WebhookDelivery, attempt: WebhookAttempt, answer: Answer, *, at: datetime) -> dict[str, Any]:
    """What the delivery is after this answer; nothing where it is another attempt's to decide."""
    if answer.is_success:
        return {"status": Status.SUCCEEDED, "failures": 0, "next_attempt_at": None, "finished_at": at}
    if delivery.status != Status.PENDING or delivery.attempts != attempt.number:
        return {}
    failures = delivery.failures + 1
    wait = retries.wait(failures=failures, jitter=attempt.pk.int % 1000 / 1000)  # its last digits are random
    if wait is None:
        return {"failures": failures, "status": Status.FAILED, "next_attempt_at": None, "finished_at": at}
    return {"failures": failures, "next_attempt_at": at + wait}


# --- again -------------------------------------------------------------------------------------
@transaction.atomic
def redeliver(*, delivery: WebhookDelivery, at: datetime) -> WebhookDelivery:
    """Send it (again) at once, with a full round of retries; publishes ``….redelivered``. Conflict while it is off."""
    endpoint = db.lock_one(delivery.endpoint)
    endpoints.require_enabled(endpoint)
    _queue_again(WebhookDelivery.objects.filter(pk=delivery.pk), at=at)
    data = {"delivery": delivery.public_id}
    outbox.publish("webhook_endpoint.redelivered", endpoint, at=at, data=data)
    nudges.on_commit(endpoints.DELIVER_TASK)
    return WebhookDelivery.objects.get(pk=delivery.pk)


@transaction.atomic
def replay(*, endpoint: WebhookEndpoint, since: datetime, at: datetime, only_failed: bool = False) -> int:
    """Send all facts since then that it wants, or just those it never took, and return how many that are.

    All: those too that it took, and those that were written while it was off. Publishes ``….replayed``. Raises
    Conflict while it is off, Invalid for a time over 30 days ago and for more facts than can be sent at once.
    """
    if not at - retries.KEPT_FOR <= since <= at:
        raise Invalid("Give a time within the last 30 days.", attr="since")
    endpoint = db.lock_one(endpoint)
    endpoints.require_enabled(endpoint)
    known = WebhookDelivery.objects.filter(endpoint=endpoint, event__recorded_at__gte=since)
    if only_failed:
        number = _queue_again(known.filter(status=Status.FAILED), at=at)
    else:
        number = _replay_all(endpoint, known, _wanted(endpoint, since), at=at)
    data = {"since": since.isoformat(), "only_failed": only_failed, "deliveries": number}
    outbox.publish("webhook_endpoint.replayed", endpoint, at=at, data=data)
    nudges.on_commit(endpoints.DELIVER_TASK)
    return number


def _wanted(endpoint: WebhookEndpoint, since: datetime) -> QuerySet[Event]:
    written = Event.objects.filter(recorded_at__gte=since, pk__gte=ids.first_of(since - _HEAD_START))
    return written.filter(type__regex=event_types.regex(endpoint.event_types)).exclude(object_type=OWN_OBJECT)


def _replay_all(
    endpoint: WebhookEndpoint, known: QuerySet[WebhookDelivery], wanted: QuerySet[Event], *, at: datetime
) -> int:
    if wanted[: MAX_REPLAYED + 1].count() > MAX_REPLAYED:
        raise Invalid(f"Over {MAX_REPLAYED:,} facts were written since then. Give a later time.", attr="since")
    number = _queue_again(known.filter(event__in=wanted), at=at)
    lacking = wanted.exclude(webhook_deliveries__endpoint=endpoint).order_by("position").only("pk")
    for facts in _in_parts(lacking.iterator(chunk_size=FACTS_AT_ONCE)):
        made = WebhookDelivery.objects.bulk_create(
            [_new(endpoint, fact, at=at) for fact in facts], ignore_conflicts=True
        )
        number += len(made)
    return number


def _in_parts(facts: Iterator[Event]) -> Iterator[list[Event]]:
    while part := list(islice(facts, FACTS_AT_ONCE)):
        yield part


def _queue_again(deliveries: QuerySet[WebhookDelivery], *, at: datetime) -> int:
    return deliveries.update(
        status=Status.PENDING, failures=0, next_attempt_at=at, queued_at=at, finished_at=None, last_error=""
    )


# --- forgotten ---------------------------------------------------------------------------------
def purge(*, at: datetime, limit: int = 10_000) -> int:
    """Delete deliveries that were queued over 30 days ago, with their attempts; return how many."""
    forgotten = 0
    while number := _purge_some(at - retries.KEPT_FOR, limit):
        forgotten += number
    return forgotten


@transaction.atomic
def _purge_some(before: datetime, limit: int) -> int:
    old = WebhookDelivery.objects.filter(queued_at__lt=before).order_by("queued_at")
    keys = list(old.select_for_update(skip_locked=True).values_list("pk", flat=True)[:limit])
    WebhookAttempt.objects.filter(delivery__in=keys).delete()
    WebhookDelivery.objects.filter(pk__in=keys).delete()
    return len(keys)
