"""Teams, queues, pools and leave: who works with whom, where things wait, who takes turns."""

from datetime import timedelta

import pytest

from crm import leaves, pools, scopes, teams
from crm.models import Leave, Pool, Queue, Team
from crm.pools import TurnTerms
from crm.teams import MemberTerms
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event
from tests import world
from tests.world import JAN_1

pytestmark = pytest.mark.django_db


def team(code: str = "sales", **fields: object) -> Team:
    return teams.create_team(at=JAN_1, code=code, name=code.title(), **fields)


def queue(code: str = "inbound", **fields: object) -> Queue:
    return teams.create_queue(
        at=JAN_1, code=code, name=code.title(), team=Team.objects.filter(code="sales").first() or team(), **fields
    )


def pool(*members: TurnTerms) -> Pool:
    return pools.create_pool(at=JAN_1, code="sales", name="Sales", members=members)


def told(fact: str) -> list[dict[str, object]]:
    return list(Event.objects.filter(type=fact).order_by("position").values_list("data", flat=True))


class TestTeams:
    def test_it_is_made_with_its_members(self) -> None:
        ann = world.ann()
        made = team(members=[MemberTerms(ann, is_manager=True)])
        assert made.memberships.get().is_manager
        assert told("crm.team.created")[0]["members"] == [{"user": ann.public_id, "is_manager": True}]

    def test_members_are_replaced(self) -> None:
        made, bob = team(members=[MemberTerms(world.ann())]), world.bob()
        changed = teams.change_team(team=made, at=JAN_1, members=[MemberTerms(bob)])
        assert [row.user for row in changed.memberships.all()] == [bob]
        assert changed.version == 2
        assert told("crm.team.changed")[0]["changed"] == ["members"]

    def test_the_same_members_are_no_change(self) -> None:
        ann = world.ann()
        teams.change_team(team=team(members=[MemberTerms(ann)]), at=JAN_1, members=[MemberTerms(ann)])
        assert told("crm.team.changed") == []

    def test_it_refuses_somebody_twice(self) -> None:
        ann = world.ann()
        with pytest.raises(Invalid) as refused:
            team(members=[MemberTerms(ann), MemberTerms(ann, is_manager=True)])
        assert refused.value.attr == "members"

    def test_a_team_is_never_above_itself(self) -> None:
        above = team()
        below = team("emea", parent=above)
        with pytest.raises(Invalid) as refused:
            teams.change_team(team=above, at=JAN_1, parent=below)
        assert refused.value.attr == "parent"


class TestQueues:
    def test_the_first_is_the_catch_all(self) -> None:
        assert queue().is_catch_all
        assert not queue("partners").is_catch_all

    def test_another_takes_it_over(self) -> None:
        queue()
        teams.change_queue(queue=queue("partners"), at=JAN_1, is_catch_all=True)
        assert Queue.objects.get(is_catch_all=True).code == "partners"
        assert told("crm.queue.changed")[0]["changed"] == ["is_catch_all"]

    def test_it_is_not_given_up_for_nothing(self) -> None:
        with pytest.raises(Conflict) as refused:
            teams.change_queue(queue=queue(), at=JAN_1, is_catch_all=False)
        assert (refused.value.code, refused.value.attr) == ("no_catch_all", "is_catch_all")

    def test_a_name_changes_alone(self) -> None:
        changed = teams.change_queue(queue=queue(), at=JAN_1, name="Everything")
        assert (changed.name, changed.is_catch_all) == ("Everything", True)


class TestPools:
    def test_who_stays_keeps_their_turn(self) -> None:
        ann, bob = world.ann(), world.bob()
        made = pool(TurnTerms(ann), TurnTerms(bob, position=1))
        Pool.objects.update(last_assigned_user=ann)
        made.members.filter(user=ann).update(current_weight=-1)
        pools.change_pool(pool=made, at=JAN_1, members=[TurnTerms(ann, position=5, weight=2)])
        member = made.members.get()
        assert (member.user, member.position, member.weight, member.current_weight) == (ann, 5, 2, -1)
        assert Pool.objects.get().last_assigned_user == ann
        assert told("crm.pool.changed")[0]["changed"] == ["members"]

    @pytest.mark.parametrize(
        "terms", [lambda user: TurnTerms(user, weight=0), lambda user: TurnTerms(world.fay())], ids=["weight", "role"]
    )
    def test_it_refuses_members_who_take_no_turns(self, terms: object) -> None:
        with pytest.raises(Invalid) as refused:
            pool(terms(world.ann()))
        assert refused.value.attr == "members"


class TestLeave:
    def test_it_is_made_moved_and_called_off(self) -> None:
        ann = world.ann()
        leave = leaves.create(at=JAN_1, user=ann, starts_at=JAN_1, ends_at=JAN_1 + timedelta(days=7))
        leaves.change(leave=leave, at=JAN_1, starts_at=JAN_1, ends_at=JAN_1 + timedelta(days=8))
        leaves.remove(leave=leave, at=JAN_1)
        assert [len(told(f"crm.leave.{step}")) for step in ("created", "changed", "removed")] == [1, 1, 1]
        assert not Leave.objects.exists()

    def test_it_ends_after_it_starts(self) -> None:
        with pytest.raises(Invalid) as refused:
            leaves.create(at=JAN_1, user=world.ann(), starts_at=JAN_1, ends_at=JAN_1)
        assert refused.value.attr == "ends_at"

    def test_a_stand_in_sells_and_is_there(self) -> None:
        ann, bob, week = world.ann(), world.bob(), {"starts_at": JAN_1, "ends_at": JAN_1 + timedelta(days=7)}
        leaves.create(at=JAN_1, user=bob, **week)
        fin = world.user(email="fin@vendor.example", roles=("finance",))
        for cover in (ann, bob, fin):
            with pytest.raises(Invalid) as refused:
                leaves.create(at=JAN_1, user=ann, cover=cover, **week)
            assert refused.value.attr == "cover"
        otto = world.otto()
        leave = leaves.create(at=JAN_1, user=ann, cover=otto, **week)
        leaves.end(leave=leave, at=JAN_1 + timedelta(days=2))
        leave.refresh_from_db()
        assert leave.ends_at == JAN_1 + timedelta(days=2)
        leaves.end(leave=leaves.create(at=JAN_1, user=otto, **week), at=JAN_1)
        assert not Leave.objects.filter(user=otto).exists()


class TestRoleScopes:
    def test_founders_say_how_far_a_role_goes(self) -> None:
        scope = scopes.create(role="ae", reads="team", writes="own", at=JAN_1)
        scopes.change(scope=scope, reads="all", at=JAN_1)
        scopes.remove(scope=scope, at=JAN_1)
        facts = list(Event.objects.filter(type="crm.role_scope.changed").order_by("position"))
        assert [fact.data["reads"] for fact in facts] == ["team", "all", "own"]
        assert [fact.previous["reads"] for fact in facts] == ["own", "team", "all"]

    @pytest.mark.parametrize(
        ("role", "reads", "writes", "attr"),
        [("ae", "own", "team", "writes"), ("founder", "all", "own", "role"), ("ae", "some", "own", "reads")],
    )
    def test_what_makes_no_sense_is_refused(self, role: str, reads: str, writes: str, attr: str) -> None:
        with pytest.raises((Invalid, Conflict)) as refused:
            scopes.create(role=role, reads=reads, writes=writes, at=JAN_1)
        assert refused.value.attr == attr
