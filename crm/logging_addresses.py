"""The secret address to which a member of staff sends copies of their mail, so that it is kept at the account."""

import hashlib
import hmac
import re
import secrets
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction

from crm.models import LoggingAddress
from gtm.shared import ids, outbox
from gtm.shared.models import User

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_LENGTH, _SIGNED = 24, 20
_REPLY = re.compile(r"re-([0-9a-z]{26})-([0-9a-f]{20})")


def is_on() -> bool:
    """Whether there is an address at which mail is taken in, and a secret by which it comes."""
    return bool(settings.INBOUND_MAIL_ADDRESS and settings.INBOUND_MAIL_SECRET)


def of(user: User) -> LoggingAddress | None:
    return LoggingAddress.objects.filter(user=user, revoked_at=None).first()


@transaction.atomic
def issue(*, user: User, at: datetime) -> LoggingAddress:
    """A new address; the one before counts no more. Publishes ``crm.logging_address.issued``, without the secret."""
    User.objects.select_for_update(no_key=True).get(pk=user.pk)
    LoggingAddress.objects.filter(user=user, revoked_at=None).update(revoked_at=at)
    token = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    row = LoggingAddress.objects.create(user=user, token=token, created_at=at)
    outbox.publish("crm.logging_address.issued", row, at=at, data={"user": user.public_id})
    return row


@transaction.atomic
def revoke(*, user: User, at: datetime) -> bool:
    """Take it back: what is sent there from now on is nobody's. Publishes ``crm.logging_address.revoked``."""
    row = LoggingAddress.objects.select_for_update().filter(user=user, revoked_at=None).first()
    if row is None:
        return False
    LoggingAddress.objects.filter(pk=row.pk).update(revoked_at=at)
    outbox.publish("crm.logging_address.revoked", row, at=at, data={"user": user.public_id})
    return True


# --- as addresses ------------------------------------------------------------------------------
def written(token: str) -> str:
    """``log+TOKEN@in.vendor.example``; nothing where no mail is taken in."""
    if not is_on():
        return ""
    name, _at, host = settings.INBOUND_MAIL_ADDRESS.partition("@")
    return f"{name}+{token}@{host}"


def for_reply(email_id: UUID) -> str:
    """Where answers to one message go. It names the message, signed: nobody's secret is told to customers."""
    digits = ids.encode("x", email_id).removeprefix("x_")
    return written(f"re-{digits}-{_signature(digits)}")


def tag_of(address: str) -> str:
    """What stands after the plus in an address at which mail is taken in; nothing for other addresses."""
    name, _at, host = settings.INBOUND_MAIL_ADDRESS.lower().partition("@")
    local, _at, domain = address.lower().rpartition("@")
    base, plus, tag = local.partition("+")
    return tag if plus and (base, domain) == (name, host) else ""


def answered(tag: str) -> UUID | None:
    """The message that a signed tag names; None for a tag of another kind, or one that nobody signed here."""
    match = _REPLY.fullmatch(tag)
    if match is None or not hmac.compare_digest(_signature(match.group(1)), match.group(2)):
        return None
    try:
        return ids.decode(f"x_{match.group(1)}", prefix="x")
    except ValueError:
        return None


def owner_of(tag: str) -> User | None:
    """Whose secret address it is; None for one that was taken back, and for people who have left."""
    row = LoggingAddress.objects.filter(token=tag, revoked_at=None, user__is_active=True).select_related("user").first()
    return row.user if row else None


def _signature(digits: str) -> str:
    key = f"reply:{settings.SECRET_KEY}".encode()
    return hmac.new(key, digits.encode(), hashlib.sha256).hexdigest()[:_SIGNED]
