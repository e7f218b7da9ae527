"""One fact for one endpoint: made from the list of new facts, tried until it is taken, sent again, forgotten."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import F, QuerySet

from gtm.shared import bulk, db, ids, nudges, outbox
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
_SETTLED = ("status", "failures", "next_attempt_at", "finished_at", "response_status", "last_error")
_ANSWERED = ("finished_at", "duration_ms", "response_status", "response_excerpt", "error")
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
        bulk.insert(WebhookDelivery, _lacking(positions, _listening(), at=at))
        UnsentFact.objects.filter(position__in=positions).delete()
    return len(positions)


def _listening() -> list[WebhookEndpoint]:
    """Those that are on: none is deleted, and to none is anything replayed, until the deliveries are there."""
    sql = "SELECT * FROM shared_webhookendpoint WHERE enabled ORDER BY id FOR SHARE"
    return list(WebhookEndpoint.objects.raw(sql))


def _lacking(positions: Sequence[int], listening: Iterable[WebhookEndpoint], *, at: datetime) -> list[WebhookDelivery]:
    """What each endpoint wants of these facts, but for what a replay has given it before."""
    recent = Event.objects.filter(position__in=positions, recorded_at__gt=at - retries.KEPT_FOR)
    facts = list(recent.order_by("position").values_list("pk", "type", "recorded_at"))
    given = WebhookDelivery.objects.filter(event__in=[key for key, _type, _recorded_at in facts])
    known = set(given.values_list("endpoint", "event"))
    return [
        _new(endpoint.pk, key, at=at)
        for key, type_, recorded_at in facts
        for endpoint in listening
        if recorded_at >= endpoint.created_at and event_types.matches(endpoint.event_types, type_)
        if (endpoint.pk, key) not in known
    ]


def _new(endpoint: uuid.UUID, fact: uuid.UUID, *, at: datetime) -> WebhookDelivery:
    return WebhookDelivery(endpoint_id=endpoint, event_id=fact, queued_at=at, next_attempt_at=at)


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
    taken = [WebhookAttempt(delivery=claimed[key], number=claimed[key].attempts, started_at=at) for key in keys]
    bulk.insert(WebhookAttempt, taken)
    return taken


@transaction.atomic
def settle(outcomes: Sequence[tuple[WebhookAttempt, Answer]], *, at: datetime) -> None:
    """Write down what came of attempts; the endpoints first, as all do who need both.

    Where the lease was over and another attempt has begun, a success still counts, and a failure is the other's matter.
    """
    taken = {attempt.delivery.endpoint_id for attempt, answer in outcomes if answer.is_success}
    failed = {attempt.delivery.endpoint_id for attempt, answer in outcomes if not answer.is_success}
    endpoints.note(taken=taken, failed=failed, at=at)
    open_ones = WebhookDelivery.objects.exclude(status=Status.SUCCEEDED).select_for_update(no_key=True)
    deliveries = open_ones.order_by("pk").in_bulk([attempt.delivery_id for attempt, _answer in outcomes])
    for attempt, answer in outcomes:
        if (delivery := deliveries.get(attempt.delivery_id)) is not None:
            _apply(delivery, attempt, answer, at=at)
        attempt.finished_at, attempt.duration_ms = at, answer.milliseconds
        attempt.response_status, attempt.response_excerpt = answer.status, answer.excerpt
        attempt.error = answer.error
    bulk.update(WebhookDelivery, deliveries.values(), _SETTLED)
    bulk.update(WebhookAttempt, [attempt for attempt, _answer in outcomes], _ANSWERED)


def _apply(delivery: WebhookDelivery, attempt: WebhookAttempt, answer: Answer, *, at: datetime) -> None:
    """The delivery after this answer; as it was, where it is another attempt's to decide."""
    if answer.is_success:
        delivery.status, delivery.next_attempt_at, delivery.finished_at = Status.SUCCEEDED, None, at
        delivery.failures = 0
    elif delivery.status != Status.PENDING or delivery.attempts != attempt.number:
        return
    else:
        delivery.failures += 1
        jitter = attempt.pk.int % 1000 / 1000  # its last digits are random
        wait = retries.wait(failures=delivery.failures, jitter=jitter)
        delivery.next_attempt_at = at + wait if wait else None
        if wait is None:
            delivery.status, delivery.finished_at = Status.FAILED, at
    delivery.response_status, delivery.last_error = answer.status, answer.error


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
    lacking = wanted.exclude(webhook_deliveries__endpoint=endpoint).order_by("position").values_list("pk", flat=True)
    made = [_new(endpoint.pk, fact, at=at) for fact in lacking]
    bulk.insert(WebhookDelivery, made)
    return number + len(made)


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
