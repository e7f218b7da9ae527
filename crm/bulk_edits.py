"""Bulk edits: one change of many rows, each made by the operation that a single row takes, each in a transaction.

The rows stand in a table before the first is touched, so that a worker that was killed goes on where it was and nothing
is done twice. A row that may not be changed, or whose operation refuses, says so and keeps nobody else from being
changed. What was done can be undone, row by row, where nobody changed it since.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.db import OperationalError, transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from crm.lists import actions as common
from crm.lists.listing import Action, Listing
from crm.lists.listings import LISTINGS
from crm.models import BulkJob, BulkRow
from gtm.shared import bulk, context, db, nudges, outbox
from gtm.shared.errors import Conflict, DomainError, Invalid
from gtm.shared.models import User

log = structlog.get_logger(__name__)
AT_ONCE = 25  # rows that the request itself changes; more are the workers' work
MOST = 10_000
WORKER = "crm.tasks.work_on_bulk_edits"
NOT_YOURS = gettext_lazy("You may not change this one.")
State = BulkJob.State
FACTS: dict[str, str] = {State.DONE: "finished", State.UNDONE: "undone", State.FAILED: "failed"}


def actions(listing: Listing) -> list[Action]:
    """The noun's own, a new value for each column that can be edited in place, and putting rows into a view."""
    setting = [common.setting(column) for column in listing.columns[1:] if column.edit and column.code != "owner"]
    form = partial(common.ViewForm, entity=str(listing.entity))
    keep = Action("add_to_view", gettext_lazy("Add to a view"), form, common.add_to_view, common.remove_from_view)
    return [*listing.actions, *setting, keep]


def action(listing: Listing, code: str) -> Action:
    found = next((one for one in actions(listing) if one.code == code), None)
    if found is None:
        raise Invalid("Choose what to do with the rows.", code="required", attr="action")
    return found


# --- prepared ----------------------------------------------------------------------------------
@transaction.atomic
def draft(*, listing: Listing, user: User, keys: Sequence[UUID], code: str) -> BulkJob:
    """Write down which rows are meant; nothing of them is changed yet. Raises Invalid for none, or for too many."""
    action(listing, code)
    if not keys:
        raise Invalid("Choose at least one row.", code="required", attr="rows")
    if len(keys) > MOST:
        raise Invalid(f"At most {MOST} rows at a time.", attr="rows")
    job = BulkJob.objects.create(entity=listing.entity, user=user, action=code, total=len(keys))
    ordered = sorted(set(keys))
    bulk.insert(BulkRow, [BulkRow(job=job, position=n, object_id=key) for n, key in enumerate(ordered)])
    if len(ordered) != job.total:
        job.total = len(ordered)
        job.save(update_fields=["total"])
    return job


@dataclass(frozen=True, slots=True)
class Preview:
    may: int
    may_not: int


def preview(job: BulkJob) -> Preview:
    """How many of the rows the user may change, by one query."""
    keys = BulkRow.objects.filter(job=job).values("object_id")
    may = LISTINGS[job.entity].workable(job.user).filter(pk__in=keys).count()
    return Preview(may, job.total - may)


@transaction.atomic
def start(*, job: BulkJob, params: dict[str, Any], at: datetime) -> BulkJob:
    """Let the work begin. Raises Conflict for a job that was started before."""
    job = db.lock_one(job)
    if job.state != State.DRAFT:
        raise Conflict("This was started already.", code="wrong_state")
    return _set_off(job, state=State.QUEUED, params=params, started_at=at)


@transaction.atomic
def undo(*, job: BulkJob, at: datetime) -> BulkJob:
    """Let the work be taken back. Raises Conflict for a job that is not done, or whose action cannot be undone.

    One that was stopped by an error can be taken back as far as it got.
    """
    job = db.lock_one(job)
    if job.state not in (State.DONE, State.FAILED) or action(LISTINGS[job.entity], job.action).undo is None:
        raise Conflict("Only what is done can be undone.", code="wrong_state")
    return _set_off(job, state=State.UNDOING, started_at=at, error="")


def _set_off(job: BulkJob, **changes: Any) -> BulkJob:
    for name, value in changes.items():
        setattr(job, name, value)
    job.save(update_fields=list(changes))
    nudges.on_commit(WORKER)
    return job


# --- worked on ---------------------------------------------------------------------------------
def work(*, job: BulkJob, limit: int | None = None) -> int:
    """Go on with the job, as its user; how many rows were dealt with. Another who works on it is left to it.

    A job that can't go on is stopped, says so, and the error goes on to the caller. One that may be over when it is
    tried again (a deadlock, a lost connection) stops nothing.
    """
    done = 0
    with context.acting(f"user:{job.user.public_id}"):
        try:
            while (limit is None or done < limit) and _step(job.pk):
                done += 1
        except OperationalError:
            raise
        except Exception:
            _fail(job.pk)
            raise
    return done


@transaction.atomic
def _fail(job_id: UUID) -> None:
    """Publishes ``crm.bulk_edit.failed``."""
    job = BulkJob.objects.select_for_update().get(pk=job_id)
    if job.is_working:
        job.error = _("Something went wrong here, and the work was stopped. What is done stays done and can be undone.")
        _finish(job, db.now(), State.FAILED)


@transaction.atomic
def _step(job_id: UUID) -> bool:
    """The next row, and where the job stands then, in one transaction."""
    at = db.now()
    free = BulkJob.objects.select_for_update(of=("self",), skip_locked=True, no_key=True)
    job = free.filter(pk=job_id, state__in=BulkJob.WORKING).select_related("user").first()
    if job is None:
        return False
    undoing = job.state == State.UNDOING
    left = job.total - (job.undone if undoing else job.position)
    if left <= 0:
        _finish(job, at, State.UNDONE if undoing else State.DONE)
        return False
    row = BulkRow.objects.get(job=job, position=left - 1 if undoing else job.position)
    (_take_back if undoing else _do)(job, row)
    row.save(update_fields=["state", "error", "before"])
    if undoing:
        job.undone += 1
    else:
        job.position += 1
        job.state = State.RUNNING
        job.refused += row.state == BulkRow.State.REFUSED
    job.worked_at = at
    job.save(update_fields=["undone", "position", "state", "refused", "worked_at"])
    return True


def _finish(job: BulkJob, at: datetime, state: str) -> None:
    job.state, job.finished_at = state, at
    job.save(update_fields=["state", "finished_at", "error"])
    data = {"entity": job.entity, "action": job.action, "total": job.total, "refused": job.refused}
    outbox.publish(f"crm.bulk_edit.{FACTS[state]}", job, at=at, data=data)


def _do(job: BulkJob, row: BulkRow) -> None:
    listing = LISTINGS[job.entity]
    found = listing.workable(job.user).filter(pk=row.object_id).first()
    if found is None:
        row.state, row.error = BulkRow.State.REFUSED, str(NOT_YOURS)
        return
    try:
        with transaction.atomic():
            before = action(listing, job.action).apply(found, job.params, db.now_for(found), job.user)
    except DomainError as refused:
        row.state, row.error = BulkRow.State.REFUSED, refused.detail[:500]
    except OperationalError:
        raise
    except Exception:  # whatever is wrong with one row, the others are changed
        log.exception("bulk_row_failed", job=job.public_id, row=row.position)
        row.state, row.error = BulkRow.State.REFUSED, _("It could not be changed: something went wrong here.")
    else:
        row.state, row.before = (BulkRow.State.SAME, {}) if before is None else (BulkRow.State.DONE, before)


def _take_back(job: BulkJob, row: BulkRow) -> None:
    if row.state != BulkRow.State.DONE:
        return
    listing = LISTINGS[job.entity]
    found = listing.workable(job.user).filter(pk=row.object_id).first()
    undo = action(listing, job.action).undo
    if found is None or undo is None:
        row.state, row.error = BulkRow.State.KEPT, str(NOT_YOURS)
        return
    try:
        with transaction.atomic():
            why = undo(found, row.before, db.now_for(found), job.user)
    except DomainError as refused:
        why = refused.detail
    except OperationalError:
        raise
    except Exception:
        log.exception("bulk_row_failed", job=job.public_id, row=row.position)
        why = _("It could not be put back: something went wrong here.")
    row.state, row.error = (BulkRow.State.KEPT, why[:500]) if why else (BulkRow.State.UNDONE, "")
