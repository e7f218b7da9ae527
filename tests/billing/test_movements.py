"""How revenue moved: each day of each payer is one movement, and they sum to what revenue rose by."""

import random
from datetime import date, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from django.db.models import Sum
from hypothesis import given, settings
from hypothesis import strategies as st

from billing import changes, discounts, pauses, revenue, runs, subscriptions
from billing.models import Plan, Subscription, SubscriptionChange
from billing.queries import movements
from billing.revenue import Account, Day
from gtm.shared.errors import Conflict
from tests import world
from tests.billing import makers
from tests.billing.api import BASE, caller, problem
from tests.world import JAN_1

ACME, OTHER = Account(UUID(int=1), "USD"), Account(UUID(int=2), "USD")
FIRST = date(2026, 1, 1)


def day(number: int, delta: int, account: Account = ACME) -> Day:
    return Day(account, FIRST + timedelta(days=number), delta)


class TestKinds:
    @pytest.mark.parametrize(
        ("days", "kinds"),
        [
            ([day(0, 100)], [("new", 100)]),
            ([day(0, 100), day(1, 50)], [("new", 100), ("expansion", 50)]),
            ([day(0, 100), day(1, -50)], [("new", 100), ("contraction", -50)]),
            ([day(0, 100), day(1, -100)], [("new", 100), ("churn", -100)]),
            ([day(0, 100), day(1, -100), day(9, 70)], [("new", 100), ("churn", -100), ("reactivation", 70)]),
            ([day(0, 0), day(1, 100)], [("new", 100)]),
            ([day(0, 100), day(0, 100, OTHER)], [("new", 100), ("new", 100)]),
        ],
    )
    def test_are_told_by_what_was_before(self, days: list[Day], kinds: list[tuple[str, int]]) -> None:
        assert [(one.kind, one.amount) for one in revenue.movements(days)] == kinds

    @given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 500), st.sampled_from([ACME, OTHER])), max_size=30))
    @settings(max_examples=50, deadline=None)
    def test_sum_to_the_difference_between_any_two_days(self, some: list[tuple[int, int, Account]]) -> None:
        after: dict[Account, dict[int, int]] = {ACME: {}, OTHER: {}}
        for number, amount, account in sorted(some):
            after[account][number] = amount
        days = [
            day(number, amount - before, account)
            for account, amounts in after.items()
            for (_, before), (number, amount) in pairwise([(-1, 0), *amounts.items()])
        ]
        found = revenue.movements(days)
        for account, amounts in after.items():
            for until in range(32):
                moved = sum(
                    one.amount
                    for one in found
                    if one.account == account and one.booked_on < FIRST + timedelta(days=until)
                )
                assert moved == ([0, *(amount for number, amount in amounts.items() if number < until)])[-1]
        assert all((one.amount > 0) == (one.kind in ("new", "expansion", "reactivation")) for one in found)


@pytest.fixture
def plans(db: None) -> list[Plan]:
    makers.legal_entity()
    bigger = makers.plan(code="bigger")
    makers.price(plan=bigger, code="bigger-month", unit_amount=12000)
    return [makers.published_plan(), bigger]


def one_life(chance: random.Random, plans: list[Plan], name: str) -> None:
    """A subscription to which something happens every few days."""
    customer, at = makers.customer(name=name), JAN_1 + timedelta(days=chance.randrange(20))
    minimum = chance.choice([None, 15000])
    subscription = makers.subscribed(customer, plan=chance.choice(plans), at=at, minimum_amount=minimum)
    coupon = makers.coupon(f"C{name}", duration="repeating", duration_in_periods=1)
    happenings = [
        lambda: changes.change(subscription=subscription, plan=plans[1], effective="now", at=at),
        lambda: changes.change(subscription=subscription, plan=plans[0], effective="now", at=at),
        lambda: discounts.redeem(coupon=coupon, subscription=subscription, at=at),
        lambda: pauses.pause(subscription=subscription, at=at),
        lambda: pauses.resume(subscription=subscription, at=at),
        lambda: subscriptions.cancel(subscription=subscription, when="now", at=at),
    ]
    for _turn in range(6):
        at += timedelta(days=chance.randrange(1, 25), hours=chance.randrange(24))
        runs.bill_due(at=at)
        try:
            chance.choice(happenings)()
        except (Conflict, discounts.coupons.NotRedeemable):
            continue


@pytest.mark.parametrize("seed", range(4))
def test_books_and_subscriptions_agree_after_random_lives(plans: list[Plan], seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 -- a test's own chance
    for number in range(3):
        one_life(chance, plans, f"{seed}-{number}")
    _replayed_changes_rebuild_revenue()
    days = sorted(SubscriptionChange.objects.values_list("booked_on", flat=True).distinct())
    first, last = days[0], days[-1] + timedelta(days=1)
    for start, end in [(first, last), *pairwise([first, *sorted(chance.sample(days, min(3, len(days)))), last])]:
        opening, closing = movements.revenue_before(start), movements.revenue_before(end)
        moved = {currency: sum(kinds.values()) for currency, kinds in movements.sums(_between(start, end)).items()}
        assert moved.get("USD", 0) == closing.get("USD", 0) - opening.get("USD", 0)
    total = Subscription.objects.aggregate(sum=Sum("mrr"))["sum"]
    assert movements.revenue_before(last).get("USD", 0) == total


def _between(start: date, end: date) -> list[revenue.Movement]:
    return movements.between(start=start, end=end) if start < end else []


def _replayed_changes_rebuild_revenue() -> None:
    for subscription in Subscription.objects.all():
        revenue_now = 0
        for change in subscription.changes.order_by("recorded_at", "pk"):
            assert change.mrr_before == revenue_now, change.kind
            revenue_now = change.mrr_after
        assert subscription.mrr == revenue_now


class TestQueries:
    def test_one_query_each(self, plans: list[Plan], django_assert_num_queries: object) -> None:
        makers.subscribed(makers.customer(), plan=plans[0])
        with django_assert_num_queries(1):  # type: ignore[operator]
            (movement,) = movements.between(start=FIRST, end=FIRST + timedelta(days=1))
        assert (movement.kind, movement.amount) == ("new", 4900)
        with django_assert_num_queries(1):  # type: ignore[operator]
            assert movements.revenue_before(FIRST + timedelta(days=1)) == {"USD": 4900}

    def test_what_stands_on_a_test_clock_is_apart(self, plans: list[Plan]) -> None:
        clock = makers.clock()
        makers.subscribed(makers.customer(test_clock=clock), plan=plans[0])
        month = {"start": FIRST, "end": date(2026, 2, 1)}
        assert movements.between(**month) == []
        assert len(movements.between(**month, test_clock=clock)) == 1


class TestApi:
    ADDRESS = f"{BASE}/mrr_movements"

    def test_tells_them_with_their_sums(self, plans: list[Plan]) -> None:
        subscription = makers.subscribed(makers.customer(), plan=plans[0], at=JAN_1)
        at = JAN_1 + timedelta(days=40)
        runs.bill_due(at=at)
        changes.change(subscription=subscription, plan=plans[1], effective="now", at=at)
        answer = caller().get(self.ADDRESS, {"from": "2026-02-01", "to": "2026-03-01"})
        assert answer.status_code == 200, answer.content
        assert answer.json() == {
            "totals": [
                {
                    "currency": "USD",
                    "opening": 4900,
                    "new": 0,
                    "expansion": 7100,
                    "reactivation": 0,
                    "contraction": 0,
                    "churn": 0,
                    "closing": 12000,
                }
            ],
            "results": [
                {
                    "customer": subscription.customer.public_id,
                    "currency": "USD",
                    "booked_on": "2026-02-10",
                    "kind": "expansion",
                    "amount": 7100,
                    "mrr_after": 12000,
                }
            ],
            "next": None,
            "previous": None,
        }

    def test_comes_in_pages(self, plans: list[Plan]) -> None:
        for number in range(3):
            makers.subscribed(makers.customer(name=f"Customer {number}"), plan=plans[0])
        client = caller()
        page = client.get(self.ADDRESS, {"from": "2026-01-01", "to": "2026-02-01", "limit": 2}).json()
        following = client.get(page["next"]).json()
        assert [len(one["results"]) for one in (page, following)] == [2, 1]
        assert following["next"] is None
        assert client.get(following["previous"]).json() == page

    @pytest.mark.parametrize(
        ("query", "attr"),
        [
            ({"from": "2026-01-01"}, "to"),
            ({"from": "soon", "to": "2026-01-01"}, "from"),
            ({"from": "2026-02-01", "to": "2026-01-01"}, "to"),
            ({"from": "2026-01-01", "to": "2026-01-01", "limit": "0"}, "limit"),
        ],
    )
    @pytest.mark.django_db
    def test_names_what_is_wrong(self, query: dict[str, str], attr: str) -> None:
        assert problem(caller().get(self.ADDRESS, query), status=400)[1] == attr

    @pytest.mark.django_db
    def test_a_rep_sees_none(self) -> None:
        answer = caller(user=world.ann()).get(self.ADDRESS, {"from": "2026-01-01", "to": "2026-02-01"})
        assert problem(answer, status=403)[0] == "permission_denied"
