"""Facts and their handlers: everything that is told upwards goes through here.

A fact is written in the transaction of the change it tells of. ``gtm.wiring.HANDLERS`` maps fact types to the dotted
paths of their handlers. A handler's writes and its ``HandledFact`` row commit together, so each handler deals with each
fact exactly once, whatever is killed in between. ``PendingFact`` is the relay's work list: it is made with the fact and
goes when every handler is done. The relay runs on commit (a nudge to the queue that may fail without harm) and from
beat; a lost broker loses nothing. No order is promised between facts: handlers read the current state and make what
they miss.

Facts of a test clock don't wait for its next advance: the relay deals with them while the clock is at rest. During an
advance they are left to whoever advances it, who drains them at each instant.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any

import structlog
from django.conf import settings
from django.db import models, transaction
from django.db.models import F
from django.utils.module_loading import import_string

from gtm.shared import bulk, context, db, nudges
from gtm.shared.models import Event, HandledFact, PendingFact, TestClock

log = structlog.get_logger(__name__)
Handler = Callable[[Event], None]
RETRY_SECONDS = (1, 5, 15, 60, 300, 900, 3600)


@cache
def wiring() -> Mapping[str, Sequence[str]]:
    """Fact type -> dotted paths of its handlers: the literal dict named by ``settings.OUTBOX_WIRING``."""
    handlers: Mapping[str, Sequence[str]] = import_string(settings.OUTBOX_WIRING)
    return handlers


@cache
def _handler(path: str) -> Handler:
    handler: Handler = import_string(path)
    return handler


def publish(
    type: str,  # noqa: A002 -- the field's name
    obj: models.Model,
    *,
    at: datetime,
    customer_id: uuid.UUID | None = None,
    account_id: uuid.UUID | None = None,
    test_clock_id: uuid.UUID | None = None,
    data: dict[str, Any] | None = None,
    previous: dict[str, Any] | None = None,
    reason: str = "",
) -> Event:
    """Write the fact that ``type`` happened to ``obj`` at ``at``, in the caller's transaction.

    ``data`` holds ids, codes and amounts, never a name or an address. The test clock is the object's unless given.
    """
    event = fact(
        type,
        obj,
        at=at,
        customer_id=customer_id,
        account_id=account_id,
        test_clock_id=test_clock_id,
        data=data,
        previous=previous,
        reason=reason,
    )
    publish_many([event])
    return event


def fact(
    type: str,  # noqa: A002 -- the field's name
    obj: models.Model,
    *,
    at: datetime,
    test_clock_id: uuid.UUID | None = None,
    data: dict[str, Any] | None = None,
    previous: dict[str, Any] | None = None,
    **columns: Any,
) -> Event:
    """Build an Event without writing it, for ``publish_many``."""
    return bulk.new(
        Event,
        type=type,
        object_type=obj._meta.model_name or "",
        object_id=obj.pk if isinstance(obj.pk, uuid.UUID) else uuid.UUID(int=int(obj.pk)),
        object_version=getattr(obj, "version", 1) or 1,
        test_clock_id=test_clock_id or getattr(obj, "test_clock_id", None),
        actor=context.actor(),
        on_behalf_of=context.on_behalf_of(),
        request_id=context.request_id(),
        data=data or {},
        previous=previous or {},
        occurred_at=at,
        **columns,
    )


def publish_many(events: Iterable[Event]) -> None:
    """Write facts with one statement, their work list with another, and nudge the relay once on commit."""
    assert transaction.get_connection().in_atomic_block, "a fact is written in the transaction of its change"
    rows = list(events)
    bulk.insert(Event, rows)
    pending = [
        bulk.new(PendingFact, event_id=row.id, test_clock_id=row.test_clock_id) for row in rows if row.type in wiring()
    ]
    if pending:
        bulk.insert(PendingFact, pending)
        nudges.on_commit("gtm.shared.tasks.relay_facts")


def relay(*, limit: int = 500) -> int:
    """Offer due facts to the handlers that lack them; return how many facts were finished."""
    finished = _relay_up_to(limit, partial(_relay_next, PendingFact.objects.filter(test_clock_id=None)))
    waiting = PendingFact.objects.filter(test_clock_id__isnull=False).values("test_clock_id")
    at_rest = TestClock.objects.filter(pk__in=waiting, status=TestClock.Status.READY)
    for clock_id in at_rest.values_list("pk", flat=True):
        finished += _relay_up_to(limit, partial(_relay_next_at_rest, clock_id))
    return finished


def _relay_up_to(limit: int, step: Callable[[], bool | None]) -> int:
    finished = 0
    for _attempt in range(limit):
        outcome = step()
        if outcome is None:
            break
        finished += outcome
    return finished


@transaction.atomic
def _relay_next_at_rest(clock_id: uuid.UUID) -> bool | None:
    """Hold the clock's row meanwhile, so that nobody starts to advance it under the handlers."""
    clocks = TestClock.objects.select_for_update(skip_locked=True, no_key=True)
    if clocks.filter(pk=clock_id, status=TestClock.Status.READY).first() is None:
        return None
    return _relay_next(PendingFact.objects.filter(test_clock_id=clock_id))


def drain(clock_id: uuid.UUID) -> int:
    """Deal with all facts of a test clock, inline; a handler that fails raises, and the clock stops there."""
    finished = 0
    facts = PendingFact.objects.filter(test_clock_id=clock_id)
    while _relay_next(facts, strict=True) is not None:
        finished += 1
    return finished


@transaction.atomic
def _relay_next(queryset: models.QuerySet[PendingFact], *, strict: bool = False) -> bool | None:
    """Deal with the next due fact under its lock: True if done, False if a handler failed, None if there is none."""
    due = queryset if strict else queryset.filter(next_attempt_at__lte=db.now())
    pending = (
        due.select_for_update(skip_locked=True, of=("self",))
        .select_related("event")
        .order_by("next_attempt_at", "event_id")
        .first()
    )
    if pending is None:
        return None
    errors = [error for path in _missing(pending.event) if (error := _offer(pending.event, path, strict=strict))]
    if errors:
        _postpone(pending, errors)
        return False
    pending.delete()
    return True


def _missing(event: Event) -> list[str]:
    done = set(HandledFact.objects.filter(event=event).values_list("handler", flat=True))
    return [path for path in wiring().get(event.type, ()) if path not in done]


def _offer(event: Event, path: str, *, strict: bool) -> str:
    """Run one handler in its own savepoint; return its error in words, or nothing."""
    try:
        with (
            transaction.atomic(),
            context.acting(context.SYSTEM, on_behalf_of=event.actor, request_id=event.request_id),
        ):
            HandledFact.objects.create(event=event, handler=path)
            _handler(path)(event)
    except Exception as error:  # whatever a handler raises, the other facts go on
        if strict:
            raise
        log.exception("handler_failed", handler=path, fact=event.type, id=event.public_id)
        return f"{path}: {type(error).__name__}: {error}"
    return ""


def _postpone(pending: PendingFact, errors: list[str]) -> None:
    delay = RETRY_SECONDS[min(pending.attempts, len(RETRY_SECONDS) - 1)]
    pending.attempts = F("attempts") + 1
    pending.last_error = "\n".join(errors)[:4000]
    pending.next_attempt_at = db.now() + timedelta(seconds=delay)
    pending.save(update_fields=["attempts", "last_error", "next_attempt_at"])


@transaction.atomic
def retry(*, pending: PendingFact) -> None:
    """Offer a fact now whose handler failed, without waiting for its next turn."""
    PendingFact.objects.filter(pk=pending.pk).update(next_attempt_at=db.now())
    nudges.on_commit("gtm.shared.tasks.relay_facts")


@transaction.atomic
def replay(*, types: Sequence[str], since: datetime) -> int:
    """Put past facts on the work list again, for handlers added to the wiring since; none deals with one twice."""
    events = Event.objects.filter(type__in=types, recorded_at__gte=since).only("id", "test_clock_id")
    pending = [
        PendingFact(event_id=event.id, test_clock_id=event.test_clock_id) for event in events.iterator(chunk_size=2000)
    ]
    PendingFact.objects.bulk_create(pending, ignore_conflicts=True, batch_size=2000)
    return len(pending)
