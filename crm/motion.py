"""How an account is sold to: segment, motion and engagement from its facts and a published policy.

Pure and deterministic: the same facts under the same policy give the same decision, with its reasons. Who owns the
account is another decision (``crm.routing``). Bands are half-open and their lower bound is inclusive: 100 employees
stand in the band that starts at 100. A fact that is missing is unknown, which is neither zero nor no: the decision
rests on what is known and says what was not.

In this order: a person's override; stated needs; a dead zone, whose accounts are left to self-serve; the segment. The
segment is what the bands say, but for what holds it: a lock, the freeze of a fiscal year, and the margin, by which an
account moves up at once and down only when it has stayed well below its segment for some time.
"""

from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from crm.reasons import Reason
from gtm.shared.money import exponent

SELF_SERVE, SALES_ASSISTED, SALES_LED = "self_serve", "sales_assisted", "sales_led"
USUAL_ENGAGEMENT = {SELF_SERVE: "none", SALES_ASSISTED: "on_trigger", SALES_LED: "day_one"}
USUAL_OWNER_ROLE = {SELF_SERVE: "csm", SALES_ASSISTED: "csm", SALES_LED: "ae"}
COMBINE_MAX, COMBINE_MIN, EMPLOYEES_FIRST, VALUE_FIRST = "max", "min", "employees_first", "value_first"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an account. ``value`` is in minor units of the policy's currency, on the policy's basis;
    ``zone_values`` in those of each of its dead zones; ``rates`` say how they were converted.
    """

    employee_count: int | None = None
    value: int | None = None
    needs: frozenset[str] = frozenset()
    zone_values: tuple[int | None, ...] = ()
    rates: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    code: str
    motion: str
    engagement: str
    owner_role: str = ""


@dataclass(frozen=True, slots=True)
class DeadZone:
    """Values on [``lower``, ``upper``) in minor units of ``currency`` that pay for no sales work."""

    code: str
    lower: int
    upper: int
    basis: str
    currency: str
    motion: str = SELF_SERVE


@dataclass(frozen=True, slots=True)
class Policy:
    """Segments in ascending order; bound i is where segment i + 1 starts. Without bounds a measure is not looked at.

    ``margin_percent`` below its lower bound, for ``margin_days``, is what moves an account down.
    """

    version: int
    segments: tuple[Segment, ...]
    employee_bounds: tuple[int, ...] = ()
    value_bounds: tuple[int, ...] = ()
    basis: str = "arr"
    combine: str = COMBINE_MAX
    sales_led_needs: frozenset[str] = frozenset()
    dead_zones: tuple[DeadZone, ...] = ()
    margin_percent: int = 10
    margin_days: int = 30


@dataclass(frozen=True, slots=True)
class Override:
    """A person's decision that is in force: it goes before every rule."""

    motion: str
    by: str
    until: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How the account stands at ``at``: its segment, and what keeps it there.

    ``same_bounds``: that segment was decided by the bands that count now; a version with other bands decides anew.
    ``freezes_until``: the end of the fiscal year where the policy freezes segments for it; ``frozen``: this one was
    decided in it, by something that was known.
    """

    at: datetime
    segment: str = ""
    same_bounds: bool = False
    falling_since: datetime | None = None
    locked_until: date | None = None
    freezes_until: date | None = None
    frozen: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """``falling_since``: since when the facts are too low for the segment that is kept for now."""

    segment: str
    motion: str
    engagement: str
    reasons: tuple[Reason, ...]
    owner_role: str = ""
    dead_zone: str = ""
    falling_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Placed:
    """Where one measure puts the account: the index of a segment, or None where the measure is unknown."""

    index: int | None
    reason: Reason


def decide(
    facts: Facts, policy: Policy, override: Override | None = None, standing: Standing | None = None
) -> Decision:
    """The segment by the bands and by what holds it; the motion by override, stated needs, dead zone, or segment."""
    segment, why_segment, falling_since = _segment(facts, policy, standing)
    zone, why_zone = _dead_zone(facts, policy)
    rates = [replace(rate, policy_version=policy.version) for rate in facts.rates]
    motion, engagement, why = _motion(facts, policy, segment, override, zone)
    return Decision(
        segment=segment.code,
        motion=motion,
        engagement=engagement,
        reasons=(*why, *why_zone, *why_segment, *rates),
        owner_role=_owner_role(policy, segment, motion),
        dead_zone=zone.code if zone else "",
        falling_since=falling_since,
    )


# --- segment -----------------------------------------------------------------------------------
def _segment(
    facts: Facts, policy: Policy, standing: Standing | None
) -> tuple[Segment, tuple[Reason, ...], datetime | None]:
    places = _places(facts, policy, margin=0)
    index = _combined(places, policy.combine)
    reasons = [p.reason for p in places]
    if len({p.index for p in places if p.index is not None}) > 1:
        reasons.append(
            Reason(f"combine_{policy.combine}", "segment", policy.segments[index].code, None, policy.version)
        )
    codes = [segment.code for segment in policy.segments]
    frozen = _freeze(policy, standing, index) if any(p.index is not None for p in places) else ()
    if standing is None or standing.segment not in codes:
        return policy.segments[index], (*reasons, *frozen), None
    kept = codes.index(standing.segment)
    if held := _lock(policy, standing, kept):
        return policy.segments[kept], (*reasons, held), standing.falling_since
    if index < kept and standing.same_bounds:
        return _falling(facts, policy, standing, kept, reasons)
    return policy.segments[index], (*reasons, *frozen), None


def _places(facts: Facts, policy: Policy, *, margin: int) -> list[_Placed]:
    """One place per measure that the policy has bounds for, in the order in which they count, by bounds that are
    ``margin`` percent lower.
    """
    by_employees = ("employee_count", facts.employee_count, policy.employee_bounds)
    by_value = (policy.basis, facts.value, policy.value_bounds)
    order = (by_value, by_employees) if policy.combine == VALUE_FIRST else (by_employees, by_value)
    return [_place(field, value, bounds, margin, policy.version) for field, value, bounds in order if bounds]


def _place(field: str, value: int | None, bounds: Sequence[int], margin: int, version: int) -> _Placed:
    if value is None:
        return _Placed(None, Reason("unknown", field, None, None, version))
    index = bisect_right([bound * (100 - margin) for bound in bounds], value * 100)
    if index == 0:
        return _Placed(0, Reason("below", field, value, bounds[0], version))
    return _Placed(index, Reason("at_least", field, value, bounds[index - 1], version))


def _combined(places: Sequence[_Placed], combine: str) -> int:
    """The index of the segment. Nothing known puts an account into the first one, where nobody is bothered."""
    indexes = [p.index for p in places if p.index is not None]
    if not indexes:
        return 0
    if combine == COMBINE_MAX:
        return max(indexes)
    if combine == COMBINE_MIN:
        return min(indexes)
    return indexes[0]


def is_known(codes: Collection[str]) -> bool:
    """Whether a decision with reasons of these codes rests on a measure that was known."""
    return not {"at_least", "below"}.isdisjoint(codes)


# --- what holds a segment ----------------------------------------------------------------------
def _lock(policy: Policy, standing: Standing, kept: int) -> Reason | None:
    """A lock by hand holds in any case; a fiscal year's freeze until the bands are others."""
    today = standing.at.date()
    if standing.locked_until and standing.locked_until > today:
        until = standing.locked_until.isoformat()
        return Reason("segment_locked", "segment", standing.segment, until, policy.version)
    if standing.frozen and standing.same_bounds:
        return next(iter(_freeze(policy, standing, kept)), None)
    return None


def _freeze(policy: Policy, standing: Standing | None, index: int) -> tuple[Reason, ...]:
    """That this segment stays for the rest of the fiscal year, where the policy freezes it."""
    if standing is None or standing.freezes_until is None:
        return ()
    until = standing.freezes_until.isoformat()
    return (Reason("segment_frozen", "segment", policy.segments[index].code, until, policy.version),)


def _falling(
    facts: Facts, policy: Policy, standing: Standing, kept: int, reasons: Sequence[Reason]
) -> tuple[Segment, tuple[Reason, ...], datetime | None]:
    """The facts say a lower segment than the present one: kept within the margin, and below it for its days."""
    lower = _combined(_places(facts, policy, margin=policy.margin_percent), policy.combine)
    code, version = policy.segments[kept].code, policy.version
    if lower >= kept:
        return policy.segments[kept], (*reasons, Reason("within_margin", "segment", code, None, version)), None
    since = standing.falling_since or standing.at
    moves_at = since + timedelta(days=policy.margin_days)
    if standing.at < moves_at:
        why = Reason("falling", "segment", code, moves_at.date().isoformat(), version)
        return policy.segments[kept], (*reasons, why), since
    why = Reason("fallen", "segment", code, since.date().isoformat(), version)
    return policy.segments[lower], (*reasons, why), None


# --- motion ------------------------------------------------------------------------------------
def _dead_zone(facts: Facts, policy: Policy) -> tuple[DeadZone | None, tuple[Reason, ...]]:
    for zone, value in zip(policy.dead_zones, facts.zone_values, strict=False):
        if value is not None and zone.lower <= value < zone.upper:
            band = f"{_amount(zone.lower, zone.currency)} – {_amount(zone.upper, zone.currency)}"
            why = Reason("dead_zone", zone.basis, _amount(value, zone.currency), band, policy.version)
            return zone, (why,)
    return None, ()


def _amount(minor: int, currency: str) -> str:
    """As a reason says an amount that is in another currency than the policy's bands may be."""
    digits = exponent(currency)
    return f"{currency} {minor // 10**digits:,}" + (f".{minor % 10**digits:0{digits}d}" if digits else "")


def _motion(
    facts: Facts, policy: Policy, segment: Segment, override: Override | None, zone: DeadZone | None
) -> tuple[str, str, tuple[Reason, ...]]:
    if override is not None:
        why = Reason("override", "motion", override.by, override.until, policy.version)
        return override.motion, _engagement(policy, override.motion), (why,)
    needs = sorted(facts.needs & policy.sales_led_needs)
    if needs:
        stated = tuple(Reason("stated_need", "needs", need, None, policy.version) for need in needs)
        return SALES_LED, _engagement(policy, SALES_LED), stated
    if zone is not None:
        return zone.motion, _engagement(policy, zone.motion), ()
    return segment.motion, segment.engagement, ()


def _engagement(policy: Policy, motion: str) -> str:
    """How the policy engages where it has this motion; as usual where it has not."""
    return next((s.engagement for s in policy.segments if s.motion == motion), USUAL_ENGAGEMENT[motion])


def _owner_role(policy: Policy, segment: Segment, motion: str) -> str:
    """Which role owns accounts of this motion: the segment's where it is its motion, else the first that has it."""
    ordered = sorted(policy.segments, key=lambda s: s is not segment)
    return next((s.owner_role for s in ordered if s.motion == motion and s.owner_role), USUAL_OWNER_ROLE[motion])
