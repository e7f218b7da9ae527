"""How an account is sold to: segment, motion and engagement from its facts and a published policy.

Pure and deterministic: the same facts under the same policy give the same decision, with its reasons. Who owns the
account is another decision (``crm.routing``). Bands are half-open and their lower bound is inclusive: 100 employees
stand in the band that starts at 100. A fact that is missing is unknown, which is neither zero nor no: the decision
rests on what is known and says what was not.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from crm.reasons import Reason

SELF_SERVE, SALES_ASSISTED, SALES_LED = "self_serve", "sales_assisted", "sales_led"
USUAL_ENGAGEMENT = {SELF_SERVE: "none", SALES_ASSISTED: "on_trigger", SALES_LED: "day_one"}
COMBINE_MAX, COMBINE_MIN, EMPLOYEES_FIRST, VALUE_FIRST = "max", "min", "employees_first", "value_first"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an account. ``value`` is in minor units of the policy's currency, on the policy's basis."""

    employee_count: int | None = None
    value: int | None = None
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Segment:
    code: str
    motion: str
    engagement: str


@dataclass(frozen=True, slots=True)
class Policy:
    """Segments in ascending order; bound i is where segment i + 1 starts. Without bounds a measure is not looked at."""

    version: int
    segments: tuple[Segment, ...]
    employee_bounds: tuple[int, ...] = ()
    value_bounds: tuple[int, ...] = ()
    basis: str = "arr"
    combine: str = COMBINE_MAX
    sales_led_needs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Override:
    """A person's decision that is in force: it goes before every rule."""

    motion: str
    by: str
    until: str


@dataclass(frozen=True, slots=True)
class Decision:
    segment: str
    motion: str
    engagement: str
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class _Placed:
    """Where one measure puts the account: the index of a segment, or None where the measure is unknown."""

    index: int | None
    reason: Reason


def decide(facts: Facts, policy: Policy, override: Override | None = None) -> Decision:
    """The segment by the bands; the motion by the override, else by stated needs, else by the segment."""
    placed = _places(facts, policy)
    segment = policy.segments[_combined([p.index for p in placed if p.index is not None], policy.combine)]
    reasons = [p.reason for p in placed]
    if len({p.index for p in placed if p.index is not None}) > 1:
        reasons.append(Reason(f"combine_{policy.combine}", "segment", segment.code, None, policy.version))
    motion, engagement, why = _motion(facts, policy, segment, override)
    return Decision(segment.code, motion, engagement, (*why, *reasons))


def _places(facts: Facts, policy: Policy) -> list[_Placed]:
    """One place per measure that the policy has bounds for, in the order in which they count."""
    by_employees = ("employee_count", facts.employee_count, policy.employee_bounds)
    by_value = (policy.basis, facts.value, policy.value_bounds)
    order = (by_value, by_employees) if policy.combine == VALUE_FIRST else (by_employees, by_value)
    return [_place(field, value, bounds, policy.version) for field, value, bounds in order if bounds]


def _place(field: str, value: int | None, bounds: Sequence[int], version: int) -> _Placed:
    if value is None:
        return _Placed(None, Reason("unknown", field, None, None, version))
    index = bisect_right(bounds, value)
    if index == 0:
        return _Placed(0, Reason("below", field, value, bounds[0], version))
    return _Placed(index, Reason("at_least", field, value, bounds[index - 1], version))


def _combined(indexes: list[int], combine: str) -> int:
    """The index of the segment. Nothing known puts an account into the first one, where nobody is bothered."""
    if not indexes:
        return 0
    if combine == COMBINE_MAX:
        return max(indexes)
    if combine == COMBINE_MIN:
        return min(indexes)
    return indexes[0]


def _motion(
    facts: Facts, policy: Policy, segment: Segment, override: Override | None
) -> tuple[str, str, tuple[Reason, ...]]:
    if override is not None:
        why = Reason("override", "motion", override.by, override.until, policy.version)
        return override.motion, _engagement(policy, override.motion), (why,)
    needs = sorted(facts.needs & policy.sales_led_needs)
    if needs:
        stated = tuple(Reason("stated_need", "needs", need, None, policy.version) for need in needs)
        return SALES_LED, _engagement(policy, SALES_LED), stated
    return segment.motion, segment.engagement, ()


def _engagement(policy: Policy, motion: str) -> str:
    """How the policy engages where it has this motion; as usual where it has not."""
    return next((s.engagement for s in policy.segments if s.motion == motion), USUAL_ENGAGEMENT[motion])
