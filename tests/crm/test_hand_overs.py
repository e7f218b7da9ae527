"""Hand-overs: a leaver's book goes to a colleague or evenly to a pool, and comes back."""

from collections import Counter
from typing import Any

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from crm import hand_overs, opportunities, owners
from crm.models import Account, Alert, HandOver, Lead, Opportunity, Pool, PoolMember, Task
from crm.queries import books
from crm.spreading import spread
from crm.tasks import work_hand_overs
from gtm.shared import users
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event, User
from tests import world
from tests.crm import makers
from tests.world import JAN_1

weights = st.lists(st.integers(0, 9), max_size=40)


@settings(max_examples=50, deadline=None)
@given(weights=weights, heads=st.integers(1, 7))
def test_everybody_gets_as_much_as_the_others(weights: list[int], heads: int) -> None:
    pairs, receivers = list(enumerate(weights)), [f"rep{n}" for n in range(heads)]
    dealt = spread(pairs, receivers)
    assert dealt == spread(pairs, receivers)
    assert dealt.keys() == dict(pairs).keys()
    shares = Counter(dict.fromkeys(receivers, 0)) + Counter(dealt.values())
    counts = [shares[one] for one in receivers]
    assert max(counts) - min(counts) <= 1


@pytest.fixture
def people() -> dict[str, User]:
    found = {name: make() for name, make in (("ann", world.ann), ("bob", world.bob), ("otto", world.otto))}
    makers.sales(*found.values())
    return found | {"fay": world.fay()}


@pytest.fixture
def book(people: dict[str, User]) -> list[Account]:
    """Ann's: four accounts with a lead and an alert each, two deals, a task of an account and one of none."""
    found = []
    for number in range(4):
        account = makers.account(domain=f"a{number}.com")
        owners.give(account=account, owner=people["ann"], at=makers.NOON)
        makers.alert(account=account)
        found.append(account)
    for account in found[:2]:
        deal(account, people["ann"])
    for account in (found[0], None):
        Task.objects.create(account=account, title="Call", assignee=people["ann"])
    return found


def deal(account: Account, owner: User) -> Opportunity:
    return opportunities.create(
        account=account,
        at=makers.NOON,
        name="Deal",
        owner=owner,
        amount=100_000,
        currency="USD",
        next_step="Call",
        next_step_at=makers.NOON,
    )


def holders() -> dict[str, set[str]]:
    return {
        "accounts": set(Account.objects.values_list("owner__name", flat=True)),
        "deals": set(Opportunity.objects.values_list("owner__name", flat=True)),
        "tasks": set(Task.objects.values_list("assignee__name", flat=True)),
        "leads": set(Lead.objects.values_list("owner__name", flat=True)),
        "alerts": set(Alert.objects.values_list("owner__name", flat=True)),
    }


def told(fact: str) -> list[dict[str, Any]]:
    return list(Event.objects.filter(type=fact).values_list("data", flat=True))


pytestmark = pytest.mark.django_db


def test_the_book_goes_to_one_colleague_and_comes_back(people: dict[str, User], book: list[Account]) -> None:
    ann, bob, fay = people["ann"], people["bob"], people["fay"]
    assert books.told(ann) == "4 accounts, 2 open opportunities, 4 open leads, 2 open tasks, 4 open alerts"
    with pytest.raises(Conflict) as refused:
        users.change(user=ann, at=JAN_1, is_active=False)
    assert refused.value.code == "owns_work"
    hand_over = hand_overs.start(leaver=ann, receiver=bob, user=fay, at=makers.NOON, deactivates=True)
    assert hand_over.total == 4 + 2 + 2
    with pytest.raises(Conflict):
        hand_overs.start(leaver=ann, receiver=bob, user=fay, at=makers.NOON)
    work_hand_overs()
    hand_over.refresh_from_db()
    ann.refresh_from_db()
    assert (hand_over.state, hand_over.percent, ann.is_active) == ("done", 100, False)
    assert set(map(frozenset, holders().values())) == {frozenset({"Bob"})}
    moved = Event.objects.filter(type="crm.account.owner_assigned", reason="hand_over")
    assert set(moved.values_list("actor", flat=True)) == {f"user:{fay.public_id}"}
    owners.give(account=book[3], owner=people["otto"], at=makers.NOON)
    with pytest.raises(Conflict) as refused:  # nobody gets a sign-in back from a manager's button
        hand_overs.undo(hand_over=hand_over, at=makers.NOON)
    ann.refresh_from_db()
    assert (refused.value.code, ann.is_active) == ("leaver_gone", False)
    users.change(user=ann, at=makers.NOON, is_active=True)
    hand_overs.undo(hand_over=hand_over, at=makers.NOON)
    work_hand_overs()
    hand_over.refresh_from_db()
    assert hand_over.state == "undone"
    assert holders()["accounts"] == {"Ann", "Otto"}
    assert holders()["deals"] == holders()["tasks"] == {"Ann"}
    assert [len(told(f"crm.hand_over.{step}")) for step in ("started", "done", "undone")] == [1, 1, 1]


def test_a_pool_shares_it_evenly_and_a_killed_worker_loses_nothing(
    people: dict[str, User], book: list[Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hand_overs, "BATCH", 3)
    hand_over = hand_overs.start(leaver=people["ann"], pool=Pool.objects.get(), user=people["fay"], at=makers.NOON)
    assert hand_overs.work(hand_over=hand_over, at=makers.NOON)
    hand_over.refresh_from_db()
    assert (hand_over.state, hand_over.position) == ("running", 3)
    work_hand_overs()
    work_hand_overs()
    shares = Counter(Account.objects.values_list("owner__name", flat=True))
    assert shares == {"Bob": 2, "Otto": 2}
    for one in Opportunity.objects.select_related("account"):
        assert one.owner_id == one.account.owner_id
    assert HandOver.objects.get().state == "done"


def test_a_row_that_fails_keeps_no_other_where_it_is(people: dict[str, User], book: list[Account]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse_one() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN IF NEW.id = TG_ARGV[0]::uuid THEN RAISE 'no' USING ERRCODE = '23514'; END IF; RETURN NEW; END$$"
        )
        cursor.execute(
            "CREATE TRIGGER refuse_one BEFORE UPDATE ON crm_account FOR EACH ROW "
            f"EXECUTE FUNCTION refuse_one('{book[0].pk}')"
        )
    hand_overs.start(leaver=people["ann"], user=people["fay"], at=makers.NOON, receiver=people["bob"])
    work_hand_overs()
    hand_over = HandOver.objects.get()
    assert hand_over.state == "done"
    assert [row.object_id for row in hand_over.rows.filter(note__startswith="Something went wrong")] == [book[0].pk]
    assert Account.objects.filter(owner=people["bob"]).count() == 3


def test_who_can_take_nothing_over_is_refused(people: dict[str, User]) -> None:
    ann, fay = people["ann"], people["fay"]
    empty = Pool.objects.create(code="empty", name="Empty")
    PoolMember.objects.create(pool=empty, user=ann)
    fin = world.user(email="fin@vendor.example", roles=("finance",), is_active=False)
    for to in ({"receiver": ann}, {"receiver": fin}, {"pool": empty}, {}):
        with pytest.raises(Invalid):
            hand_overs.start(leaver=ann, user=fay, at=makers.NOON, **to)
    with pytest.raises(Conflict) as refused:
        hand_overs.start(leaver=ann, receiver=people["bob"], user=fay, at=makers.NOON)
    assert refused.value.code == "nothing_to_hand_over"


def test_the_checklist_says_what_to_ask_before(
    people: dict[str, User], book: list[Account], django_assert_num_queries: Any
) -> None:
    contact = book[0].contacts.get()
    contact.buying_role = "champion"
    contact.save()
    with django_assert_num_queries(5):
        found = books.checklists(people["ann"])
    first = next(one for one in found if one.account == book[0])
    assert (first.champions, first.economic_buyers, first.opportunities, first.gaps) == (["Cora"], [], 1, 1)
    assert [one.gaps for one in found] == [1, 2, 0, 0] or [one.gaps for one in found] == [2, 1, 0, 0]
    assert books.loads([people["ann"].pk])[people["ann"].pk]["account"] == 4
