"""When people work: the hours and holidays of their teams, for many at once in a fixed number of queries."""

from collections.abc import Callable, Collection
from datetime import date, datetime
from functools import cache
from uuid import UUID

import holidays as public_holidays

from crm.business_hours import Schedule
from crm.models import Holiday, HolidayCalendar, Queue, TeamMembership, WorkingHours
from gtm.shared import vendors
from gtm.shared.models import User

Find = Callable[[UUID | None, UUID | None], Schedule]
YEARS_AHEAD = 2


def of(*, owner_ids: Collection[UUID], queue_ids: Collection[UUID], at: datetime) -> Find:
    """A function (owner, queue) -> schedule: that of a team the owner is in, or that watches the queue; else of
    everybody; else Monday to Friday, nine to six, by the clock of the vendor.
    """
    hours = list(WorkingHours.objects.select_related("calendar").order_by("pk"))
    by_team = {row.team_id: row for row in hours}
    default = by_team.pop(None, None)
    teams = _teams(owner_ids, queue_ids) if by_team else {}
    zones = dict(User.objects.filter(pk__in=owner_ids).values_list("pk", "timezone")) if hours else {}
    free = _holidays({row.calendar for row in hours if row.calendar}, at.year) if hours else {}
    standard = vendors.current().reporting_zone

    def find(owner_id: UUID | None, queue_id: UUID | None) -> Schedule:
        team_ids = teams.get(owner_id or queue_id, ())
        row = next((by_team[team_id] for team_id in team_ids if team_id in by_team), default)
        if row is None:
            return Schedule(standard)
        zone = row.zone or (zones.get(owner_id, "") if owner_id else "") or standard
        days_off = free.get(row.calendar_id, frozenset())
        return Schedule(zone, row.opens, row.closes, frozenset(row.weekdays), days_off)

    return find


def _teams(owner_ids: Collection[UUID], queue_ids: Collection[UUID]) -> dict[UUID | None, list[UUID]]:
    found: dict[UUID | None, list[UUID]] = {}
    memberships = TeamMembership.objects.filter(user__in=owner_ids).order_by("pk").values_list("user", "team")
    for user_id, team_id in memberships:
        found.setdefault(user_id, []).append(team_id)
    for queue_id, team_id in Queue.objects.filter(pk__in=queue_ids).values_list("pk", "team"):
        found.setdefault(queue_id, []).append(team_id)
    return found


def _holidays(calendars: Collection[HolidayCalendar], year: int) -> dict[UUID | None, frozenset[date]]:
    own: dict[UUID, dict[date, bool]] = {calendar.pk: {} for calendar in calendars}
    for row in Holiday.objects.filter(calendar__in=calendars):
        own[row.calendar_id][row.on] = row.is_working
    return {
        calendar.pk: frozenset(
            day
            for day in {*public(calendar.country, calendar.subdivision, year), *own[calendar.pk]}
            if not own[calendar.pk].get(day, False)
        )
        for calendar in calendars
    }


@cache
def public(country: str, subdivision: str, year: int) -> frozenset[date]:
    """The public holidays of that year and the next. Raises NotImplementedError for a country that is not known."""
    if not country:
        return frozenset()
    years = range(year, year + YEARS_AHEAD)
    return frozenset(public_holidays.country_holidays(country, subdiv=subdivision or None, years=years))
