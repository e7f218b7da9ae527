"""Mail that a mail server passes on: whose it is by the address it came to, and whether the server may."""

import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings

from crm import emails, letters, logging_addresses
from crm.models import EmailMessage
from gtm.shared.errors import Invalid
from gtm.shared.models import User

TOLERANCE = timedelta(minutes=5)
LOGGED, DUPLICATE, UNMATCHED, NOBODY, IGNORED = "logged", "duplicate", "unmatched", "unknown_address", "ignored"


def signature(*, at: int, envelope: str, body: bytes) -> str:
    """What a caller writes after ``v1=``: HMAC-SHA256 in hex of the time, the envelope's recipient and the body."""
    signed = f"{at}.{envelope}.".encode() + body
    return hmac.new(settings.INBOUND_MAIL_SECRET.encode(), signed, hashlib.sha256).hexdigest()


def is_genuine(header: str, *, envelope: str, body: bytes, now: datetime) -> bool:
    """``t=<unix seconds>,v1=<hex>``, not older and not newer than five minutes."""
    said = dict(part.partition("=")[::2] for part in header[:200].split(","))
    if not said.get("t", "").isdecimal() or not said["t"].isascii() or len(said["t"]) > 12:
        return False
    if abs(now.timestamp() - int(said["t"])) > TOLERANCE.total_seconds():
        return False
    expected = signature(at=int(said["t"]), envelope=envelope, body=body)
    return hmac.compare_digest(expected.encode(), said.get("v1", "").encode())


def take_in(*, raw: bytes, envelope: str, at: datetime) -> tuple[str, EmailMessage | None]:
    """Keep the message for whoever's address it came to; what became of it, and where. Raises Invalid (``message``).

    The address is the envelope's, for a blind copy stands in no header; else one of those in the message.
    """
    try:
        letter = letters.read(raw)
    except letters.Unreadable as error:
        raise Invalid(str(error), code="unreadable", attr="message") from error
    addresses = [one.strip().strip("<>") for one in envelope.split(",")] if envelope else []
    owner, answered = _owner([*addresses, *letter.delivered_to, *letter.recipients])
    if owner is None:
        return NOBODY, None
    before = set(EmailMessage.objects.filter(message_id=letter.message_id).values_list("pk", flat=True))
    email = emails.receive(letter=letter, user=owner, at=at, answers=answered.pk if answered else None)
    if email is None:
        return IGNORED, None
    if email.account_id is None:
        return UNMATCHED, email
    return (DUPLICATE if email.pk in before else LOGGED), email


def _owner(addresses: Iterable[str]) -> tuple[User | None, EmailMessage | None]:
    """Whose the first of our addresses is: who sent what is answered there, or whose secret it is."""
    for address in addresses:
        tag = logging_addresses.tag_of(address)
        key = logging_addresses.answered(tag) if tag else None
        answered = EmailMessage.objects.filter(pk=key).select_related("user").first() if key else None
        if answered is not None:
            return (answered.user, answered) if answered.user.is_active else (None, None)
        if tag and (owner := logging_addresses.owner_of(tag)) is not None:
            return owner, None
    return None, None
