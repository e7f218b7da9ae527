"""A plan paid by the year whose overage is billed by the month, on one subscription, by the API alone."""

import pytest

from tests.billing.lives import Life, lines_of, local

pytestmark = pytest.mark.django_db


def test_the_year_is_paid_ahead_and_overage_month_by_month() -> None:
    life = Life.begin(local("2025-01-31T10:00"), tax="20")
    life.plan("scale")
    life.price("scale", "scale-year", interval="year", unit_amount="1200000")
    life.meter("calls")
    overage = {"model": "per_unit", "unit_amount": "0.5", "included_units": 1000, "timing": "in_arrears"}
    life.price("scale", "overage", meter="calls", **overage)
    begun = life.subscribe(plan="scale", interval="year")
    assert {item["current_period_end"][:10] for item in begun["items"]} == {"2026-01-31", "2025-02-28"}
    life.use("calls", 3400, at=local("2025-02-27T23:00"))
    life.use("calls", 1000, at=local("2025-02-28T00:00"))
    life.use("calls", 1, at=local("2025-03-30T23:59"))
    life.go(local("2025-03-31T02:00"))

    first, february, march = life.issued()
    assert lines_of(first, "kind", "amount", "period_start", "period_end") == [
        ("recurring", 1200000, "2025-01-31T10:00:00Z", "2026-01-31T00:00:00Z")
    ]
    assert lines_of(february, "kind", "quantity", "amount", "period_start", "period_end") == [
        ("usage", 3400, 1200, "2025-01-31T10:00:00Z", "2025-02-28T00:00:00Z")
    ]
    assert lines_of(march, "quantity", "amount") == [(1001, 1)]
    assert february["lines"][0]["explanation"].splitlines() == [
        "Of 3,400, 1,000 are included; 2,400 are charged",
        "2,400 × €0.005 = €12.00",
    ]
    assert [one["total"] for one in (first, february, march)] == [1440000, 1440, 1]
    assert [one["status"] for one in (first, february, march)] == ["paid"] * 3
    assert life.state["next_bill_at"] == "2025-04-30T00:00:00Z"
    kinds = [fact.removeprefix("billing.subscription.") for fact in life.facts() if "subscription" in fact]
    assert kinds == ["created", "activated", "renewed", "renewed"]
    life.bills_nothing_more()


def test_the_second_year_begins_beside_the_last_quarter_of_the_first() -> None:
    life = Life.begin(local("2023-12-31"))
    life.plan("scale")
    life.price("scale", "scale-year", interval="year", unit_amount="1200000")
    life.meter("calls")
    life.price(
        "scale", "overage", model="per_unit", unit_amount="1", timing="in_arrears", interval="quarter", meter="calls"
    )
    life.subscribe(plan="scale", interval="year")
    life.use("calls", 7, at=local("2024-12-30T23:00"))
    life.go(local("2024-12-31T02:00"))
    *_quarters, renewal = life.issued()
    assert sorted(lines_of(renewal, "kind", "amount", "reason")) == [
        ("recurring", 1200000, "subscription_cycle"),
        ("usage", 7, "subscription_cycle"),
    ]
    assert {line["period_start"][:10] for line in renewal["lines"]} == {"2024-12-31", "2024-09-30"}
