"""Signs of life: each process and periodic job leaves its last one in a row that doctor and the health page read."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gtm.shared import db
from gtm.shared.models import Pulse


def beat(name: str, **detail: Any) -> None:
    """``name`` is alive now."""
    _leave(Pulse(name=name, beat_at=db.now(), detail=detail), "beat_at", "detail")


@contextmanager
def job(name: str) -> Iterator[None]:
    """Record the success or the failure, in words, of a periodic job. The failure goes on to the caller."""
    name = f"job:{name}"
    try:
        yield
    except Exception as error:
        words = f"{type(error).__name__}: {error}"[:2000]
        _leave(Pulse(name=name, last_failed_at=db.now(), last_error=words), "last_failed_at", "last_error")
        raise
    _leave(Pulse(name=name, last_succeeded_at=db.now()), "last_succeeded_at")


def _leave(sign: Pulse, *fields: str) -> None:
    """One statement, so that two workers that end the same job at once don't trip over each other."""
    Pulse.objects.bulk_create([sign], update_conflicts=True, unique_fields=["name"], update_fields=fields)
