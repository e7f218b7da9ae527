"""Secrets that must be read again, kept in the database so that the database alone gives none away.

Sealed with keys derived from ``SECRET_KEY``; those of ``SECRET_KEY_FALLBACKS`` still open what they sealed.
"""

import base64
from functools import cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

_CONTEXT = b"tandem: sealing"


class Unreadable(Exception):
    """It was sealed under another ``SECRET_KEY``."""


def seal(text: str) -> str:
    return _sealer(*_keys()).encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """What was sealed. Raises Unreadable where none of today's keys opens it."""
    try:
        return _sealer(*_keys()).decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise Unreadable("It was sealed under another SECRET_KEY.") from error


def _keys() -> tuple[str, ...]:
    return (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)


@cache
def _sealer(*keys: str) -> MultiFernet:
    return MultiFernet([Fernet(_derived(key)) for key in keys])


def _derived(key: str) -> bytes:
    derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=_CONTEXT)
    return base64.urlsafe_b64encode(derivation.derive(key.encode()))
