"""Real connections at once: each event counts once, and nobody waits for ever."""

import random
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection, connections, transaction

from billing import catalog, consumption, usage
from billing.models import Grant, UsageEvent, UsageEventKey, UsageRollup, UsageValue
from billing.queries import Window, totals
from billing.usage import Recorded, UsageInput
from gtm.shared.errors import Conflict
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db(transaction=True)
AT = datetime(2026, 3, 10, 12, tzinfo=UTC)
ROUNDS = 50


@pytest.fixture
def two() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=2) as threads:
        yield threads


def on_own_connection(call: Callable[[], Recorded], together: threading.Barrier) -> Recorded:
    together.wait(timeout=20)
    try:
        return call()
    finally:
        connections.close_all()


def at_once(two: ThreadPoolExecutor, *calls: Callable[[], object]) -> list[object]:
    together = threading.Barrier(len(calls))
    return [future.result(timeout=60) for future in [two.submit(on_own_connection, call, together) for call in calls]]  # type: ignore[arg-type]


def test_two_calls_with_the_same_events_count_each_once(two: ThreadPoolExecutor) -> None:
    """Shuffled, over many hours and two customers, with a meter of each kind: 50 rounds without a deadlock."""
    meter = makers.meter(aggregation="sum")
    makers.meter(code="users", aggregation="unique", property="who")
    customers = [makers.customer(name=name) for name in ("Acme", "Zeta")]
    chance = random.Random(7)  # noqa: S311 -- an order of events is no secret
    for number in range(ROUNDS):
        events = [
            makers.usage_event(
                chance.choice(customers),
                f"{number}-{n}",
                timestamp=AT - timedelta(hours=chance.randrange(12)),
                quantity=Decimal(chance.randrange(5)),
                properties={"who": f"u{chance.randrange(9)}"},
            )
            for n in range(60)
        ]
        orders = [chance.sample(events, len(events)) for _ in range(2)]

        answers = at_once(two, *(lambda order=order: usage.record(events=order, at=AT) for order in orders))  # type: ignore[misc]

        assert sum(answer.accepted for answer in answers) == 60  # type: ignore[attr-defined]
        assert sum(answer.duplicates for answer in answers) == 60  # type: ignore[attr-defined]
    assert UsageEvent.objects.count() == UsageEventKey.objects.count() == 60 * ROUNDS
    assert sum(UsageRollup.objects.filter(meter_id=meter.pk).values_list("count", flat=True)) == 60 * ROUNDS
    sums = totals([Window(customer.pk, meter.pk, JAN_1, None) for customer in customers])
    assert sum(sums) == sum(UsageEvent.objects.values_list("quantity", flat=True))
    assert UsageValue.objects.exists()


def test_a_second_call_with_another_body_is_told_so(two: ThreadPoolExecutor) -> None:
    acme = makers.customer()

    answers = at_once(
        two,
        lambda: usage.record(events=[makers.usage_event(acme, "a", user="one")], at=AT),
        lambda: usage.record(events=[makers.usage_event(acme, "a", user="two")], at=AT),
    )

    assert sorted(answer.accepted for answer in answers) == [0, 1]  # type: ignore[attr-defined]
    assert [one.code for answer in answers for one in answer.rejected] == ["id_reused"]  # type: ignore[attr-defined]


def test_a_meter_that_is_made_meanwhile_misses_nothing_and_counts_nothing_twice(two: ThreadPoolExecutor) -> None:
    acme = makers.customer()

    def events(number: int) -> list[UsageInput]:
        return [makers.usage_event(acme, f"{number}-{n}", name=f"call.{number}") for n in range(50)]

    for number in range(10):
        at_once(
            two,
            lambda number=number: usage.record(events=events(number), at=AT),  # type: ignore[misc]
            lambda number=number: makers.meter(code=f"m{number}", event_name=f"call.{number}"),  # type: ignore[misc]
        )
    assert list(UsageRollup.objects.values_list("count", flat=True)) == [50] * 10


class TestMakePartitions:
    """Months of a far future, so that those of the migration and of other tests are out of the way."""

    @pytest.fixture(autouse=True)
    def _forget_partitions(self) -> Iterator[None]:
        yield
        with connection.cursor() as cursor:
            cursor.execute("SELECT relid::regclass::text FROM pg_partition_tree('billing_usageevent')")
            for name in (name for (name,) in cursor.fetchall() if re.search("_20[4-9]", name)):
                cursor.execute(f"DROP TABLE {name}")

    def test_it_makes_this_month_and_three_more_and_then_nothing(self) -> None:
        at = datetime(2040, 11, 30, 23, tzinfo=UTC)
        months = ("204011", "204012", "204101", "204102")

        assert usage.make_partitions(at=at) == [f"billing_usageevent_{month}" for month in months]
        assert usage.make_partitions(at=at) == []

    def test_it_moves_what_came_too_early(self) -> None:
        meter, acme = (
            makers.meter(),
            makers.customer(test_clock=makers.clock(frozen_time=datetime(2050, 2, 1, tzinfo=UTC))),
        )
        instants = [datetime(2050, 1, 1, tzinfo=UTC) - timedelta(seconds=1), datetime(2050, 1, 1, tzinfo=UTC)]
        events = [makers.usage_event(acme, f"e{n}", timestamp=instant) for n, instant in enumerate(instants)]
        usage.record(events=events, at=AT)

        usage.make_partitions(at=instants[1])

        with connection.cursor() as cursor:
            cursor.execute("SELECT tableoid::regclass::text FROM billing_usageevent ORDER BY timestamp")
            assert [name for (name,) in cursor.fetchall()] == ["billing_usageevent_other", "billing_usageevent_205001"]
        cut = Window(acme.pk, meter.pk, instants[0] - timedelta(minutes=1), instants[1] + timedelta(minutes=1))
        assert totals([cut]) == [2]

    def test_it_fails_no_ingest(self, two: ThreadPoolExecutor) -> None:
        acme = makers.customer(test_clock=makers.clock(frozen_time=datetime(2061, 1, 1, tzinfo=UTC)))

        def ingest(number: int) -> Recorded:
            month = datetime(2060, 1 + number, 1, tzinfo=UTC)
            return usage.record(
                events=[makers.usage_event(acme, f"{number}-{n}", timestamp=month) for n in range(200)], at=AT
            )

        for number in range(12):
            month = datetime(2060, 1 + number, 15, tzinfo=UTC)
            at_once(two, lambda number=number: ingest(number), lambda month=month: usage.make_partitions(at=month))  # type: ignore[misc]
        assert UsageEvent.objects.count() == 2400


def test_a_meter_waits_for_the_events_under_way(two: ThreadPoolExecutor) -> None:
    """Seen from inside: the call has read the meters already when the meter comes."""
    acme, read, go_on = makers.customer(), threading.Event(), threading.Event()

    def slow_ingest() -> None:
        try:
            with transaction.atomic():
                usage.record(events=[makers.usage_event(acme, "a")], at=AT)
                read.set()
                go_on.wait(timeout=20)
        finally:
            connections.close_all()

    def meter() -> None:
        try:
            read.wait(timeout=20)
            threading.Timer(0.3, go_on.set).start()
            catalog.create_meter(at=AT, code="late", name="Late", event_name="api.call")
        finally:
            connections.close_all()

    for future in [two.submit(slow_ingest), two.submit(meter)]:
        future.result(timeout=60)
    assert UsageRollup.objects.get().count == 1


def test_two_cannot_take_the_last_unit(two: ThreadPoolExecutor) -> None:
    acme = makers.customer()
    feature = makers.feature(meter=makers.meter())
    Grant.objects.create(customer=acme, feature=feature, source="manual", limit=ROUNDS // 2, hard=True, reset="month")

    def take(event_id: str) -> bool:
        try:
            consumption.consume(customer=acme, feature="api_calls", quantity=Decimal(1), id=event_id, at=AT)
        except Conflict as refusal:
            if refusal.code != "limit_reached":
                raise
            return False
        return True

    taken = [at_once(two, lambda n=n: take(f"{n}-a"), lambda n=n: take(f"{n}-b")) for n in range(ROUNDS)]  # type: ignore[misc]

    assert sum(map(sum, taken)) == ROUNDS // 2 == UsageEvent.objects.count()  # type: ignore[arg-type]
