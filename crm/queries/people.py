"""The people of one's teams: what each has on the desk, who is away, and for whom somebody stands in."""

from dataclasses import dataclass
from datetime import datetime

from crm.models import Leave
from crm.models.scoping import led_by, reach_of
from crm.queries import books
from gtm.shared.models import User


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody whom one leads; ``leave`` is the present or the next one."""

    user: User
    teams: list[str]
    loads: dict[str, int]
    leave: Leave | None = None


def members(user: User, *, at: datetime) -> list[Member]:
    """Those whom ``user`` leads and who sell, or own something still; eight queries for any number."""
    people = list(led_by(user).prefetch_related("teams").order_by("name", "email"))
    loads = books.loads([one.pk for one in people])
    away: dict[object, Leave] = {}
    coming = Leave.objects.filter(user__in=people, ends_at__gt=at).select_related("cover").order_by("-starts_at")
    for leave in coming:
        away[leave.user_id] = leave
    return [
        Member(one, sorted(team.name for team in one.teams.all()), loads[one.pk], away.get(one.pk))
        for one in people
        if one.sells or any(loads[one.pk].values())
    ]


def stood_in_for(user: User) -> list[Leave]:
    """The leaves in which ``user`` stands in now; asks only where there are such."""
    keys = reach_of(user).stands_in_for
    if not keys:
        return []
    return list(Leave.objects.filter(cover=user, user__in=keys).in_force().select_related("user").order_by("ends_at"))
