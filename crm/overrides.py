"""What people decide about an account's motion and segment: overrides that end by themselves, and locks."""

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from crm import segments
from crm.models import Account, Motion, MotionDecision, MotionOverride
from gtm.shared import context, db, outbox
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import write

END_BATCH = 500
MAX_LENGTH = timedelta(days=366)


@transaction.atomic
def override(*, account: Account, motion: str, ends_at: datetime, reason: str, at: datetime) -> MotionOverride:
    """Set the motion by hand until ``ends_at``, at most a year; publishes ``crm.account.motion_overridden``.

    One that is in force already ends by it. Raises Invalid for an unknown motion, a missing reason, and an end that is
    not ahead.
    """
    _check(motion, ends_at, reason, at)
    account = db.lock_one(account)
    _end_live(account, at)
    row = MotionOverride.objects.create(
        account=account, motion=motion, reason=reason.strip()[:500], by=context.actor(), starts_at=at, ends_at=ends_at
    )
    _tell(row, "crm.account.motion_overridden", at)
    segments.decide(account=account, at=at)
    return row


def _check(motion: str, ends_at: datetime, reason: str, at: datetime) -> None:
    if motion not in Motion.values:
        raise Invalid(f"A motion is one of {', '.join(Motion.values)}.", attr="motion")
    if not at < ends_at <= at + MAX_LENGTH:
        raise Invalid("An override ends at a later instant, within a year.", attr="ends_at")
    if not reason.strip():
        raise Invalid("Say why: everybody who works the account reads it.", code="required", attr="reason")


@transaction.atomic
def take_back(*, account: Account, at: datetime) -> Account:
    """End the override that is in force; publishes ``crm.account.override_ended``. Raises Conflict without one."""
    account = db.lock_one(account)
    if not _end_live(account, at):
        raise Conflict("No override is in force.", code="no_override")
    return segments.decide(account=account, at=at)


def _end_live(account: Account, at: datetime) -> bool:
    row = MotionOverride.objects.filter(account=account, ended_at=None).first()
    if row is None:
        return False
    _end(row, at)
    return True


def _end(row: MotionOverride, at: datetime) -> None:
    row.ended_at = max(at, row.starts_at)
    row.save(update_fields=["ended_at"])
    _tell(row, "crm.account.override_ended", at)


def _tell(row: MotionOverride, fact: str, at: datetime) -> None:
    data: dict[str, Any] = {"motion": row.motion, "ends_at": row.ends_at.isoformat()}
    outbox.publish(
        fact, row.account, at=at, account_id=row.account_id, test_clock_id=row.account.test_clock_id, data=data
    )


@transaction.atomic
def end_due(*, at: datetime, test_clock_id: UUID | None = None) -> int:
    """End the overrides whose time is over, unclocked ones or those of one test clock; how many they were."""
    live = MotionOverride.objects.filter(ended_at=None, ends_at__lte=at, account__test_clock=test_clock_id)
    due = list(live.order_by("ends_at", "pk").values_list("account", flat=True)[:END_BATCH])
    accounts = {account.pk: account for account in db.lock(Account, due)}  # accounts before what hangs on them
    rows = list(live.filter(account__in=due).select_for_update(of=("self",), skip_locked=True))
    for row in rows:
        row.account = accounts[row.account_id]
        _end(row, at)
    segments.decide_many(account_ids=[row.account_id for row in rows], at=at)
    return len(rows)


def next_due(*, test_clock_id: UUID) -> datetime | None:
    """When the next override of a test clock ends, or the next of its accounts moves down; None where none does."""
    live = MotionOverride.objects.filter(ended_at=None, account__test_clock=test_clock_id)
    ends = live.order_by("ends_at").values_list("ends_at", flat=True).first()
    return min([*([ends] if ends else []), *map(moves_at, _falling(test_clock_id))], default=None)


def _falling(test_clock_id: UUID) -> QuerySet[MotionDecision]:
    """Open decisions that keep a segment for now. A lock by hand keeps it longer."""
    rows = MotionDecision.objects.filter(
        valid_to=None,
        falling_since__isnull=False,
        account__segment_locked_until=None,
        account__test_clock=test_clock_id,
    )
    return rows.select_related("policy")


@transaction.atomic
def fall_due(*, at: datetime, test_clock_id: UUID) -> int:
    """Decide anew the accounts of a test clock whose facts have been too low for long enough; how many they were.

    What stands on no clock is decided every night.
    """
    due = [row.account_id for row in _falling(test_clock_id) if moves_at(row) <= at]
    segments.decide_many(account_ids=due, at=at)
    return len(due)


def moves_at(row: MotionDecision) -> datetime:
    """When the segment that is kept for now is given up."""
    assert row.falling_since is not None
    return row.falling_since + timedelta(days=row.policy.margin_days if row.policy else 0)


@transaction.atomic
def lock_segment(*, account: Account, until: date | None, at: datetime) -> Account:
    """Keep the segment as it is before ``until``, or no longer (None); publishes ``crm.account.segment_locked``.

    Raises Invalid for a day that is not ahead.
    """
    if until is not None and until <= at.date():
        raise Invalid("Give a later day.", attr="segment_locked_until")
    account = db.lock_one(account)
    before = account.segment_locked_until
    if before == until:
        return account
    write(account, segment_locked_until=until)
    outbox.publish(
        "crm.account.segment_locked",
        account,
        at=at,
        account_id=account.pk,
        data={"until": until.isoformat() if until else None, "segment": account.segment},
        previous={"until": before.isoformat() if before else None},
    )
    return segments.decide(account=account, at=at)
