"""Rate limits per key, member of staff or address, counted in the cache over a sliding window.

The count of the window before fades out as the present one goes on, so that nobody gets twice the rate around a
window's end. A cache that is away lets requests pass: a limit protects the service and must not take it down.
"""

import re
import time
from typing import Any

from django.conf import settings
from django.core.cache import cache
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle

from gtm.shared.models import ApiKey, User

_RATE = re.compile(r"(\d+)/(s|sec|second|m|min|minute|h|hour|d|day)", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class KeyThrottle(BaseThrottle):
    """``REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]["key"]``, such as "6000/min"."""

    scope = "key"

    def allow_request(self, request: Request, view: Any) -> bool:
        rate, window = parse(str(api_settings.DEFAULT_THROTTLE_RATES[self.scope]))
        now = time.time()
        number, passed = int(now // window), now % window
        present, before = _count(f"rate:{caller(request)}", number, window)
        self._wait = seconds_to_wait(rate=rate, window=window, passed=passed, present=present, before=before)
        return self._wait == 0

    def wait(self) -> float:
        return self._wait


def seconds_to_wait(*, rate: int, window: int, passed: float, present: int, before: int) -> float:
    """0 while the two windows' weighted count is within the rate, else the time until it would be."""
    if before * (1 - passed / window) + present <= rate:
        return 0
    if present <= rate:
        return window * (1 - (rate - present) / before) - passed
    return window - passed + window * (1 - rate / present)


def parse(text: str) -> tuple[int, int]:
    """Requests and seconds of a rate such as "6000/min". Raises ValueError for anything else."""
    found = _RATE.fullmatch(text)
    if not found:
        raise ValueError(f"a rate is written as 6000/min, not {text!r}")
    return int(found[1]), _SECONDS[found[2][0]]


def _count(name: str, number: int, window: int) -> tuple[int, int]:
    """Count this request in its window; return that window's count and the one before it."""
    present, before = f"{name}:{number}", f"{name}:{number - 1}"
    try:
        count = cache.incr(present)
    except ValueError:
        cache.add(present, 0, timeout=2 * window)  # of two that come first, one starts the count and both add to it
        count = cache.incr(present)
    return count, cache.get(before, 0)


def caller(request: Request) -> str:
    """Whose requests count together."""
    if isinstance(request.auth, ApiKey):
        return str(request.auth.pk)
    if isinstance(request.user, User):
        return str(request.user.pk)
    return address(request)


def address(request: Request) -> str:
    """The client's address; behind a trusted proxy the one that the proxy saw, which it appends last."""
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "") if settings.TRUSTED_PROXY else ""
    return forwarded.rpartition(",")[2].strip() or request.META.get("REMOTE_ADDR", "")
