"""Who owns an account: earlier owners first, then the rules in their order, then the catch-all queue. Pure and
deterministic.

The first rule that matches and has somebody eligible takes the account; a rule without anybody eligible is passed
over and says so. Round robin keeps the rep last assigned, never an index: the next one is the first eligible rep
after them in the pool's stable order (position, then user id), so nobody is skipped or served twice when others join,
leave or come back. Pools with different weights take turns by smooth weighted round robin. Moving the pointer is the
caller's, under the pool's lock, and only when an account was assigned.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from crm import conditions
from crm.reasons import Reason

NAMED, ROUND_ROBIN, QUEUE = "named", "round_robin", "queue"


@dataclass(frozen=True, slots=True)
class Member:
    """A rep in a pool. ``available``: active, sells, and not on leave. ``capacity_left`` None: no limit."""

    user_id: UUID
    available: bool = True
    position: int = 0
    weight: int = 1
    current_weight: int = 0
    capacity_left: int | None = None

    @property
    def eligible(self) -> bool:
        return self.available and not self.full

    @property
    def full(self) -> bool:
        return self.capacity_left is not None and self.capacity_left <= 0


@dataclass(frozen=True, slots=True)
class Pool:
    code: str
    members: tuple[Member, ...]
    last_assigned: UUID | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose turn it is, and what every member's current weight is afterwards."""

    user_id: UUID
    weights: Mapping[UUID, int]


@dataclass(frozen=True, slots=True)
class Rule:
    """``pool`` for round robin, ``named`` for a named rep, ``queue_id`` for a queue."""

    name: str
    condition: Mapping[str, object]
    strategy: str
    pool: Pool | None = None
    named: Member | None = None
    queue_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Rules in their order, and the queue that takes what no rule takes."""

    version: int
    rules: tuple[Rule, ...]
    catch_all_id: UUID


@dataclass(frozen=True, slots=True)
class Prior:
    """Somebody who comes before every rule: ``code`` existing_owner, same_domain_owner or last_owner."""

    code: str
    user_id: UUID
    eligible: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """Exactly one of ``owner_id`` and ``queue_id``. ``turn`` is to be recorded on ``pool_code``'s pool when the
    decision is carried out.
    """

    reasons: tuple[Reason, ...]
    owner_id: UUID | None = None
    queue_id: UUID | None = None
    pool_code: str = ""
    turn: Turn | None = None


def route(*, facts: Mapping[str, conditions.Fact], priors: Sequence[Prior], ruleset: Ruleset) -> Decision:
    """Decide the owner of an account with these facts. ``priors`` stand in the order in which they count."""
    reasons: list[Reason] = []
    for prior in priors:
        if prior.eligible:
            reasons.append(Reason(prior.code, "owner", str(prior.user_id), None, ruleset.version))
            return Decision(tuple(reasons), owner_id=prior.user_id)
        reasons.append(Reason(f"{prior.code}_not_eligible", "owner", str(prior.user_id), None, ruleset.version))
    for rule in ruleset.rules:
        decision = _tried(rule, facts, reasons, ruleset.version)
        if decision is not None:
            return decision
    reasons.append(Reason("catch_all", "queue", None, None, ruleset.version))
    return Decision(tuple(reasons), queue_id=ruleset.catch_all_id)


def _tried(rule: Rule, facts: Mapping[str, conditions.Fact], reasons: list[Reason], version: int) -> Decision | None:
    """What the rule decides; None when it does not take the account. Adds to ``reasons`` why, either way."""
    verdict = conditions.evaluate(rule.condition, facts)
    if not verdict.truth:
        reasons.append(Reason("not_matched", "rule", rule.name, None, version))
        return None
    reasons.append(Reason("rule_matched", "rule", rule.name, None, version))
    reasons.extend(replace(met, policy_version=version) for met in verdict.met)
    if rule.strategy == QUEUE:
        return Decision((*reasons, Reason(QUEUE, "queue", None, None, version)), queue_id=rule.queue_id)
    pool = rule.pool or Pool("", (rule.named,) if rule.named else ())
    turn = next_turn(pool)
    if turn is None:
        reasons.append(Reason(_nobody(pool.members), "rule", rule.name, None, version))
        return None
    picked = Reason(rule.strategy, "pool" if rule.pool else "owner", pool.code or str(turn.user_id), None, version)
    return Decision((*reasons, picked), owner_id=turn.user_id, pool_code=pool.code, turn=turn)


def _nobody(members: Iterable[Member]) -> str:
    """Why nobody could take it: ``capacity`` when somebody is there but has their share, else ``no_eligible_owner``."""
    return "capacity" if any(m.available and m.full for m in members) else "no_eligible_owner"


# --- turns -------------------------------------------------------------------------------------
def next_turn(pool: Pool) -> Turn | None:
    """Whose turn it is in the pool; None when nobody is eligible."""
    ordered = sorted(pool.members, key=lambda m: (m.position, m.user_id))
    if not any(m.eligible for m in ordered):
        return None
    if len({m.weight for m in ordered}) > 1:
        return _smooth_turn(ordered)
    after = next((i + 1 for i, m in enumerate(ordered) if m.user_id == pool.last_assigned), 0)
    chosen = next(m for m in ordered[after:] + ordered[:after] if m.eligible)
    return Turn(chosen.user_id, {m.user_id: m.current_weight for m in ordered})


def _smooth_turn(ordered: list[Member]) -> Turn:
    """Smooth weighted round robin: all eligible gain their weight, the largest is chosen (the earlier of equals) and
    pays the sum.
    """
    eligible = [m for m in ordered if m.eligible]
    weights = {m.user_id: m.current_weight for m in ordered}
    for member in eligible:
        weights[member.user_id] += member.weight
    chosen = max(eligible, key=lambda m: weights[m.user_id])  # max keeps the first of equals
    weights[chosen.user_id] -= sum(m.weight for m in eligible)
    return Turn(chosen.user_id, weights)


def after_turns(pool: Pool, turns: Sequence[UUID]) -> Pool:
    """The pool as it stands after these reps were assigned from it, in this order, each while all of its members were
    eligible.
    """
    weights = {m.user_id: 0 for m in pool.members}
    total = sum(m.weight for m in pool.members)
    for taken in turns:
        for member in pool.members:
            weights[member.user_id] += member.weight
        if taken in weights:
            weights[taken] -= total
    members = tuple(replace(m, current_weight=weights[m.user_id]) for m in pool.members)
    return replace(pool, members=members, last_assigned=turns[-1] if turns else None)
