"""The database's clock and locks. The edge reads the time here once; below it, ``at`` is an argument."""

import hashlib
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TypeVar

from django.core.exceptions import ObjectDoesNotExist
from django.db import connection, models, transaction

from gtm.shared.errors import Conflict
from gtm.shared.models import Resource, TestClock

M = TypeVar("M", bound=models.Model)
_driven: ContextVar[uuid.UUID | None] = ContextVar("driven_clock", default=None)


def now() -> datetime:
    """The database's wall-clock time, in UTC (not the transaction's start)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        time: datetime = cursor.fetchone()[0]
        return time.astimezone(UTC)


def now_for(thing: Resource | None) -> datetime:
    """The instant at which something happens to ``thing``: its test clock's time, else the database's.

    Raises Conflict while that clock is being advanced, but for whoever advances it. Who only reads asks ``time_of``.
    """
    time, is_advancing = _clock_of(thing)
    if is_advancing:
        raise Conflict("The test clock is being advanced. Try again when it is ready.", code="clock_advancing")
    return time


def time_of(thing: Resource | None) -> datetime:
    """What time it is for ``thing``, for whoever shows it: while its test clock is being advanced, as far as it got."""
    return _clock_of(thing)[0]


def _clock_of(thing: Resource | None) -> tuple[datetime, bool]:
    """The time, and whether it is passing just now by somebody else's doing."""
    if thing is None or thing.test_clock_id is None:
        return now(), False
    time, status = TestClock.objects.values_list("frozen_time", "status").get(pk=thing.test_clock_id)
    return time, status == TestClock.Status.ADVANCING and _driven.get() != thing.test_clock_id


@contextmanager
def driving(clock_id: uuid.UUID) -> Iterator[None]:
    """For the length of a block, this is what advances the test clock."""
    token = _driven.set(clock_id)
    try:
        yield
    finally:
        _driven.reset(token)


def lock(model: type[M], keys: Iterable[object]) -> list[M]:
    """Lock the rows in the order of their keys, and return them so. See DESIGN.md, lock order.

    Keys stay free to be referred to: who settles an invoice would else wait for whoever has locked its customer.
    """
    assert transaction.get_connection().in_atomic_block, "a lock needs a transaction"
    queryset = model._default_manager.filter(pk__in=list(keys)).order_by("pk")
    return list(queryset.select_for_update(of=("self",), no_key=True))


def lock_one(instance: M) -> M:
    """Lock the row and read it again: what was read before the lock may have changed. Conflict if it has gone."""
    assert transaction.get_connection().in_atomic_block, "a lock needs a transaction"
    model = instance.__class__  # not its type(), which is a proxy where it is request.user
    try:
        return model._default_manager.select_for_update(of=("self",), no_key=True).get(pk=instance.pk)
    except ObjectDoesNotExist as error:
        detail = "It was deleted, or became part of another, a moment ago. Look for it again."
        raise Conflict(detail, code="gone") from error


def lock_seen(instance: M, version: int | None) -> M:
    """The same for whoever wrote it for that version; None for any. Raises Conflict (``stale_version``) too."""
    locked = lock_one(instance)
    if version is not None and getattr(locked, "version", version) != version:
        detail = "Somebody else changed this meanwhile, so nothing was saved. Look at it as it is now."
        raise Conflict(detail, code="stale_version")
    return locked


def advisory_lock(*parts: object, wait: bool = True) -> bool:
    """Hold a lock named by ``parts`` until the transaction ends; where rows to lock may not exist yet."""
    key = lock_number(*parts)
    with connection.cursor() as cursor:
        if wait:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [key])
            return True
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [key])
        return bool(cursor.fetchone()[0])


def lock_number(*parts: object) -> int:
    """The number by which PostgreSQL knows the lock that ``parts`` name."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
