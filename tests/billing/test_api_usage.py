"""The usage stream over the API."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing import subscriptions, usage
from billing.models import Customer, UsageEvent
from gtm.shared import db
from tests.billing import makers
from tests.billing.api import BASE, caller, problem

EVENTS = f"{BASE}/usage_events"
pytestmark = pytest.mark.django_db


@pytest.fixture
def acme() -> Customer:
    makers.meter()
    return makers.customer(external_id="acme-1")


class TestUsageEvents:
    def test_good_rows_are_kept_whatever_the_bad_ones_are(self, acme: Customer) -> None:
        good: dict[str, Any] = {"name": "api.call", "customer": acme.public_id}
        events = [
            good | {"id": "a", "user": {"id": "u", "email": "u@acme.example"}, "properties": {"region": "eu"}},
            good | {"id": "b", "quantity": "many"},
            good | {"id": "a", "user": {"id": "u", "email": "u@acme.example"}, "properties": {"region": "eu"}},
            {"id": "c", "name": "api.call", "customer": "external_id:acme-1", "timestamp": db.now().isoformat()},
            good | {"id": "d", "customer": "cus_x"},
            good,
        ]

        response = caller(scope="usage").post(EVENTS, {"events": events})

        assert response.status_code == 200
        answer = response.json()
        assert (answer["accepted"], answer["duplicates"]) == (2, 1)
        assert [(one["index"], one["id"], one["code"]) for one in answer["rejected"]] == [
            (1, "b", "invalid_quantity"),
            (4, "d", "unknown_customer"),
            (5, None, "required"),
        ]
        assert UsageEvent.objects.count() == 2

    def test_a_repeated_call_counts_its_duplicates(self, acme: Customer) -> None:
        api, body = caller(scope="usage"), {"events": [{"id": "a", "name": "api.call", "customer": acme.public_id}]}

        assert api.post(EVENTS, body).json() == {"accepted": 1, "duplicates": 0, "rejected": []}
        assert api.post(EVENTS, body).json() == {"accepted": 0, "duplicates": 1, "rejected": []}

    def test_10_000_events_are_one_call(self, acme: Customer) -> None:
        event = {"name": "api.call", "customer": acme.public_id, "properties": {"path": "/v1/things"}}

        answer = caller().post(EVENTS, {"events": [event | {"id": f"e{n}"} for n in range(10_000)]}).json()

        assert answer == {"accepted": 10_000, "duplicates": 0, "rejected": []}
        response = caller().post(EVENTS, {"events": [event | {"id": f"f{n}"} for n in range(10_001)]})
        assert problem(response, status=400) == ("too_many_events", "events")

    @pytest.mark.parametrize("body", ["", "[]", "{", '{"events": {}}', '{"event": []}', '"\\ud800"', "\x00"])
    def test_another_body_is_refused(self, body: str) -> None:
        response = caller().post(EVENTS, body, content_type="application/json")

        assert problem(response, status=400)

    def test_a_body_that_is_nested_deeply_is_refused(self) -> None:
        deep = '{"events": [' + "[" * 100_000 + "]" * 100_000 + "]}"

        assert problem(caller().post(EVENTS, deep, content_type="application/json"), status=400)

    @pytest.mark.parametrize(("scope", "status"), [("usage", 200), ("write", 200), ("read", 403)])
    def test_it_takes_the_scope_usage(self, scope: str, status: int) -> None:
        assert caller(scope=scope).post(EVENTS, {"events": []}).status_code == status

    def test_it_takes_a_key(self) -> None:
        from rest_framework.test import APIClient

        assert problem(APIClient().post(EVENTS, {"events": []}), status=401)

    def test_the_same_idempotency_key_gives_the_first_answer(self, acme: Customer) -> None:
        api, body = caller(), {"events": [{"id": "a", "name": "api.call", "customer": acme.public_id}]}

        first, again = (api.post(EVENTS, body, headers={"Idempotency-Key": "k"}) for _ in range(2))

        assert first.json() == again.json() == {"accepted": 1, "duplicates": 0, "rejected": []}


class TestCustomerUsage:
    @pytest.fixture
    def clocked(self) -> Customer:
        """In Kolkata, subscribed on 10 January at noon by its clock, with a call at the full hour of two days."""
        makers.legal_entity()
        start = datetime(2026, 1, 10, 6, 30, tzinfo=UTC)
        customer = makers.customer(
            timezone="Asia/Kolkata", collection_method="send_invoice", test_clock=makers.clock(frozen_time=start)
        )
        subscriptions.create(customer=customer, plan=makers.published_plan(), at=start)
        events = [makers.usage_event(customer, f"e{n}", timestamp=start + timedelta(hours=n)) for n in range(48)]
        usage.record(events=events, at=start + timedelta(days=30))
        return customer

    def get(self, customer: Customer, **query: str) -> Any:
        return caller(scope="usage").get(f"{BASE}/customers/{customer.public_id}/usage", {"meter": "api_calls"} | query)

    def test_it_is_the_current_billing_period_unless_told_otherwise(self, clocked: Customer) -> None:
        answer = self.get(clocked).json()

        assert (answer["meter"], answer["aggregation"], answer["granularity"]) == ("api_calls", "count", "period")
        (period,) = answer["results"]
        assert (period["quantity"], period["period_end"]) == (48, "2026-02-09T18:30:00Z")

    def test_days_are_those_of_the_customer(self, clocked: Customer) -> None:
        answer = self.get(
            clocked, granularity="day", **{"from": "2026-01-09T18:30:00+00:00", "to": "2026-01-13T00:00:00+05:30"}
        ).json()

        assert [(day["period_start"], day["quantity"]) for day in answer["results"]] == [
            ("2026-01-09T18:30:00Z", 12),
            ("2026-01-10T18:30:00Z", 24),
            ("2026-01-11T18:30:00Z", 12),
        ]

    def test_hours_are_cut_by_the_bounds(self, clocked: Customer) -> None:
        answer = self.get(
            clocked, granularity="hour", **{"from": "2026-01-10T06:00:00Z", "to": "2026-01-10T08:15:00Z"}
        ).json()

        assert [(hour["period_end"], hour["quantity"]) for hour in answer["results"]] == [
            ("2026-01-10T07:00:00Z", 1),
            ("2026-01-10T08:00:00Z", 1),
            ("2026-01-10T08:15:00Z", 0),
        ]

    def test_periods_tile(self, clocked: Customer) -> None:
        results = self.get(clocked, **{"from": "2025-12-01T00:00:00Z", "to": "2026-04-01T00:00:00Z"}).json()["results"]

        assert [one["period_start"] for one in results] == [
            "2025-12-01T00:00:00Z",
            "2025-12-31T18:30:00Z",
            "2026-01-10T06:30:00Z",
            "2026-02-09T18:30:00Z",
            "2026-03-09T18:30:00Z",
        ]
        assert [one["period_end"] for one in results[:-1]] == [one["period_start"] for one in results[1:]]
        assert sum(one["quantity"] for one in results) == 48

    def test_a_customer_without_subscription_has_months(self, acme: Customer) -> None:
        (month,) = self.get(acme).json()["results"]

        assert month["quantity"] == 0
        assert month["period_start"].endswith("-01T00:00:00Z")

    @pytest.mark.parametrize(
        ("query", "attr"),
        [
            ({"meter": "nothing"}, "meter"),
            ({"meter": ""}, "meter"),
            ({"granularity": "minute"}, "granularity"),
            ({"from": "2026-01-01"}, "from"),
            ({"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "to"),
            ({"from": "1950-01-01T00:00:00Z", "granularity": "hour"}, "to"),
            ({"unknown": "1"}, "unknown"),
        ],
    )
    def test_it_refuses_what_makes_no_question(self, acme: Customer, query: dict[str, str], attr: str) -> None:
        assert problem(self.get(acme, **query), status=400)[1] == attr

    def test_an_unknown_customer_is_not_found(self) -> None:
        assert problem(caller().get(f"{BASE}/customers/cus_x/usage", {"meter": "x"}), status=404)


def test_the_body_may_hold_anything_and_never_breaks_it(acme: Customer) -> None:
    """Values of every type in every field: rejected or kept, but answered."""
    values: list[Any] = [None, True, 0, -1, 1.5, 10**30, "", "x", "\0", "\ud83d\ude00", [], {}, [[1]], {"a": None}]
    fields = ("id", "name", "customer", "timestamp", "user", "quantity", "properties", "subscription")
    base = {"name": "api.call", "customer": acme.public_id}
    events = [base | {"id": f"{field}{n}"} | {field: value} for field in fields for n, value in enumerate(values)]

    response = caller().post(EVENTS, json.dumps({"events": events}), content_type="application/json")

    assert response.status_code == 200
    answer = response.json()
    assert answer["accepted"] + answer["duplicates"] + len(answer["rejected"]) == len(events)
