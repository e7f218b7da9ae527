"""Mail: written with the fact it tells of, sent afterwards, at most once.

A row is committed as ``sending`` before SMTP is spoken to. When the process dies in between, or the connection breaks
while the message is handed over, nobody can know whether it left: the row becomes ``unknown`` and a person decides to
resend. Without ``EMAIL_URL`` rows stay ``queued``, to be read in the admin; mail about clocked customers is ``kept``.

A row names the documents that go with it by what they are about; ``settings.MAIL_ATTACHMENTS`` knows how to fetch them,
which is done when the message is sent.
"""

import base64
import re
import smtplib
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from email.mime.image import MIMEImage
from email.utils import formataddr, make_msgid, parseaddr
from functools import cache
from html import unescape
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.module_loading import import_string

from gtm.shared import db, errors, ids, logos, nudges, outbox, vendors
from gtm.shared.models import Event, Mail

log = structlog.get_logger(__name__)
STALE_SENDING = timedelta(minutes=10)
RETRY_SECONDS = (30, 120, 600, 3600, 4 * 3600, 12 * 3600)
_SEND_TASK = "gtm.shared.tasks.send_queued_mail"
_PERMANENT = range(500, 600)
RESENDABLE = (Mail.Status.UNKNOWN, Mail.Status.FAILED, Mail.Status.QUEUED)
LOGO = "cid:logo"


class Attachment(NamedTuple):
    """A file that goes with a message."""

    filename: str
    content: bytes
    mimetype: str


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
    mail_id: uuid.UUID | None = None,
    attachments: Sequence[uuid.UUID] = (),
    unsubscribe_url: str = "",
    told_at: datetime | None = None,
) -> Mail | None:
    """Render ``emails/<template>.{subject,txt,html}`` and queue it in the caller's transaction.

    ``attachments`` names what the documents are about; with ``told_at``, the fact ``mail.queued`` puts it on the
    customer's timeline. Returns None when this recipient already has this template about this event.
    """
    subject, text, html = _rendered(template, locale, context)
    mail = _row(
        id=mail_id or ids.uuid7(),
        event=event,
        recipient=recipient,
        template=template,
        locale=locale,
        subject=subject,
        text=text,
        html=html,
        status=Mail.Status.QUEUED if test_clock_id is None else Mail.Status.KEPT,
        customer_id=customer_id,
        account_id=account_id,
        test_clock_id=test_clock_id,
        attachments=list(attachments),
        unsubscribe_url=unsubscribe_url,
    )
    Mail.objects.bulk_create([mail], ignore_conflicts=event is not None)
    if event is not None and not Mail.objects.filter(pk=mail.pk).exists():
        return None
    if told_at is not None:
        _tell(mail, told_at)
    _nudge(mail)
    return mail


def _rendered(template: str, locale: str, context: dict[str, Any]) -> tuple[str, str, str]:
    """Subject, text and HTML in the recipient's language; what of the context can be called is called in it, too."""
    vendor = vendors.current()
    logo = logos.image(vendor.logo) is not None
    with translation.override(locale):
        values = {"vendor": vendor, "logo": logo, "base_url": settings.BASE_URL, **context}
        subject = " ".join(unescape(render_to_string(f"emails/{template}.subject", values)).split())
        values["subject"] = subject
        text, html = (render_to_string(f"emails/{template}.{kind}", values) for kind in ("txt", "html"))
    return subject, re.sub(r"\n{3,}", "\n\n", text).strip() + "\n", html


def _tell(mail: Mail, at: datetime) -> None:
    """On the customer's timeline stands that it was written; whom to and how it fared is joined when that is shown."""
    outbox.publish(
        "mail.queued",
        mail,
        at=at,
        customer_id=mail.customer_id,
        account_id=mail.account_id,
        data={"template": mail.template, "locale": mail.locale, "attachments": len(mail.attachments)},
    )


def queue_message(
    *,
    recipient: str,
    template: str,
    subject: str,
    text: str,
    locale: str = "en",
    test_clock_id: uuid.UUID | None = None,
    **columns: Any,
) -> Mail:
    """Queue a message that is about no fact and was rendered elsewhere, in the caller's transaction.

    ``columns`` may name its account, in whose name it goes out, where answers go, and which message it answers.
    """
    status = Mail.Status.QUEUED if test_clock_id is None else Mail.Status.KEPT
    said = {"recipient": recipient, "template": template, "subject": subject, "text": text, "locale": locale}
    mail = _row(**said, status=status, test_clock_id=test_clock_id, **columns)
    mail.save()
    _nudge(mail)
    return mail


def _row(*, recipient: str, subject: str, **columns: Any) -> Mail:
    message_id = make_msgid(domain=urlsplit(settings.BASE_URL).hostname)
    return Mail(recipient=recipient.lower(), subject=subject[:250], message_id=message_id, **columns)


def _nudge(mail: Mail) -> None:
    if settings.EMAIL_URL and mail.status == Mail.Status.QUEUED:
        nudges.on_commit(_SEND_TASK)


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
    """Hand one message over. Whether a failure is safe to repeat depends on how far the conversation had come."""
    server = get_connection()
    try:
        files = attached(mail)
    except Exception as error:  # a document that can't be had now: the mail doesn't go without it
        log.exception("mail_documents_not_ready", mail=str(mail.pk))
        return _postpone(mail, error)
    try:
        message = _message(mail, files)
        message.message()
        server.open()
    except ValueError as error:  # an address or a header that no message can have
        return _give_up(mail, error)
    except OSError as error:  # refused, unreachable, wrong password: nothing has been handed over
        return _postpone(mail, error)
    return _hand_over(mail, message, server)


def _hand_over(mail: Mail, message: EmailMultiAlternatives, server: BaseEmailBackend) -> bool:
    try:
        server.send_messages([message])
    except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused) as error:  # the server has said no
        return _give_up(mail, error) if _is_permanent(error) else _postpone(mail, error)
    except OSError as error:  # it broke off: the server may have the message or not
        return _settle(mail, Mail.Status.UNKNOWN, error)
    finally:
        _hang_up(server)
    Mail.objects.filter(pk=mail.pk).update(status=Mail.Status.SENT, sent_at=db.now(), last_error="")
    return True


def _hang_up(server: BaseEmailBackend) -> None:
    try:
        server.close()
    except OSError as error:  # the answer to QUIT changes nothing
        log.info("mail_server_hung_up_first", error=str(error))


def attached(mail: Mail) -> list[Attachment]:
    """The documents that go with a message."""
    return _attachments()(mail.attachments) if mail.attachments else []


@cache
def _attachments() -> Callable[[Sequence[uuid.UUID]], list[Attachment]]:
    fetch: Callable[[Sequence[uuid.UUID]], list[Attachment]] = import_string(settings.MAIL_ATTACHMENTS)
    return fetch


def _message(mail: Mail, files: Sequence[Attachment]) -> EmailMultiAlternatives:
    vendor = vendors.current()
    message = EmailMultiAlternatives(
        mail.subject,
        mail.text,
        _sender(mail),
        [mail.recipient],
        headers={"Message-ID": mail.message_id, **_answering(mail), **_unsubscribing(mail)},
        reply_to=_reply_to(mail, vendor.support_email),
    )
    if mail.html:
        message.attach_alternative(mail.html, "text/html")
    if LOGO in mail.html and (logo := logos.image(vendor.logo)) is not None:
        message.attach(_inline(logo))
    for file in files:
        message.attach(*file)
    return message


def _sender(mail: Mail) -> str:
    """Our address, with the name of whoever writes before it: no server takes mail in somebody else's address."""
    if not mail.sender_name:
        return settings.DEFAULT_FROM_EMAIL
    return formataddr((mail.sender_name, parseaddr(settings.DEFAULT_FROM_EMAIL)[1]))


def _reply_to(mail: Mail, support: str) -> list[str] | None:
    return [one.strip() for one in (mail.reply_to or support).split(",") if one.strip()] or None


def _answering(mail: Mail) -> dict[str, str]:
    """Keep the conversation together in mail programs."""
    return {"In-Reply-To": mail.in_reply_to, "References": mail.in_reply_to} if mail.in_reply_to else {}


def _unsubscribing(mail: Mail) -> dict[str, str]:
    """Let mail programs offer to stop such mail by one click (RFC 8058)."""
    if not mail.unsubscribe_url:
        return {}
    return {
        "List-Unsubscribe": f"<{mail.unsubscribe_url}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def _inline(logo: logos.Image) -> MIMEImage:
    part = MIMEImage(logo.content, logo.kind)
    part.add_header("Content-ID", f"<{LOGO.removeprefix('cid:')}>")
    part.add_header("Content-Disposition", "inline", filename=f"logo.{logo.kind}")
    return part


def with_logo(html: str) -> str:
    """A message's HTML with the logo in it, to be shown where nothing is sent along."""
    logo = logos.image(vendors.current().logo) if LOGO in html else None
    if logo is None:
        return html
    return html.replace(LOGO, f"data:image/{logo.kind};base64,{base64.b64encode(logo.content).decode()}")


def _is_permanent(error: smtplib.SMTPResponseException | smtplib.SMTPRecipientsRefused) -> bool:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code in _PERMANENT for code, _words in error.recipients.values())
    return error.smtp_code in _PERMANENT


def _postpone(mail: Mail, error: Exception) -> bool:
    """Try again later, at growing intervals; after the last one the message has failed."""
    if mail.attempts > len(RETRY_SECONDS):
        return _give_up(mail, error)
    delay = timedelta(seconds=RETRY_SECONDS[mail.attempts - 1])
    return _settle(mail, Mail.Status.QUEUED, error, next_attempt_at=db.now() + delay)


def _give_up(mail: Mail, error: Exception) -> bool:
    return _settle(mail, Mail.Status.FAILED, error)


def _settle(mail: Mail, status: str, error: Exception, **changes: Any) -> bool:
    """Write down how it ended. Only if it is still being sent: after ten minutes it counts as unknown."""
    words = f"{type(error).__name__}: {error}"[:2000]
    log.warning("mail_not_sent", mail=str(mail.pk), status=status, error=words)
    Mail.objects.filter(pk=mail.pk, status=Mail.Status.SENDING).update(status=status, last_error=words, **changes)
    return False


def mark_unknown(*, at: datetime) -> int:
    """What is still ``sending`` after ten minutes: its sender died, and only the mail server knows."""
    stale = Mail.objects.filter(status=Mail.Status.SENDING, next_attempt_at__lt=at)
    return stale.update(status=Mail.Status.UNKNOWN, last_error="The sending process ended before the server answered.")


@transaction.atomic
def resend(*, mail: Mail, at: datetime) -> None:
    """A person decided that an unknown, failed or waiting message shall go out (again). Conflict for any other."""
    mail = db.lock_one(mail)
    if mail.status not in RESENDABLE:
        raise errors.Conflict(f"This message is {mail.get_status_display().lower()} and can't be sent again.")
    previous = {"status": mail.status}
    mail.status, mail.next_attempt_at, mail.attempts = Mail.Status.QUEUED, at, 0
    mail.save(update_fields=["status", "next_attempt_at", "attempts"])
    outbox.publish(
        "mail.resent",
        mail,
        at=at,
        customer_id=mail.customer_id,
        account_id=mail.account_id,
        data={"status": mail.status},
        previous=previous,
    )
    _nudge(mail)
