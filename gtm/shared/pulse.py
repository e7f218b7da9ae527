"""Signs of life: each process and each periodic job leaves its last one in a row that doctor and the health page read."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gtm.shared import db
from gtm.shared.models import Pulse


def beat(name: str, **detail: Any) -> None:
    """``name`` is alive now."""
    Pulse.objects.update_or_create(name=name, defaults={"beat_at": db.now(), "detail": detail})


@contextmanager
def job(name: str) -> Iterator[None]:
    """Record the success or the failure, in words, of a periodic job. The failure goes on to the caller."""
    name = f"job:{name}"
    try:
        yield
    except Exception as error:
        words = f"{type(error).__name__}: {error}"[:2000]
        Pulse.objects.update_or_create(name=name, defaults={"last_failed_at": db.now(), "last_error": words})
        raise
    Pulse.objects.update_or_create(name=name, defaults={"last_succeeded_at": db.now()})
