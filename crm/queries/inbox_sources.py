"""Where Today's rows come from: each source is a queryset of the same columns; what waits, is snoozed, or is done.

What stands on a test clock is due by that clock's time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import models
from django.db.models import (
    BigIntegerField,
    Case,
    CharField,
    DateTimeField,
    Exists,
    F,
    OuterRef,
    Q,
    QuerySet,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce, Round

from crm import inbox
from crm.models import (
    Alert,
    EmailMessage,
    Lead,
    LeadTransition,
    Motion,
    Notification,
    Opportunity,
    SlaClock,
    Snooze,
    Task,
)
from crm.models.scoping import reach_of
from gtm.shared import periods, vendors
from gtm.shared.models import ExchangeRate, User
from gtm.shared.money import exponent

IN_NOW = (Alert.State.OPEN, Alert.State.ACKNOWLEDGED)
WAITING = (Lead.Lifecycle.LEAD, Lead.Lifecycle.MQL, Lead.Lifecycle.SQL)  # for an answer, a call, to be accepted
CLOSED = (Alert.State.DONE, Alert.State.DISMISSED)
COLUMNS = ("kind", "id", "tab", "severity", "due", "since", "worth", "band")
Rows = QuerySet[Any, Any]


@dataclass(frozen=True, slots=True)
class Desk:
    """Whose desk it is and when: ``at`` is now, ``since`` and ``until`` are the bounds of the reader's day."""

    user: User
    at: datetime
    since: datetime
    until: datetime


def desk(user: User, *, at: datetime) -> Desk:
    since = start_of_day(user, at)
    return Desk(user, at, since, since + timedelta(days=1))


def start_of_day(user: User, at: datetime) -> datetime:
    """When the user's day began, by the wall clock where they are."""
    return periods.start_of_day(at.astimezone(ZoneInfo(user.timezone)).date(), user.timezone)


# --- the sources -------------------------------------------------------------------------------
def of_tab(of: Desk, factors: Mapping[str, Decimal], tab: str) -> list[Rows]:
    """Every source of the tab, in the same columns."""
    return [_columns(rows(of), kind, tab, of, factors) for kind, rows in _OF_TAB[tab].items()]


def _columns(rows: Rows, kind: str, tab: str, of: Desk, factors: Mapping[str, Decimal]) -> Rows:
    """The row as the union takes it; a source names what it knows of ``due``, ``since``, ``severity`` and ``value``."""
    known = rows.query.annotations
    text, moment = CharField(), DateTimeField()
    annotated = rows.annotate(
        of_kind=Value(kind, output_field=text),
        tab=Value(tab, output_field=text),
        level=known.get("level") or Value("", output_field=text),
        due=known.get("due") or Value(None, output_field=moment),
        worth=_worth(factors, "value" in known),
    )
    annotated = annotated.annotate(band=_band(kind, of))
    return annotated.order_by().values_list("of_kind", "pk", "tab", "level", "due", "since", "worth", "band")


def _band(kind: str, of: Desk) -> Case:
    """``inbox.band``, for the database."""
    late, ranks = Q(due__lte=F("time")), inbox.OF_SEVERITY.items()
    return Case(
        *(When(late & Q(level=name), then=Value(min(inbox.LATE[kind], rank))) for name, rank in ranks),
        When(late, then=Value(inbox.LATE[kind])),
        *(When(level=name, then=Value(rank)) for name, rank in ranks),
        default=Value(inbox.WAITING[kind]),
    )


def _worth(factors: Mapping[str, Decimal], known: bool) -> Any:
    """What is at stake in the vendor's currency, 0 where nobody knows or no rate brings it there."""
    if not known:
        return Value(0, output_field=BigIntegerField())
    rates = [When(tender=currency, then=Value(factor)) for currency, factor in factors.items()]
    factor = Case(*rates, default=Value(Decimal(0)), output_field=models.DecimalField(max_digits=40, decimal_places=12))
    return Coalesce(Cast(Round(F("value") * factor), BigIntegerField()), Value(0, output_field=BigIntegerField()))


def factors_at(at: datetime) -> dict[str, Decimal]:
    """By what minor units of each currency become comparable; every currency with a rate, in one query."""
    base = vendors.current().base_currency
    dated = ExchangeRate.objects.filter(date__lte=at.date()).order_by("currency", "-date").distinct("currency")
    rates = dict(dated.values_list("currency", "rate")) | {base: Decimal(1)}
    minor = {currency: Decimal(10) ** (exponent(base) - exponent(currency)) for currency in rates}
    return {currency: (minor[currency] / rate).quantize(Decimal("1e-12")) for currency, rate in rates.items()}


def _timed(rows: Rows, of: Desk) -> Rows:
    """With what time it is for each row, and when its day ends. As annotations: a condition that named the test clock
    itself would leave out the rows that have none.
    """
    moment, clock = DateTimeField(), F("test_clock__frozen_time")
    return rows.annotate(
        time=Coalesce(clock, Value(of.at, output_field=moment)),
        day_ends=Coalesce(clock, Value(of.until, output_field=moment)),
    )


def alerts_of(user: User) -> QuerySet[Alert]:
    """One's own and those of one's teams' queues; a manager's people's too, where sales leads; all for founders."""
    if not user.sells:
        return Alert.objects.visible_to(user)
    reach = reach_of(user)
    led = Q(account__motion=Motion.SALES_LED, owner__in=reach.led.owners)
    return Alert.objects.filter(reach.own.where() | led)


def leads_of(user: User) -> QuerySet[Lead]:
    """One's own, and those of one's teams' queues; all for founders."""
    if not user.sells:
        return Lead.objects.visible_to(user)
    return Lead.objects.filter(reach_of(user).own.where())


def _books(of: Desk) -> tuple[UUID, ...]:
    """Whose tasks, deals and letters are on the desk: one's own, and those of whom one stands in for."""
    return reach_of(of.user).own.owners or (of.user.pk,)


def _alerts(of: Desk, since: str, **conditions: Any) -> Rows:
    running = SlaClock.objects.filter(alert=OuterRef("pk"), answered_at=None, state__in=("pending", "breached"))
    found = _timed(alerts_of(of.user), of).filter(**conditions)
    return found.annotate(
        level=F("severity"),
        value=F("value_at_stake"),
        tender=F("currency"),
        due=models.Subquery(running.values("due_at")[:1]),
        since=F(since),
    )


def _unanswered(of: Desk, *, snoozed: bool) -> Rows:
    running = SlaClock.objects.filter(lead=OuterRef("pk"), answered_at=None, state__in=("pending", "breached"))
    found = _put_off(_timed(leads_of(of.user), of).filter(lifecycle__in=WAITING), of, "lead", snoozed=snoozed)
    is_due = Q(lifecycle=Lead.Lifecycle.LEAD, answered_at=None)  # what was answered is late no more
    calm = Q(lifecycle=Lead.Lifecycle.MQL) | Q(lifecycle=Lead.Lifecycle.LEAD, answered_at__isnull=False)
    return found.annotate(
        due=Case(When(is_due, then=Coalesce(models.Subquery(running.values("due_at")[:1]), F("sla_due_at")))),
        level=Case(When(calm, then=Value("medium")), default=Value(""), output_field=CharField()),
    )


def _answered(of: Desk) -> Rows:
    steps = LeadTransition.objects.filter(from_lifecycle__in=WAITING, at__gte=of.since)
    return (
        _timed(leads_of(of.user), of)
        .filter(pk__in=steps.values("lead"))
        .exclude(lifecycle__in=WAITING)
        .annotate(since=F("updated_at"))
    )


def _put_off(found: Rows, of: Desk, name: str, *, snoozed: bool) -> Rows:
    """By the reader's own snoozes, for what has no column for them."""
    off = Snooze.objects.filter(user=of.user, **{name: OuterRef("pk")}, until__gt=OuterRef("time"))
    if not snoozed:
        return found.filter(~Exists(off)).annotate(since=F("created_at"))
    return found.annotate(since=models.Subquery(off.values("until")[:1])).filter(since__isnull=False)


def _tasks(of: Desk, **conditions: Any) -> Rows:
    """One's own of accounts that one sees; what it is worth, else what its deal is."""
    found = _timed(Task.objects.visible_to(of.user), of).filter(assignee__in=_books(of), **conditions)
    return found.annotate(
        due=F("due_at"),
        value=Coalesce(F("value_at_stake"), F("opportunity__amount")),
        tender=Case(When(value_at_stake__isnull=False, then=F("currency")), default=F("opportunity__currency")),
    )


def _due_tasks(of: Desk) -> Rows:
    awake = Q(snoozed_until=None) | Q(snoozed_until__lte=F("time"))
    return _tasks(of, state="open", due_at__lt=F("day_ends")).filter(awake).annotate(since=F("created_at"))


def _snoozed_tasks(of: Desk) -> Rows:
    return _tasks(of, state="open", snoozed_until__gt=F("time")).annotate(since=F("snoozed_until"))


def _closed_tasks(of: Desk) -> Rows:
    return _tasks(of, done_at__gte=of.since).exclude(state="open").annotate(since=F("done_at"))


def _next_steps(of: Desk, *, snoozed: bool) -> Rows:
    mine = _timed(Opportunity.objects.all(), of).filter(
        owner__in=_books(of), state="open", next_step_at__lt=F("day_ends")
    )
    found = _put_off(mine, of, "opportunity", snoozed=snoozed)
    return found.annotate(due=F("next_step_at"), value=F("amount"), tender=F("currency"))


def _replies(of: Desk, **conditions: Any) -> Rows:
    seen = _timed(EmailMessage.objects.visible_to(of.user), of)
    mine = seen.filter(user__in=_books(of), direction="in", account__isnull=False)
    return mine.filter(**conditions).annotate(value=F("opportunity__amount"), tender=F("opportunity__currency"))


def _unanswered_replies(of: Desk) -> Rows:
    awake = Q(snoozed_until=None) | Q(snoozed_until__lte=F("time"))
    return _replies(of, answered_at=None).filter(awake).annotate(since=F("received_at"))


def _snoozed_replies(of: Desk) -> Rows:
    return _replies(of, answered_at=None, snoozed_until__gt=F("time")).annotate(since=F("snoozed_until"))


def _answered_replies(of: Desk) -> Rows:
    return _replies(of, answered_at__gte=of.since).annotate(since=F("answered_at"))


def _mentions(of: Desk, **conditions: Any) -> Rows:
    return _timed(Notification.objects.of(of.user), of).filter(kind=Notification.Kind.MENTION, **conditions)


def _unread_mentions(of: Desk) -> Rows:
    awake = Q(snoozed_until=None) | Q(snoozed_until__lte=F("time"))
    return _mentions(of, read_at=None).filter(awake).annotate(since=F("told_at"))


_OF_TAB: dict[str, dict[str, Any]] = {
    inbox.NOW: {
        inbox.ALERT: lambda of: _alerts(of, "raised_at", state__in=IN_NOW),
        inbox.LEAD: lambda of: _unanswered(of, snoozed=False),
        inbox.TASK: _due_tasks,
        inbox.OPPORTUNITY: lambda of: _next_steps(of, snoozed=False),
        inbox.REPLY: _unanswered_replies,
        inbox.MENTION: _unread_mentions,
    },
    inbox.SNOOZED: {
        inbox.ALERT: lambda of: _alerts(of, "snoozed_until", state="snoozed"),
        inbox.LEAD: lambda of: _unanswered(of, snoozed=True),
        inbox.TASK: _snoozed_tasks,
        inbox.OPPORTUNITY: lambda of: _next_steps(of, snoozed=True),
        inbox.REPLY: _snoozed_replies,
        inbox.MENTION: lambda of: _mentions(of, read_at=None, snoozed_until__gt=F("time")).annotate(
            since=F("snoozed_until")
        ),
    },
    inbox.DONE: {
        inbox.ALERT: lambda of: _alerts(of, "updated_at", state__in=CLOSED, updated_at__gte=of.since),
        inbox.LEAD: _answered,
        inbox.TASK: _closed_tasks,
        inbox.REPLY: _answered_replies,
        inbox.MENTION: lambda of: _mentions(of, read_at__gte=of.since).annotate(since=F("read_at")),
    },
}
