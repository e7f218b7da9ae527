"""Who owns an account: earlier owners first, then the rules in their order, then the catch-all queue. Pure and
deterministic.

The first rule that matches and has somebody eligible takes the account; a rule without anybody eligible is passed
over and says so. Round robin keeps the rep last assigned, never an index: the next one is the first eligible rep
after them in the pool's stable order (position, then user id), so nobody is skipped or served twice when others join,
leave or come back. Pools with different weights take turns by smooth weighted round robin. Who has the least open is
the rep with the lowest share of their capacity in open leads, then with the fewest of the last day. Moving the pointer
is the caller's, under the pool's lock, and only when an account was assigned.

In a dead zone an owner stays, but the rules give the account to nobody.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from uuid import UUID

from crm import conditions
from crm.reasons import Reason

NAMED, ROUND_ROBIN, WEIGHTED, LEAST_LOADED, QUEUE = "named", "round_robin", "weighted", "least_loaded", "queue"
TURNS = (ROUND_ROBIN, WEIGHTED, LEAST_LOADED)
OF_MOTION = "of_motion"
PRIORS = ("existing_owner", "parent_owner", "same_domain_owner", "last_owner")


@dataclass(frozen=True, slots=True)
class Member:
    """A rep in a pool. ``available``: active, sells, and not on leave. ``capacity_left`` None: no limit.

    ``open_count``: open leads; ``recent_count``: those assigned in the last 24 hours. ``countries`` empty: all.
    """

    user_id: UUID
    available: bool = True
    position: int = 0
    weight: int = 1
    current_weight: int = 0
    capacity_left: int | None = None
    capacity: int | None = None
    open_count: int = 0
    recent_count: int = 0
    roles: frozenset[str] = frozenset()
    countries: frozenset[str] = frozenset()

    @property
    def eligible(self) -> bool:
        return self.available and not self.full

    @property
    def full(self) -> bool:
        return self.capacity_left is not None and self.capacity_left <= 0

    def serves(self, facts: Mapping[str, conditions.Fact], role: str) -> bool:
        """Whether the account is in the rep's territory and for the rep's role; an unknown country is in none."""
        wanted = facts.get("owner_role") if role == OF_MOTION else role
        return (not self.countries or facts.get("country") in self.countries) and (not wanted or wanted in self.roles)


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
    """``pool`` for taking turns, ``named`` for a named rep, ``queue_id`` for a queue. ``owner_role``: who of them."""

    name: str
    condition: Mapping[str, object]
    strategy: str
    pool: Pool | None = None
    named: Member | None = None
    queue_id: UUID | None = None
    owner_role: str = ""


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Rules in their order, and the queue that takes what no rule takes."""

    version: int
    rules: tuple[Rule, ...]
    catch_all_id: UUID


@dataclass(frozen=True, slots=True)
class Prior:
    """Somebody who comes before every rule: ``code`` is one of ``PRIORS``."""

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


@dataclass(frozen=True, slots=True)
class Case:
    """An account to be routed. ``kin``: accounts whose owner should own it too, with the code of the reason.

    ``fresh``: nobody comes before the rules, but for whoever is ``kept``. ``excluded`` get it in no case. ``why`` is
    the reason that comes first.
    """

    account_id: UUID
    facts: Mapping[str, conditions.Fact]
    owner_id: UUID | None = None
    owner_stays: bool = False
    kin: tuple[tuple[str, UUID], ...] = ()
    last_owner_id: UUID | None = None
    fresh: bool = False
    kept: Prior | None = None
    excluded: frozenset[UUID] = frozenset()
    why: Reason | None = None


def route_all(
    cases: Sequence[Case], *, ruleset: Ruleset, owners: Mapping[UUID, UUID], free: Collection[UUID]
) -> tuple[list[Decision], Ruleset]:
    """Decide the owners of accounts one after the other, each with the pools as those before have left them; and how
    the last one leaves them.

    ``owners``: of their kin; ``free``: who of the people named anywhere may get something new.
    """
    known, decisions = dict(owners), []
    for case in cases:
        priors = _priors(case, known, free)
        decision = route(facts=case.facts, priors=priors, ruleset=ruleset, excluded=case.excluded)
        if case.why is not None:
            decision = replace(decision, reasons=(case.why, *decision.reasons))
        if decision.owner_id is not None:
            known[case.account_id] = decision.owner_id
        if decision.owner_id is not None and not _holds(case, decision.owner_id):
            ruleset = carried_out(ruleset, decision)
        decisions.append(decision)
    return decisions, ruleset


def _holds(case: Case, owner_id: UUID) -> bool:
    """Whether the account is that owner's already, so that nobody's turn is taken."""
    if case.fresh:
        return case.kept is not None and case.kept.code == "existing_owner"
    return owner_id == case.owner_id


def _priors(case: Case, owners: Mapping[UUID, UUID], free: Collection[UUID]) -> list[Prior]:
    if case.fresh:
        return [case.kept] if case.kept else []
    found = [(code, owners.get(account_id)) for code, account_id in case.kin] + [("last_owner", case.last_owner_id)]
    first: dict[str, UUID] = {}
    for code, user_id in found:
        if user_id is not None:
            first.setdefault(code, user_id)
    priors = [Prior(code, user_id, eligible=user_id in free) for code, user_id in first.items()]
    if case.owner_id is not None:
        priors.insert(0, Prior("existing_owner", case.owner_id, eligible=case.owner_stays))
    return priors


def route(
    *,
    facts: Mapping[str, conditions.Fact],
    priors: Sequence[Prior],
    ruleset: Ruleset,
    excluded: Collection[UUID] = (),
) -> Decision:
    """Decide the owner of an account with these facts. ``priors`` stand in the order in which they count."""
    reasons: list[Reason] = []
    dead = bool(facts.get("dead_zone")) and facts.get("motion") == "self_serve"
    for prior in priors:
        if dead and prior.code != "existing_owner":
            continue
        if prior.eligible and prior.user_id not in excluded:
            reasons.append(Reason(prior.code, "owner", str(prior.user_id), None, ruleset.version))
            return Decision(tuple(reasons), owner_id=prior.user_id)
        reasons.append(Reason(f"{prior.code}_not_eligible", "owner", str(prior.user_id), None, ruleset.version))
    if dead:
        reasons.append(Reason("dead_zone_no_owner", "dead_zone", str(facts["dead_zone"]), None, ruleset.version))
    for rule in () if dead else ruleset.rules:
        decision = _tried(rule, facts, reasons, ruleset.version, excluded)
        if decision is not None:
            return decision
    reasons.append(Reason("catch_all", "queue", None, None, ruleset.version))
    return Decision(tuple(reasons), queue_id=ruleset.catch_all_id)


def _tried(
    rule: Rule,
    facts: Mapping[str, conditions.Fact],
    reasons: list[Reason],
    version: int,
    excluded: Collection[UUID],
) -> Decision | None:
    """What the rule decides; None when it does not take the account. Adds to ``reasons`` why, either way."""
    verdict = conditions.evaluate(rule.condition, facts)
    if not verdict.truth:
        reasons.append(Reason("not_matched", "rule", rule.name, None, version))
        return None
    reasons.append(Reason("rule_matched", "rule", rule.name, None, version))
    reasons.extend(replace(met, policy_version=version) for met in verdict.met)
    if rule.strategy == QUEUE:
        return Decision((*reasons, Reason(QUEUE, "queue", None, None, version)), queue_id=rule.queue_id)
    pool = _candidates(rule, facts, excluded)
    turn = next_turn(pool, rule.strategy)
    if turn is None:
        reasons.append(Reason(_nobody(pool.members), "rule", rule.name, None, version))
        return None
    picked = Reason(rule.strategy, "pool" if rule.pool else "owner", pool.code or str(turn.user_id), None, version)
    return Decision((*reasons, picked), owner_id=turn.user_id, pool_code=pool.code, turn=turn)


def _candidates(rule: Rule, facts: Mapping[str, conditions.Fact], excluded: Collection[UUID]) -> Pool:
    """The rule's pool, with those who may not get this account marked as not there."""
    pool = rule.pool or Pool("", (rule.named,) if rule.named else ())

    def may(member: Member) -> bool:
        return member.user_id not in excluded and member.serves(facts, rule.owner_role)

    members = tuple(m if may(m) else replace(m, available=False) for m in pool.members)
    return replace(pool, members=members)


def _nobody(members: Iterable[Member]) -> str:
    """Why nobody could take it: ``capacity`` when somebody is there but has their share, else ``no_eligible_owner``."""
    return "capacity" if any(m.available and m.full for m in members) else "no_eligible_owner"


# --- turns -------------------------------------------------------------------------------------
def next_turn(pool: Pool, strategy: str = ROUND_ROBIN) -> Turn | None:
    """Whose turn it is in the pool; None when nobody is eligible."""
    ordered = sorted(pool.members, key=lambda m: (m.position, m.user_id))
    if not any(m.eligible for m in ordered):
        return None
    if strategy == WEIGHTED or (strategy == ROUND_ROBIN and len({m.weight for m in ordered}) > 1):
        return _smooth_turn(ordered)
    if strategy == LEAST_LOADED:
        chosen = min((m for m in ordered if m.eligible), key=lambda m: _load(m, ordered))
    else:
        after = next((i + 1 for i, m in enumerate(ordered) if m.user_id == pool.last_assigned), 0)
        chosen = next(m for m in ordered[after:] + ordered[:after] if m.eligible)
    return Turn(chosen.user_id, {m.user_id: m.current_weight for m in ordered})


def _load(member: Member, pool: Sequence[Member]) -> tuple[Fraction, int, UUID]:
    """How much of what they can do the rep has open; one without a limit counts as the largest of the pool."""
    capacity = member.capacity or max((m.capacity or 1 for m in pool), default=1)
    return Fraction(member.open_count, capacity), member.recent_count, member.user_id


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


def rested(ruleset: Ruleset) -> Ruleset:
    """The rule set with everybody's full capacity and nothing open, as a month's leads find it that are tried again."""

    def of(member: Member) -> Member:
        return replace(member, capacity_left=member.capacity, open_count=0, recent_count=0)

    rules = [
        replace(rule, pool=rule.pool and replace(rule.pool, members=tuple(map(of, rule.pool.members))))
        for rule in ruleset.rules
    ]
    return replace(ruleset, rules=tuple(rules))


def carried_out(ruleset: Ruleset, decision: Decision) -> Ruleset:
    """The rule set as it stands once the account has gone to its new owner: pointer, weights, capacity and load."""

    def after(member: Member) -> Member:
        if member.user_id != decision.owner_id:
            return member
        left = member.capacity_left
        return replace(
            member,
            capacity_left=None if left is None else left - 1,
            open_count=member.open_count + 1,
            recent_count=member.recent_count + 1,
        )

    def of(pool: Pool | None) -> Pool | None:
        if pool is None:
            return None
        members = tuple(map(after, pool.members))
        if decision.turn is None or pool.code != decision.pool_code:
            return replace(pool, members=members)
        weights = decision.turn.weights
        turned = tuple(replace(m, current_weight=weights.get(m.user_id, m.current_weight)) for m in members)
        return replace(pool, members=turned, last_assigned=decision.turn.user_id)

    rules = [replace(rule, pool=of(rule.pool), named=rule.named and after(rule.named)) for rule in ruleset.rules]
    return replace(ruleset, rules=tuple(rules))


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
