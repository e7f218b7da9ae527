"""Imports: a file taken in, understood, looked at beforehand, worked off in batches, and taken back.

Each batch is one transaction, with the rows that say what became of it and with how far the job is: a worker that was
killed goes on behind the last batch, and no row is dealt with twice. What is refused says why, by the line of the file.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import transaction

from crm import account_intake, contact_intake, csv_files, import_fields, lead_intake
from crm.csv_files import Layout, Unreadable
from crm.import_fields import Field, Row
from crm.intake import SOURCE, Intake, Outcome
from crm.models import FieldChange, ImportJob, ImportMapping, ImportRow
from gtm.shared import bulk, context, db, nudges, outbox
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import User

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
    """Let the import be taken back; publishes ``crm.import.undo_started``. Raises Conflict for one that is not done."""
    job = db.lock_one(job)
    if job.state != State.DONE:
        raise Conflict("Only an import that is done can be undone.", code="wrong_state")
    _set_off(job, "undo_started", state=State.UNDOING, at=at)
    return job


def _set_off(job: ImportJob, fact: str, *, state: str, at: datetime) -> None:
    job.state, job.started_at = state, at
    job.save(update_fields=["state", "started_at"])
    outbox.publish(f"crm.import.{fact}", job, at=at, data={"entity": job.entity, "total": job.total})
    nudges.on_commit(WORKER)


# --- worked off --------------------------------------------------------------------------------
def work(*, job: ImportJob, batches: int | None = None) -> int:
    """Go on with the job, as its user; how many batches were dealt with. One that another works on is left to it."""
    done = 0
    source = _Source(job)
    with context.acting(f"user:{job.user.public_id}"):
        while (batches is None or done < batches) and _step(job.pk, source):
            done += 1
    return done


class _Source:
    """The rows of a job's file, read on from where the last batch ended."""

    def __init__(self, job: ImportJob) -> None:
        self._job = job
        self._rows: Iterator[Row] | None = None
        self._position = 0

    def batch(self, position: int) -> list[Row]:
        if self._rows is None or self._position != position:
            self._rows, self._position = _rows(self._job), 0
            for _row in islice(self._rows, position):
                self._position += 1
        found = list(islice(self._rows, INTAKES[self._job.entity].BATCH))
        self._position += len(found)
        return found


def _rows(job: ImportJob) -> Iterator[Row]:
    """The rows as their cells were read. One whose key stood in an earlier line is refused, naming that line."""
    fields = {field.code: field for field in INTAKES[job.entity].FIELDS}
    mapping = {int(number): code for number, code in job.mapping.items()}
    layout = Layout(job.encoding, job.delimiter, tuple(job.header))
    lines: dict[Any, int] = {}
    for position, (line, cells) in enumerate(csv_files.rows(bytes(job.content), layout)):
        row = import_fields.read(Row(position, line, cells), mapping, fields)
        key = row.values.get(job.key)
        if key is not None and (first := lines.setdefault(key, line)) != line:
            label = fields[job.key].label
            row.errors.append(import_fields.Error(job.key, f"{label}: {key} stands in line {first} already"))
        yield row


@transaction.atomic
def _step(job_id: UUID, source: _Source) -> bool:
    at = db.now()
    free = ImportJob.objects.select_for_update(of=("self",), skip_locked=True, no_key=True)
    job = free.filter(pk=job_id, state__in=ImportJob.WORKING).select_related("user").defer("content").first()
    if job is None:
        return False
    return _take_back(job, at) if job.state == State.UNDOING else _take_in(job, source.batch(job.position), at)


def _take_in(job: ImportJob, rows: list[Row], at: datetime) -> bool:
    if not rows:
        _finish(job, "finished", State.DONE, at)
        return False
    intake = INTAKES[job.entity]
    intake.lock(rows, at)
    outcomes = _planned(job, rows, at)
    intake.carry_out(outcomes, at=at)
    bulk.insert(ImportRow, [_told(job, outcome) for outcome in outcomes])
    for outcome in outcomes:
        name = COUNTED[ImportRow.State(outcome.state)]
        setattr(job, name, getattr(job, name) + 1)
    job.position, job.state, job.worked_at = job.position + len(rows), State.RUNNING, at
    job.save(update_fields=["position", "state", "worked_at", *COUNTED.values()])
    return True


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
    job.save(update_fields=["state", "finished_at"])
    counts = {name: getattr(job, name) for name in (*COUNTED.values(), "kept")}
    outbox.publish(f"crm.import.{fact}", job, at=at, data={"entity": job.entity, "total": job.total, **counts})


# --- taken back --------------------------------------------------------------------------------
DONE = (ImportRow.State.CREATED, ImportRow.State.UPDATED)
CHANGED_SINCE = "It was changed since."
HANGS_ON = "Something else belongs to it by now."
GONE = "It is not there any more, or not yours to change."


def _take_back(job: ImportJob, at: datetime) -> bool:
    """The last of the rows that the import made or changed, a batch of them."""
    intake = INTAKES[job.entity]
    rows = list(job.rows.filter(state__in=DONE).order_by("-position")[: intake.BATCH])
    if not rows:
        _finish(job, "undone", State.UNDONE, at)
        return False
    locked = {thing.pk: thing for thing in db.lock(intake.MODEL, [row.object_id for row in rows if row.object_id])}
    workable = intake.MODEL._default_manager.workable_by(job.user)  # type: ignore[attr-defined]
    mine = set(workable.filter(pk__in=locked).values_list("pk", flat=True))
    made = [row.object_id for row in rows if row.object_id and row.state == ImportRow.State.CREATED]
    held, told = intake.hanging(made), _told_since(made)
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
    bulk.update(ImportRow, rows, ("state", "note"))
    job.undone, job.worked_at = job.undone + len(rows), at
    job.kept += sum(row.state == ImportRow.State.KEPT for row in rows)
    job.save(update_fields=["undone", "kept", "worked_at"])
    return True


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
