"""Ingest: what is kept, what is a duplicate, what is rejected and why."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing import usage
from billing.models import Customer, Subscription, UsageEvent, UsageRollup, UsageValue
from billing.queries import Window, totals
from billing.usage import Recorded, UsageInput, UsageUser
from gtm.shared import ids
from gtm.shared.errors import Invalid
from gtm.shared.models import Event, TestClock
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
AT = datetime(2026, 3, 10, 12, 34, 56, tzinfo=UTC)


@pytest.fixture
def acme() -> Customer:
    makers.meter()
    return makers.customer(external_id="acme-1")


def record(*events: UsageInput, at: datetime = AT) -> Recorded:
    return usage.record(events=events, at=at)


def codes(recorded: Recorded) -> list[str]:
    return [rejected.code for rejected in recorded.rejected]


class TestRecord:
    def test_it_keeps_events_and_counts_them_in_their_hour(self, acme: Customer) -> None:
        recorded = record(makers.usage_event(acme, "a"), makers.usage_event(acme, "b"))

        assert recorded == Recorded(accepted=2, duplicates=0, rejected=[])
        rollup = UsageRollup.objects.get()
        assert (rollup.hour, rollup.count, rollup.sum) == (AT.replace(minute=0, second=0), 2, 2)

    def test_it_takes_none_at_all(self) -> None:
        assert record() == Recorded(accepted=0, duplicates=0, rejected=[])

    def test_it_finds_customers_by_their_external_id(self, acme: Customer) -> None:
        event = UsageInput(id="a", name="api.call", customer="external_id:acme-1")

        assert record(event).accepted == 1
        assert UsageEvent.objects.get().customer_id == acme.pk

    def test_it_keeps_only_the_id_of_a_user(self, acme: Customer) -> None:
        user = UsageUser(id="u-7", email="jo@acme.example")

        record(makers.usage_event(acme, "a", user=user), makers.usage_event(acme, "b", user="u-8"))

        assert set(UsageEvent.objects.values_list("user", flat=True)) == {"u-7", "u-8"}

    def test_it_keeps_events_that_no_meter_counts(self, acme: Customer) -> None:
        assert record(makers.usage_event(acme, "a", name="feature.viewed")).accepted == 1
        assert UsageEvent.objects.count() == 1
        assert not UsageRollup.objects.exists()

    def test_it_keeps_events_of_any_month(self, acme: Customer) -> None:
        """Months without a partition go to the default one."""
        for month in (1, 6, 12):
            record(makers.usage_event(acme, f"m{month}", timestamp=datetime(2019, month, 1, tzinfo=UTC)))

        assert UsageEvent.objects.count() == 3

    def test_it_rounds_quantities_to_six_places(self, acme: Customer) -> None:
        record(makers.usage_event(acme, "a", quantity=Decimal("0.12345678")))

        assert UsageEvent.objects.get().quantity == Decimal("0.123457")
        assert UsageRollup.objects.get().sum == Decimal("0.123457")

    def test_it_keeps_10_000_events_in_one_call(self, acme: Customer) -> None:
        events = [makers.usage_event(acme, f"e{n}", timestamp=AT - timedelta(minutes=n)) for n in range(10_000)]

        assert record(*events).accepted == 10_000
        assert sum(UsageRollup.objects.values_list("count", flat=True)) == 10_000
        assert record(*events).duplicates == 10_000

    def test_it_asks_the_same_number_of_queries_for_any_number_of_events(self, acme: Customer) -> None:
        def queries(count: int, prefix: str) -> int:
            events = [makers.usage_event(acme, f"{prefix}{n}", user=f"u{n}") for n in range(count)]
            with CaptureQueriesContext(connection) as captured:
                record(*events)
            return len(captured)

        of_one, of_many = queries(1, "one"), queries(500, "many")
        assert of_one == of_many <= 8
        assert queries(500, "many") <= 7  # repeats

    def test_it_asks_one_query_more_where_an_event_is_older_than_half_an_hour(self, acme: Customer) -> None:
        def queries(*ages: int) -> int:
            events = [makers.usage_event(acme, f"{age}", timestamp=AT - timedelta(minutes=age)) for age in ages]
            with CaptureQueriesContext(connection) as captured:
                record(*events)
            return len(captured)

        assert queries(0, 1, 29) + 1 == queries(2, 31, 600)


class TestDuplicates:
    def test_it_counts_the_same_event_once(self, acme: Customer) -> None:
        record(makers.usage_event(acme, "a"))

        assert record(makers.usage_event(acme, "a")) == Recorded(accepted=0, duplicates=1, rejected=[])
        assert UsageRollup.objects.get().count == 1

    def test_it_counts_repeats_within_a_call(self, acme: Customer) -> None:
        recorded = record(makers.usage_event(acme, "a"), makers.usage_event(acme, "a"), makers.usage_event(acme, "b"))

        assert (recorded.accepted, recorded.duplicates) == (2, 1)

    def test_it_leaves_a_defaulted_timestamp_out_of_the_comparison(self, acme: Customer) -> None:
        record(makers.usage_event(acme, "a"))

        assert record(makers.usage_event(acme, "a"), at=AT + timedelta(days=40)).duplicates == 1

    def test_it_sees_the_same_body_in_other_words(self, acme: Customer) -> None:
        here = datetime(2026, 3, 10, 13, 0, tzinfo=UTC)
        record(makers.usage_event(acme, "a", timestamp=here, properties={"x": 1, "y": 2}), at=here)
        there = here.astimezone(tz=datetime.fromisoformat("2026-01-01T00:00:00+05:30").tzinfo)
        same = UsageInput(
            id="a",
            name="api.call",
            customer="external_id:acme-1",
            timestamp=there,
            quantity=Decimal("1.0"),
            properties={"y": 2, "x": 1},
        )

        assert record(same, at=here).duplicates == 1

    @pytest.mark.parametrize(
        "change",
        [
            {"quantity": Decimal(2)},
            {"name": "other"},
            {"user": "u"},
            {"properties": {"x": 1}},
            {"timestamp": AT - timedelta(hours=1)},
        ],
    )
    def test_it_rejects_an_id_that_comes_with_another_body(self, acme: Customer, change: dict[str, Any]) -> None:
        record(makers.usage_event(acme, "a", timestamp=AT))

        recorded = record(makers.usage_event(acme, "a", **{"timestamp": AT} | change), makers.usage_event(acme, "b"))

        assert (recorded.accepted, recorded.duplicates, codes(recorded)) == (1, 0, ["id_reused"])
        assert recorded.rejected[0].index == 0

    def test_it_rejects_an_id_of_another_customer(self, acme: Customer) -> None:
        record(makers.usage_event(acme, "a"))

        assert codes(record(makers.usage_event(makers.customer(name="Zeta"), "a"))) == ["id_reused"]

    def test_it_rejects_a_second_body_in_the_same_call(self, acme: Customer) -> None:
        recorded = record(makers.usage_event(acme, "a"), makers.usage_event(acme, "a", quantity=Decimal(5)))

        assert (recorded.accepted, codes(recorded)) == (1, ["id_reused"])

    def test_it_takes_an_id_again_whose_first_row_was_rejected(self, acme: Customer) -> None:
        recorded = record(UsageInput(id="a", name="api.call", customer="cus_x"), makers.usage_event(acme, "a"))

        assert (recorded.accepted, codes(recorded)) == (1, ["unknown_customer"])


class TestRejections:
    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"customer": "cus_nobody"}, "unknown_customer"),
            ({"customer": "external_id:nobody"}, "unknown_customer"),
            ({"customer": "external_id:\0"}, "unknown_customer"),
            ({"customer": ids.encode("plan", uuid.uuid4())}, "unknown_customer"),
            ({"subscription": ids.encode("sub", uuid.uuid4())}, "unknown_subscription"),
            ({"id": " "}, "invalid_id"),
            ({"id": "x" * 201}, "invalid_id"),
            ({"id": "a\0"}, "invalid_id"),
            ({"name": ""}, "invalid_name"),
            ({"name": "x" * 101}, "invalid_name"),
            ({"name": "a\0"}, "invalid_name"),
            ({"user": "x" * 201}, "invalid_user"),
            ({"timestamp": AT + timedelta(minutes=5, seconds=1)}, "timestamp_in_future"),
            ({"timestamp": datetime.max.replace(tzinfo=UTC)}, "timestamp_in_future"),
            ({"timestamp": datetime.min.replace(tzinfo=UTC)}, "timestamp_too_old"),
            ({"quantity": Decimal("NaN")}, "invalid_quantity"),
            ({"quantity": Decimal("Infinity")}, "invalid_quantity"),
            ({"quantity": Decimal("1E+999999")}, "invalid_quantity"),
            ({"quantity": Decimal(-1)}, "invalid_quantity"),
            ({"properties": {"x": "y" * 9000}}, "properties_too_large"),
            ({"properties": {"x": "\0"}}, "invalid_properties"),
            ({"properties": {"\\\0": 1}}, "invalid_properties"),
        ],
    )
    def test_it_rejects_a_row_and_keeps_the_others(self, acme: Customer, change: dict[str, Any], code: str) -> None:
        bad = msgspec.structs.replace(makers.usage_event(acme, "bad"), **change)

        recorded = record(makers.usage_event(acme, "good"), bad)

        assert (recorded.accepted, codes(recorded)) == (1, [code])
        assert recorded.rejected[0].index == 1
        assert recorded.rejected[0].detail

    @pytest.mark.parametrize(
        "change",
        [
            {"timestamp": AT + timedelta(minutes=5)},
            {"timestamp": datetime(1970, 1, 2, tzinfo=UTC)},
            {"quantity": Decimal(10**15)},
            {"quantity": Decimal("1E-999999")},
            {"quantity": Decimal(0)},
            {"properties": {"x": "\\u0000"}},
            {"properties": {"x": [1, {"y": None}], "n": 10**30}},
            {"id": "\N{GRINNING FACE}" * 200},
        ],
    )
    def test_it_keeps_what_is_just_within_bounds(self, acme: Customer, change: dict[str, Any]) -> None:
        recorded = record(msgspec.structs.replace(makers.usage_event(acme, "a"), **change))

        assert recorded.rejected == []

    def test_it_takes_the_subscription_of_that_customer_only(self, acme: Customer) -> None:
        version = makers.plan().current_version
        mine = Subscription.objects.create(
            customer=acme, payer=acme, plan_version=version, currency="USD", start_at=JAN_1, external_id="s-1"
        )

        assert record(makers.usage_event(acme, "a", subscription=mine.public_id)).accepted == 1
        assert record(makers.usage_event(acme, "b", subscription="external_id:s-1")).accepted == 1
        other = makers.customer(name="Zeta")
        assert codes(record(makers.usage_event(other, "c", subscription=mine.public_id))) == ["unknown_subscription"]
        assert UsageRollup.objects.get().subscription_id == mine.pk


class TestMeters:
    def test_it_sums_a_property_and_counts_a_missing_one_as_nothing(self, acme: Customer) -> None:
        meter = makers.meter(code="gb", event_name="stored", aggregation="sum", property="gb")

        record(
            makers.usage_event(acme, "a", name="stored", properties={"gb": 1.5}),
            makers.usage_event(acme, "b", name="stored", properties={"gb": 2}),
            makers.usage_event(acme, "c", name="stored"),
            makers.usage_event(acme, "d", name="stored", properties={"gb": None}),
        )

        rollup = UsageRollup.objects.get(meter_id=meter.pk)
        assert (rollup.count, rollup.sum, rollup.max) == (4, Decimal("3.5"), 2)

    @pytest.mark.parametrize(
        ("value", "code"),
        [
            ("1", "property_not_numeric"),
            (True, "property_not_numeric"),
            ([1], "property_not_numeric"),
            (-1, "property_out_of_range"),
            (10**16, "property_out_of_range"),
        ],
    )
    def test_it_rejects_what_it_would_have_to_add_and_cannot(self, acme: Customer, value: object, code: str) -> None:
        makers.meter(code="gb", event_name="stored", aggregation="sum", property="gb")

        assert codes(record(makers.usage_event(acme, "a", name="stored", properties={"gb": value}))) == [code]

    def test_it_counts_only_events_that_pass_the_filters(self, acme: Customer) -> None:
        filters = {"region": ["eu", "us"], "paid": True}
        meter = makers.meter(code="eu", event_name="call", aggregation="sum", property="n", filters=filters)
        passing: dict[str, Any] = {"region": "eu", "paid": True}
        others = [{"region": "ap"}, {"paid": 1}, {"paid": "true"}, {"region": ["eu"]}, {"region": None}]

        record(makers.usage_event(acme, "yes", name="call", properties=passing | {"n": 3}))
        for n, other in enumerate(others):
            event = makers.usage_event(acme, f"no{n}", name="call", properties=passing | other | {"n": "not looked at"})
            assert record(event).accepted == 1

        assert UsageRollup.objects.get(meter_id=meter.pk).sum == 3

    def test_it_keeps_the_largest_and_the_latest(self, acme: Customer) -> None:
        meter = makers.meter(code="seats", event_name="seats", aggregation="max", property="n")

        for minute, number in ((30, 5), (50, 3), (10, 9)):
            instant = AT.replace(hour=9, minute=minute)
            record(makers.usage_event(acme, f"m{minute}", name="seats", timestamp=instant, properties={"n": number}))

        rollup = UsageRollup.objects.get(meter_id=meter.pk)
        assert (rollup.max, rollup.latest, rollup.latest_at) == (9, 3, AT.replace(hour=9, minute=50, second=56))

    def test_it_keeps_distinct_values(self, acme: Customer) -> None:
        meter = makers.meter(code="users", event_name="seen", aggregation="unique", property="who")

        for n, who in enumerate(["jo", "jo", "al", 7, True, None]):
            record(makers.usage_event(acme, f"s{n}", name="seen", properties={"who": who}))

        assert set(UsageValue.objects.filter(meter_id=meter.pk).values_list("value", flat=True)) == {
            "jo",
            "al",
            "7",
            "true",
        }
        too_long = makers.usage_event(acme, "long", name="seen", properties={"who": "x" * 201})
        assert codes(record(too_long)) == ["property_too_long"]
        nested = makers.usage_event(acme, "nested", name="seen", properties={"who": {}})
        assert codes(record(nested)) == ["property_not_plain"]

    def test_a_new_meter_counts_the_past(self, acme: Customer) -> None:
        record(
            makers.usage_event(acme, "a", name="stored", properties={"gb": 2, "kind": "x"}),
            makers.usage_event(acme, "b", name="stored", properties={"gb": "nonsense"}),
            makers.usage_event(acme, "c", name="stored", properties={"gb": -4}),
        )

        total = makers.meter(code="gb", event_name="stored", aggregation="sum", property="gb")
        kinds = makers.meter(code="kinds", event_name="stored", aggregation="unique", property="kind")

        whole = [Window(acme.pk, meter.pk, JAN_1, None) for meter in (total, kinds)]
        assert totals(whole) == [2, 1]
        assert UsageRollup.objects.get(meter_id=total.pk).count == 3


class TestClocks:
    @pytest.fixture
    def clocked(self, acme: Customer) -> Customer:
        return makers.customer(name="Clocked", test_clock=makers.clock(frozen_time=datetime(2025, 1, 1, tzinfo=UTC)))

    def test_a_clocked_customers_events_may_lie_ahead_of_its_clock(self, clocked: Customer) -> None:
        recorded = record(
            makers.usage_event(clocked, "a", timestamp=AT),
            makers.usage_event(clocked, "b", timestamp=AT + timedelta(minutes=6)),
        )

        assert (recorded.accepted, codes(recorded)) == (1, ["timestamp_in_future"])

    def test_a_clock_may_lie_ahead_of_real_time(self) -> None:
        future = datetime(2027, 1, 1, tzinfo=UTC)
        customer = makers.customer(test_clock=makers.clock(frozen_time=future))

        assert record(makers.usage_event(customer, "a", timestamp=future)).accepted == 1

    def test_a_timestamp_left_out_is_the_clocks_time(self, clocked: Customer) -> None:
        record(makers.usage_event(clocked, "a"))

        assert UsageEvent.objects.get().timestamp == datetime(2025, 1, 1, tzinfo=UTC)

    def test_events_wait_while_the_clock_is_advanced(self, clocked: Customer) -> None:
        TestClock.objects.update(status="advancing")

        assert codes(record(makers.usage_event(clocked, "a"))) == ["clock_advancing"]

    def test_it_tells_one_fact_for_each_clock(self, acme: Customer, clocked: Customer) -> None:
        zeta = makers.customer(name="Zeta")

        record(makers.usage_event(acme, "a"), makers.usage_event(zeta, "b"), makers.usage_event(clocked, "c"))

        facts = Event.objects.filter(type="billing.usage.recorded").order_by("position")
        told = {(fact.test_clock_id, fact.customer_id): set(usage.customers_in(fact)) for fact in facts}
        assert told == {
            (None, None): {acme.pk, zeta.pk},
            (clocked.test_clock_id, clocked.pk): {clocked.pk},
        }

    def test_it_tells_nothing_of_repeats(self, acme: Customer) -> None:
        record(makers.usage_event(acme, "a"))
        record(makers.usage_event(acme, "a"))

        assert Event.objects.filter(type="billing.usage.recorded").count() == 1


class TestDecode:
    def test_it_keeps_apart_what_it_can_read(self) -> None:
        body = b"""{"events": [
            {"id": "a", "name": "n", "customer": "c", "quantity": 1.10, "user": {"id": "u", "email": "u@x.example"}},
            {"id": "b", "name": "n"},
            {"id": "c", "name": 5, "customer": "c"},
            {"id": "d", "name": "n", "customer": "c", "timestamp": "2026-01-01T00:00:00"},
            {"id": "e", "name": "n", "customer": "c", "quanity": 1},
            7,
            {"id": "g", "name": "n", "customer": "c", "quantity": true},
            {"id": "h", "name": "n", "customer": "c", "quantity": null, "timestamp": "2026-01-01T00:00:00+05:30"},
            {"id": "i", "name": "n", "customer": "c", "properties": {"x": 1e400}}
        ]}"""

        positions, events, rejected = usage.decode(body)

        assert positions == [0, 7]
        assert events[0].quantity == Decimal("1.10")
        assert events[1].timestamp == datetime(2025, 12, 31, 18, 30, tzinfo=UTC)
        assert [(one.index, one.id, one.code) for one in rejected] == [
            (1, "b", "required"),
            (2, "c", "invalid_name"),
            (3, "d", "invalid_timestamp"),
            (4, "e", "unknown_field"),
            (5, None, "invalid"),
            (6, "g", "invalid_quantity"),
            (8, None, "invalid_properties"),
        ]

    def test_it_rejects_a_row_that_is_nested_too_deeply(self) -> None:
        deep = b"[" * 2000 + b"]" * 2000
        body = b'{"events": [{"id": "a", "name": "n", "customer": "c", "properties": {"x": ' + deep + b"}}]}"

        with pytest.raises(Invalid):
            usage.decode(body)

    @pytest.mark.parametrize(
        "body", [b"", b"[]", b"{}", b'{"events": 1}', b'{"events": [}', b"\xff", b'{"events": [{"id": "\\ud800"}]']
    )
    def test_it_refuses_other_bodies(self, body: bytes) -> None:
        with pytest.raises(Invalid):
            usage.decode(body)

    def test_it_refuses_more_than_10_000(self) -> None:
        with pytest.raises(Invalid, match="10,000"):
            usage.decode(b'{"events": [' + b",".join([b"1"] * 10_001) + b"]}")
