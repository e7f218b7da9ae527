"""Pages that anybody may send to: no more often than a person would."""

from collections.abc import Sequence

import structlog
from django.http import HttpRequest
from django_ratelimit.core import is_ratelimited
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)


def is_flooded(request: HttpRequest, *, page: str, senders: Sequence[tuple[str, str, str]]) -> bool:
    """Count this message by each of its senders (kind, who, rate such as "60/h"); whether one of them sends too much.

    A cache that is away lets it pass.
    """
    try:
        return any(
            is_ratelimited(
                request, group=f"{page}_{kind}", key=lambda _group, _request, who=who: who, rate=rate, increment=True
            )
            for kind, who, rate in senders
        )
    except (RedisError, OSError) as error:
        log.warning("rate_limit_unavailable", error=str(error))
        return False
