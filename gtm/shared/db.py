"""The database's clock and locks. The edge reads the time here once; below it, ``at`` is an argument."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TypeVar

from django.db import connection, models, transaction

from gtm.shared.models import Resource, TestClock

M = TypeVar("M", bound=models.Model)


def now() -> datetime:
    """The database's wall-clock time, in UTC (not the transaction's start)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        time: datetime = cursor.fetchone()[0]
        return time.astimezone(UTC)


def now_for(thing: Resource | None) -> datetime:
    """The instant at which something happens to ``thing``: its test clock's time, else the database's."""
    if thing is not None and thing.test_clock_id is not None:
        return TestClock.objects.values_list("frozen_time", flat=True).get(pk=thing.test_clock_id)
    return now()


def lock(model: type[M], keys: Iterable[object]) -> list[M]:
    """Lock the rows in the order of their keys, and return them so. See DESIGN.md, lock order."""
    assert transaction.get_connection().in_atomic_block, "a lock needs a transaction"
    queryset = model._default_manager.filter(pk__in=list(keys)).order_by("pk")
    return list(queryset.select_for_update(of=("self",)))


def lock_one(instance: M) -> M:
    """Lock the row and read it again: what was read before the lock may have changed. DoesNotExist if it has gone."""
    assert transaction.get_connection().in_atomic_block, "a lock needs a transaction"
    return type(instance)._default_manager.select_for_update(of=("self",)).get(pk=instance.pk)


def advisory_lock(*parts: object, wait: bool = True) -> bool:
    """Hold a lock named by ``parts`` until the transaction ends; where rows to lock may not exist yet."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    key = int.from_bytes(digest, "big", signed=True)
    with connection.cursor() as cursor:
        if wait:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [key])
            return True
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [key])
        return bool(cursor.fetchone()[0])
