"""Who gets the account: A20, A30 to A33, and fairness over any sequence of joiners and leavers."""

from collections import Counter
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm.routing import (
    Case,
    Member,
    Pool,
    Prior,
    Rule,
    Ruleset,
    after_turns,
    next_turn,
    route,
    route_all,
)

ANN, BOB, CYD, QUEUE = (UUID(int=n) for n in (1, 2, 3, 99))
OVER_100 = {"field": "employee_count", "op": "gt", "value": 100}
OF_BANKS = {"field": "industry", "op": "eq", "value": "bank"}
SALES = Pool("sales", (Member(ANN), Member(BOB), Member(CYD)))


def rules(*given_rules: Rule) -> Ruleset:
    return Ruleset(version=3, rules=given_rules, catch_all_id=QUEUE)


def round_robin(pool: Pool = SALES) -> Rule:
    return Rule("Over 100", OVER_100, "round_robin", pool=pool)


def without(pool: Pool, *absent: UUID) -> Pool:
    """The pool while some are inactive or on leave."""
    return replace(pool, members=tuple(replace(m, available=m.user_id not in absent) for m in pool.members))


def served(pool: Pool, count: int) -> tuple[Pool, list[UUID]]:
    """Let the pool take ``count`` turns, as the caller of route would record them."""
    taken = []
    for _turn in range(count):
        turn = next_turn(pool)
        assert turn is not None
        members = tuple(replace(m, current_weight=turn.weights[m.user_id]) for m in pool.members)
        pool = replace(pool, members=members, last_assigned=turn.user_id)
        taken.append(turn.user_id)
    return pool, taken


class TestRules:
    @pytest.mark.parametrize(("employees", "owned"), [(100, False), (101, True)])
    def test_the_installed_rule_is_strict(self, employees: int, owned: bool) -> None:
        """A20: at 100 employees no owner, at 101 one."""
        decision = route(facts={"employee_count": employees}, priors=(), ruleset=rules(round_robin()))
        assert (decision.owner_id is not None, decision.queue_id is None) == (owned, owned)

    def test_a_rule_without_anybody_eligible_falls_through_and_says_so(self) -> None:
        """A30: bank -> Ann (on leave); over 100 -> round robin; catch-all."""
        to_ann = Rule("Banks", OF_BANKS, "named", named=Member(ANN, available=False))
        decision = route(
            facts={"employee_count": 250, "industry": "bank"},
            priors=(),
            ruleset=rules(to_ann, round_robin(without(SALES, ANN))),
        )
        assert decision.owner_id == BOB
        assert [r.code for r in decision.reasons] == [
            "rule_matched",
            "condition_met",
            "no_eligible_owner",
            "rule_matched",
            "condition_met",
            "round_robin",
        ]
        assert {r.policy_version for r in decision.reasons} == {3}

    def test_what_no_rule_takes_waits_in_the_catch_all_queue(self) -> None:
        nobody = without(SALES, ANN, BOB, CYD)
        decision = route(facts={"employee_count": 250}, priors=(), ruleset=rules(round_robin(nobody)))
        assert (decision.owner_id, decision.queue_id, decision.turn) == (None, QUEUE, None)
        assert [r.code for r in decision.reasons][-2:] == ["no_eligible_owner", "catch_all"]

    def test_the_first_matching_rule_wins(self) -> None:
        other = UUID(int=98)
        to_queue = Rule("Large", OVER_100, "queue", queue_id=other)
        decision = route(facts={"employee_count": 250}, priors=(), ruleset=rules(to_queue, round_robin()))
        assert (decision.owner_id, decision.queue_id) == (None, other)

    def test_earlier_owners_come_before_the_rules_if_they_can(self) -> None:
        priors = (Prior("existing_owner", CYD, eligible=False), Prior("last_owner", BOB, eligible=True))
        decision = route(facts={"employee_count": 250}, priors=priors, ruleset=rules(round_robin()))
        assert (decision.owner_id, decision.turn) == (BOB, None)
        assert [r.code for r in decision.reasons] == ["existing_owner_not_eligible", "last_owner"]


class TestTurns:
    def test_the_pointer_survives_a_leaver_and_a_return(self) -> None:
        """A31: A, B, C; B deactivated after A's turn: next C, then A; B back: after A comes B."""
        pool, first = served(SALES, 1)
        pool, without_bob = served(without(pool, BOB), 2)
        _pool, back = served(without(pool), 1)
        assert [first, without_bob, back] == [[ANN], [CYD, ANN], [BOB]]

    def test_weights_spread_the_turns_smoothly(self) -> None:
        """A32: A=3, B=1, four leads: A, A, B, A."""
        pool = Pool("sales", (Member(ANN, weight=3), Member(BOB, weight=1)))
        assert served(pool, 4)[1] == [ANN, ANN, BOB, ANN]

    def test_a_rep_at_capacity_is_passed_over(self) -> None:
        """A33: a cap of 10 means ten; the eleventh falls through with the reason "capacity"."""
        at_ten = Pool("sales", (Member(ANN, capacity_left=0),))
        decision = route(facts={"employee_count": 250}, priors=(), ruleset=rules(round_robin(at_ten)))
        assert (decision.owner_id, decision.reasons[-2].code) == (None, "capacity")
        assert next_turn(Pool("sales", (Member(ANN, capacity_left=1),))) is not None

    def test_position_orders_a_pool_before_the_user_id(self) -> None:
        pool = Pool("sales", (Member(ANN, position=2), Member(BOB, position=1)))
        assert served(pool, 3)[1] == [BOB, ANN, BOB]

    def test_replayed_turns_give_the_same_pool(self) -> None:
        weighted = Pool("sales", (Member(ANN, weight=3), Member(BOB, weight=1)))
        for pool in (SALES, weighted):
            after, taken = served(pool, 7)
            replayed, served_on = next_turn(after_turns(pool, taken)), next_turn(after)
            assert replayed is not None
            assert served_on is not None
            assert replayed.user_id == served_on.user_id


USERS = [UUID(int=n) for n in range(1, 7)]


@given(st.lists(st.sets(st.sampled_from(USERS)), max_size=60))
def test_round_robin_is_fair_to_one_lead_over_any_sequence(absences: list[set[UUID]]) -> None:
    """Between two reps who are both eligible throughout a stretch, the turns differ by at most one; nobody absent
    gets any.
    """
    pool = Pool("sales", tuple(Member(u) for u in USERS))
    taken: list[UUID | None] = []
    for absent in absences:
        turn = next_turn(without(pool, *absent))
        assert turn is None or turn.user_id not in absent
        taken.append(turn.user_id if turn else None)
        pool = replace(pool, last_assigned=turn.user_id if turn else pool.last_assigned)
    for one, other in [(a, b) for a in USERS for b in USERS if a < b]:
        for stretch in _both_present(absences, taken, one, other):
            counts = Counter(stretch)
            assert abs(counts[one] - counts[other]) <= 1


def _both_present(
    absences: list[set[UUID]], taken: list[UUID | None], one: UUID, other: UUID
) -> list[list[UUID | None]]:
    """The longest stretches of turns in which neither of the two was absent."""
    stretches: list[list[UUID | None]] = [[]]
    for absent, who in zip(absences, taken, strict=True):
        if absent & {one, other}:
            stretches.append([])
        else:
            stretches[-1].append(who)
    return stretches


@given(st.lists(st.tuples(st.integers(1, 5), st.booleans()), min_size=1, max_size=6), st.integers(1, 40))
def test_smooth_weights_give_everybody_their_share(reps: list[tuple[int, bool]], rounds: int) -> None:
    members = tuple(Member(UUID(int=n), weight=w, available=a) for n, (w, a) in enumerate(reps, start=1))
    eligible = [m for m in members if m.eligible]
    pool = Pool("sales", members)
    if not eligible:
        assert next_turn(pool) is None
        return
    counts = Counter(served(pool, rounds)[1])
    total = sum(m.weight for m in eligible)
    for member in members:
        share = rounds * member.weight / total if member.eligible else 0
        assert abs(counts[member.user_id] - share) < len(eligible) if member.eligible else counts[member.user_id] == 0


# --- strategies, roles, territories ------------------------------------------------------------
def test_the_least_loaded_rep_takes_it() -> None:
    """By open leads against capacity, then by those of the last day, then by id."""
    busy = Member(ANN, capacity=10, capacity_left=9, open_count=4)
    calm = Member(BOB, capacity=30, capacity_left=9, open_count=10)
    fresh = Member(CYD, capacity=30, capacity_left=9, open_count=10, recent_count=2)
    rule = Rule("Least", OVER_100, "least_loaded", pool=Pool("sales", (busy, fresh, calm)))
    decision = route(facts={"employee_count": 250}, priors=(), ruleset=rules(rule))
    assert (decision.owner_id, decision.reasons[-1].code) == (BOB, "least_loaded")


def test_role_territory_and_exclusion_narrow_a_pool() -> None:
    members = (
        Member(ANN, roles=frozenset({"ae"})),
        Member(BOB, roles=frozenset({"csm"}), countries=frozenset({"DE"})),
        Member(CYD, roles=frozenset({"csm"})),
    )
    rule = replace(round_robin(Pool("sales", members)), owner_role="of_motion")
    facts: dict[str, Any] = {"employee_count": 250, "owner_role": "csm", "country": "FR"}
    assert route(facts=facts, priors=(), ruleset=rules(rule)).owner_id == CYD
    assert route(facts=facts | {"country": "DE"}, priors=(), ruleset=rules(rule)).owner_id == BOB
    left = route(facts=facts, priors=(Prior("last_owner", CYD, True),), ruleset=rules(rule), excluded={CYD})
    assert (left.owner_id, left.reasons[-1].code) == (None, "catch_all")


def test_in_a_dead_zone_an_owner_stays_and_nobody_else_gets_it() -> None:
    facts: dict[str, Any] = {"employee_count": 250, "dead_zone": "dz", "motion": "self_serve"}
    kept = route(facts=facts, priors=(Prior("existing_owner", ANN, True),), ruleset=rules(round_robin()))
    assert kept.owner_id == ANN
    left = route(facts=facts, priors=(Prior("last_owner", ANN, True),), ruleset=rules(round_robin()))
    assert (left.owner_id, [r.code for r in left.reasons]) == (None, ["dead_zone_no_owner", "catch_all"])
    by_need = route(facts=facts | {"motion": "sales_led"}, priors=(), ruleset=rules(round_robin()))
    assert by_need.owner_id == ANN


def test_kin_in_one_batch_go_together() -> None:
    """The second account of a company follows the first, which had no owner before; a parent's owner comes first."""
    big: dict[str, Any] = {"employee_count": 250}
    first, second, third = (UUID(int=n) for n in (11, 12, 13))
    cases = [
        Case(first, big),
        Case(second, big, kin=(("same_domain_owner", first),)),
        Case(third, big, kin=(("parent_owner", UUID(int=14)), ("same_domain_owner", first))),
    ]
    decisions, after = route_all(cases, ruleset=rules(round_robin()), owners={UUID(int=14): CYD}, free={ANN, BOB, CYD})
    assert [d.owner_id for d in decisions] == [ANN, ANN, CYD]
    assert [d.reasons[0].code for d in decisions[1:]] == ["same_domain_owner", "parent_owner"]
    pool = after.rules[0].pool
    assert pool is not None
    assert pool.last_assigned == ANN


@settings(max_examples=50)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=5),
    st.lists(st.none() | st.integers(0, 8), min_size=5, max_size=5),
    st.sampled_from(["round_robin", "weighted", "least_loaded"]),
    st.integers(1, 40),
)
def test_a_batch_is_spread_as_if_one_came_after_the_other(
    weights: list[int], caps: list[int | None], strategy: str, count: int
) -> None:
    """Deterministic, within every capacity, and by turns as even as single assignments are."""
    members = tuple(
        Member(USERS[n], weight=w if strategy == "weighted" else 1, capacity=caps[n], capacity_left=caps[n])
        for n, w in enumerate(weights)
    )
    ruleset = rules(Rule("All", {"all": []}, strategy, pool=Pool("sales", members)))
    cases = [Case(UUID(int=100 + n), {}) for n in range(count)]
    once, after = route_all(cases, ruleset=ruleset, owners={}, free=())
    assert (once, after) == route_all(cases, ruleset=ruleset, owners={}, free=())
    singly: list[Any] = []
    for case in cases:
        [decision], ruleset = route_all([case], ruleset=ruleset, owners={}, free=())
        singly.append(decision)
    assert singly == once
    taken = Counter(decision.owner_id for decision in once)
    assert all(m.capacity is None or taken[m.user_id] <= m.capacity for m in members)
    if strategy == "round_robin" and all(m.capacity is None for m in members):
        assert max(taken.values()) - min(taken[m.user_id] for m in members) <= 1


@settings(max_examples=50)
@given(st.lists(st.sets(st.sampled_from(USERS), min_size=1), min_size=1, max_size=40))
def test_joiners_and_leavers_cost_nobody_more_than_one_turn(rosters: list[set[UUID]]) -> None:
    """Members come and go between turns; of two who stay for a stretch, neither gets two turns more than the other."""
    pool, taken = Pool("sales", ()), []
    for present in rosters:
        last = pool.last_assigned
        if last is not None and last not in present:  # as pools.change_pool hands the pointer on
            before = [u for u in USERS if u < last][::-1] + [u for u in USERS if u > last][::-1]
            last = next((u for u in before if u in present), None)
        pool = Pool("sales", tuple(Member(u) for u in sorted(present)), last)
        turn = next_turn(pool)
        assert turn is not None
        assert turn.user_id in present
        taken.append(turn.user_id)
        pool = replace(pool, last_assigned=turn.user_id)
    absences = [set(USERS) - present for present in rosters]
    for one, other in [(a, b) for a in USERS for b in USERS if a < b]:
        for stretch in _both_present(absences, list(taken), one, other):
            counts = Counter(stretch)
            assert abs(counts[one] - counts[other]) <= 1
