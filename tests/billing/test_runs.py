"""The bill run: each period once, whoever can't be billed is left out, and the work doesn't grow with the batch."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing import catalog, customers, runs, subscriptions, tasks
from billing.models import BillingRun, Charge, Customer, Invoice, Plan, Subscription
from gtm.shared import db, ids
from gtm.shared.models import Event, Pulse
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
FEB_1 = datetime(2026, 2, 1, tzinfo=UTC)
MAR_1 = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def plan() -> Plan:
    """With usage in arrears beside its monthly price."""
    plan = makers.published_plan()
    meter = plan.current_version.entitlements.get().feature.meter
    makers.price(plan=plan, code="calls", meter=meter, timing="in_arrears", model="per_unit", unit_amount=2)
    return plan


def subscribed(plan: Plan, count: int, **fields: object) -> list[Subscription]:
    made = []
    for number in range(count):
        customer = makers.customer(name=f"Customer {number}", **fields)
        makers.card(customer)
        made.append(subscriptions.create(customer=customer, plan=plan, at=JAN_1))
    return made


class TestBillDue:
    def test_bills_the_next_period_and_the_usage_of_the_last(self, plan):
        (subscription,) = subscribed(plan, 1)
        makers.calls(subscription.customer, 42, at=JAN_1 + timedelta(days=3))
        makers.calls(subscription.customer, 5, at=FEB_1)
        run = runs.bill_due(at=FEB_1)
        assert (run.status, run.subscriptions, run.invoices, run.parked) == (BillingRun.Status.DONE, 1, 1, 0)
        lines = Invoice.objects.get(status=Invoice.Status.DRAFT).lines.order_by("position")
        assert [(line.kind, line.quantity, line.amount, line.period_start) for line in lines] == [
            ("recurring", 1, 4900, FEB_1),
            ("usage", 42, 84, JAN_1),
        ]

    def test_a_second_run_bills_nothing_and_leaves_no_row(self, plan):
        subscribed(plan, 2)
        runs.bill_due(at=FEB_1)
        again = runs.bill_due(at=FEB_1)
        assert again._state.adding
        assert BillingRun.objects.count() == 1
        assert Invoice.objects.filter(gathered_at=FEB_1).count() == 2

    def test_catches_up_with_several_periods_at_once(self, plan):
        (subscription,) = subscribed(plan, 1)
        runs.bill_due(at=datetime(2026, 4, 2, tzinfo=UTC))
        subscription.refresh_from_db()
        assert subscription.next_bill_at == datetime(2026, 5, 1, tzinfo=UTC)
        assert list(Charge.objects.filter(kind="recurring").values_list("period_index", flat=True).order_by("pk")) == [
            0,
            1,
            2,
            3,
        ]
        assert Charge.objects.filter(kind="usage").count() == 3

    def test_tells_of_the_renewal(self, plan):
        (subscription,) = subscribed(plan, 1)
        runs.bill_due(at=FEB_1)
        event = Event.objects.get(type="billing.subscription.renewed")
        assert (event.object_id, event.occurred_at, event.data["mrr"]) == (subscription.pk, FEB_1, 4900)
        assert not subscription.changes.filter(kind="renewed").exists()

    def test_goes_through_all_batches(self, plan):
        subscribed(plan, 5)
        assert runs.bill_due(at=FEB_1, batch=2).subscriptions == 5
        numbers = Invoice.objects.exclude(number=None).order_by("number").values_list("number", flat=True)
        assert list(numbers) == [f"INV-2026-{n:06d}" for n in range(1, 6)]

    def test_closes_the_row_of_a_run_that_was_killed(self):
        long_ago, clock = db.now() - timedelta(minutes=11), makers.clock()
        killed = BillingRun.objects.create(cutoff=JAN_1, started_at=long_ago, invoices=7)
        others = [
            BillingRun.objects.create(cutoff=JAN_1),  # may be at work
            BillingRun.objects.create(cutoff=JAN_1, started_at=long_ago, test_clock=clock),
            BillingRun.objects.create(cutoff=JAN_1, started_at=long_ago, status=BillingRun.Status.DONE),
        ]
        runs.bill_due(at=FEB_1)
        killed.refresh_from_db()
        assert (killed.status, killed.invoices) == (BillingRun.Status.FAILED, 7)
        assert killed.last_error == "The process ended before the run did."
        assert killed.finished_at is not None
        for one in others:
            one.refresh_from_db()
        assert [one.status for one in others] == ["running", "running", "done"]

    def test_leaves_test_clocks_alone(self, plan):
        clock = makers.clock()
        subscribed(plan, 1, test_clock=clock)
        assert runs.bill_due(at=FEB_1)._state.adding
        assert runs.bill_due(at=FEB_1, test_clock=clock).invoices == 1


class TestParked:
    @pytest.fixture
    def homeless(self, plan) -> Customer:
        """A customer among others whose place is needed and not known."""
        _, lost, _ = subscribed(plan, 3)
        rate = {"code": "us", "name": "Tax", "percentage": 10, "country": "US", "valid_from": date(2026, 1, 15)}
        catalog.create_tax_rate(at=JAN_1, **rate)
        return customers.change(customer=lost.customer, country="", at=JAN_1)

    def test_is_left_out_with_the_reason_and_the_run_goes_on(self, homeless):
        run = runs.bill_due(at=FEB_1)
        homeless.refresh_from_db()
        assert (run.subscriptions, run.parked) == (2, 1)
        assert homeless.parked_at == FEB_1
        assert "country" in homeless.parked_reason
        assert Charge.objects.filter(payer=homeless, period_index=1).count() == 0
        assert runs.bill_due(at=FEB_1 + timedelta(hours=2)).subscriptions == 0

    def test_is_billed_for_all_it_missed_when_it_is_taken_in_again(self, homeless):
        runs.bill_due(at=FEB_1)
        customers.change(customer=homeless, country="US", at=FEB_1)
        runs.unpark(customer=homeless, at=FEB_1)
        runs.bill_due(at=MAR_1)
        homeless.refresh_from_db()
        assert homeless.parked_at is None
        assert Charge.objects.filter(payer=homeless, kind="recurring").count() == 3

    def test_other_errors_park_too(self, plan):
        subscribed(plan, 2)
        broken = Subscription.objects.order_by("pk").first()
        Subscription.objects.filter(pk=broken.pk).update(next_bill_at=JAN_1)
        run = runs.bill_due(at=JAN_1 + timedelta(days=1))
        assert (run.parked, run.subscriptions) == (0, 1)  # due too early: planned anew, and nothing is charged
        broken.items.update(timezone="Nowhere/At_All")
        assert runs.bill_due(at=FEB_1).parked == 1
        broken.payer.refresh_from_db()
        assert "unknown zone" in broken.payer.parked_reason

    def test_what_the_database_says_about_rows_is_not_repeated(self, plan):
        (subscription,) = subscribed(plan, 1)
        charge = Charge.objects.get()
        charge.pk, charge.period_index, charge.status, charge.invoice_line = ids.uuid7(), 1, "waived", None
        charge.save(force_insert=True)  # the period that the run is to charge for
        assert runs.bill_due(at=FEB_1).parked == 1
        subscription.payer.refresh_from_db()
        told = Event.objects.get(type="billing.customer.changed", data__parked=True)
        assert subscription.payer.parked_reason == told.reason == "IntegrityError (SQLSTATE 23505)"


class TestQueries:
    def test_their_number_does_not_depend_on_the_batch(self, plan):
        subscribed(plan, 2)
        few = self._count(FEB_1)
        subscribed(plan, 10)
        Subscription.objects.update(next_bill_at=MAR_1)
        many = self._count(MAR_1)
        assert Invoice.objects.filter(gathered_at=MAR_1).count() == 12
        assert few == many == 24

    def _count(self, at: datetime) -> int:
        with CaptureQueriesContext(connection) as queries:
            run = BillingRun(cutoff=at)
            assert runs._bill_batch(run, 100)
        return len(queries)

    def test_nor_does_finalization(self, plan):
        subscribed(plan, 2)
        few = self._finalize(FEB_1)
        subscribed(plan, 10)
        many = self._finalize(MAR_1)
        assert few == many

    def _finalize(self, at: datetime) -> int:
        runs.bill_due(at=at, collect=False)
        for customer in Customer.objects.all():
            makers.calls(customer, 3, at=at - timedelta(days=2))
        with CaptureQueriesContext(connection) as queries:
            assert runs._finalize_batch(BillingRun(cutoff=at + timedelta(hours=1)), 100)
        assert not Invoice.objects.filter(status=Invoice.Status.DRAFT).exists()
        return len(queries)


class TestTasks:
    def test_leave_their_sign_of_life(self, plan):
        for task in (tasks.bill_due, tasks.collect_due, tasks.settle_attempts, tasks.expire_incomplete):
            task()
        names = set(Pulse.objects.filter(last_succeeded_at__isnull=False).values_list("name", flat=True))
        assert names == {
            "job:bill what is due",
            "job:charge cards",
            "job:settle attempts",
            "job:expire unfinished subscriptions",
        }
