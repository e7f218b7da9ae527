"""From a trial to a paid plan, an upgrade, a downgrade and a cancellation with its refund, by the API alone."""

import pytest

from tests.billing import replay
from tests.billing.lives import Life, lines_of, local

pytestmark = pytest.mark.django_db
LINE = ("kind", "reason", "amount", "period_start", "period_end")


def test_a_customer_pays_for_what_was_used_and_no_more() -> None:
    life = Life.begin(local("2025-01-01T09:00"), tax="20")
    life.plan("basic", 3100, trial_days=14)
    life.plan("pro", 6200)
    assert life.subscribe(plan="basic")["status"] == "trialing"

    life.go(local("2025-01-15T09:00"))
    (first,) = life.issued()
    assert (first["status"], first["total"]) == ("paid", 3720)
    assert lines_of(first, *LINE) == [
        ("recurring", "subscription_start", 3100, "2025-01-15T09:00:00Z", "2025-02-15T00:00:00Z")
    ]

    life.go(local("2025-01-25T17:00"))
    seen = life.act("change/preview", plan="pro")
    assert (len(life.issued()), seen["total"], seen["effective_at"]) == (1, 2520, "2025-01-25T17:00:00Z")
    life.act("change", plan="pro")
    upgrade = life.issued()[1]
    assert (upgrade["status"], upgrade["subtotal"], upgrade["tax_total"], upgrade["total"]) == ("paid", 2100, 420, 2520)
    assert sorted(lines_of(upgrade, *LINE)) == [
        ("proration_charge", "subscription_change", 4200, "2025-01-25T00:00:00Z", "2025-02-15T00:00:00Z"),
        ("proration_credit", "subscription_change", -2100, "2025-01-25T00:00:00Z", "2025-02-15T00:00:00Z"),
    ]
    assert sorted(lines_of(upgrade, "amount", "explanation", "quantity", "credits_line")) == [
        (-2100, "Unused: 21 of 31 days of the €31.00 charged", -1, first["lines"][0]["id"]),
        (4200, "Fixed price of €62.00\n21 of 31 days of €62.00", 1, None),
    ]
    assert [line["amount"] for line in seen["lines"]] == lines_of(upgrade)

    life.go(local("2025-02-01"))
    (phase,) = life.act("change", plan="basic")["phases"]
    assert phase["starts_at"] == "2025-02-15T00:00:00Z"
    life.go(local("2025-02-15T02:00"))
    renewal = life.issued()[2]
    assert lines_of(renewal, *LINE) == [
        ("recurring", "subscription_cycle", 3100, "2025-02-15T00:00:00Z", "2025-03-15T00:00:00Z")
    ]
    assert (renewal["status"], renewal["total"]) == ("paid", 3720)

    life.go(local("2025-02-20T12:00"))
    ended = life.act("cancellation", when="now", credit="refund", reason="too small")
    assert (ended["status"], ended["ended_at"], ended["next_bill_at"]) == ("canceled", "2025-02-20T12:00:00Z", None)
    (note,) = life.notes()
    assert (note["subtotal"], note["tax_total"], note["total"], note["settle"]) == (2436, 487, 2923, "refund")
    assert [line["explanation"] for line in note["lines"]] == ["Unused: 22 of 28 days of the €31.00 charged"]
    life.go(local("2025-02-21"))
    assert [(one["amount"], one["status"]) for one in life.all(f"refunds?customer={life.customer}")] == [
        (2923, "succeeded")
    ]
    assert (life.balance, len(life.issued())) == (0, 3)

    life.go(local("2025-06-01"))
    assert [fact for fact in life.facts() if fact.startswith("billing.")] == FACTS
    life.bills_nothing_more()
    replay.agrees()


FACTS = [
    "billing.customer.created",
    "billing.payment_method.attached",
    "billing.subscription.created",
    "billing.subscription.trial_ending",  # three days before
    *["billing.prompt.shown"] * 3,  # then, a day before, and on the day
    "billing.subscription.activated",  # the trial is over
    "billing.invoice.finalized",
    "billing.payment.succeeded",
    "billing.invoice.paid",
    "billing.subscription.changed",  # up, at once
    "billing.invoice.finalized",
    "billing.payment.succeeded",
    "billing.invoice.paid",
    "billing.subscription.change_scheduled",  # down, at the end of the period
    "billing.subscription.changed",
    "billing.subscription.renewed",
    "billing.invoice.finalized",
    "billing.payment.succeeded",
    "billing.invoice.paid",
    "billing.subscription.cancellation_scheduled",
    "billing.subscription.canceled",
    "billing.refund.created",
    "billing.credit_note.issued",
    "billing.refund.succeeded",
]
