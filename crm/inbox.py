"""What comes first on Today: by urgency, then by what is at stake, then by how long it has waited. Pure.

The database sorts by the same bands; a test holds the two together.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

ALERT, LEAD, TASK, OPPORTUNITY, REPLY, MENTION = "alert", "lead", "task", "opportunity", "reply", "mention"
KINDS = (ALERT, LEAD, TASK, OPPORTUNITY, REPLY, MENTION)
NOW, SNOOZED, DONE = "now", "snoozed", "done"
TABS = (NOW, SNOOZED, DONE)

BURNING, URGENT, TODAY, CALM = range(4)
OF_SEVERITY = {"critical": BURNING, "high": URGENT, "medium": TODAY, "low": CALM}
WAITING = {ALERT: CALM, LEAD: URGENT, TASK: TODAY, OPPORTUNITY: TODAY, REPLY: URGENT, MENTION: TODAY}
LATE = {ALERT: BURNING, LEAD: BURNING, TASK: URGENT, OPPORTUNITY: URGENT, REPLY: URGENT, MENTION: TODAY}

TAKE, DO, SNOOZE, DISMISS, BACK = "take", "done", "snooze", "not_useful", "back"
STEPS: dict[str, frozenset[str]] = {
    ALERT: frozenset({TAKE, DO, SNOOZE, DISMISS}),
    LEAD: frozenset({TAKE, DO, SNOOZE, DISMISS}),
    TASK: frozenset({DO, SNOOZE, DISMISS}),
    OPPORTUNITY: frozenset({SNOOZE}),
    REPLY: frozenset({DO, SNOOZE, DISMISS}),
    MENTION: frozenset({DO, SNOOZE}),
}
SNOOZES = {"1d": timedelta(days=1), "3d": timedelta(days=3), "7d": timedelta(days=7)}
REFUSALS = {
    (OPPORTUNITY, DO): "Write the next step: an open opportunity always has one.",
    (OPPORTUNITY, DISMISS): "An opportunity leaves Today by its next step, or by being closed.",
    (OPPORTUNITY, TAKE): "It is yours already.",
    (TASK, TAKE): "It is yours already.",
    (REPLY, TAKE): "It is yours already: open it to answer.",
    (MENTION, TAKE): "A mention is read, and that is all.",
    (MENTION, DISMISS): "A mention is read, and that is all.",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that waits. ``worth`` is in minor units of the vendor's currency; 0 where nothing is known."""

    kind: str
    id: UUID
    since: datetime
    severity: str = ""
    due_at: datetime | None = None
    worth: int = 0


def band(kind: str, severity: str, due_at: datetime | None, at: datetime) -> int:
    """How urgent it is at ``at``: 0 burns, 3 can wait. What is due is late from its instant on."""
    if due_at is not None and due_at <= at:
        return min(LATE[kind], OF_SEVERITY.get(severity, CALM))
    return OF_SEVERITY.get(severity, WAITING[kind])


def place(row: Row, at: datetime) -> tuple[int, int, datetime, UUID]:
    """Sort by this: the most urgent, then the dearest, then what has been due or waiting longest."""
    return band(row.kind, row.severity, row.due_at, at), -row.worth, row.due_at or row.since, row.id


def refusal(kind: str, step: str) -> str:
    """Why this kind of row can't take the step, in words; nothing where it can. Every kind can be brought back."""
    if step == BACK or step in STEPS[kind]:
        return ""
    return REFUSALS.get((kind, step), "That can't be done with it.")
