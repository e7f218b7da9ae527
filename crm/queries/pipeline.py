"""The board of a pipeline, and the deals of one account. A fixed number of queries, however many deals there are.

Sums are the database's, by stage and currency, and brought to the vendor's currency by the latest rates; a column
shows its first cards and pages through the rest by the index of its stage.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from django.db.models import Count, Q, QuerySet, Sum

from crm import confirmations, deals, opportunities, pipelines
from crm.models import Account, Confirmation, Motion, Opportunity, Pipeline, Risk, Stage
from crm.queries.revenue import converted, rates_at
from gtm.shared import periods, vendors
from gtm.shared.models import SALES_ROLES, User
from gtm.shared.money import round_half_up

CARDS = 15
PERIODS = ("this_quarter", "next_quarter", "overdue")


@dataclass(frozen=True, slots=True)
class Day:
    """Now, as the vendor counts days, quarters and money: read once for a page."""

    at: datetime
    today: date
    fiscal_year_start: int
    currency: str


def day_of(at: datetime) -> Day:
    vendor = vendors.current()
    today = periods.local_date(at, vendor.reporting_zone)
    return Day(at, today, vendor.fiscal_year_start, vendor.base_currency)


@dataclass(frozen=True, slots=True)
class Filters:
    """``owner`` and ``segment`` empty for all; ``period`` one of ``PERIODS`` by close date, or empty."""

    owner: UUID | None = None
    segment: str = ""
    period: str = ""


@dataclass(frozen=True, slots=True)
class Total:
    """A sum in ``currency``; ``amount`` None where rates to bring it there are ``missing``."""

    count: int
    amount: int | None
    currency: str
    missing: tuple[str, ...] = ()
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Card:
    deal: Opportunity
    days: int
    age: str
    open_criteria: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Column:
    stage: Stage
    total: Total
    cards: list[Card]
    page: int
    has_more: bool


@dataclass(frozen=True, slots=True)
class Phase:
    code: str
    label: str
    columns: list[Column]
    total: Total


# --- the board ---------------------------------------------------------------------------------
def board(
    *, pipeline: Pipeline, user: User | None, filters: Filters, at: datetime, paged: Mapping[str, int] | None = None
) -> list[Phase]:
    """The phases with their columns. ``paged``: the page of a column other than its first, by stage code."""
    path, day = pipelines.path(pipeline), day_of(at)
    found = _filtered(user, pipeline, filters, day)
    totals = _totals(found, day)
    pages = dict(paged or {})
    cards = _cards(found, path, day, pages)
    columns = [
        _column(
            stage, totals.get(stage.pk, Total(0, 0, day.currency)), cards.get(stage.pk, []), pages.get(stage.code, 1)
        )
        for stage in path
    ]
    phases = dict(Stage.Phase.choices)
    grouped = {code: [column for column in columns if column.stage.phase == code] for code in phases}
    return [
        Phase(code, str(phases[code]), of, together([c.total for c in of], day.currency))
        for code, of in grouped.items()
        if of
    ]


def column(
    *, pipeline: Pipeline, stage_code: str, page: int, user: User | None, filters: Filters, at: datetime
) -> Column | None:
    """One page of one column."""
    path = pipelines.path(pipeline)
    stage = next((one for one in path if one.code == stage_code), None)
    if stage is None:
        return None
    day = day_of(at)
    found = _filtered(user, pipeline, filters, day)
    cards = _cards(found.filter(stage=stage), [stage], day, {stage.code: page}, whole=path)
    return _column(stage, Total(0, None, ""), cards.get(stage.pk, []), page)


def _column(stage: Stage, total: Total, cards: list[Card], page: int) -> Column:
    return Column(stage, total, cards[:CARDS], page, has_more=len(cards) > CARDS)


def _filtered(user: User | None, pipeline: Pipeline, filters: Filters, day: Day) -> QuerySet[Opportunity]:
    """Open deals, and of the closed ones those of the period, which is this quarter unless another one is meant."""
    found = Opportunity.objects.visible_to(user).filter(pipeline=pipeline, test_clock=None)
    if filters.owner:
        found = found.filter(owner=filters.owner)
    if filters.segment:
        found = found.filter(account__segment=filters.segment)
    first, last = _bounds(filters.period, day)
    is_open = Q(state=Stage.Type.OPEN)
    closed = ~is_open & Q(closed_on__range=(first, last))
    if filters.period == "overdue":
        return found.filter(is_open, close_date__lt=day.today)
    return found.filter((is_open & Q(close_date__range=(first, last)) if filters.period else is_open) | closed)


def _bounds(period: str, day: Day) -> tuple[date, date]:
    first, last = deals.quarter(day.today, fiscal_year_start=day.fiscal_year_start)
    if period == "next_quarter":
        return deals.quarter(last + timedelta(days=1), fiscal_year_start=day.fiscal_year_start)
    return first, last


def _totals(found: QuerySet[Opportunity], day: Day) -> dict[UUID, Total]:
    rows = list(
        found.order_by()
        .values_list("stage_id", "currency")
        .annotate(n=Count("pk"), total=Sum("amount"), unknown=Count("pk", filter=Q(amount=None)))
    )
    currencies = {currency for _stage, currency, *_rest in rows}
    rates = rates_at(currencies=currencies, at=day.at, base=day.currency)
    by_stage: dict[UUID, list[tuple[str, int, int, int]]] = {}
    for stage, currency, count, total, unknown in rows:
        by_stage.setdefault(stage, []).append((currency, count, int(total or 0), unknown))
    return {stage: _total(parts, day.currency, rates) for stage, parts in by_stage.items()}


def _total(parts: Iterable[tuple[str, int, int, int]], base: str, rates: Mapping[str, Decimal]) -> Total:
    parts = list(parts)
    missing = tuple(sorted({currency for currency, *_rest in parts if currency not in rates}))
    count, unknown = sum(part[1] for part in parts), sum(part[3] for part in parts)
    if missing:
        return Total(count, None, base, missing, unknown)
    exact = sum((converted(total, currency, base, rates) for currency, _n, total, _unknown in parts), Fraction())
    return Total(count, round_half_up(exact), base, (), unknown)


def together(totals: Sequence[Total], currency: str) -> Total:
    """A sum of sums, each of which is what is shown."""
    missing = tuple(sorted({currency for total in totals for currency in total.missing}))
    amounts = [total.amount for total in totals]
    known = None if missing else sum(amount or 0 for amount in amounts)
    return Total(sum(t.count for t in totals), known, currency, missing, sum(t.unknown for t in totals))


def _cards(
    found: QuerySet[Opportunity],
    path: list[Stage],
    day: Day,
    pages: Mapping[str, int],
    *,
    whole: list[Stage] | None = None,
) -> dict[UUID, list[Card]]:
    """The first cards of each column, one more than are shown: one query for their keys, one for the rows."""
    keys: list[QuerySet[Opportunity, object]] = []
    for stage in path:
        start = (pages.get(stage.code, 1) - 1) * CARDS
        order = ("close_date", "id") if stage.type == Stage.Type.OPEN else ("-closed_on", "-id")
        keys.append(found.filter(stage=stage).order_by(*order).values("pk")[start : start + CARDS + 1])
    if not keys:
        return {}
    wanted = keys[0].union(*keys[1:], all=True) if len(keys) > 1 else keys[0]
    shown = list(
        Opportunity.objects.filter(pk__in=[row["pk"] for row in wanted])  # type: ignore[index]  # dicts, by values()
        .select_related("account", "owner")
        .order_by("close_date", "id")
    )
    made = cards(shown, path=whole or path, day=day)
    by_stage: dict[UUID, list[Card]] = {}
    for card in made:
        by_stage.setdefault(card.deal.stage_id, []).append(card)
    for stage in path:
        if stage.type != Stage.Type.OPEN and stage.pk in by_stage:
            by_stage[stage.pk].sort(key=lambda card: (card.deal.closed_on or date.min, card.deal.pk), reverse=True)
    return by_stage


def cards(shown: Sequence[Opportunity], *, path: list[Stage], day: Day) -> list[Card]:
    """What is worth knowing of each deal at a glance: its age, what is not confirmed, what to look at."""
    steps = {stage.pk: pipelines.terms(stage) for stage in path}
    confirmed = _confirmed([deal.pk for deal in shown])
    return [_card(deal, steps, confirmed.get(deal.pk, set()), day) for deal in shown]


def _card(deal: Opportunity, steps: Mapping[UUID, deals.Stage], confirmed: set[str], day: Day) -> Card:
    stage = steps[deal.stage_id]
    seen = look(deal, steps, confirmed, day.at)
    age = deals.age(seen.days_in_stage, stage.expected_days) if deal.state == Stage.Type.OPEN else "fresh"
    warned = deals.warnings(seen, at=day.at, today=day.today, fiscal_year_start=day.fiscal_year_start)
    return Card(deal, seen.days_in_stage, age, seen.open_criteria, tuple(warned))


def look(deal: Opportunity, steps: Mapping[UUID, deals.Stage], confirmed: Collection[str], at: datetime) -> deals.Look:
    """A deal as it is judged; select its account."""
    stage, segment = steps[deal.stage_id], deal.account.segment
    asked = () if stage.type != "open" or segment in stage.skip_segments else stage.criteria
    return deals.Look(
        category=deal.category,
        close_date=deal.close_date,
        close_date_basis=deal.close_date_basis,
        stage=stage,
        path=tuple(steps.values()),
        segment=segment,
        is_enterprise=deal.account.motion == Motion.SALES_LED,
        days_in_stage=(at - deal.stage_entered_at).days,
        next_step_at=deal.next_step_at,
        unresponsive_since=deal.unresponsive_since,
        push_count=deal.push_count,
        open_criteria=sum(one.required and one.id not in confirmed for one in asked),
    )


def _confirmed(keys: Collection[UUID]) -> dict[UUID, set[str]]:
    found: dict[UUID, set[str]] = {}
    rows = Confirmation.objects.filter(opportunity__in=keys).select_related("requirement") if keys else ()
    for row in rows:
        found.setdefault(row.opportunity_id, set()).add(row.requirement.public_id)
    return found


# --- one deal ----------------------------------------------------------------------------------
def gaps(deal: Opportunity, target: Stage, path: list[Stage]) -> list[deals.Gap]:
    """What a move to ``target`` lacks as the deal is now."""
    steps = {stage.pk: pipelines.terms(stage) for stage in path}
    return deals.gaps(
        deal=opportunities.as_told(deal),
        path=list(steps.values()),
        source=steps[deal.stage_id],
        target=steps[target.pk],
        category=deals.category_after(deal.stage, target, deal.category, is_overridden=deal.category_overridden),
        source_category=deal.category,
        confirmed=confirmations.met(deal),
        reason="",
    )


# --- others ------------------------------------------------------------------------------------
def of_account(account: Account, user: User | None) -> list[Opportunity]:
    """The account's deals that the reader sees: open ones first, by close date, then the latest closed ones."""
    found = Opportunity.objects.visible_to(user).filter(account=account).select_related("stage", "owner")
    shown = [*found.open().order_by("close_date", "id")[:20]]
    closed = found.exclude(state=Stage.Type.OPEN).order_by("-closed_on", "-id")[:10]
    return [*shown, *closed]


def sellers(user: User) -> list[User]:
    """Whose deals the reader may pick out."""
    active = User.objects.filter(is_active=True, roles__overlap=list(SALES_ROLES)).order_by("name", "email")
    if user.sees_all:
        return list(active)
    theirs = Opportunity.objects.visible_to(user).open().order_by().values("owner").distinct()
    return list(active.filter(pk__in=theirs))


def blocked_amounts(*, user: User | None, at: datetime) -> list[tuple[str, Total]]:
    """By the requirement that we lack, what open and lost deals are worth that wait for it; the largest first."""
    seen = Opportunity.objects.visible_to(user).filter(state__in=[Stage.Type.OPEN, Stage.Type.LOST])
    waits = Risk.objects.filter(kind=Risk.Kind.BLOCKER, resolved_at=None, opportunity__in=seen.values("pk"))
    rows = list(
        waits.order_by()
        .values_list("requirement", "opportunity", "opportunity__currency", "opportunity__amount")
        .distinct()
    )
    base = vendors.current().base_currency
    rates = rates_at(currencies={currency for *_which, currency, _amount in rows}, at=at, base=base)
    parts: dict[str, list[tuple[str, int, int, int]]] = {}
    for requirement, _deal, currency, amount in rows:
        parts.setdefault(requirement, []).append((currency, 1, amount or 0, int(amount is None)))
    found = [(requirement, _total(part, base, rates)) for requirement, part in parts.items()]
    return sorted(found, key=lambda one: -(one[1].amount or 0))
