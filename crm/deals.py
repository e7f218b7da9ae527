"""What decides about a deal: what a move still lacks, how its dates and steps are judged, and what puts it at risk.

Pure. Dates are those of the vendor's reporting zone; quarters are of its fiscal year.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol

COMMIT_RISK_DAYS = 7
ENTERPRISE_DAYS = 90
ROADMAP_MONTHS = (12, 18)
VERY_OLD = 1.5
FIRM = frozenset({"best_case", "commit"})  # categories from which amount and close date must rest on something
RANK = {"omitted": 0, "pipeline": 1, "best_case": 2, "commit": 3, "closed": 4}


@dataclass(frozen=True, slots=True)
class Criterion:
    """A requirement of a stage: ``kind`` our_action or buyer_confirmation."""

    id: str
    kind: str
    text: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class Stage:
    id: str
    label: str
    position: int
    phase: str
    category: str
    type: str = "open"
    is_redlining: bool = False
    expected_days: int = 14
    skip_segments: tuple[str, ...] = ()
    criteria: tuple[Criterion, ...] = ()


class Placed(Protocol):
    """A stage, as far as its place goes."""

    @property
    def position(self) -> int: ...
    @property
    def type(self) -> str: ...
    @property
    def category(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Deal:
    """A deal as it would be after the move."""

    segment: str = ""
    amount: int | None = None
    close_date_basis: str = ""
    compelling_event: str = ""
    next_step: str = ""
    next_step_at: datetime | None = None
    competitor: str = ""
    lost_reason: str = ""
    lost_category: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """One thing that a move lacks: ``attr`` is the field to give, ``criterion`` the one to confirm."""

    attr: str
    code: str
    criterion: Criterion | None = None


# --- moving ------------------------------------------------------------------------------------
def gaps(
    *,
    deal: Deal,
    path: Sequence[Stage],
    source: Stage,
    target: Stage,
    category: str,
    source_category: str,
    confirmed: Collection[str],
    reason: str,
) -> list[Gap]:
    """All that is missing for the move, at once. ``path``: the stages of the pipeline by position."""
    missing = [Gap(field, "required") for field in required(target, category, deal) if _is_empty(deal, field)]
    if is_backward(source, target, source_category, category) and not reason.strip():
        missing.append(Gap("reason", "required"))
    for criterion in open_criteria(deal.segment, path, source, target, confirmed):
        missing.append(Gap(f"confirmations.{criterion.id}", "unconfirmed", criterion))
    return missing


def required(target: Stage, category: str, deal: Deal) -> list[str]:
    """The fields that a deal has in that stage and category."""
    if target.type == "lost":
        return ["lost_reason", *(["competitor"] if deal.lost_category == "competition" else [])]
    if target.type == "won":
        return ["amount"]
    firm = ["amount", "close_date_basis"] if category in FIRM or target.category in FIRM else []
    if firm and deal.close_date_basis == "compelling_event":
        firm.append("compelling_event")
    return [*firm, "next_step", "next_step_at"]


def _is_empty(deal: Deal, field: str) -> bool:
    value = getattr(deal, field)
    return value is None or value == ""


def open_criteria(
    segment: str, path: Sequence[Stage], source: Stage, target: Stage, confirmed: Collection[str]
) -> list[Criterion]:
    """What must be so before the stages that the move leaves or passes are left. A loss passes none."""
    if target.type == "lost" or target.position <= source.position:
        return []
    passed = [s for s in path if source.position <= s.position < target.position and segment not in s.skip_segments]
    return [c for s in passed for c in s.criteria if c.required and c.id not in confirmed]


def is_backward(source: Placed, target: Placed, source_category: str, category: str) -> bool:
    """A step back in the stages, or to a less certain category, which moves the number as well."""
    if target.type == "lost":
        return False
    if source.type != "open":
        return target.type == "open"
    return target.position < source.position or RANK[category] < RANK[source_category]


def category_after(source: Placed, target: Placed, present: str, *, is_overridden: bool) -> str:
    """The category after a change that names none: the present one where the deal stays, else the target's, unless
    the deal moves forward and a person has judged it to be of a surer one.
    """
    if target.position == source.position:
        return present
    is_forward = source.type == target.type == "open" and target.position > source.position
    return present if is_forward and is_overridden and RANK[present] > RANK[target.category] else target.category


# --- close dates -------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Shift:
    """What a new close date means: pushed later, and slipped out of the quarter it was in."""

    is_push: bool
    is_slip: bool


def shift(before: date, after: date, *, fiscal_year_start: int) -> Shift:
    pushed = after > before
    return Shift(pushed, pushed and after > quarter(before, fiscal_year_start=fiscal_year_start)[1])


def quarter(day: date, *, fiscal_year_start: int) -> tuple[date, date]:
    """The first and the last day of the fiscal quarter."""
    months = day.year * 12 + day.month - 1
    first = months - (months - (fiscal_year_start - 1)) % 3
    after = first + 3
    return date(first // 12, first % 12 + 1, 1), date(after // 12, after % 12 + 1, 1) - timedelta(days=1)


def closed_on(*, policy: str, close_date: date, today: date) -> date:
    """The day that counts as the one of a loss: the day it was learned, or the one that was aimed at."""
    return close_date if policy == "target" else today


def likely_close(today: date, stages: Iterable[Stage], *, segment: str) -> date:
    """A first guess at a close date: the days that the stages usually take."""
    days = sum(s.expected_days for s in stages if s.type == "open" and segment not in s.skip_segments)
    return today + timedelta(days=days)


# --- what to look at ---------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Look:
    """What is judged: a deal in its stage, on a day."""

    category: str
    close_date: date
    close_date_basis: str
    stage: Stage
    path: tuple[Stage, ...]
    segment: str
    is_enterprise: bool
    days_in_stage: int
    next_step_at: datetime | None = None
    unresponsive_since: date | None = None
    push_count: int = 0
    open_criteria: int = 0


def commit_risk(look: Look, *, today: date, fiscal_year_start: int) -> bool:
    """A committed deal that should close within a week, or in a quarter that ends within one, and whose papers nobody
    marks up yet. Where the segment leaves redlining out there is nothing to wait for.
    """
    papers = [s for s in look.path if s.is_redlining and look.segment not in s.skip_segments]
    if look.category != "commit" or look.stage.type != "open" or not papers:
        return False
    if look.stage.position >= min(s.position for s in papers):
        return False
    end = quarter(today, fiscal_year_start=fiscal_year_start)[1]
    is_due = (look.close_date - today).days <= COMMIT_RISK_DAYS
    return is_due or (look.close_date <= end and (end - today).days <= COMMIT_RISK_DAYS)


def warnings(look: Look, *, at: datetime, today: date, fiscal_year_start: int) -> list[str]:
    """Codes of what somebody should look at, the gravest first."""
    if look.stage.type != "open":
        return []
    end = quarter(today, fiscal_year_start=fiscal_year_start)[1]
    is_soon = look.close_date <= end or (look.close_date - today).days < ENTERPRISE_DAYS
    found = {
        "commit_risk": commit_risk(look, today=today, fiscal_year_start=fiscal_year_start),
        "close_date_passed": look.close_date < today,
        "close_date_too_soon": look.category == "pipeline" and look.is_enterprise and is_soon,
        "close_date_without_basis": look.category in FIRM and not look.close_date_basis,
        "next_step_overdue": look.next_step_at is not None and look.next_step_at < at,
        "unresponsive": look.unresponsive_since is not None,
        "pushed_often": look.push_count >= 3,
        "stuck": age(look.days_in_stage, look.stage.expected_days) == "very_old",
    }
    return [code for code, holds in found.items() if holds]


def age(days: int, expected: int) -> str:
    """``fresh``, ``old`` past the expected days, ``very_old`` past one and a half times as many."""
    if days > expected * VERY_OLD:
        return "very_old"
    return "old" if days > expected else "fresh"


def diagnosis(*, phase: str, days: int, expected: int, push_count: int) -> str:
    """Where to look when a deal doesn't get on: the top of the funnel, the comparison, or the papers. Empty if it
    does.
    """
    stuck = age(days, expected) != "fresh"
    if phase == "vendor_of_choice" and (stuck or push_count):
        return "papers"
    if not stuck:
        return ""
    return {"conversation": "persuasion", "funded_project": "differentiation"}.get(phase, "")


def roadmap_is_usual(raised: date, promised: date) -> bool:
    """Whether a gap's date on the roadmap is not later than buyers put up with: 18 months."""
    months = (promised.year - raised.year) * 12 + promised.month - raised.month
    return months < ROADMAP_MONTHS[1] or (months == ROADMAP_MONTHS[1] and promised.day <= raised.day)


# --- history -----------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Stay:
    """A deal's time in a stage; ``until`` is None where it stands there still."""

    stage: str
    since: datetime
    until: datetime | None = None

    def days(self, at: datetime) -> int:
        return ((self.until or at) - self.since).days


def stays(entries: Iterable[tuple[str, datetime]]) -> list[Stay]:
    """From the moments at which a deal entered stages, in order. Coming back makes another stay."""
    found = list(entries)
    after = [moment for _stage, moment in found[1:]]
    return [Stay(stage, since, until) for (stage, since), until in zip(found, [*after, None], strict=False)]


def days_by_stage(found: Iterable[Stay], at: datetime) -> Mapping[str, int]:
    """Whole days in each stage, all its stays together."""
    total: dict[str, timedelta] = {}
    for stay in found:
        total[stay.stage] = total.get(stay.stage, timedelta()) + ((stay.until or at) - stay.since)
    return {stage: length.days for stage, length in total.items()}
