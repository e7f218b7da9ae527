"""Graduated usage whose events come late, are amended and voided: each period is made right, by the API alone."""

import pytest

from tests.billing import replay
from tests.billing.lives import Life, lines_of, local

pytestmark = pytest.mark.django_db


def test_what_comes_late_costs_what_it_would_have() -> None:
    life = Life.begin(local("2025-01-01"), tax="10")
    life.plan("usage", 1000)
    life.meter("calls")
    tiers = [{"up_to": 100, "unit_amount": "10"}, {"up_to": None, "unit_amount": "5"}]
    life.price("usage", "calls", model="graduated", tiers=tiers, timing="in_arrears", meter="calls")
    life.subscribe(plan="usage")
    life.use("calls", 80, at=local("2025-01-20"), id="january")
    life.go(local("2025-02-01T00:30"))
    life.use("calls", 10, at=local("2025-01-31T23:59"))  # a straggler, within the hour that a draft waits
    life.go(local("2025-02-01T02:00"))
    february = life.issued()[1]
    usage = ("quantity", "amount", "reason", "period_start")
    assert [row for row in lines_of(february, *usage) if row[0] != 1] == [
        (90, 900, "subscription_cycle", "2025-01-01T00:00:00Z")
    ]

    life.use("calls", 40, at=local("2025-01-25"))  # late: 130 in all, so 100 at 0.10 and 30 at 0.05
    life.use("calls", 7, at=local("2025-02-10"), id="february")
    life.go(local("2025-03-01T02:00"))
    march = life.issued()[2]
    late = [line for line in march["lines"] if line["reason"] == "late_usage"]
    assert [(line["kind"], line["amount"], line["period_start"], line["period_end"]) for line in late] == [
        ("usage", 250, "2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z")
    ]
    assert late[0]["explanation"].splitlines() == [
        "Usage from Jan 1, 2025 to Jan 31, 2025 was 130; 90 was billed before",
        "Above 0, up to 100: 100 × €0.10 = €10.00",
        "Above 100: 30 × €0.05 = €1.50",
        "€11.50 in all, less the €9.00 that was billed before",
    ]
    assert sorted(lines_of(march)) == [70, 250, 1000]
    assert (march["subtotal"], march["tax_total"], march["total"]) == (1320, 132, 1452)

    life.send("usage_events/january/void")  # 50 in January after all, and 17 in February
    life.send("usage_events/february/amendment", quantity=17)
    life.go(local("2025-04-01T02:00"))
    april = life.issued()[3]
    assert sorted(lines_of(april, "kind", "amount", "reason")) == [
        ("proration_credit", -400, "late_usage"),
        ("proration_credit", -250, "late_usage"),
        ("recurring", 1000, "subscription_cycle"),
        ("usage", 0, "subscription_cycle"),
        ("usage", 100, "late_usage"),
    ]
    assert (april["subtotal"], april["tax_total"], april["total"], april["status"]) == (450, 45, 495, "paid")
    credited = {line["credits_line"]: line["amount"] for line in april["lines"] if line["amount"] < 0}
    straggled = next(line["id"] for line in february["lines"] if line["kind"] == "usage")
    assert credited == {straggled: -400, late[0]["id"]: -250}
    assert life.balance == 0
    assert life.facts().count("billing.usage.corrected") == 2
    life.bills_nothing_more()
    replay.agrees()
