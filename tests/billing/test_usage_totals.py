"""Sums over windows: the roll-ups and the raw hours together say what the events say."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import usage
from billing.models import Customer, Meter, Subscription
from billing.queries import Window, totals
from billing.usage import UsageInput
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
START = datetime(2026, 3, 1, tzinfo=UTC)
MINUTES = 5 * 60


@pytest.fixture
def acme() -> Customer:
    return makers.customer()


def send(customer: Customer, *samples: tuple[int, object], subscription: str | None = None) -> None:
    """Events at so many minutes after the start, with a value each."""
    events = [
        UsageInput(
            id=f"{minute}/{n}/{subscription}",
            name="used",
            customer=customer.public_id,
            timestamp=START + timedelta(minutes=minute),
            properties={"value": value},
            subscription=subscription,
        )
        for n, (minute, value) in enumerate(samples)
    ]
    assert not usage.record(events=events, at=START + timedelta(days=40)).rejected


def meters() -> dict[str, Meter]:
    return {
        how: makers.meter(code=how, event_name="used", aggregation=how, property="" if how == "count" else "value")
        for how in ("count", "sum", "max", "latest", "unique")
    }


def expected(how: str, samples: list[tuple[int, int]]) -> Decimal:
    """The same, from the events one by one; of two that are equally late the larger amount is the latest."""
    values = [value for _minute, value in samples]
    if not values:
        return Decimal()
    found = {
        "count": len(values),
        "sum": sum(values),
        "max": max(values),
        "latest": max(samples)[1],
        "unique": len(set(values)),
    }
    return Decimal(found[how])


class TestTotals:
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        samples=st.lists(st.tuples(st.integers(0, MINUTES - 1), st.integers(0, 9)), max_size=30),
        bounds=st.tuples(st.integers(0, MINUTES), st.integers(0, MINUTES)),
        at_once=st.integers(1, 30),
    )
    def test_they_equal_the_sums_of_the_raw_events(
        self, samples: list[tuple[int, int]], bounds: tuple[int, int], at_once: int
    ) -> None:
        """Whatever the bounds, the order and the size of the calls."""
        from django.db import transaction

        with transaction.atomic():
            customer, kinds = makers.customer(), meters()
            for position in range(0, len(samples), at_once):
                numbered = samples[position : position + at_once]
                send_numbered(customer, position, numbered)
            first, last = min(bounds), max(bounds)
            within = [sample for sample in samples if first <= sample[0] < last]
            window = (START + timedelta(minutes=first), START + timedelta(minutes=last))
            found = totals([Window(customer.pk, meter.pk, *window) for meter in kinds.values()])
            transaction.set_rollback(True)

        assert dict(zip(kinds, found, strict=True)) == {how: expected(how, within) for how in kinds}

    def test_they_cut_the_hours_of_zones_with_half_hours(self, acme: Customer) -> None:
        """A day in Kolkata begins at half past six in the evening, UTC."""
        meter = makers.meter(event_name="used")
        send(acme, *((minute, 1) for minute in range(0, 24 * 60, 10)))
        day = Window(acme.pk, meter.pk, START - timedelta(hours=5, minutes=30), START + timedelta(hours=18, minutes=30))
        following = Window(acme.pk, meter.pk, START + timedelta(hours=18, minutes=30), START + timedelta(days=2))

        assert totals([day, following]) == [111, 33]

    def test_late_events_count_in_their_hour(self, acme: Customer) -> None:
        meter = makers.meter(event_name="used", aggregation="latest", property="value")
        hour = Window(acme.pk, meter.pk, START, START + timedelta(hours=1))
        send(acme, (40, 7))
        send(acme, (20, 3))

        assert totals([hour]) == [7]

    def test_an_open_window_has_no_end(self, acme: Customer) -> None:
        meter = makers.meter(event_name="used")
        send(acme, (1, 1), (30 * 24 * 60, 1))

        assert totals([Window(acme.pk, meter.pk, JAN_1, None)]) == [2]

    def test_other_customers_and_meters_do_not_count(self, acme: Customer) -> None:
        meter, other = makers.meter(event_name="used"), makers.meter(code="other", event_name="other")
        send(makers.customer(name="Zeta"), (10, 1), (70, 1))

        whole = (START - timedelta(minutes=30), START + timedelta(hours=9, minutes=15))
        assert totals([Window(acme.pk, meter.pk, *whole), Window(acme.pk, other.pk, *whole)]) == [0, 0]

    def test_a_subscription_has_what_names_it_or_none(self, acme: Customer) -> None:
        meter, version = makers.meter(event_name="used"), makers.plan().current_version
        mine, other = (
            Subscription.objects.create(customer=acme, payer=acme, plan_version=version, currency="USD", start_at=JAN_1)
            for _ in range(2)
        )
        send(acme, (10, 1), (70, 1))
        send(acme, (20, 1), (80, 1), subscription=mine.public_id)
        send(acme, (130, 1), subscription=other.public_id)
        window = (acme.pk, meter.pk, START + timedelta(minutes=15), None)

        assert totals([Window(*window), Window(*window, mine.pk), Window(*window, other.pk)]) == [4, 3, 2]

    def test_many_windows_are_one_query_in_their_order(self, acme: Customer) -> None:
        meter = makers.meter(event_name="used")
        send(acme, *((60 * hour + 5, 1) for hour in range(20) for _ in range(hour % 3)))
        windows = [
            Window(acme.pk, meter.pk, START + timedelta(hours=hour), START + timedelta(hours=hour + 1))
            for hour in reversed(range(20))
        ]

        with CaptureQueriesContext(connection) as captured:
            found = totals(windows)

        assert found == [hour % 3 for hour in reversed(range(20))]
        assert len(captured) == 1
        assert totals([]) == []


def send_numbered(customer: Customer, position: int, samples: list[tuple[int, int]]) -> None:
    events = [
        UsageInput(
            id=f"n{position + n}",
            name="used",
            customer=customer.public_id,
            timestamp=START + timedelta(minutes=minute),
            properties={"value": value},
        )
        for n, (minute, value) in enumerate(samples)
    ]
    assert usage.record(events=events, at=START + timedelta(days=1)).accepted == len(samples)
