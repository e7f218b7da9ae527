"""An invoice on Net-30 terms isn't paid when the plan goes up: what was used is owed once, by the API alone."""

import pytest

from tests.billing import replay
from tests.billing.lives import Life, lines_of, local

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("unit", ["day", "second"])
def test_1000_open_and_an_upgrade_to_1500_at_half_the_period_leave_1250_owed(unit: str) -> None:
    life = Life.begin(local("2025-06-01"), unit=unit, card="", collection_method="send_invoice", net_terms_days=30)
    life.plan("basic", 100000)
    life.plan("pro", 150000)
    life.subscribe(plan="basic")
    life.go(local("2025-06-16"))
    life.act("change", plan="pro")

    first, second = life.issued()
    assert [(one["total"], one["amount_credited"], one["amount_due"]) for one in (first, second)] == [
        (100000, 50000, 50000),
        (75000, 0, 75000),
    ]
    assert first["amount_due"] + second["amount_due"] == 125000
    assert lines_of(second, "kind", "amount") == [("proration_charge", 75000)]
    (note,) = life.notes()
    assert (note["invoice"], note["total"], note["settle"]) == (first["id"], 50000, "balance")
    half = "15 of 30 days" if unit == "day" else "1,296,000 of 2,592,000 seconds"
    assert [line["explanation"] for line in note["lines"]] == [f"Unused: {half} of the €1,000.00 charged"]
    assert life.balance == 0

    for one in (first, second):
        life.send(f"invoices/{one['id']}/payment", method="bank_transfer")
    assert [one["status"] for one in life.issued()] == ["paid", "paid"]
    life.go(local("2025-07-01T02:00"))
    assert [one["total"] for one in life.issued()] == [100000, 75000, 150000]
    assert [fact for fact in life.facts() if fact.startswith("billing.")] == [
        "billing.customer.created",
        "billing.subscription.created",
        "billing.invoice.finalized",
        "billing.subscription.activated",
        "billing.credit_note.issued",
        "billing.subscription.changed",
        "billing.invoice.finalized",
        "billing.payment.succeeded",
        "billing.invoice.paid",
        "billing.payment.succeeded",
        "billing.invoice.paid",
        "billing.subscription.renewed",
        "billing.invoice.finalized",
    ]
    life.bills_nothing_more()
    replay.agrees()
