"""Identifiers: time-ordered UUIDv7 inside, prefix and base32 outside.

Primary keys are made here and not by the database, so that bulk writes know them beforehand. The outside form keeps
the order of the inside form: Crockford's alphabet is in ASCII order and the width is fixed.
"""

import base64
import os
import struct
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

_WIDTH = 26
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_RFC4648 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_TO_CROCKFORD = str.maketrans(_RFC4648, _ALPHABET)
_FROM_CROCKFORD = str.maketrans(_ALPHABET, _RFC4648)
_DIGITS = frozenset(_ALPHABET)

_COUNTER_BITS = 42
_RANDOM_BITS = 32
_LOW_BITS = (1 << 30) - 1  # of the counter; the others stand above the variant
_TIME_BITS = (1 << 48) - 1
_VERSION, _VARIANT = 0x7 << 76, 0b10 << 62


class _Sequence:
    """Milliseconds and a 42-bit counter that only ever move forward.

    The counter starts at a random point in the lower half of its range each millisecond. Where the clock stands still
    or steps back, the counter goes on; where it overflows, a millisecond is borrowed from the future. Random bits go
    with each step, fetched for many at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._milliseconds = 0
        self._counter = 0
        self._random_bits = _random_bits()

    def advance(self) -> tuple[int, int, int]:
        milliseconds = time.time_ns() // 1_000_000
        with self._lock:
            if milliseconds > self._milliseconds:
                self._milliseconds, self._counter = milliseconds, _random_start()
            else:
                self._counter += 1
                if self._counter >> _COUNTER_BITS:
                    self._milliseconds, self._counter = self._milliseconds + 1, _random_start()
            return self._milliseconds, self._counter, next(self._random_bits)


def _random_bits() -> Iterator[int]:
    while True:
        yield from struct.unpack("=256I", os.urandom(256 * _RANDOM_BITS // 8))


def _random_start() -> int:
    return int.from_bytes(os.urandom(6)) >> (48 - _COUNTER_BITS + 1)


_sequence = _Sequence()


def _restart() -> None:
    global _sequence
    _sequence = _Sequence()


# A forked child would otherwise go on with its parent's counter, and could inherit a lock that is held for ever.
os.register_at_fork(after_in_child=_restart)


def uuid7() -> UUID:
    """A UUIDv7 (RFC 9562) greater than every one this process has made before."""
    milliseconds, counter, bits = _sequence.advance()
    high, low = counter >> 30, counter & _LOW_BITS
    value = (milliseconds & _TIME_BITS) << 80 | _VERSION | high << 64 | _VARIANT | low << _RANDOM_BITS | bits
    return UUID(int=value)


def first_of(time: datetime) -> UUID:
    """The least id that can be made in that millisecond: a bound for what was made since."""
    return UUID(int=int(time.timestamp() * 1000) << 80)


def encode(prefix: str, value: UUID) -> str:
    """`cus_06dy3k…`: prefix, underscore and 26 characters that sort as the UUID sorts."""
    digits = base64.b32encode(value.int.to_bytes(20)).decode("ascii")
    return f"{prefix}_{digits[-_WIDTH:].translate(_TO_CROCKFORD)}"


def decode(text: str, *, prefix: str) -> UUID:
    """The UUID behind `encode`'s text; each UUID has exactly one text.

    Raises ValueError for another prefix, length or alphabet (upper case too), and for a number over 128 bits.
    """
    found, separator, digits = text.rpartition("_")
    if not separator or found != prefix:
        raise ValueError(f"not an id that starts with {prefix}_")
    if len(digits) != _WIDTH or not _DIGITS.issuperset(digits) or digits[0] > "7":
        raise ValueError(f"not a well-formed {prefix}_ id")
    padded = "A" * (32 - _WIDTH) + digits.translate(_FROM_CROCKFORD)
    return UUID(int=int.from_bytes(base64.b32decode(padded)))
