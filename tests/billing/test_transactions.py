"""Percentages with parts per transaction: from real events, in time order, by one query however many periods."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import pricing, usage
from billing.models import Customer, Meter, Subscription, UsageEvent
from billing.price_terms import PriceTerms
from billing.pricing import Transaction
from billing.queries import transactions
from billing.queries.transactions import Asked
from billing.queries.usage import Window
from billing.usage import UsageInput
from tests.billing import makers
from tests.billing.metered import MeteredLife

D = Decimal
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)


@pytest.fixture
def payments() -> Meter:
    return makers.meter(code="volume", event_name="paid", aggregation="sum", property="amount")


def send(customer: Customer, *amounts: Any, start: datetime = MARCH, subscription: Subscription | None = None) -> None:
    """One each minute from the start on; None sends an event without the amount."""
    events = [
        UsageInput(
            id=f"{start.isoformat()} {customer.pk} {n}",
            name="paid",
            customer=customer.public_id,
            timestamp=start + timedelta(minutes=n),
            properties={} if amount is None else {"amount": amount},
            subscription=subscription.public_id if subscription else None,
        )
        for n, amount in enumerate(amounts)
    ]
    assert not usage.record(events=events, at=datetime(2026, 6, 1, tzinfo=UTC)).rejected


def asked(
    customer: Customer,
    meter: Meter,
    *,
    count: int | None = None,
    money: int | None = 0,
    low: int | None = None,
    high: int | None = None,
    pool: int | None = None,
    **window: Any,
) -> Asked:
    numbers = [None if number is None else D(number) for number in (money, low, high)]
    return Asked(Window(customer.pk, meter.pk, **{"start": MARCH, "end": APRIL} | window), count, *numbers, pool)


@pytest.mark.django_db
class TestRuns:
    """As sum and number: those that are free, the one of which a part is, and the others by the bounds they are in."""

    def test_without_anything_free_they_come_by_their_bounds(self, payments: Meter) -> None:
        acme = makers.customer()
        send(acme, 500, 200, 500, None, 900, 200, 150)
        assert transactions.runs([asked(acme, payments)]) == [[(D(2450), 6)]]
        assert transactions.runs([asked(acme, payments, low=200, high=500)]) == [
            [(D(150), 1), (D(900), 1), (D(1400), 4)]
        ]

    def test_money_is_free_in_the_order_of_time(self, payments: Meter) -> None:
        acme = makers.customer()
        send(acme, 500, 200, 500, 500, 200)
        assert transactions.runs([asked(acme, payments, money=600)]) == [[(D(500), 1), (D(200), 1), (D(1200), 3)]]
        assert transactions.runs([asked(acme, payments, money=700)]) == [[(D(700), 2), (D(1200), 3)]]
        assert transactions.runs([asked(acme, payments, count=1, money=600)]) == [[(D(500), 1), (D(1400), 4)]]

    def test_so_many_are_free_in_the_order_of_time(self, payments: Meter) -> None:
        acme = makers.customer()
        send(acme, 500, 500, 200, 500, 200)
        assert transactions.runs([asked(acme, payments, count=3, money=None)]) == [[(D(1200), 3), (D(700), 2)]]

    def test_what_is_free_is_shared_by_the_windows_of_a_pool(self, payments: Meter) -> None:
        acme, half = makers.customer(), MARCH + timedelta(minutes=2)
        send(acme, 500, 200, 500, 500, 200)
        pool = [
            asked(acme, payments, money=800, pool=0, end=half),
            asked(acme, payments, money=800, pool=0, start=half),
        ]
        assert transactions.runs(pool) == [[(D(700), 2)], [(D(500), 1), (D(700), 2)]]

    def test_bounds_customers_and_subscriptions_are_kept_apart(
        self, payments: Meter, django_assert_num_queries: Any
    ) -> None:
        acme, zeta = makers.customer(), makers.customer(name="Zeta")
        plans = [makers.published_plan(code=f"plan{n}") for n in range(2)]
        mine, other = (makers.subscribed(acme, plan=plan) for plan in plans)
        send(acme, 1, start=MARCH - timedelta(minutes=1))
        send(acme, 2, 3)
        send(acme, 4, start=APRIL)
        send(acme, 5, start=MARCH + timedelta(hours=1), subscription=other)
        send(zeta, 7)
        windows = [{"subscription_id": mine.pk}, {"end": MARCH}]
        with django_assert_num_queries(1):
            found = transactions.runs([*(asked(acme, payments, **one) for one in windows), asked(zeta, payments)])
        assert found == [[(D(5), 2)], [], [(D(7), 1)]]

    @settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        amounts=st.lists(st.sampled_from([0, 1, 77, 200, 400, 500]), max_size=12),
        free_units=st.none() | st.integers(0, 5),
        included=st.sampled_from([0, 1, 450, 1000]),
        fixed=st.sampled_from([0, 2, 6]),
    )
    def test_cost_what_they_cost_one_by_one(
        self, payments: Meter, amounts: list[int], free_units: int | None, included: int, fixed: int
    ) -> None:
        UsageEvent.objects.all().delete()
        acme = makers.customer()
        send(acme, *amounts)
        terms = PriceTerms(
            model="percentage",
            percentage=D("1.3"),
            fixed_amount=D(fixed),
            per_transaction_min=D(3),
            per_transaction_max=D(7),
            free_units=None if free_units is None else D(free_units),
            included_units=D(included),
        )
        window = Window(acme.pk, payments.pk, MARCH, APRIL)
        (runs,) = transactions.runs([Asked(window, *terms.free_transactions, *terms.bounded_transactions)])
        singly: list[Transaction] = [D(amount) for amount in amounts]
        assert pricing.rate(terms, D(sum(amounts)), runs) == pricing.rate(terms, D(sum(amounts)), singly)


@pytest.mark.django_db
class TestPrices:
    def test_need_a_meter_that_sums(self) -> None:
        counting = makers.meter(code="calls")
        plan = makers.plan()
        terms = {"model": "percentage", "unit_amount": None, "percentage": D(1), "timing": "in_arrears"}
        with pytest.raises(Exception, match="sums their amounts") as refusal:
            makers.price(plan=plan, meter=counting, fixed_amount=D(30), **terms)
        assert refusal.value.attr == "meter"
        makers.price(plan=plan, meter=counting, **terms)


@pytest.mark.django_db
class TestThroughTheApi:
    """The worked cases lago-percentage and lago-percentage-minmax, with events that come in one by one."""

    LAGO = {"model": "percentage", "percentage": "1.3", "fixed_amount": "200"}
    EVENTS = (5000, 10000, 25000, 40000)

    def billed(self, amounts: tuple[int, ...], **price: Any) -> Any:
        life = MeteredLife.begin_metered(**price)
        life.report(*[(f"e{n}", f"2026-01-{n + 2:02}T10:00:00Z", amount) for n, amount in enumerate(amounts)])
        life.until("2026-02-01T02:00:00Z")
        (line,) = life.lines()
        return line

    @pytest.mark.parametrize(
        ("free", "amount"),
        [
            ({"free_units": "3", "included_units": "25000"}, 1115),
            ({"free_units": "3"}, 720),
            ({}, 1840),
            ({"percentage": "0"}, 800),
        ],
    )
    def test_lago_percentage(self, free: dict[str, Any], amount: int) -> None:
        line = self.billed(self.EVENTS, **self.LAGO | free)
        assert (line["amount"], line["quantity"], line["kind"]) == (amount, 80000, "usage")
        assert "4 transactions" in line["explanation"]

    @pytest.mark.parametrize(
        ("bounds", "amount"),
        [
            ({}, 30169),
            ({"per_transaction_min": "175", "per_transaction_max": "1200"}, 1614),
            ({"per_transaction_min": "175", "per_transaction_max": "1200", "fixed_amount": "200"}, 1869),
        ],
    )
    def test_lago_percentage_minmax(self, bounds: dict[str, Any], amount: int) -> None:
        line = self.billed((1000, 8000, 1000000), model="percentage", percentage="2.99", **bounds)
        assert (line["amount"], line["quantity"]) == (amount, 1009000)

    def test_what_comes_while_the_invoice_is_a_draft_is_on_it(self) -> None:
        life = MeteredLife.begin_metered(**self.LAGO)
        life.report(("a", "2026-01-10T10:00:00Z", 5000))
        life.until("2026-02-01T00:30:00Z")
        life.report(("b", "2026-01-20T10:00:00Z", 10000))
        life.until("2026-02-01T02:00:00Z")
        (line,) = life.lines()
        assert (line["amount"], line["quantity"]) == (265 + 330, 15000)
