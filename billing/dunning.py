"""Dunning, decided: what is to be done about unpaid invoices, and when. Pure: no clock, no database.

Cards are counted from the first failed charge, at its local clock time; bills on terms from their due date, whose
reminders leave at nine. At one instant a card is tried before anything is taken away.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import IntEnum
from typing import Any
from uuid import UUID

from gtm.shared import periods

REMINDER_HOUR = timedelta(hours=9)
MAX_DAY = 180
FINAL_ACTIONS = ("cancel", "unpaid", "leave")


class Rank(IntEnum):
    """In this order at one instant."""

    retry = 1
    new_method = 2
    overdue = 3
    reminder = 4
    end_access = 5
    notice = 6
    final = 7


@dataclass(frozen=True, slots=True)
class Schedule:
    """A policy: days since the first failed charge, since a due date for reminders, and what comes last."""

    retry_days: tuple[int, ...] = (1, 3, 7, 14)
    access_days: int = 7
    final_action: str = "cancel"
    reminder_days: tuple[int, ...] = (-3, 1, 7, 14, 30)
    terms_final_action: str = "leave"
    notice_days: int = 3

    @property
    def last_card_day(self) -> int:
        return max([*self.retry_days, self.access_days])

    @property
    def lead(self) -> int:
        """How many days before a due date the first reminder leaves."""
        return max(0, -min(self.reminder_days, default=0))


@dataclass(frozen=True, slots=True)
class CardTrack:
    """Charges that failed: since when, and whether only another method helps (given at ``retry_at``)."""

    failed_at: datetime
    needs_method: bool = False
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Bill:
    """An open invoice on terms. Reminders that would have left before it was issued never do."""

    id: UUID
    due_date: date
    issued_at: datetime


@dataclass(frozen=True, slots=True)
class Action:
    at: datetime
    kind: str
    day: int = 0
    bill: UUID | None = None

    @property
    def order(self) -> tuple[datetime, int, int, str]:
        return self.at, Rank[self.kind], self.day, str(self.bill)


Done = Mapping[tuple[str, UUID | None], int]
"""The latest day on which each kind of step was taken, by kind and bill; a later one makes up for those before."""


def actions(
    schedule: Schedule, *, card: CardTrack | None, bills: Iterable[Bill], timezone: str, managed: bool, done: Done
) -> list[Action]:
    """All that is still to be done, in order, should nobody pay. ``timezone`` is the payer's."""
    found = [] if card is None else _of_card(schedule, card, timezone, managed=managed)
    found += _of_terms(schedule, list(bills), timezone, managed=managed)
    return sorted((one for one in found if not _is_done(one, done)), key=lambda one: one.order)


def due(todo: Sequence[Action], *, at: datetime) -> list[Action]:
    """What is to be done by now. Of steps of one kind that were missed only the last one is taken."""
    latest: dict[tuple[str, UUID | None], Action] = {}
    for action in todo:
        if action.at <= at:
            latest[action.kind, action.bill] = action
    return sorted(latest.values(), key=lambda one: (Rank[one.kind], one.order))


def next_retry(todo: Sequence[Action]) -> datetime | None:
    return min((one.at for one in todo if one.kind in ("retry", "new_method")), default=None)


def schedule_of(terms: Mapping[str, Any]) -> Schedule:
    """From a case's copy of its policy."""
    lists = {name: tuple(terms[name]) for name in ("retry_days", "reminder_days")}
    return Schedule(**{**terms, **lists})


def problems(schedule: Schedule) -> dict[str, str]:
    """What is wrong with a policy, by field; empty where nothing is."""
    found = {}
    if any(not 1 <= day <= MAX_DAY for day in schedule.retry_days):
        found["retry_days"] = f"Days lie between 1 and {MAX_DAY}."
    if any(not -MAX_DAY <= day <= MAX_DAY for day in schedule.reminder_days):
        found["reminder_days"] = f"Days lie between {-MAX_DAY} and {MAX_DAY}."
    for name in ("retry_days", "reminder_days"):
        days: tuple[int, ...] = getattr(schedule, name)
        if list(days) != sorted(set(days)):
            found[name] = "Each day once, in order."
    for name in ("access_days", "notice_days"):
        if not 0 <= getattr(schedule, name) <= MAX_DAY:
            found[name] = f"Between 0 and {MAX_DAY} days."
    for name in ("final_action", "terms_final_action"):
        if getattr(schedule, name) not in FINAL_ACTIONS:
            found[name] = f"One of {', '.join(FINAL_ACTIONS)}."
    return found


def _is_done(action: Action, done: Done) -> bool:
    if action.kind == "new_method":
        return False
    return (action.kind, action.bill) in done and action.day <= done[action.kind, action.bill]


def _of_card(schedule: Schedule, card: CardTrack, timezone: str, *, managed: bool) -> list[Action]:
    """A managed customer loses nothing by itself: its owner is told, has time to act, and then a person decides."""

    def on(day: int) -> datetime:
        return periods.add_days(card.failed_at, day, timezone)

    last = schedule.last_card_day
    found = [] if card.needs_method else [Action(on(day), "retry", day) for day in schedule.retry_days]
    if card.retry_at is not None:
        found.append(Action(card.retry_at, "new_method"))
    if managed:
        return [*found, Action(on(last), "notice", last), Action(on(last + schedule.notice_days), "final", last)]
    return [
        *found,
        Action(on(schedule.access_days), "end_access", schedule.access_days),
        Action(on(last), "final", last),
    ]


def _of_terms(schedule: Schedule, bills: Sequence[Bill], timezone: str, *, managed: bool) -> list[Action]:
    found = [action for bill in bills for action in _of_bill(schedule, bill, timezone)]
    if not bills:
        return found
    oldest = min(bills, key=lambda bill: (bill.due_date, bill.id))
    last = max([1, *schedule.reminder_days])
    end = _on(oldest.due_date, last, timezone) + REMINDER_HOUR
    if not managed or schedule.terms_final_action == "leave":
        return [*found, Action(end, "final", last, oldest.id)]
    waits = periods.add_days(end, schedule.notice_days, timezone)
    return [*found, Action(end, "notice", last, oldest.id), Action(waits, "final", last, oldest.id)]


def _of_bill(schedule: Schedule, bill: Bill, timezone: str) -> list[Action]:
    reminders = [
        Action(_on(bill.due_date, day, timezone) + REMINDER_HOUR, "reminder", day, bill.id)
        for day in schedule.reminder_days
    ]
    overdue = Action(_on(bill.due_date, 1, timezone), "overdue", 1, bill.id)
    return [overdue, *(one for one in reminders if one.at > bill.issued_at)]


def _on(day: date, days: int, timezone: str) -> datetime:
    return periods.start_of_day(day + timedelta(days=days), timezone)
