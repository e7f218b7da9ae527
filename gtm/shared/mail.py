"""Mail: written with the fact it tells of, sent afterwards, at most once.

A row is committed as ``sending`` before SMTP is spoken to. When the process dies in between, nobody can know whether the message left:
the row becomes ``unknown`` and a person decides to resend. Without ``EMAIL_URL`` rows stay ``queued`` and can be read in the admin;
mail about clocked customers is ``kept``.
"""

import uuid
from datetime import datetime, timedelta
from email.utils import make_msgid
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import translation

from gtm.shared import db, vendors
from gtm.shared.models import Event, Mail

log = structlog.get_logger(__name__)
STALE_SENDING = timedelta(minutes=10)
RETRY_SECONDS = (30, 120, 600, 3600, 4 * 3600, 12 * 3600)


def queue(
    *,
    event: Event | None,
    recipient: str,
    template: str,
    context: dict[str, Any],
    locale: str = "en",
    customer_id: uuid.UUID | None = None,
    account_id: uuid.UUID | None = None,
    test_clock_id: uuid.UUID | None = None,
) -> Mail | None:
    """Render ``emails/<template>.{subject,txt,html}`` and queue it in the caller's transaction; None when it was queued before."""
    with translation.override(locale):
        values = {"vendor": vendors.current(), "base_url": settings.BASE_URL, **context}
        subject = " ".join(render_to_string(f"emails/{template}.subject", values).split())
        text, html = (render_to_string(f"emails/{template}.{kind}", values) for kind in ("txt", "html"))
    mail = Mail(
        event=event,
        recipient=recipient.lower(),
        template=template,
        locale=locale,
        subject=subject[:250],
        text=text,
        html=html,
        message_id=make_msgid(domain=urlsplit(settings.BASE_URL).hostname),
        status=Mail.Status.QUEUED if test_clock_id is None else Mail.Status.KEPT,
        customer_id=customer_id,
        account_id=account_id,
        test_clock_id=test_clock_id,
    )
    written = Mail.objects.bulk_create([mail], ignore_conflicts=event is not None)
    known = event is not None and not Mail.objects.filter(pk=mail.pk).exists()
    if not known and mail.status == Mail.Status.QUEUED:
        transaction.on_commit(_nudge, robust=True)
    return None if known else written[0]


def _nudge() -> None:
    from gtm.shared.tasks import send_queued_mail

    try:
        send_queued_mail.apply_async(retry=False)
    except Exception as error:  # noqa: BLE001 -- whatever the broker's client raises, the mail is safe in the table
        log.warning("mail_not_nudged", error=str(error))


def send_queued(*, limit: int = 100) -> int:
    """Send what is due, one message at a time; return how many left."""
    if not settings.EMAIL_URL:
        return 0
    sent = 0
    for _attempt in range(limit):
        mail = _claim()
        if mail is None:
            break
        sent += _send(mail)
    return sent


@transaction.atomic
def _claim() -> Mail | None:
    due = Mail.objects.filter(status=Mail.Status.QUEUED, next_attempt_at__lte=db.now())
    mail = due.select_for_update(skip_locked=True, of=("self",)).order_by("next_attempt_at").first()
    if mail is not None:
        mail.status = Mail.Status.SENDING
        mail.attempts += 1
        mail.next_attempt_at = db.now() + STALE_SENDING
        mail.save(update_fields=["status", "attempts", "next_attempt_at"])
    return mail


def _send(mail: Mail) -> bool:
    try:
        _message(mail).send()
    except OSError as error:  # smtplib's errors are OSErrors: refused, unreachable, timed out
        _postpone(mail, error)
        return False
    Mail.objects.filter(pk=mail.pk).update(status=Mail.Status.SENT, sent_at=db.now(), last_error="")
    return True


def _message(mail: Mail) -> EmailMultiAlternatives:
    message = EmailMultiAlternatives(mail.subject, mail.text, settings.DEFAULT_FROM_EMAIL, [mail.recipient], headers={"Message-ID": mail.message_id})
    if mail.html:
        message.attach_alternative(mail.html, "text/html")
    return message


def _postpone(mail: Mail, error: Exception) -> None:
    last = mail.attempts > len(RETRY_SECONDS)
    delay = RETRY_SECONDS[min(mail.attempts, len(RETRY_SECONDS)) - 1]
    Mail.objects.filter(pk=mail.pk).update(
        status=Mail.Status.FAILED if last else Mail.Status.QUEUED,
        next_attempt_at=db.now() + timedelta(seconds=delay),
        last_error=f"{type(error).__name__}: {error}"[:2000],
    )
    log.warning("mail_not_sent", mail=str(mail.pk), error=str(error), final=last)


def mark_unknown(*, at: datetime) -> int:
    """What is still ``sending`` after ten minutes: its sender died, and only the mail server knows."""
    return Mail.objects.filter(status=Mail.Status.SENDING, next_attempt_at__lt=at).update(status=Mail.Status.UNKNOWN)


def resend(*, mail: Mail, at: datetime) -> None:
    """A person decided that an unknown, failed or queued message shall go out (again)."""
    resendable = [Mail.Status.UNKNOWN, Mail.Status.FAILED, Mail.Status.QUEUED]
    Mail.objects.filter(pk=mail.pk, status__in=resendable).update(status=Mail.Status.QUEUED, next_attempt_at=at, attempts=0)
