"""Who gets the account: A20, A30 to A33, and fairness over any sequence of joiners and leavers."""

from collections import Counter
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.routing import Member, Pool, Prior, Rule, Ruleset, after_turns, next_turn, route

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
