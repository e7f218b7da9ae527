"""Whose rows are whose: the one place that decides what somebody may read and what they may change.

A role reads and writes ``none``, ``own``, ``team`` or ``all``; of several roles the widest counts. Everything hangs on
the account: a contact, an alert, a lead is where its account is. One's own are the accounts that one owns, those that
wait in the queues of one's teams, and the books of colleagues who are away and named one as their stand-in. The team's
are those of the teams that one belongs to and of all teams below them, at any depth; a manager of a team has its
team's whatever the role says, unless it says ``none``.

What somebody reaches is asked for once per request, by one query, and put into every condition as plain keys: with
those the planner knows how many rows to expect and takes the index of the owner, which it can't by a subquery.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from uuid import UUID

from django.db import connection, models
from django.db.models import Q

from gtm.shared import context
from gtm.shared.models import Role, Row, User

M = TypeVar("M", bound=models.Model)


class Level(models.TextChoices):
    NONE = "none", "None"
    OWN = "own", "Own"
    TEAM = "team", "Team"
    ALL = "all", "All"


RANKS = {level: rank for rank, level in enumerate(Level.values)}
DEFAULTS: dict[str, tuple[str, str]] = {
    Role.FOUNDER: (Level.ALL, Level.ALL),
    Role.FINANCE: (Level.ALL, Level.NONE),
    Role.SALES_MANAGER: (Level.TEAM, Level.TEAM),
    Role.AE: (Level.OWN, Level.OWN),
    Role.CSM: (Level.OWN, Level.OWN),
    Role.SDR: (Level.OWN, Level.OWN),
}


class RoleScope(Row):
    """What a role reads and writes of the CRM, where the founders said so; ``DEFAULTS`` holds for the others."""

    PREFIX = "scope"

    role = models.CharField(max_length=20, choices=Role.choices, unique=True)
    reads = models.CharField(max_length=4, choices=Level.choices, help_text="Whose accounts the role sees.")
    writes = models.CharField(
        max_length=4, choices=Level.choices, help_text="Whose accounts the role may work; never more than it sees."
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(writes=Level.NONE)
                | Q(reads=Level.ALL)
                | Q(reads=models.F("writes"))
                | Q(reads=Level.TEAM, writes=Level.OWN),
                name="crm_rolescope_writes_what_it_reads",
            ),
            models.CheckConstraint(
                condition=~Q(role=Role.FOUNDER) | Q(reads=Level.ALL, writes=Level.ALL),
                name="crm_rolescope_founders_work_everything",
            ),
        ]

    def __str__(self) -> str:
        return self.get_role_display()


@dataclass(frozen=True, slots=True)
class Side:
    """Reading or writing: everything, or what these people own and what waits in these queues."""

    everything: bool = False
    owners: tuple[UUID, ...] = ()
    queues: tuple[UUID, ...] = ()

    def where(self, path: str = "") -> Q:
        """The condition on the account that stands at ``path``, such as ``account__``."""
        return Q(**{f"{path}owner__in": self.owners}) | Q(**{f"{path}queue__in": self.queues})

    @property
    def works(self) -> bool:
        """Whether it reaches anything at all."""
        return self.everything or bool(self.owners)

    def __or__(self, other: "Side") -> "Side":
        return _side({*self.owners, *other.owners}, {*self.queues, *other.queues})


EVERYTHING, NOTHING = Side(everything=True), Side()


@dataclass(frozen=True, slots=True)
class Reach:
    """How far somebody's reading and writing goes now.

    ``own``: what is on one's own desk, however far one reads: one's own, the books of those one stands in for, and
    one's teams' queues. ``led``: what the teams hold that one manages.
    """

    reads: Side
    writes: Side
    own: Side = NOTHING
    led: Side = NOTHING
    stands_in_for: tuple[UUID, ...] = ()


def reach_of(user: User | None) -> Reach:
    """One query per request at most. None is the installation, which reaches everything, as founders do."""
    if user is None:
        return Reach(EVERYTHING, EVERYTHING)
    if not user.is_active:
        return Reach(NOTHING, NOTHING)
    return context.once(("crm.reach", user.pk), lambda: _asked(user))


def _asked(user: User) -> Reach:
    with connection.cursor() as cursor:
        cursor.execute(_REACH, {"user": user.pk})
        rows = cursor.fetchall()
    said = {role: (reads, writes) for kind, role, reads, writes, _key in rows if kind == "role"}
    keys: dict[str, set[UUID]] = defaultdict(set)
    for kind, _role, _reads, _writes, key in rows:
        keys[kind].add(key)
    own = _side({user.pk} | keys["cover"], keys["queue"])
    led = _side(keys["led_owner"], keys["led_queue"])
    near = _side(keys["near_owner"], keys["near_queue"])
    levels = [said.get(role, DEFAULTS[role]) for role in user.roles]
    if user.is_superuser:
        levels.append(DEFAULTS[Role.FOUNDER])
    wholes = {Level.NONE: NOTHING, Level.OWN: own | led, Level.TEAM: own | led | near, Level.ALL: EVERYTHING}
    reads, writes = (wholes[Level(_widest(side))] for side in (zip(*levels, strict=True) if levels else ((), ())))
    return Reach(reads, writes, own, led, stands_in_for=tuple(sorted(keys["cover"])))


def _widest(levels: Iterable[str]) -> str:
    return max(levels, key=RANKS.__getitem__, default=Level.NONE)


def _side(owners: set[UUID], queues: set[UUID]) -> Side:
    return Side(owners=tuple(sorted(owners)), queues=tuple(sorted(queues)))


def led_by(user: User) -> models.QuerySet[User]:
    """The people whom one leads, oneself left out: those of the teams that one manages, everybody for founders."""
    people = User.objects.exclude(pk=user.pk).exclude(roles=[])
    if user.is_active and (user.is_superuser or user.has_role(Role.FOUNDER)):
        return people
    return people.filter(pk__in=reach_of(user).led.owners)


# ``now()`` is the edge's clock here: a stand-in's days begin and end by themselves, whoever asks.
_REACH = """
    WITH RECURSIVE mine AS (SELECT team_id, is_manager FROM crm_teammembership WHERE user_id = %(user)s),
    led AS (
        SELECT team_id FROM mine WHERE is_manager
        UNION SELECT team.id FROM crm_team team JOIN led ON team.parent_id = led.team_id
    ),
    near AS (
        SELECT team_id FROM mine
        UNION SELECT team.id FROM crm_team team JOIN near ON team.parent_id = near.team_id
    )
    SELECT 'role', role, reads, writes, NULL::uuid FROM crm_rolescope
    UNION ALL SELECT 'cover', '', '', '', user_id FROM crm_leave
        WHERE cover_id = %(user)s AND starts_at <= now() AND ends_at > now()
    UNION ALL SELECT 'queue', '', '', '', id FROM crm_queue WHERE team_id IN (SELECT team_id FROM mine)
    UNION ALL SELECT 'led_queue', '', '', '', id FROM crm_queue WHERE team_id IN (SELECT team_id FROM led)
    UNION ALL SELECT 'led_owner', '', '', '', user_id FROM crm_teammembership WHERE team_id IN (SELECT team_id FROM led)
    UNION ALL SELECT 'near_queue', '', '', '', id FROM crm_queue WHERE team_id IN (SELECT team_id FROM near)
    UNION ALL SELECT 'near_owner', '', '', '', user_id FROM crm_teammembership
        WHERE team_id IN (SELECT team_id FROM near)
"""


class Scoped(models.QuerySet[M]):
    """Rows that hang on an account, by the ``PATH`` to it.

    ``OWN`` names columns by which a row is one's own wherever its account is, such as an opportunity's owner; ``ALONE``
    those by which a row without an account is one's own and nobody else's, such as a task's assignee.
    """

    PATH = "account__"
    OWN: tuple[str, ...] = ()
    ALONE: tuple[str, ...] = ()

    def visible_to(self, user: User | None) -> Self:
        """What the user may read. None: the installation, which reads everything."""
        return self._within(reach_of(user).reads, user)

    def workable_by(self, user: User | None) -> Self:
        """What the user may change, which is never more than they may read. None: the installation."""
        return self._within(reach_of(user).writes, user)

    def _within(self, side: Side, user: User | None) -> Self:
        if user is None or (user.sees_all and side.everything):
            return self
        alone = Q()
        for column in self.ALONE:
            alone |= Q(**{"account": None, column: user})
        if side.everything:
            return self.filter(alone | Q(account__isnull=False)) if alone else self
        if not side.owners:
            return self.none()
        if not self.OWN and not self.ALONE:
            return self.filter(side.where(self.PATH))
        return self.filter(pk__in=self._keys(side, alone))

    def _keys(self, side: Side, alone: Q) -> "models.QuerySet[M, Any]":
        """The rows' keys, each way to them by itself: "this table's owner or that one's" would join every row to its
        account before it could leave one out, where each of the two alone goes by its index.
        """
        rows = self.model._base_manager
        ways = [Q(**{f"{column}__in": side.owners}) for column in self.OWN] + ([alone] if alone else [])
        found = rows.filter(side.where(self.PATH)).values("pk")
        return found.union(*(rows.filter(way).values("pk") for way in ways), all=True)
