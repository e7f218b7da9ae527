"""When teams work: their hours, and calendars of public holidays with days of one's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import available_timezones

from django.db import transaction

from crm.models import Holiday, HolidayCalendar, WorkingHours
from crm.queries import schedules
from gtm.shared import db, outbox, saving
from gtm.shared.errors import Invalid


@dataclass(frozen=True, slots=True)
class DayTerms:
    """A day off of one's own, or (``is_working``) a public holiday on which one works."""

    on: date
    name: str = ""
    is_working: bool = False


@transaction.atomic
def create_calendar(*, at: datetime, code: str, name: str, days: Sequence[DayTerms] = (), **fields: Any) -> Any:
    """Raises Invalid for a code that is taken, and for a country or part of it whose holidays nobody knows."""
    calendar = HolidayCalendar(code=code, name=name, **fields)
    _check_place(calendar, at)
    saving.insert(calendar)
    _write_days(calendar, days)
    outbox.publish("crm.holiday_calendar.created", calendar, at=at, data={"code": code, "days": len(days)})
    return calendar


@transaction.atomic
def change_calendar(
    *, calendar: HolidayCalendar, at: datetime, days: Sequence[DayTerms] | None = None, **changes: Any
) -> HolidayCalendar:
    """Set what is given, and replace one's own days where they are. Clocks that run keep the time they have."""
    calendar = db.lock_one(calendar)
    changed = {name for name, value in changes.items() if getattr(calendar, name) != value}
    for name in changed:
        setattr(calendar, name, changes[name])
    _check_place(calendar, at)
    saving.clean(calendar)
    calendar.save(update_fields=changed)
    if days is not None and _days(calendar) != {(d.on, d.name, d.is_working) for d in days}:
        calendar.days.all().delete()
        _write_days(calendar, days)
        changed.add("days")
    if changed:
        data = {"code": calendar.code, "changed": sorted(changed)}
        outbox.publish("crm.holiday_calendar.changed", calendar, at=at, data=data)
    return calendar


def _check_place(calendar: HolidayCalendar, at: datetime) -> None:
    try:
        schedules.public(calendar.country.upper(), calendar.subdivision, at.year)
    except NotImplementedError as error:
        attr = "subdivision" if calendar.subdivision else "country"
        raise Invalid("Its holidays are not known. Leave it empty and give the days below.", attr=attr) from error


def _days(calendar: HolidayCalendar) -> set[tuple[date, str, bool]]:
    return set(calendar.days.values_list("on", "name", "is_working"))


def _write_days(calendar: HolidayCalendar, days: Sequence[DayTerms]) -> None:
    if len({day.on for day in days}) < len(days):
        raise Invalid("A day stands there twice.", attr="days")
    rows = [Holiday(calendar=calendar, on=day.on, name=day.name, is_working=day.is_working) for day in days]
    Holiday.objects.bulk_create(rows)


# --- hours -------------------------------------------------------------------------------------
@transaction.atomic
def create_hours(*, at: datetime, **fields: Any) -> WorkingHours:
    """Hours of a team, or of everybody without some. Raises Invalid for hours that are none, and a second of either."""
    hours = WorkingHours(**fields)
    _check_hours(hours)
    saving.insert(hours)
    _tell(hours, "crm.working_hours.created", at)
    return hours


@transaction.atomic
def change_hours(*, hours: WorkingHours, at: datetime, **changes: Any) -> WorkingHours:
    """Raises as ``create_hours`` does. Clocks that run keep the time they have."""
    hours = db.lock_one(hours)
    changed = {name for name, value in changes.items() if getattr(hours, name) != value}
    for name in changed:
        setattr(hours, name, changes[name])
    _check_hours(hours)
    if changed:
        saving.clean(hours, only=changed)
        hours.save(update_fields=changed)
        _tell(hours, "crm.working_hours.changed", at)
    return hours


@transaction.atomic
def remove_hours(*, hours: WorkingHours, at: datetime) -> None:
    """From then on those of everybody count."""
    hours = db.lock_one(hours)
    _tell(hours, "crm.working_hours.removed", at)
    hours.delete()


def _check_hours(hours: WorkingHours) -> None:
    if str(hours.closes) <= str(hours.opens):
        raise Invalid("One closes after one has opened.", attr="closes")
    if not hours.weekdays or not set(hours.weekdays) <= set(range(7)):
        raise Invalid("Give at least one day of the week: 0 is Monday, 6 is Sunday.", attr="weekdays")
    if hours.zone and hours.zone not in available_timezones():
        raise Invalid("There is no such time zone.", attr="zone")
    taken = WorkingHours.objects.filter(team=hours.team).exclude(pk=hours.pk)
    if taken.exists():
        raise Invalid("These hours are given already: change them.", attr="team")


def _tell(hours: WorkingHours, fact: str, at: datetime) -> None:
    data = {"team": hours.team.code if hours.team else None, "opens": str(hours.opens), "closes": str(hours.closes)}
    outbox.publish(fact, hours, at=at, data=data)
