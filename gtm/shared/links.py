"""Signed links: an address that lets whoever holds it do one thing to one subject, until it expires.

A token names its purpose, its subject's id and its end, and is signed with ``SECRET_KEY``; what was signed with one of
``SECRET_KEY_FALLBACKS`` is still read. A link of one purpose opens nothing else. Nothing is stored: a link can't be
taken back, so give it no longer than it needs. Links live in wall time, those to test clocks' customers too.
"""

import base64
import struct
import uuid
from datetime import UTC, datetime, timedelta

from django.core import signing

from gtm.shared.errors import DomainError, NotFound

_SALT = "tandem.links"
_FORMAT = struct.Struct(">16sQ")  # 24 bytes are 32 characters without padding, so each link has one spelling
_GRAIN = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LinkInvalid(NotFound):
    """Not a link of ours, or one that was made for something else."""

    code = "link_invalid"

    def __init__(self) -> None:
        super().__init__("This link is not valid.")


class LinkExpired(DomainError):
    """A link of ours whose time is over. ``subject_id`` is what it led to: whoever holds it may be sent a new one."""

    status = 410
    code = "link_expired"

    def __init__(self, subject_id: uuid.UUID) -> None:
        super().__init__("This link has expired.")
        self.subject_id = subject_id


def make(purpose: str, subject_id: uuid.UUID, *, at: datetime, lasts: timedelta) -> str:
    """A token for an address, valid from ``at`` until ``at + lasts``, which is no longer within it.

    What lasts for days ends with the start of a day (UTC, never earlier), so that a page shown twice holds one link.
    """
    ends = at + lasts
    if lasts >= _GRAIN:
        ends = -(-(ends - _EPOCH) // _GRAIN) * _GRAIN + _EPOCH
    packed = _FORMAT.pack(subject_id.bytes, int(ends.timestamp()))
    return _signer(purpose).sign(base64.urlsafe_b64encode(packed).decode())


def read(purpose: str, token: str, *, at: datetime) -> uuid.UUID:
    """The id of what the token was made for. Raises LinkInvalid, and LinkExpired from its end on."""
    try:
        text = _signer(purpose).unsign(token)
    except signing.BadSignature:
        raise LinkInvalid from None
    subject, ends = _FORMAT.unpack(base64.urlsafe_b64decode(text))
    subject_id = uuid.UUID(bytes=subject)
    if at >= datetime.fromtimestamp(ends, UTC):
        raise LinkExpired(subject_id)
    return subject_id


def _signer(purpose: str) -> signing.Signer:
    return signing.Signer(sep=".", salt=f"{_SALT}.{purpose}")
