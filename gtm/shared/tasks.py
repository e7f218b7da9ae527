"""Background work of the shared parts. Every task may run twice or be killed at any line."""

import time
from datetime import timedelta
from typing import Any

from allauth.usersessions.models import UserSession
from celery import shared_task
from celery.signals import heartbeat_sent, worker_ready
from django.contrib.sessions.models import Session
from django.db import connection

from gtm.shared import db, mail, outbox, pulse
from gtm.shared.models import IdempotencyRecord, Pulse
from gtm.shared.webhooks import deliveries, dispatch, endpoints

HEARTBEAT_SECONDS = 10
FAN_OUTS_AT_ONCE = 20
_last_heartbeat = float("-inf")


@shared_task
def relay_facts(**kwargs: Any) -> None:
    """Offer facts to the handlers that have not dealt with them."""
    with pulse.job("relay facts"):
        outbox.relay()


@shared_task
def send_queued_mail(**kwargs: Any) -> None:
    """Send the mail that is due; what a killed sender left is marked as unknown."""
    with pulse.job("send mail"):
        mail.mark_unknown(at=db.now())
        mail.send_queued()


@shared_task
def deliver_webhooks(**kwargs: Any) -> None:
    """Make deliveries of new facts, and send what is due; where there is more, the next run goes on."""
    with pulse.job("deliver webhooks"):
        for _turn in range(FAN_OUTS_AT_ONCE):
            if not deliveries.fan_out(at=db.now()):
                break
        dispatch.run(now=db.now)


@shared_task
def review_webhooks(**kwargs: Any) -> None:
    """Warn of endpoints that fail, switch off those that went on failing, and forget old deliveries."""
    with pulse.job("review webhooks"):
        endpoints.review(at=db.now())
        deliveries.purge(at=db.now())


@shared_task
def beat_heartbeat(**kwargs: Any) -> None:
    """Beat ticked and a worker answered: both are alive."""
    pulse.beat("beat")


@shared_task
def sweep(**kwargs: Any) -> None:
    """Forget answers after 24 hours, sessions after their end, and workers that have been silent for a day."""
    with pulse.job("sweep"):
        at = db.now()
        IdempotencyRecord.objects.filter(created_at__lt=at - timedelta(hours=24)).delete()
        Session.objects.filter(expire_date__lt=at).delete()
        UserSession.objects.exclude(session_key__in=Session.objects.values("session_key")).delete()
        Pulse.objects.filter(name__startswith="worker:", beat_at__lt=at - timedelta(days=1)).delete()


@worker_ready.connect
@heartbeat_sent.connect
def worker_heartbeat(sender: Any, **kwargs: Any) -> None:
    """The worker's main process is alive. Celery says so every two seconds; every ten are enough for us.

    The connection is given up again: the children that are forked later must not share it.
    """
    global _last_heartbeat
    if time.monotonic() - _last_heartbeat < HEARTBEAT_SECONDS:
        return
    _last_heartbeat = time.monotonic()
    hostname = getattr(sender, "hostname", None) or getattr(getattr(sender, "eventer", None), "hostname", None)
    try:
        pulse.beat(f"worker:{hostname or 'worker'}")
    finally:
        connection.close()
