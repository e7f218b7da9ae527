"""Whether the books agree with themselves: named queries, each of which finds nothing unless something is wrong.

They follow every bill run and are made by ``manage.py doctor``. They look at what was made lately, by its keys, which
are in the order of time, and each stops at the first few rows, so that they cost little beside a run.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import DatabaseError, connection, transaction

from billing.models import BillingRun
from billing.queries.faults import FAULTS, SENTENCES, WRONG_DRAFTS, Fault
from gtm.shared import db, ids
from gtm.shared.models import TestClock

log = structlog.get_logger(__name__)
SHOWN = 20
NUMBERS = 10_000
USAGE_CHARGES = 500
LONGEST = timedelta(days=7)
MARGIN = timedelta(hours=2)  # what was under way when the checks were made before
PATIENCE = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: the first ids (or numbers), ``more`` if there are others, ``error`` if it broke off."""

    name: str
    found: Sequence[str] = ()
    more: bool = False
    milliseconds: int = 0
    error: str = ""

    @property
    def is_fine(self) -> bool:
        return not self.found and not self.error

    @property
    def sentence(self) -> str:
        """What is wrong, for people, where something was found."""
        return SENTENCES.get(self.name, self.name)


def check(*, at: datetime, test_clock: TestClock | None = None, since: datetime | None = None) -> list[Finding]:
    """Make all checks on what was made ``since`` (by default, since they were made before, at most for a week).

    ``at`` is the instant that was billed up to. One that can't be made says so and the others go on.
    """
    now = db.now()
    given: dict[str, Any] = {
        "at": at,
        "clock": test_clock.pk if test_clock else None,
        "since": ids.first_of(max(since or _last_made(test_clock), now - LONGEST)),
        "week": ids.first_of(now - LONGEST),
        "limit": SHOWN + 1,
        "numbers": NUMBERS,
        "charges": USAGE_CHARGES,
    }
    found = [_make(fault, given) for fault in FAULTS]
    for one in found:
        if not one.is_fine:
            log.error("books_disagree", check=one.name, found=one.found, error=one.error)
    return found


def wrong_drafts(*, at: datetime, test_clock: TestClock | None) -> set[UUID]:
    """Drafts that are to be issued by then and don't add up: no run may freeze them."""
    with connection.cursor() as cursor:
        cursor.execute(WRONG_DRAFTS.sql, {"at": at, "clock": test_clock.pk if test_clock else None, "limit": None})
        return {key for (key,) in cursor.fetchall()}


def stored(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """The findings as a bill run keeps them."""
    return [asdict(one) for one in findings]


def recalled(rows: Iterable[dict[str, Any]]) -> list[Finding]:
    return [Finding(**row) for row in rows]


def _last_made(test_clock: TestClock | None) -> datetime:
    """When they were made before, with a margin."""
    runs = BillingRun.objects.filter(test_clock=test_clock).exclude(checks=[]).order_by("-started_at")
    last = runs.values_list("started_at", flat=True).first()
    return last - MARGIN if last is not None else datetime.min.replace(tzinfo=db.now().tzinfo)


def _make(fault: Fault, given: dict[str, Any]) -> Finding:
    began = time.monotonic()
    try:
        found, error = _ask(fault, given), ""
    except DatabaseError as problem:
        found, error = [], type(problem).__name__
    took = round((time.monotonic() - began) * 1000)
    named = [ids.encode(fault.rows.PREFIX, key) if fault.rows else str(key) for key in found[:SHOWN]]
    return Finding(fault.name, named, more=len(found) > SHOWN, milliseconds=took, error=error)


def _ask(fault: Fault, given: dict[str, Any]) -> list[Any]:
    """The keys it finds, in a transaction of its own, whose settings go with it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('jit', 'off', true), set_config('statement_timeout', %s, true)", [_PATIENCE])
        cursor.execute(fault.sql, given)
        found = [key for (key,) in cursor.fetchall()]
        transaction.set_rollback(True)
    return found


_PATIENCE = str(round(PATIENCE.total_seconds() * 1000))
