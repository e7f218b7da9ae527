"""Background work of the shared parts. Every task may run twice or be killed at any line."""

from datetime import timedelta
from typing import Any

from celery import shared_task
from celery.signals import heartbeat_sent, worker_ready
from django.contrib.sessions.models import Session

from gtm.shared import db, mail, outbox, pulse
from gtm.shared.models import IdempotencyRecord


@shared_task(queue="signals")
def relay_facts(**kwargs: Any) -> None:
    """Offer facts to the handlers that have not dealt with them."""
    with pulse.job("relay facts"):
        outbox.relay()


@shared_task(queue="delivery")
def send_queued_mail(**kwargs: Any) -> None:
    with pulse.job("send mail"):
        mail.mark_unknown(at=db.now())
        mail.send_queued()


@shared_task(queue="default")
def beat_heartbeat(**kwargs: Any) -> None:
    """Beat ticked and a worker answered: both are alive."""
    pulse.beat("beat")


@shared_task(queue="default")
def sweep(**kwargs: Any) -> None:
    """Forget answers after 24 hours and sessions after their end."""
    with pulse.job("sweep"):
        at = db.now()
        IdempotencyRecord.objects.filter(created_at__lt=at - timedelta(hours=24)).delete()
        Session.objects.filter(expire_date__lt=at).delete()


@worker_ready.connect
@heartbeat_sent.connect
def worker_heartbeat(sender: Any, **kwargs: Any) -> None:
    """The worker's main process is alive (every few seconds)."""
    pulse.beat(f"worker:{getattr(sender, 'hostname', '') or 'worker'}")
