"""Handlers for the tests of the outbox. Each leaves a row, so that dealing with a fact twice would show."""

import time
from collections import defaultdict

from gtm.shared import ids
from gtm.shared.models import Event, Mail

HANDLERS = {
    "test.happened": ("tests.shared.handlers.first", "tests.shared.handlers.second"),
    "test.slow": ("tests.shared.handlers.slow",),
    "test.added_later": ("tests.shared.handlers.first",),
    "test.chained": ("tests.shared.handlers.first", "tests.shared.handlers.chain"),
}
failing: set[str] = set()
actors: dict[str, list[tuple[str, str, str]]] = defaultdict(list)


def traces(handler: str) -> list[str]:
    """The ids of the facts that this handler has dealt with, once for each time."""
    return list(Mail.objects.filter(template=handler).values_list("text", flat=True))


def first(event: Event) -> None:
    _leave("first", event)


def second(event: Event) -> None:
    _leave("second", event)
    if "second" in failing:
        raise RuntimeError("the moon is in the wrong house")


def slow(event: Event) -> None:
    _leave("slow", event)
    time.sleep(30)


def chain(event: Event) -> None:
    """Tells of something itself, as crm's handlers do."""
    from gtm.shared import outbox

    _leave("chain", event)
    clock_id = event.test_clock_id
    outbox.publish("test.happened", event, at=event.occurred_at, test_clock_id=clock_id)


def _leave(handler: str, event: Event) -> None:
    from gtm.shared import context

    actors[handler].append((context.actor(), context.on_behalf_of(), context.request_id()))
    Mail.objects.create(
        template=handler, text=event.public_id, recipient="trace@vendor.example", message_id=str(ids.uuid7())
    )
