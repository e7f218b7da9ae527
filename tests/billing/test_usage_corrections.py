"""Voided and amended events: everything counts as if they had been right from the start."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connections, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import usage, usage_corrections
from billing.models import Customer, UsageCorrection, UsageEvent, UsageEventKey, UsageRollup, UsageValue
from billing.queries import entitlements_of
from billing.usage import UsageInput
from gtm.shared.errors import Conflict, Invalid, NotFound
from gtm.shared.models import Event, TestClock
from tests import world
from tests.billing import makers
from tests.billing.api import BASE, caller, problem
from tests.billing.metered import MeteredLife
from tests.world import JAN_1

MARCH = datetime(2026, 3, 1, tzinfo=UTC)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
HOW = ("count", "sum", "max", "latest", "unique")


@pytest.fixture
def acme() -> Customer:
    for how in HOW:
        makers.meter(code=how, event_name="used", aggregation=how, property="" if how == "count" else "value")
    return makers.customer()


def event(customer: Customer, key: str, minute: int, value: Any, **fields: Any) -> UsageInput:
    return UsageInput(
        id=key,
        name="used",
        customer=customer.public_id,
        timestamp=MARCH + timedelta(minutes=minute),
        **{"properties": {"value": value}} | fields,
    )


def kept() -> tuple[list[Any], list[Any]]:
    """The roll-ups and the distinct values, whole."""
    rolled = UsageRollup.objects.order_by("meter_id", "hour", "subscription_id").values_list()
    return list(rolled), list(UsageValue.objects.order_by("meter_id", "hour", "value").values_list())


@pytest.mark.django_db
class TestCounting:
    @settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        sent=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 5)), min_size=1, max_size=6),
        corrections=st.lists(
            st.tuples(st.integers(0, 5), st.sampled_from(["void", "value", "minute"]), st.integers(0, 200)), max_size=4
        ),
    )
    def test_is_as_if_the_events_had_been_right(
        self, acme: Customer, sent: list[tuple[int, int]], corrections: list[tuple[int, str, int]]
    ) -> None:
        with transaction.atomic():
            right = {f"e{n}": one for n, one in enumerate(sent)}
            usage.record(events=[event(acme, key, *one) for key, one in right.items()], at=NOW)
            for position, what, number in corrections:
                key = f"e{position % len(sent)}"
                if key in right:
                    right = self.correct(right, key, what, number)
            found = kept()
            transaction.set_rollback(True)
        with transaction.atomic():
            usage.record(events=[event(acme, key, *one) for key, one in right.items()], at=NOW)
            assert found == kept()
            transaction.set_rollback(True)

    def correct(self, right: dict[str, Any], key: str, what: str, number: int) -> dict[str, Any]:
        minute, value = right[key]
        if what == "void":
            usage_corrections.void(event_id=key, at=NOW)
            return {other: one for other, one in right.items() if other != key}
        if what == "value":
            usage_corrections.amend(event_id=key, properties={"value": number % 6}, at=NOW)
            return right | {key: (minute, number % 6)}
        usage_corrections.amend(event_id=key, timestamp=MARCH + timedelta(minutes=number), at=NOW)
        return right | {key: (number, value)}

    def test_leaves_other_names_customers_and_hours_alone(self, acme: Customer) -> None:
        zeta = makers.customer(name="Zeta")
        makers.meter(code="other", event_name="other")
        events = [
            event(acme, "a", 0, 1),
            event(acme, "b", 61, 1),
            event(zeta, "c", 0, 1),
            UsageInput(id="d", name="other", customer=acme.public_id, timestamp=MARCH),
        ]
        usage.record(events=events, at=NOW)
        before = UsageRollup.objects.count()
        usage_corrections.void(event_id="a", at=NOW)
        assert UsageRollup.objects.count() == before - len(HOW)

    def test_moves_an_event_to_another_month(self, acme: Customer) -> None:
        usage.record(events=[event(acme, "a", 0, 7)], at=NOW)
        april = datetime(2026, 4, 20, 12, 30, tzinfo=UTC)
        usage_corrections.amend(event_id="a", timestamp=april, at=NOW)
        assert UsageEvent.objects.get().timestamp == UsageEventKey.objects.get().timestamp == april
        assert set(UsageRollup.objects.values_list("hour", flat=True)) == {april.replace(minute=0)}

    def test_changes_the_quantity(self, acme: Customer) -> None:
        amounts = makers.meter(code="amount", event_name="used", aggregation="sum")
        usage.record(events=[event(acme, "a", 0, 1, quantity=Decimal("2.5"))], at=NOW)
        usage_corrections.amend(event_id="a", quantity=Decimal(4), at=NOW)
        assert UsageRollup.objects.get(meter_id=amounts.pk).sum == 4

    def test_entitlements_follow(self) -> None:
        clocked = makers.customer(test_clock=makers.clock())
        makers.subscribed(clocked, plan=makers.published_plan(limit=10))
        makers.calls(clocked, 4, at=JAN_1)
        usage_corrections.void(event_id=UsageEvent.objects.first().event_id, at=NOW)
        (state,) = entitlements_of(customer_id=clocked.pk, at=JAN_1)
        assert (state.used, state.remaining) == (3, 7)


@pytest.mark.django_db
class TestRecord:
    def test_says_what_was_and_is_and_who_said_so(self, acme: Customer) -> None:
        usage.record(events=[event(acme, "a", 0, 7, user="u-1")], at=NOW)
        usage_corrections.amend(event_id="a", properties={"value": 8}, reason="A typing error.", at=NOW)
        usage_corrections.void(event_id="a", reason="A test.", at=NOW)
        amendment, void = UsageCorrection.objects.order_by("id")
        assert (amendment.action, amendment.reason, amendment.actor) == ("amendment", "A typing error.", "system")
        assert (amendment.before["properties"], amendment.after["properties"]) == ({"value": 7}, {"value": 8})
        assert (void.before, void.after) == (amendment.after, None)
        assert "u-1" not in str(void.before)
        told = Event.objects.filter(type="billing.usage.corrected").order_by("position")
        assert [one.data["action"] for one in told] == ["amendment", "void"]
        assert "typing" not in str(list(told.values("data", "reason")))

    def test_a_second_time_changes_nothing(self, acme: Customer) -> None:
        usage.record(events=[event(acme, "a", 0, 7)], at=NOW)
        for _again in range(2):
            assert usage_corrections.amend(event_id="a", properties={"value": 8}, at=NOW).voided_at is None
        for _again in range(2):
            assert usage_corrections.void(event_id="a", at=NOW).voided_at == NOW
        assert UsageCorrection.objects.count() == 2
        with pytest.raises(Conflict) as refusal:
            usage_corrections.amend(event_id="a", properties={"value": 9}, at=NOW)
        assert refusal.value.code == "usage_event_voided"

    def test_the_id_stays_taken(self, acme: Customer) -> None:
        first = event(acme, "a", 0, 7)
        usage.record(events=[first], at=NOW)
        usage_corrections.amend(event_id="a", properties={"value": 8}, at=NOW)
        assert usage.record(events=[first], at=NOW).duplicates == 1
        assert [one.code for one in usage.record(events=[event(acme, "a", 0, 8)], at=NOW).rejected] == ["id_reused"]
        usage_corrections.void(event_id="a", at=NOW)
        assert usage.record(events=[first], at=NOW).duplicates == 1
        assert not UsageEvent.objects.exists()

    @pytest.mark.parametrize(
        ("changes", "code", "attr"),
        [
            ({"quantity": Decimal(-1)}, "invalid_quantity", "quantity"),
            ({"quantity": Decimal("NaN")}, "invalid_quantity", "quantity"),
            ({"timestamp": NOW + timedelta(minutes=6)}, "timestamp_in_future", "timestamp"),
            ({"timestamp": datetime(1969, 1, 1, tzinfo=UTC)}, "timestamp_too_old", "timestamp"),
            ({"properties": {"value": "many"}}, "property_not_numeric", "properties"),
            ({"properties": {"text": "x" * 9000}}, "properties_too_large", "properties"),
        ],
    )
    def test_what_ingest_rejects_is_refused(self, acme: Customer, changes: Any, code: str, attr: str) -> None:
        usage.record(events=[event(acme, "a", 0, 7)], at=NOW)
        before = kept()
        with pytest.raises(Invalid) as refusal:
            usage_corrections.amend(event_id="a", at=NOW, **changes)
        assert (refusal.value.code, refusal.value.attr) == (code, attr)
        assert (kept(), UsageCorrection.objects.count()) == (before, 0)

    def test_of_a_clock_that_is_advanced_waits(self, acme: Customer) -> None:
        clocked = makers.customer(name="Clocked", test_clock=makers.clock())
        usage.record(events=[event(clocked, "a", 0, 7)], at=NOW)
        TestClock.objects.update(status="advancing")
        with pytest.raises(Conflict) as refusal:
            usage_corrections.void(event_id="a", at=NOW)
        assert refusal.value.code == "clock_advancing"

    def test_of_what_was_never_sent_is_not_found(self) -> None:
        for event_id in ("nothing", "nul\0"):
            with pytest.raises(NotFound):
                usage_corrections.void(event_id=event_id, at=NOW)


@pytest.mark.django_db
class TestBilling:
    """What was invoiced for is rated again, as for late usage."""

    def test_a_void_gives_back_what_was_billed(self) -> None:
        life = MeteredLife.begin_metered(model="per_unit", unit_amount=10)
        life.report(("a", "2026-01-10T00:00:00Z", 10), ("b", "2026-01-11T00:00:00Z", 5))
        life.until("2026-02-01T02:00:00Z")
        life.send("usage_events/b/void", reason="Sent twice.")
        life.until("2026-02-02T00:00:00Z")
        (invoice,) = life.invoices()
        assert (invoice["total"], invoice["amount_credited"], invoice["amount_due"]) == (150, 50, 100)

    def test_an_amendment_bills_the_difference(self) -> None:
        life = MeteredLife.begin_metered(model="per_unit", unit_amount=10)
        life.report(("a", "2026-01-10T00:00:00Z", 10))
        life.until("2026-02-01T02:00:00Z")
        life.send("usage_events/a/amendment", properties={"amount": 12})
        life.until("2026-03-01T02:00:00Z")
        assert [line["amount"] for line in life.lines()] == [100, 20, 0]

    def test_a_new_time_moves_what_is_billed(self) -> None:
        life = MeteredLife.begin_metered(model="per_unit", unit_amount=10)
        life.report(("a", "2026-01-31T23:00:00Z", 10))
        life.until("2026-02-01T02:00:00Z")
        life.send("usage_events/a/amendment", timestamp="2026-02-01T01:00:00Z")
        life.until("2026-03-01T02:00:00Z")
        january, february = life.invoices()
        assert (january["amount_due"], february["amount_due"]) == (0, 100)

    def test_void_and_late_come_out_even(self) -> None:
        life = MeteredLife.begin_metered(model="per_unit", unit_amount=10)
        life.report(("a", "2026-01-10T00:00:00Z", 10))
        life.until("2026-02-01T02:00:00Z")
        life.report(("b", "2026-01-10T00:00:00Z", 5))
        life.until("2026-02-02T00:00:00Z")
        life.send("usage_events/a/void")
        life.until("2026-02-03T00:00:00Z")
        life.report(("c", "2026-01-10T00:00:00Z", 7))
        life.until("2026-03-01T02:00:00Z")
        owed = sum(invoice["amount_due"] for invoice in life.invoices())
        assert owed == 120


@pytest.mark.django_db
class TestApi:
    @pytest.mark.parametrize("key", ["evt-1", "a/b", "x/void", "42 %", "ä?#&=", "..", "/", "line\nbreak"])
    def test_takes_any_id_that_fits_into_a_path(self, acme: Customer, key: str) -> None:
        usage.record(events=[event(acme, key, 0, 7)], at=NOW)
        path = f"{BASE}/usage_events/{quote(key, safe='')}"
        api = caller()
        answer = api.post(f"{path}/amendment", {"quantity": 2.5, "reason": "Better."})
        assert (answer.status_code, answer.json()["id"], answer.json()["quantity"]) == (200, key, 2.5)
        answer = api.post(f"{path}/void", {})
        assert (answer.status_code, answer.json()["id"]) == (200, key)
        assert answer.json()["voided_at"] is not None
        assert api.post(f"{path}/void").json() == answer.json()

    def test_shows_an_event(self, acme: Customer) -> None:
        usage.record(events=[event(acme, "a", 0, 7, user="u-1")], at=NOW)
        body = caller(scope="read").get(f"{BASE}/usage_events/a").json()
        assert {name: body[name] for name in ("id", "customer", "name", "timestamp", "user", "quantity")} == {
            "id": "a",
            "customer": acme.public_id,
            "name": "used",
            "timestamp": "2026-03-01T00:00:00Z",
            "user": "u-1",
            "quantity": 1,
        }

    def test_refuses_what_it_does_not_know(self, acme: Customer) -> None:
        usage.record(events=[event(acme, "a", 0, 7)], at=NOW)
        api = caller()
        assert problem(api.post(f"{BASE}/usage_events/b/void"), status=404)[0] == "not_found"
        assert problem(api.get(f"{BASE}/usage_events/b"), status=404)[0] == "not_found"
        refused = api.post(f"{BASE}/usage_events/a/amendment", {"name": "other"})
        assert problem(refused, status=400) == ("unknown_field", "name")
        refused = api.post(f"{BASE}/usage_events/a/amendment", {"quantity": -1})
        assert problem(refused, status=400)[1] == "quantity"

    def test_is_for_those_who_may_write_about_money(self, acme: Customer) -> None:
        usage.record(events=[event(acme, "a", 0, 7)], at=NOW)
        assert caller(scope="usage").post(f"{BASE}/usage_events/a/void").status_code == 403
        assert caller(scope="read").post(f"{BASE}/usage_events/a/void").status_code == 403
        otto = caller(user=world.otto())
        assert otto.get(f"{BASE}/usage_events/a").status_code == 404
        assert otto.post(f"{BASE}/usage_events/a/void").status_code == 403

    def test_is_done_once_for_its_key(self, acme: Customer) -> None:
        usage.record(events=[event(acme, "a", 0, 7)], at=NOW)
        api = caller()
        for replayed in (None, "true"):
            answer = api.post(f"{BASE}/usage_events/a/amendment", {"quantity": 3}, headers={"Idempotency-Key": "k"})
            assert answer.headers.get("Idempotency-Replayed") == replayed
        assert UsageCorrection.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_events_that_come_at_the_same_time_are_counted_once() -> None:
    acme = makers.customer()
    makers.meter(aggregation="unique", property="who")
    first = [makers.usage_event(acme, f"first-{n}", timestamp=MARCH, properties={"who": "a"}) for n in range(6)]
    usage.record(events=first, at=NOW)
    together = threading.Barrier(3)

    def apart(call: Any) -> None:
        together.wait(20)
        try:
            call()
        finally:
            connections.close_all()

    def void() -> None:
        for n in range(6):
            usage_corrections.void(event_id=f"first-{n}", at=NOW)

    def send(prefix: str) -> None:
        for n in range(10):
            sent = makers.usage_event(acme, f"{prefix}-{n}", timestamp=MARCH, properties={"who": "a"})
            usage.record(events=[sent], at=NOW)

    with ThreadPoolExecutor(max_workers=3) as threads:
        calls = [void, lambda: send("x"), lambda: send("y")]
        for future in [threads.submit(apart, call) for call in calls]:
            future.result(timeout=60)
    assert UsageRollup.objects.get().count == UsageEvent.objects.count() == 20
    assert UsageValue.objects.get().value == "a"
