"""Test clocks: time that stands still until it is advanced, and then passes instant by instant through all apps.

At each instant at which anything is due the clock stands there, every app does its work, and the facts of that are
handled inline, before time goes on. One process advances a clock at a time, held by a lock of its connection: when it
dies, the clock keeps what was done and stays ``advancing``, and the next call goes on from there. Other writes on the
clock are refused meanwhile (``db.now_for``).
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from billing import clock as billing_clock
from crm import clock as crm_clock
from gtm.shared import db, outbox, saving
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event, Mail, TestClock
from signals import clock as signals_clock

APPS: tuple[Any, ...] = (billing_clock, crm_clock, signals_clock)
Status = TestClock.Status
MAX_AHEAD = timedelta(days=10 * 366)
MAX_TURNS = 100  # at one instant: more means that something due is never done


def create(*, name: str, frozen_time: datetime, **fields: Any) -> TestClock:
    """A clock that stands at ``frozen_time``; customers made with it live on it."""
    clock = TestClock(name=name, frozen_time=frozen_time, **fields)
    saving.insert(clock)
    return clock


def advance(*, clock: TestClock, to: datetime, patience: timedelta | None = None) -> TestClock:
    """Let time pass up to and including ``to``.

    Ready when this returns, or advancing still where ``patience`` ran out.

    A clock that failed, or whose process died, goes on from where it came to. Raises Conflict for a time before the
    clock's or while another process advances it, and Invalid for one more than ten years ahead. What fails on the way
    is raised after it is noted.
    """
    with _held(clock):
        clock.refresh_from_db()
        _check(clock, to)
        _note(clock, status=Status.ADVANCING, target_time=to, last_error="")
        return _drive(clock, patience)


def go_on(*, clock: TestClock) -> TestClock:
    """Advance a clock to where it was to go, if nobody does."""
    with _held(clock):
        clock.refresh_from_db()
        return _drive(clock, None) if clock.status == Status.ADVANCING else clock


def _check(clock: TestClock, to: datetime) -> None:
    if to < clock.frozen_time:
        raise Conflict("A test clock never goes back.", code="clock_backwards", attr="frozen_time")
    if to > clock.frozen_time + MAX_AHEAD:
        raise Invalid("A test clock is advanced by at most ten years at a time.", attr="frozen_time")


@contextmanager
def _held(clock: TestClock) -> Iterator[None]:
    """Hold the clock for this connection: a lock that outlives transactions and ends with the process."""
    key = clock.pk.int % 2**62
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [key])
        if not cursor.fetchone()[0]:
            raise Conflict("The test clock is being advanced.", code="clock_advancing")
    try:
        with db.driving(clock.pk):
            yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [key])


def _note(clock: TestClock, **changes: Any) -> None:
    """Write down where the clock stands, for whoever looks meanwhile."""
    for name, value in changes.items():
        setattr(clock, name, value)
    clock.version += 1
    clock.updated_at = db.now()
    clock.save(update_fields=[*changes, "version", "updated_at"])


def _drive(clock: TestClock, patience: timedelta | None) -> TestClock:
    assert clock.target_time is not None
    give_up_at = time.monotonic() + patience.total_seconds() if patience is not None else None
    try:
        for _instant in _instants(clock, clock.target_time):
            if give_up_at is not None and time.monotonic() > give_up_at:
                return clock
    except Exception as error:
        _note(clock, status=Status.FAILED, last_error=f"{type(error).__name__}: {error}"[:4000])
        raise
    _note(clock, status=Status.READY, frozen_time=clock.target_time, target_time=None)
    return clock


def _instants(clock: TestClock, target: datetime) -> Iterator[datetime]:
    """Do what is due at each instant up to the target, and yield it when it is done."""
    turns = 0
    outbox.drain(clock.pk)
    while (at := _next_due(clock, target)) is not None:
        turns = turns + 1 if at == clock.frozen_time else 1
        if turns > MAX_TURNS:
            raise RuntimeError(f"something stays due at {at.isoformat()} however often it is done")
        _note(clock, frozen_time=at)
        for app in APPS:
            app.run_due(clock=clock, at=at)
        outbox.drain(clock.pk)
        yield at


def _next_due(clock: TestClock, target: datetime) -> datetime | None:
    due = next_due(clock=clock)
    return due if due is not None and due <= target else None


def next_due(*, clock: TestClock) -> datetime | None:
    """The next instant at which anything is due on it; what has been due for longer is due now."""
    times = [due for app in APPS if (due := app.next_due(clock=clock)) is not None]
    return max(min(times), clock.frozen_time) if times else None


@transaction.atomic
def delete(*, clock: TestClock) -> None:
    """Delete the clock and all that stands on it. Raises Conflict while it is advanced."""
    clock = db.lock_one(clock)
    if clock.status == Status.ADVANCING:
        raise Conflict("The test clock is being advanced.", code="clock_advancing")
    signals_clock.delete_all(clock=clock)
    crm_clock.delete_all(clock=clock)
    billing_clock.delete_all(clock=clock)
    Mail.objects.filter(test_clock=clock).delete()
    Event.objects.filter(test_clock=clock).delete()
    clock.delete()
