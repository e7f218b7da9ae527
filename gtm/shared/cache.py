"""The cache holds rate limits and nothing that must survive: while Redis is away, requests go on without it."""

from collections.abc import Callable
from typing import Any

import structlog
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)


def _forgiving(answer: Any, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except RedisError as error:
        log.warning("cache_away", error=str(error))
        return answer


class ForgivingRedisCache(RedisCache):
    """Answers as if nothing were kept when Redis doesn't. Rate limits then let requests pass: nobody is locked out."""

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        fetch = super().get
        return _forgiving(default, lambda: fetch(key, default, version))

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        _forgiving(None, lambda: super(ForgivingRedisCache, self).set(key, value, timeout, version))

    def add(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return bool(_forgiving(True, lambda: super(ForgivingRedisCache, self).add(key, value, timeout, version)))

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        return int(_forgiving(delta, lambda: super(ForgivingRedisCache, self).incr(key, delta, version)))

    def delete(self, key: str, version: int | None = None) -> bool:
        return bool(_forgiving(False, lambda: super(ForgivingRedisCache, self).delete(key, version)))
