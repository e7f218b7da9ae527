"""An endpoint that listens on loopback, facts for it, and time that the test decides."""

from datetime import timedelta
from functools import partial
from typing import Any

from django.db import transaction

from gtm.shared import db, outbox
from gtm.shared.models import Event, Vendor, WebhookDelivery, WebhookEndpoint
from gtm.shared.webhooks import deliveries, dispatch, endpoints, transport
from gtm.shared.webhooks.transport import Answer, Network, Request
from tests.receivers import Receiver

ALLOWED = frozenset({"127.0.0.1"})
URL = "https://hooks.example.com/in"
NOW = db.now  # the wall clock of the database, by which facts are recorded


def endpoint(receiver: Receiver | None = None, **fields: Any) -> WebhookEndpoint:
    return with_secret(receiver, **fields)[0]


def with_secret(receiver: Receiver | None = None, **fields: Any) -> tuple[WebhookEndpoint, str]:
    url = receiver.url if receiver else URL
    return endpoints.create(**{"at": NOW(), "url": url} | fields)


def happen(type_: str = "billing.invoice.paid", **fields: Any) -> Event:
    """A fact about the vendor, who is always there."""
    with transaction.atomic():
        event = outbox.publish(type_, Vendor(pk=1), **{"at": NOW()} | fields)
    return Event.objects.get(pk=event.pk)


def deliver(after: timedelta = timedelta(), *, send: Any = None) -> int:
    """Make the deliveries of new facts and send what is due by then; return how many attempts were made."""
    at = NOW() + after
    deliveries.fan_out(at=at)
    return dispatch.run(now=lambda: at, send=send or sender())


def sender(**network: Any) -> Any:
    return partial(transport.send, allowed=ALLOWED, network=Network(**network))


def refusing(request: Request | None = None) -> Answer:
    """A receiver that is down, without a socket."""
    return Answer(status=503, error="It answered 503.")


def only() -> WebhookDelivery:
    return WebhookDelivery.objects.get()
