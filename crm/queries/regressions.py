"""Deals that went a step back: nobody is kept from it, and everybody can see how often it happens."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, QuerySet

from crm import deals, timeline
from crm.models import Category, Opportunity, OpportunityEvent, Stage
from crm.queries.pipeline import day_of
from gtm.shared import periods, vendors
from gtm.shared.models import User


@dataclass(frozen=True, slots=True)
class StepBack:
    event: OpportunityEvent
    before: str
    after: str
    who: str


def steps(*, user: User | None, at: datetime) -> QuerySet[OpportunityEvent]:
    """Those of this and the last fiscal quarter, the newest first."""
    found = OpportunityEvent.objects.filter(is_backward=True, at__gte=_since(at))
    seen = Opportunity.objects.visible_to(user).filter(test_clock=None)
    return found.filter(opportunity__in=seen.values("pk")).select_related("opportunity").order_by("-at", "-pk")


def _since(at: datetime) -> datetime:
    day = day_of(at)
    first, _last = deals.quarter(day.today, fiscal_year_start=day.fiscal_year_start)
    before, _last = deals.quarter(first - timedelta(days=1), fiscal_year_start=day.fiscal_year_start)
    return periods.start_of_day(before, vendors.current().reporting_zone)


def by_person(*, user: User | None, at: datetime) -> list[tuple[str, int]]:
    """How often each person did, the most often first."""
    counted = steps(user=user, at=at).order_by().values_list("actor").annotate(n=Count("pk")).order_by("-n", "actor")
    rows = list(counted)
    names = timeline.names({actor for actor, _n in rows})
    return [(names.get(actor) or actor, count) for actor, count in rows]


def told(events: Iterable[OpportunityEvent]) -> list[StepBack]:
    """In words: stages and categories by their labels, people by their names."""
    found = list(events)
    codes = {code for event in found for code in (event.before, event.after)}
    labels = {str(code): str(label) for code, label in Category.choices}
    labels |= dict(Stage.objects.filter(code__in=codes).values_list("code", "label"))
    names = timeline.names({event.actor for event in found})
    return [
        StepBack(event, labels.get(event.before, ""), labels.get(event.after, ""), names.get(event.actor, ""))
        for event in found
    ]
