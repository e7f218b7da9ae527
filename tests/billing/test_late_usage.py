"""Late usage by the API: what comes for a closed period stands on the next invoice, once, at that period's price."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing import late_hours, parking, runs, subscriptions, usage
from billing.models import Charge, LateUsage, Subscription
from gtm.shared import db, vendors
from gtm.shared.errors import Invalid
from gtm.shared.models import Event, TestClock
from tests.billing import makers
from tests.billing.metered import MeteredLife
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
FEB_1 = datetime(2026, 2, 1, tzinfo=UTC)
PER_UNIT = {"model": "per_unit", "unit_amount": "10"}
VOLUME = {
    "model": "volume",
    "tiers": [{"up_to": 10, "unit_amount": "100"}, {"up_to": None, "unit_amount": "40"}],
}
GRADUATED = {
    "model": "graduated",
    "tiers": [{"up_to": 10, "unit_amount": "100"}, {"up_to": None, "unit_amount": "40"}],
}


def january(life: MeteredLife, amount: float = 10) -> None:
    """A month that is billed and issued."""
    life.report(("jan", "2026-01-10T00:00:00Z", amount))
    life.until("2026-02-01T02:00:00Z")


def shown(line: Any) -> tuple[Any, ...]:
    return line["reason"], line["quantity"], line["amount"], line["period_start"][:10], line["period_end"][:10]


class TestTheNextInvoice:
    def test_has_a_line_of_its_own_for_the_old_period(self) -> None:
        life = MeteredLife.begin_metered(**PER_UNIT)
        january(life)
        life.report(("late", "2026-01-31T23:59:59Z", 5), ("feb", "2026-02-01T00:00:00Z", 2))
        life.until("2026-03-01T02:00:00Z")
        first, second = life.invoices()
        assert [shown(line) for line in first["lines"]] == [("subscription_cycle", 10, 100, "2026-01-01", "2026-02-01")]
        assert [shown(line) for line in second["lines"]] == [
            ("late_usage", 5, 50, "2026-01-01", "2026-02-01"),
            ("subscription_cycle", 2, 20, "2026-02-01", "2026-03-01"),
        ]
        assert "from Jan 1, 2026 to Jan 31, 2026 was 15; 10 was billed before" in second["lines"][0]["explanation"]
        assert not LateUsage.objects.exists()

    def test_is_priced_as_if_all_had_come_in_time(self) -> None:
        life = MeteredLife.begin_metered(**GRADUATED)
        january(life, 8)
        life.report(("late", "2026-01-20T00:00:00Z", 5))
        life.until("2026-03-01T02:00:00Z")
        late = life.lines()[1]
        assert (late["quantity"], late["amount"]) == (5, 2 * 100 + 3 * 40)

    def test_bills_what_comes_in_several_calls_once(self) -> None:
        life = MeteredLife.begin_metered(**PER_UNIT)
        january(life)
        life.report(("late1", "2026-01-20T00:00:00Z", 5))
        life.until("2026-02-02T00:00:00Z")
        life.report(("late2", "2026-01-21T00:00:00Z", 1))
        life.until("2026-02-03T00:00:00Z")
        life.report(("late3", "2026-01-21T00:00:00Z", 1))
        life.until("2026-03-01T02:00:00Z")
        assert [shown(line)[:3] for line in life.lines()] == [
            ("subscription_cycle", 10, 100),
            ("late_usage", 7, 70),
            ("subscription_cycle", 0, 0),
        ]
        assert Event.objects.filter(type="billing.usage.rated_again").count() == 3

    def test_may_be_late_too(self) -> None:
        life = MeteredLife.begin_metered(**PER_UNIT)
        january(life)
        life.until("2026-03-01T02:00:00Z")
        life.report(("late1", "2026-01-20T00:00:00Z", 5), ("late2", "2026-02-20T00:00:00Z", 3))
        life.until("2026-04-01T02:00:00Z")
        life.report(("late3", "2026-01-20T00:00:00Z", 1))
        life.until("2026-05-01T02:00:00Z")
        assert [shown(line)[:3] for line in life.lines() if line["reason"] == "late_usage"] == [
            ("late_usage", 5, 50),
            ("late_usage", 3, 30),
            ("late_usage", 1, 10),
        ]

    def test_leaves_out_what_a_draft_still_takes(self) -> None:
        life = MeteredLife.begin_metered(**PER_UNIT)
        life.report(("jan", "2026-01-10T00:00:00Z", 10))
        life.until("2026-02-01T00:30:00Z")
        life.report(("straggler", "2026-01-31T23:00:00Z", 5))
        life.until("2026-03-01T02:00:00Z")
        assert [shown(line)[:3] for line in life.lines()] == [
            ("subscription_cycle", 15, 150),
            ("subscription_cycle", 0, 0),
        ]
        assert not LateUsage.objects.exists()

    def test_has_no_line_where_nothing_is_billed(self) -> None:
        life = MeteredLife.begin_metered(**PER_UNIT)
        january(life)
        life.report(("before", "2025-12-31T23:59:59Z", 5), ("other", "2026-01-20T00:00:00Z", 5), name="unmetered")
        assert not LateUsage.objects.exists()

    def test_says_so_where_it_costs_nothing(self) -> None:
        life = MeteredLife.begin_metered(**PER_UNIT, included_units="100")
        january(life)
        life.report(("late", "2026-01-20T00:00:00Z", 5))
        life.until("2026-03-01T02:00:00Z")
        assert [shown(line)[:3] for line in life.lines()][1] == ("late_usage", 5, 0)

    def test_counts_the_transactions_of_percentages(self) -> None:
        life = MeteredLife.begin_metered(model="percentage", percentage="1", fixed_amount="30", free_units="1")
        life.report(("a", "2026-01-10T00:00:00Z", 1000), ("b", "2026-01-11T00:00:00Z", 2000))
        life.until("2026-02-01T02:00:00Z")
        life.report(("late", "2026-01-05T00:00:00Z", 500))  # this one is the free one now
        life.until("2026-03-01T02:00:00Z")
        first, late, _second = life.lines()
        assert (first["amount"], late["quantity"], late["amount"]) == (50, 500, 40)


class TestAnEndedSubscription:
    def test_gets_a_closing_invoice(self) -> None:
        life = MeteredLife.begin_metered(**PER_UNIT)
        january(life)
        life.send(f"subscriptions/{life.subscription}/cancellation", when="now")
        life.until("2026-02-10T00:00:00Z")
        life.report(("late", "2026-01-20T00:00:00Z", 5))
        life.until("2026-02-11T00:00:00Z")
        closing = life.invoices()[-1]
        assert [shown(line)[:3] for line in closing["lines"]] == [("late_usage", 5, 50)]
        assert closing["status"] == "open"

    def test_gets_none_over_nothing(self) -> None:
        life = MeteredLife.begin_metered(**PER_UNIT, included_units="100")
        january(life)
        life.send(f"subscriptions/{life.subscription}/cancellation", when="now")
        life.until("2026-02-10T00:00:00Z")
        before = len(life.invoices())
        life.report(("late", "2026-01-20T00:00:00Z", 5))
        life.until("2026-02-11T00:00:00Z")
        assert len(life.invoices()) == before
        assert Charge.objects.get(reason="late_usage").status == Charge.Status.WAIVED


class TestLess:
    """A cheaper volume, and later voided events: what was billed too much is offset, or credited."""

    def test_offsets_what_is_unpaid(self) -> None:
        life = MeteredLife.begin_metered(**VOLUME)
        january(life, 10)
        life.report(("late", "2026-01-20T00:00:00Z", 10))
        life.until("2026-02-02T00:00:00Z")
        (invoice,) = life.invoices()
        assert (invoice["total"], invoice["amount_credited"], invoice["amount_due"]) == (1000, 200, 800)
        life.until("2026-03-01T02:00:00Z")
        assert [line["amount"] for line in life.invoices()[1]["lines"]] == [0]

    def test_credits_what_was_paid_on_the_next_invoice(self) -> None:
        life = MeteredLife.begin_metered(**VOLUME)
        january(life, 10)
        (invoice,) = life.invoices()
        life.send(f"invoices/{invoice['id']}/payment", method="bank_transfer")
        life.report(("late", "2026-01-20T00:00:00Z", 10), ("feb", "2026-02-20T00:00:00Z", 5))
        life.until("2026-03-01T02:00:00Z")
        credit, cycle = life.invoices()[1]["lines"]
        assert (credit["kind"], credit["amount"], credit["credits_line"]) == (
            "proration_credit",
            -200,
            invoice["lines"][0]["id"],
        )
        assert credit["quantity"] < 0
        assert (cycle["amount"], life.invoices()[1]["total"]) == (500, 300)

    def test_is_given_back_once_and_billed_again_from_there(self) -> None:
        life = MeteredLife.begin_metered(**VOLUME)
        january(life, 10)
        life.report(("late1", "2026-01-20T00:00:00Z", 10))
        life.until("2026-02-02T00:00:00Z")
        life.report(("late2", "2026-01-20T00:00:00Z", 10))  # 30 at 40: 400 more than 20 at 40
        life.until("2026-03-01T02:00:00Z")
        first, second = life.invoices()
        assert (first["amount_credited"], second["lines"][0]["amount"]) == (200, 400)


class TestVoid:
    def test_what_stood_on_a_void_invoice_and_came_late_is_billed_once(self) -> None:
        life = MeteredLife.begin_metered(**PER_UNIT)
        january(life)
        life.report(("late1", "2026-01-20T00:00:00Z", 5))
        life.until("2026-02-02T00:00:00Z")
        (invoice,) = life.invoices()
        life.send(f"invoices/{invoice['id']}/void")
        life.report(("late2", "2026-01-21T00:00:00Z", 3))
        life.until("2026-04-01T02:00:00Z")
        billed = [line for one in life.invoices() if one["status"] != "void" for line in one["lines"]]
        assert sum(line["amount"] for line in billed) == 180
        assert sum(line["quantity"] for line in billed) == 18
        assert not LateUsage.objects.exists()


class TestParked:
    def test_waits_until_the_payer_can_be_billed(self) -> None:
        life = MeteredLife.begin_metered(**PER_UNIT)
        january(life)
        clock = TestClock.objects.get()
        payer = Subscription.objects.get().payer
        parking.park(customer=payer, error=Invalid("No country."), at=clock.frozen_time)
        life.report(("late", "2026-01-20T00:00:00Z", 5))
        life.until("2026-02-03T00:00:00Z")
        assert LateUsage.objects.count() == 1
        payer.refresh_from_db()
        parking.unpark(customer=payer, at=clock.frozen_time)
        life.until("2026-02-04T00:00:00Z")
        assert Charge.objects.get(reason="late_usage").amount == 50


class TestTwice:
    def test_a_second_run_bills_nothing(self) -> None:
        life = MeteredLife.begin_metered(**PER_UNIT)
        january(life)
        life.report(("late", "2026-01-20T00:00:00Z", 5))
        clock = TestClock.objects.get()
        for _again in range(3):
            runs.bill_due(at=clock.frozen_time, test_clock=clock)
        assert [charge.amount for charge in Charge.objects.filter(reason="late_usage")] == [50]
        assert not late_hours.charged(test_clock=clock).exists()

    def test_usage_that_is_final_before_its_stragglers_have_settled_is_rated_once_more(self) -> None:
        """Without a clock. What is younger than half an hour is not looked up when it comes; the watch finds it."""
        vendors.change(draft_grace_minutes=0)
        plan = makers.plan()
        makers.price(plan=plan, meter=makers.meter(), timing="in_arrears", model="per_unit", unit_amount=10)
        acme = makers.customer(collection_method="send_invoice")
        subscription = subscriptions.create(customer=acme, plan=plan, at=JAN_1)
        runs.bill_due(at=FEB_1)
        usage.record(
            events=[makers.usage_event(acme, "a", timestamp=FEB_1 - timedelta(seconds=1))],
            at=FEB_1 + timedelta(seconds=5),
        )
        assert LateUsage.objects.get().noted_at > db.now() + timedelta(minutes=50)
        runs.bill_due(at=FEB_1 + timedelta(minutes=5))
        assert not Charge.objects.filter(reason="late_usage").exists()
        LateUsage.objects.update(noted_at=db.now())
        runs.bill_due(at=FEB_1 + timedelta(hours=1))
        assert Charge.objects.get(reason="late_usage").amount == 10
        assert not LateUsage.objects.exists()
        assert Charge.objects.get(reason="late_usage").subscription == subscription


class TestMinimum:
    def test_is_reduced_by_what_comes_late(self) -> None:
        life = MeteredLife.begin_metered(commitment=200, **PER_UNIT)
        january(life)
        life.report(("late", "2026-01-20T00:00:00Z", 15))
        life.until("2026-02-02T00:00:00Z")
        (first,) = life.invoices()
        assert [line["amount"] for line in first["lines"]] == [100, 100]
        assert first["amount_credited"] == 100  # of the true-up, of which nothing is missing any more
        life.until("2026-03-01T02:00:00Z")
        assert [line["amount"] for line in life.invoices()[1]["lines"]] == [150, 0, 200]
