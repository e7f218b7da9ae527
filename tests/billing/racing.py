"""Two sides on real connections, round by round, each let go at the same moment."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connections

from gtm.shared.errors import Conflict, Invalid

Call = Callable[[], Any]
Round = tuple[Call, ...]


def race(rounds: Sequence[Round]) -> list[tuple[str, ...]]:
    """The answers of both sides to each round: the code of what refused, or nothing. A deadlock is raised."""
    together = threading.Barrier(2, timeout=60)
    with ThreadPoolExecutor(max_workers=2) as threads:
        sides = [threads.submit(_side, calls, together) for calls in zip(*rounds, strict=True)]
        return list(zip(*[one.result(timeout=300) for one in sides], strict=True))


def _side(calls: Sequence[Call], together: threading.Barrier) -> list[str]:
    answers = []
    try:
        for call in calls:
            together.wait()
            answers.append(_answer(call))
    except BaseException:
        together.abort()  # a deadlock, or a fault: the other side must not wait for it
        raise
    finally:
        connections.close_all()
    return answers


def _answer(call: Call) -> str:
    try:
        call()
    except (Conflict, Invalid) as refusal:
        return refusal.code
    return ""
