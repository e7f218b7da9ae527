"""Seats that come and go within a month: one invoice at its end says what each day cost, by the API alone."""

import pytest

from tests.billing import replay
from tests.billing.lives import Life, lines_of, local

pytestmark = pytest.mark.django_db


def test_each_day_costs_its_seats() -> None:
    life = Life.begin(local("2025-04-01"))
    life.plan("team")
    life.price("team", "seat", model="per_unit", unit_amount="1000")
    life.subscribe(items=[{"price": "seat", "quantity": 5}])
    life.go(local("2025-04-11T15:00"))
    more = life.act("change", items=[{"price": "seat", "quantity": 8}])
    assert [item["quantity"] for item in more["items"]] == [8]
    life.go(local("2025-04-21T08:00"))
    fewer = life.act("change", items=[{"price": "seat", "quantity": 6}], effective="now")
    assert [item["quantity"] for item in fewer["items"]] == [6]
    assert len(life.issued()) == 1

    life.go(local("2025-05-01T02:00"))
    first, second = life.issued()
    assert (first["total"], first["status"]) == (5000, "paid")
    found = lines_of(second, "kind", "quantity", "amount", "period_start", "period_end")
    days = [(*row[:3], row[3][8:10], row[4][8:10]) for row in found]
    assert days == [
        ("proration_credit", -5, -3333, "11", "01"),  # what was paid for the rest of April
        ("proration_charge", 8, 2667, "11", "21"),
        ("proration_charge", 6, 2000, "21", "01"),
        ("recurring", 6, 6000, "01", "01"),
    ]
    assert lines_of(second, "explanation")[:2] == [
        ("Unused: 20 of 30 days of the €50.00 charged",),
        ("8 × €10.00 = €80.00\n10 of 30 days of €80.00",),
    ]
    exact = (5 * 10 + 8 * 10 + 6 * 10) * 1000 / 30
    assert abs(first["total"] + second["total"] - 6000 - exact) < 2
    assert (second["total"], second["status"], life.balance) == (sum(row[2] for row in days), "paid", 0)
    assert [fact for fact in life.facts() if "subscription" in fact] == [
        "billing.subscription.created",
        "billing.subscription.activated",
        "billing.subscription.changed",
        "billing.subscription.changed",
        "billing.subscription.renewed",
    ]
    life.bills_nothing_more()
    replay.agrees()
