"""Sending what is due: several requests at once, none of them within a transaction."""

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime
from functools import partial

import structlog
from django.conf import settings

from gtm.shared import sealing
from gtm.shared.models import WebhookAttempt
from gtm.shared.webhooks import deliveries, endpoints, messages, transport
from gtm.shared.webhooks.transport import Answer, Request

log = structlog.get_logger(__name__)
REQUESTS_AT_ONCE = 16
PATIENCE_SECONDS = 5.0  # then a worker may turn to other queues; where more is due, the next run goes on
Send = Callable[[Request], Answer]


def run(*, now: Callable[[], datetime], send: Send | None = None, patience: float = PATIENCE_SECONDS) -> int:
    """Send what is due until nothing is, or until patience ends; return how many attempts were made.

    ``now`` reads the clock before each claim and after each answer. The threads only send: this one alone speaks to the
    database. New work is claimed when half of the threads are idle, so that one slow receiver holds up no others.
    """
    send = send or partial(transport.send, allowed=settings.WEBHOOK_ALLOWED_HOSTS)
    give_up_at, made = time.monotonic() + patience, 0
    under_way: dict[Future[Answer], WebhookAttempt] = {}
    with ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="webhook") as pool:
        while True:
            idle = REQUESTS_AT_ONCE - len(under_way)
            if idle >= REQUESTS_AT_ONCE // 2 and time.monotonic() < give_up_at:
                at = now()
                for attempt in deliveries.claim(at=at, limit=idle):
                    under_way[pool.submit(_attempt, attempt, send, at)] = attempt
                    made += 1
            if not under_way:
                return made
            ended = wait(under_way, return_when=FIRST_COMPLETED).done
            deliveries.settle([(under_way.pop(future), future.result()) for future in ended], at=now())


def _attempt(attempt: WebhookAttempt, send: Send, at: datetime) -> Answer:
    try:
        return send(_request(attempt, at))
    except sealing.Unreadable as error:
        return Answer(error=f"The signing secret can't be read. {error} Rotate the secret.")
    except Exception as error:  # one message that can't be made or sent must not keep back the others
        log.exception("webhook_not_sent", delivery=attempt.delivery.public_id)
        return Answer(error=f"{type(error).__name__}: {error}"[:300])


def _request(attempt: WebhookAttempt, at: datetime) -> Request:
    endpoint, event = attempt.delivery.endpoint, attempt.delivery.event
    content = messages.body(event, api_version=endpoint.api_version)
    secrets = endpoints.signing_secrets(endpoint, at=at)
    return Request(endpoint.url, content, messages.headers(event, content, secrets=secrets, at=at))
