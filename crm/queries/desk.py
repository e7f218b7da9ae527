"""What is on somebody's desk: alerts and leads to deal with, in the order in which they matter. Fixed numbers of
queries.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Case, Count, F, IntegerField, Q, QuerySet, Value, When

from crm.models import Alert, Lead, Motion
from crm.models.scoping import reach_of
from gtm.shared.models import User

NOW, SNOOZED, DONE = "now", "snoozed", "done"
TABS = (NOW, SNOOZED, DONE)
IN_NOW = (Alert.State.OPEN, Alert.State.ACKNOWLEDGED)
CLOSED = (Alert.State.DONE, Alert.State.DISMISSED)
SHOWN = 100
URGENCY = Case(
    *(When(severity=name, then=Value(rank)) for rank, name in enumerate(("critical", "high", "medium", "low"))),
    output_field=IntegerField(),
)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many stand under each tab of Today; ``now`` holds the leads that wait for an answer, too."""

    now: int
    snoozed: int
    done: int


def alerts_of(user: User) -> QuerySet[Alert]:
    """One's own and those of one's teams' queues; a manager's people's too, where sales leads; all for founders."""
    if not user.sells:
        return Alert.objects.visible_to(user)
    reach = reach_of(user)
    led = Q(account__motion=Motion.SALES_LED, owner__in=reach.led.owners)
    return Alert.objects.filter(reach.own.where() | led)


def leads_of(user: User) -> QuerySet[Lead]:
    """Leads that nobody has answered yet."""
    unanswered = Lead.objects.filter(lifecycle=Lead.Lifecycle.LEAD)
    if not user.sells:
        return unanswered.filter(pk__in=Lead.objects.visible_to(user).values("pk"))
    return unanswered.filter(reach_of(user).own.where())


def counts(user: User, *, since: datetime) -> Counts:
    """Two queries. ``since`` is when the reader's day began: what was done earlier is not counted."""
    closed_today = Q(state__in=CLOSED, updated_at__gte=since)
    found = alerts_of(user).aggregate(
        now=Count("pk", filter=Q(state__in=IN_NOW)),
        snoozed=Count("pk", filter=Q(state=Alert.State.SNOOZED)),
        done=Count("pk", filter=closed_today),
    )
    return Counts(found["now"] + leads_of(user).count(), found["snoozed"], found["done"])


def alerts(user: User, tab: str, *, since: datetime) -> list[Alert]:
    """Under Now the most urgent first, then the dearest; snoozed ones by when they return; done ones latest first."""
    found = alerts_of(user).select_related("account", "owner")
    if tab == SNOOZED:
        return list(found.filter(state=Alert.State.SNOOZED).order_by("snoozed_until", "pk")[:SHOWN])
    if tab == DONE:
        return list(found.filter(state__in=CLOSED, updated_at__gte=since).order_by("-updated_at", "pk")[:SHOWN])
    dearest = F("value_at_stake").desc(nulls_last=True)
    return list(found.filter(state__in=IN_NOW).order_by(URGENCY, dearest, "-raised_at", "pk")[:SHOWN])


def leads(user: User) -> list[Lead]:
    """Whoever waits longest for an answer first."""
    return list(leads_of(user).select_related("owner").order_by("sla_due_at", "pk")[:SHOWN])
