"""The inbox of what gateways tell: written down first, once for each of their ids, and dealt with afterwards.

An event only says that something has moved: what follows is decided by asking the gateway how the thing stands now, so
that events may come twice, late and in any order. One whose handling fails is tried again with growing pauses, then
left for somebody to look at.
"""

from datetime import datetime, timedelta

import structlog
from django.db.models import F, QuerySet

from billing import gateway_news, gateways
from billing.models import GatewayEvent
from gtm.shared import nudges
from gtm.shared.errors import Conflict, DomainError

log = structlog.get_logger(__name__)
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 360, 720, 1440))
LEASE = timedelta(minutes=5)  # whoever deals with one and dies leaves it to the next
KEPT = timedelta(days=90)
AT_ONCE = 200
Status = GatewayEvent.Status


def receive(*, body: bytes, signature: str) -> None:
    """Write down what a webhook brought, and have it dealt with. Raises gateways.Forged, with nothing written."""
    seen = gateways.read_event(body=body, signature=signature)
    event = GatewayEvent(
        gateway=seen.gateway,
        event_id=seen.event_id,
        type=seen.type,
        object_id=seen.object_id,
        payload=seen.payload,
        occurred_at=seen.occurred_at,
    )
    GatewayEvent.objects.bulk_create([event], ignore_conflicts=True)
    nudges.send("billing.tasks.process_gateway_events")


def process_waiting(*, at: datetime) -> int:
    """Deal with the events whose time has come; return how many are done. ``at`` is wall time."""
    found = list(waiting(at=at).order_by("due_at", "id")[:AT_ONCE])
    return sum(_process(event, at) for event in found)


def waiting(*, at: datetime) -> QuerySet[GatewayEvent]:
    return GatewayEvent.objects.filter(due_at__lte=at)


def retry(*, event: GatewayEvent, at: datetime) -> GatewayEvent:
    """Deal with one again, now. Not in a transaction. Raises Conflict while somebody else does."""
    GatewayEvent.objects.filter(pk=event.pk, due_at=None).update(due_at=at, attempts=0)
    event.refresh_from_db()
    if event.due_at is None or not _claim(event, at):
        raise Conflict("This event is being dealt with.", code="event_in_progress")
    _attempt(event, at)
    return event


def sweep(*, at: datetime) -> None:
    """Forget what was dealt with long ago: a gateway repeats nothing for that long."""
    GatewayEvent.objects.filter(received_at__lte=at - KEPT, due_at=None).delete()


def _process(event: GatewayEvent, at: datetime) -> bool:
    return _claim(event, at) and _attempt(event, at)


def _claim(event: GatewayEvent, at: datetime) -> bool:
    """Whether it is ours to deal with: of two that want it, one moves its time."""
    ours = GatewayEvent.objects.filter(pk=event.pk, due_at=event.due_at)
    claimed = ours.update(due_at=at + LEASE, attempts=F("attempts") + 1) == 1
    event.attempts += claimed
    return claimed


def _attempt(event: GatewayEvent, at: datetime) -> bool:
    try:
        status, said = gateway_news.handle(event, at=at)
    except (DomainError, OSError) as error:  # an expected refusal, or the gateway is away
        return _failed(event, at, f"{type(error).__name__}: {error}")
    except Exception as error:
        log.exception("gateway_event_failed", gateway_event=event.event_id, type=event.type)
        return _failed(event, at, type(error).__name__)
    _save(event, status=status, error=said[:500], due_at=None, processed_at=at)
    return True


def _failed(event: GatewayEvent, at: datetime, why: str) -> bool:
    pause = PAUSES[event.attempts - 1] if event.attempts <= len(PAUSES) else None
    log.warning("gateway_event_not_processed", gateway_event=event.event_id, type=event.type, attempts=event.attempts)
    _save(event, status=Status.FAILED, error=why[:500], due_at=at + pause if pause else None)
    return False


def _save(event: GatewayEvent, **changes: object) -> None:
    for name, value in changes.items():
        setattr(event, name, value)
    event.save(update_fields=list(changes))
