"""Imports: a file taken in, understood, looked at beforehand, worked off in batches, and taken back.

Each batch is one transaction, with the rows that say what became of it and with how far the job is: a worker that was
killed goes on behind the last batch, and no row is dealt with twice. What is refused says why, by the line of the file.
A batch that fails is dealt with row by row, so that one row keeps no other from being taken in, nor any other import.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

import structlog
from django.db import IntegrityError, OperationalError, transaction

from crm import account_intake, contact_intake, csv_files, import_fields, lead_intake
from crm.csv_files import Layout, Unreadable
from crm.import_fields import Field, Row
from crm.intake import SOURCE, Intake, Outcome
from crm.models import FieldChange, ImportJob, ImportMapping, ImportRow
from crm.models.scoping import reach_of
from gtm.shared import bulk, context, db, nudges, outbox
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import User

log = structlog.get_logger(__name__)
LOOKED_AT = 20
WORKER = "crm.tasks.work_on_imports"
INTAKES: dict[str, Intake] = {"account": account_intake, "contact": contact_intake, "lead": lead_intake}
State = ImportJob.State
COUNTED = {
    ImportRow.State.CREATED: "created",
    ImportRow.State.UPDATED: "updated",
    ImportRow.State.SKIPPED: "skipped",
    ImportRow.State.REFUSED: "refused",
}


# --- a file ------------------------------------------------------------------------------------
@transaction.atomic
def upload(*, user: User, entity: str, filename: str, content: bytes) -> ImportJob:
    """Take a file in, find out how it is written and guess what its columns mean. Nothing is imported yet.

    Raises Invalid (``file``) for one that is empty, too large, or no table.
    """
    if entity not in INTAKES:
        raise Invalid("Nothing of that kind can be imported.", attr="entity")
    if len(content) > csv_files.MAX_BYTES:
        raise Invalid(f"At most {csv_files.MAX_BYTES // 2**20} MB. Split the file.", attr="file")
    try:
        layout = csv_files.layout(content)
        total = sum(1 for _row in csv_files.rows(content, layout))
    except Unreadable as error:
        raise Invalid(str(error), attr="file") from error
    if not total:
        raise Invalid("There is no row below the names of the columns.", attr="file")
    if total > csv_files.MAX_ROWS:
        raise Invalid(f"At most {csv_files.MAX_ROWS} rows. Split the file.", attr="file")
    fields = INTAKES[entity].FIELDS
    mapping = import_fields.guess(layout.header, fields, _remembered(user, entity))
    return ImportJob.objects.create(
        entity=entity,
        user=user,
        filename=filename[:200],
        content=content,
        encoding=layout.encoding,
        delimiter=layout.delimiter,
        header=list(layout.header),
        mapping={str(number): code for number, code in mapping.items()},
        key=next((key for key in INTAKES[entity].KEYS if key in mapping.values()), ""),
        total=total,
    )


def _remembered(user: User, entity: str) -> dict[str, str]:
    rows = ImportMapping.objects.filter(user=user, entity=entity)
    return dict(rows.values_list("header", "field"))


@transaction.atomic
def understand(*, job: ImportJob, mapping: Mapping[int, str], key: str) -> ImportJob:
    """Say what the columns mean and by what rows are known; it is remembered for columns of these names.

    Raises Invalid for a field that is named twice or unknown, and where no column is the key; Conflict once started.
    """
    job = _draft(job)
    known = {field.code for field in INTAKES[job.entity].FIELDS}
    chosen = {number: code for number, code in mapping.items() if code}
    if not set(chosen.values()) <= known or len(set(chosen.values())) < len(chosen):
        raise Invalid("Each field can be one column only.", attr="mapping")
    if key not in INTAKES[job.entity].KEYS or key not in chosen.values():
        raise Invalid("Say which column holds what the rows are known by.", code="required", attr="key")
    job.mapping, job.key = {str(number): code for number, code in chosen.items()}, key
    job.save(update_fields=["mapping", "key"])
    said = {import_fields.plain(name): chosen.get(number, "") for number, name in enumerate(job.header)}
    rows = [ImportMapping(user=job.user, entity=job.entity, header=name, field=code) for name, code in said.items()]
    unique = ["user", "entity", "header"]
    ImportMapping.objects.bulk_create(rows, update_conflicts=True, unique_fields=unique, update_fields=["field"])
    return job


def look(job: ImportJob, *, at: datetime) -> list[Outcome]:
    """What the first rows would come to, as things stand now. Writes nothing."""
    rows = list(islice(_rows(job), LOOKED_AT))
    return _planned(job, rows, at)


@transaction.atomic
def start(*, job: ImportJob, at: datetime) -> ImportJob:
    """Let the import begin; publishes ``crm.import.started``. Raises Invalid without a key, Conflict once started."""
    job = _draft(job)
    if not job.key:
        raise Invalid("Say which column holds what the rows are known by.", code="required", attr="key")
    _set_off(job, "started", state=State.QUEUED, at=at)
    return job


def _draft(job: ImportJob) -> ImportJob:
    job = db.lock_one(job)
    if job.state != State.DRAFT:
        raise Conflict("This import was started already.", code="wrong_state")
    return job


@transaction.atomic
def undo(*, job: ImportJob, at: datetime) -> ImportJob:
    """Let the import be taken back; publishes ``crm.import.undo_started``. Raises Conflict for one that is not done.

    One that was stopped by an error can be taken back as far as it got.
    """
    job = db.lock_one(job)
    if job.state not in (State.DONE, State.FAILED):
        raise Conflict("Only an import that is done can be undone.", code="wrong_state")
    _set_off(job, "undo_started", state=State.UNDOING, at=at)
    return job


def _set_off(job: ImportJob, fact: str, *, state: str, at: datetime) -> None:
    job.state, job.started_at, job.error = state, at, ""
    job.save(update_fields=["state", "started_at", "error"])
    outbox.publish(f"crm.import.{fact}", job, at=at, data={"entity": job.entity, "total": job.total})
    nudges.on_commit(WORKER)


# --- worked off --------------------------------------------------------------------------------
WRONG = "Something went wrong here with this row, and it was left out."
STANDS_ELSEWHERE = "What it says belongs to another one already."
STOPPED = (
    "Something went wrong here. What is done stays done and can be undone; the file can be imported again, and what "
    "came of it before is known again."
)
MAY_NOT = "Whoever asked for this may not change anything any more."


def work(*, job: ImportJob, batches: int | None = None) -> int:
    """Go on with the job, as its user; how many batches were dealt with. One that another works on is left to it.

    Where not even single rows can be dealt with, the job is stopped, says so, and the error goes on to the caller. One
    that may be over when it is tried again (a deadlock, a lost connection) stops nothing.
    """
    with context.acting(f"user:{job.user.public_id}"):
        try:
            return _work(job, batches)
        except OperationalError:
            raise
        except Exception:
            _fail(job.pk, STOPPED)
            raise


def _work(job: ImportJob, batches: int | None) -> int:
    done, apart, source = 0, 0, _Source(job)
    while batches is None or done < batches:
        try:
            if not _step(job.pk, source, 1 if apart else INTAKES[job.entity].BATCH, apart=bool(apart)):
                break
        except OperationalError:
            raise
        except Exception:  # whatever is wrong with one row, the others of its batch are taken in
            if apart:
                raise
            log.exception("import_batch_failed", job=job.public_id)
            apart, source = INTAKES[job.entity].BATCH, _Source(job)  # read anew from where the job stands
        else:
            done, apart = done + 1, max(0, apart - 1)
    return done


@transaction.atomic
def _fail(job_id: UUID, error: str) -> None:
    """Publishes ``crm.import.failed``."""
    job = ImportJob.objects.select_for_update().defer("content").get(pk=job_id)
    if job.is_working:
        job.error = error
        _finish(job, "failed", State.FAILED, db.now())


class _Source:
    """The rows of a job's file, read on from where the last batch ended."""

    def __init__(self, job: ImportJob) -> None:
        self._job = job
        self._rows: Iterator[Row] | None = None
        self._position = 0

    def batch(self, position: int, size: int) -> list[Row]:
        if self._rows is None or self._position != position:
            self._rows, self._position = _rows(self._job), 0
            for _row in islice(self._rows, position):
                self._position += 1
        found = list(islice(self._rows, size))
        self._position += len(found)
        return found


def _rows(job: ImportJob) -> Iterator[Row]:
    """The rows as their cells were read. What only one row can say (any of the noun's keys) and an earlier line said
    already is refused, naming that line.
    """
    fields = {field.code: field for field in INTAKES[job.entity].FIELDS}
    mapping = {int(number): code for number, code in job.mapping.items()}
    layout = Layout(job.encoding, job.delimiter, tuple(job.header))
    lines: dict[tuple[str, Any], int] = {}
    for position, (line, cells) in enumerate(csv_files.rows(bytes(job.content), layout)):
        row = import_fields.read(Row(position, line, cells), mapping, fields)
        for code in INTAKES[job.entity].KEYS:
            said = row.values.get(code)
            if said is not None and (first := lines.setdefault((code, said), line)) != line:
                text = f"{fields[code].label}: {said} stands in line {first} already"
                row.errors.append(import_fields.Error(code, text))
        yield row


@transaction.atomic
def _step(job_id: UUID, source: _Source, size: int, *, apart: bool) -> bool:
    """``apart``: after an error; a row that can't be dealt with by itself says so."""
    at = db.now()
    free = ImportJob.objects.select_for_update(of=("self",), skip_locked=True, no_key=True)
    job = free.filter(pk=job_id, state__in=ImportJob.WORKING).select_related("user").defer("content").first()
    if job is None:
        return False
    if not reach_of(job.user).writes.works:
        job.error = MAY_NOT
        _finish(job, "failed", State.FAILED, at)
        return False
    if job.state == State.UNDOING:
        return _take_back(job, size, at, apart=apart)
    return _take_in(job, source.batch(job.position, size), at, apart=apart)


def _take_in(job: ImportJob, rows: list[Row], at: datetime, *, apart: bool) -> bool:
    if not rows:
        _finish(job, "finished", State.DONE, at)
        return False
    outcomes = _apart(job, rows, at) if apart else _carried_out(job, rows, at)
    bulk.insert(ImportRow, [_told(job, outcome) for outcome in outcomes])
    for outcome in outcomes:
        name = COUNTED[ImportRow.State(outcome.state)]
        setattr(job, name, getattr(job, name) + 1)
    job.position, job.state, job.worked_at = job.position + len(rows), State.RUNNING, at
    job.save(update_fields=["position", "state", "worked_at", *COUNTED.values()])
    return True


@transaction.atomic
def _carried_out(job: ImportJob, rows: Sequence[Row], at: datetime) -> list[Outcome]:
    intake = INTAKES[job.entity]
    intake.lock(rows, at)
    outcomes = _planned(job, rows, at)
    intake.carry_out(outcomes, at=at)
    return outcomes


def _apart(job: ImportJob, rows: Sequence[Row], at: datetime) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for row in rows:
        try:
            outcomes += _carried_out(job, [row], at)
        except OperationalError:
            raise
        except Exception as error:
            log.exception("import_row_failed", job=job.public_id, line=row.line)
            outcome = Outcome(row)
            outcome.refuse("", STANDS_ELSEWHERE if isinstance(error, IntegrityError) else WRONG)
            outcomes.append(outcome)
    return outcomes


def _planned(job: ImportJob, rows: Sequence[Row], at: datetime) -> list[Outcome]:
    return INTAKES[job.entity].plan(rows, key=job.key, user=job.user, at=at)


def _told(job: ImportJob, outcome: Outcome) -> ImportRow:
    refused = outcome.state == ImportRow.State.REFUSED
    return bulk.new(
        ImportRow,
        job=job,
        position=outcome.row.position,
        line=outcome.row.line,
        state=outcome.state,
        object_id=outcome.object_id,
        errors=[{"field": error.field, "text": error.text} for error in outcome.row.errors],
        raw=outcome.row.cells if refused else [],
        before={} if refused else outcome.before,
        after={} if refused else outcome.after,
    )


def _finish(job: ImportJob, fact: str, state: str, at: datetime) -> None:
    job.state, job.finished_at = state, at
    job.save(update_fields=["state", "finished_at", "error"])
    counts = {name: getattr(job, name) for name in (*COUNTED.values(), "kept")}
    outbox.publish(f"crm.import.{fact}", job, at=at, data={"entity": job.entity, "total": job.total, **counts})


# --- taken back --------------------------------------------------------------------------------
DONE = (ImportRow.State.CREATED, ImportRow.State.UPDATED)
CHANGED_SINCE = "It was changed since."
HANGS_ON = "Something else belongs to it by now."
GONE = "It is not there any more, or not yours to change."


def _take_back(job: ImportJob, size: int, at: datetime, *, apart: bool) -> bool:
    """The last of the rows that the import made or changed, a batch of them."""
    rows = list(job.rows.filter(state__in=DONE).order_by("-position")[:size])
    if not rows:
        _finish(job, "undone", State.UNDONE, at)
        return False
    try:
        _taken_back(job, rows, at)
    except OperationalError:
        raise
    except Exception as error:
        if not apart:
            raise
        log.exception("import_row_failed", job=job.public_id, line=rows[0].line)
        why = STANDS_ELSEWHERE if isinstance(error, IntegrityError) else WRONG
        for row in rows:
            row.state, row.note = ImportRow.State.KEPT, why
    bulk.update(ImportRow, rows, ("state", "note"))
    job.undone, job.worked_at = job.undone + len(rows), at
    job.kept += sum(row.state == ImportRow.State.KEPT for row in rows)
    job.save(update_fields=["undone", "kept", "worked_at"])
    return True


@transaction.atomic
def _taken_back(job: ImportJob, rows: Sequence[ImportRow], at: datetime) -> None:
    """What locks come before the objects' own are taken first, as whoever makes one takes them."""
    intake = INTAKES[job.entity]
    intake.lock([], at)
    locked = {thing.pk: thing for thing in db.lock(intake.MODEL, [row.object_id for row in rows if row.object_id])}
    workable = intake.MODEL._default_manager.workable_by(job.user)  # type: ignore[attr-defined]
    mine = set(workable.filter(pk__in=locked).values_list("pk", flat=True))
    made = [row.object_id for row in rows if row.object_id and row.state == ImportRow.State.CREATED]
    held, told = intake.hanging(made), _told_since(made) | intake.worked(made)
    restored, removed = [], []
    for row in rows:
        thing = locked.get(row.object_id) if row.object_id else None
        row.note = CHANGED_SINCE if row.object_id in told else _why_not(row, thing, mine, held)
        if row.note:
            row.state = ImportRow.State.KEPT
        elif row.state == ImportRow.State.CREATED:
            removed.append(thing)
            row.state = ImportRow.State.REMOVED
        else:
            restored.append((thing, row.before))
            row.state = ImportRow.State.RESTORED
    if restored:
        intake.restore(restored, at=at)
    if removed:
        intake.remove(removed, at=at)


def _told_since(keys: Sequence[UUID]) -> set[UUID]:
    """Of what the import made, that of which somebody said something else since."""
    changes = FieldChange.objects.filter(object_id__in=keys).exclude(source=SOURCE)
    return set(changes.values_list("object_id", flat=True))


def _why_not(row: ImportRow, thing: Any, mine: Iterable[UUID], held: Iterable[UUID]) -> str:
    if thing is None or (row.state == ImportRow.State.UPDATED and thing.pk not in mine):
        return GONE
    if any(getattr(thing, name) != value for name, value in row.after.items()):
        return CHANGED_SINCE
    if row.state == ImportRow.State.CREATED and thing.pk in held:
        return HANGS_ON
    return ""


def fields_of(entity: str) -> Sequence[Field]:
    return INTAKES[entity].FIELDS
