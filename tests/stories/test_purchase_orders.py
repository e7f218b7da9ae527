"""Two purchase orders never stand on one invoice; what has the same one does. By the API alone."""

import pytest

from tests.billing.lives import Life, lines_of, local

pytestmark = pytest.mark.django_db


def test_each_purchase_order_has_its_own_invoices() -> None:
    life = Life.begin(local("2026-01-01"), tax="20", card="", collection_method="send_invoice", net_terms_days=30)
    life.plan("pro", 10000)
    life.plan("team", 5000)
    life.plan("lab", 1000)
    life.meter("calls")
    life.price("lab", "calls", model="per_unit", unit_amount="1", timing="in_arrears", meter="calls")
    life.subscribe(plan="pro", po_number="PO-1")
    life.subscribe(plan="team", po_number="PO-1")
    life.subscribe(plan="lab", po_number="PO-2")
    life.go(local("2026-01-20"))
    life.use("calls", 250, at=local("2026-01-20"))
    life.go(local("2026-02-01T02:00"))

    issued = life.issued()
    first, february = issued[:3], issued[3:]
    assert [(one["po_number"], one["total"], one["due_date"]) for one in first] == [
        ("PO-1", 12000, "2026-01-31"),
        ("PO-1", 6000, "2026-01-31"),
        ("PO-2", 1200, "2026-01-31"),
    ]
    assert [(one["po_number"], lines_of(one), one["tax_total"], one["total"]) for one in february] == [
        ("PO-1", [10000, 5000], 3000, 18000),
        ("PO-2", [1000, 250], 250, 1500),
    ]
    assert [line[0] for line in lines_of(february[1], "explanation")] == [
        "Fixed price of €10.00",
        "250 × €0.01 = €2.50",
    ]
    numbers = [one["number"] for one in issued]
    assert numbers == [f"TEST-INV-2026-{n:06}" for n in range(1, 6)]
    assert life.facts().count("billing.invoice.finalized") == 5

    body = {"invoices": [one["id"] for one in issued if one["po_number"] == "PO-1"], "method": "bank_transfer"}
    payment = life.send(f"customers/{life.customer}/payments", amount=36000, reference="wire", **body)
    assert [part["amount"] for part in payment["allocations"]] == [12000, 6000, 18000]
    assert [one["status"] for one in life.issued()] == ["paid", "paid", "open", "paid", "open"]
    life.bills_nothing_more()
