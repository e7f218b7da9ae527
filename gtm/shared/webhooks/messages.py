"""The message about a fact: the same bytes each time for the same fact and version, signed for each attempt anew."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from standardwebhooks import Webhook

from gtm.shared import ids
from gtm.shared.api import prefixes
from gtm.shared.models import Event, TestClock

USER_AGENT = "Tandem-Webhooks/1"


def body(event: Event, *, api_version: str) -> bytes:
    """The fact as JSON. ``position`` and the object's ``version`` let a receiver put facts in order."""
    content: dict[str, Any] = {
        "id": event.public_id,
        "type": event.type,
        "position": event.position,
        "occurred_at": event.occurred_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "object": {
            "type": prefixes.kind(event.object_type).name,
            "id": prefixes.public_id(event.object_type, event.object_id),
            "version": event.object_version,
        },
        "customer": ids.encode("cus", event.customer_id) if event.customer_id else None,
        "account": ids.encode("acct", event.account_id) if event.account_id else None,
        "test_clock": ids.encode(TestClock.PREFIX, event.test_clock_id) if event.test_clock_id else None,
        "data": event.data,
        "previous": event.previous,
        "reason": event.reason,
        "api_version": api_version,
    }
    return msgspec.json.encode(content)


def headers(event: Event, content: bytes, *, secrets: Iterable[str], at: datetime) -> Mapping[str, str]:
    """With a signature by each secret: while one replaces another, a receiver that knows either finds its own."""
    signatures = (Webhook(secret).sign(event.public_id, at.astimezone(UTC), content.decode()) for secret in secrets)
    return {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "webhook-id": event.public_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
