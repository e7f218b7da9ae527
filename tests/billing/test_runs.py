"""The bill run: each period once, whoever can't be billed is left out, and the work doesn't grow with the batch."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing import catalog, consistency, customers, drafting, parking, runs, subscriptions, tasks
from billing.drafting import Draft
from billing.models import BillingRun, Charge, Customer, Invoice, InvoiceLine, Plan, Subscription
from billing.queries.faults import FAULTS
from gtm.shared import db, ids
from gtm.shared.models import Event, Pulse
from tests import world
from tests.backoffice import address, signed_in
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
        killed = BillingRun.objects.create(cutoff=JAN_1, seen_at=long_ago, invoices=7)
        others = [
            BillingRun.objects.create(cutoff=JAN_1, started_at=long_ago - timedelta(days=1)),  # long, and at work
            BillingRun.objects.create(cutoff=JAN_1, seen_at=long_ago, test_clock=clock),
            BillingRun.objects.create(cutoff=JAN_1, seen_at=long_ago, status=BillingRun.Status.DONE),
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
        parking.unpark(customer=homeless, at=FEB_1)
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
        assert subscription.payer.parked_reason == "IntegrityError (SQLSTATE 23505)"
        assert told.reason == "sqlstate_23505"

    def test_facts_hold_codes_and_no_values(self, homeless):
        runs.bill_due(at=FEB_1)
        told = Event.objects.get(type="billing.customer.changed", data__parked=True)
        assert told.reason == "tax_place_unknown"


class TestStages:
    def test_are_written_down_as_it_goes_on(self, plan):
        subscribed(plan, 3)
        run = BillingRun(cutoff=FEB_1, due=3)
        assert runs._bill_batch(run, 2)
        runs._progress(run)
        row = BillingRun.objects.get()
        assert (row.status, row.stage, row.subscriptions, row.due) == ("running", "drafting", 2, 3)
        runs._enter(run, runs.Stage.ISSUING)
        seen_at = row.seen_at
        row.refresh_from_db()
        assert (row.status, row.stage, row.seen_at > seen_at) == ("running", "issuing", True)

    def test_end_with_the_run(self, plan):
        subscribed(plan, 3)
        runs.bill_due(at=FEB_1, batch=2)
        row = BillingRun.objects.get()
        assert (row.status, row.stage, row.subscriptions, row.due) == ("done", "done", 3, 3)
        assert row.finished_at is not None

    def test_what_was_checked_is_kept_with_the_run(self, plan):
        subscribed(plan, 1)
        kept = consistency.recalled(runs.bill_due(at=FEB_1).checks)
        assert {one.name for one in kept} == {fault.name for fault in FAULTS}
        assert all(one.is_fine for one in kept)

    def test_a_clock_s_run_is_not_checked(self, plan):
        clock = makers.clock()
        subscribed(plan, 1, test_clock=clock)
        assert runs.bill_due(at=FEB_1, test_clock=clock).checks == []

    def test_a_draft_that_does_not_add_up_is_not_issued(self, plan):
        (one, other) = subscribed(plan, 2)
        runs.bill_due(at=FEB_1)
        wrong = Invoice.objects.get(customer=one.payer, status=Invoice.Status.DRAFT)
        Invoice.objects.filter(pk=wrong.pk).update(subtotal=wrong.subtotal + 1, total=wrong.total + 1)
        run = runs.bill_due(at=FEB_1 + timedelta(hours=1))
        assert run.parked == 1
        assert list(Invoice.objects.filter(status=Invoice.Status.DRAFT)) == [wrong]
        one.payer.refresh_from_db()
        assert one.payer.parked_reason == "The lines or taxes of a draft don't sum to it."
        assert not Invoice.objects.filter(customer=other.payer, status=Invoice.Status.DRAFT).exists()

    def test_nor_is_one_that_would_be_written_final(self):
        line = InvoiceLine(amount=4900, discount_amount=0, tax_amount=0)
        draft = Draft(invoice=Invoice(subtotal=4901, total=4901), charges=[], lines=[line], taxes=[], uses=[])
        with pytest.raises(drafting.Unsound):
            drafting.verify(draft)


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


class TestAdmin:
    @pytest.fixture
    def client(self) -> Client:
        return signed_in(world.user(email="money@vendor.example", roles=("finance",)))

    def test_shows_how_far_a_run_has_come(self, client):
        BillingRun.objects.create(cutoff=FEB_1, due=20_000, subscriptions=1_500)
        assert "1,500 of 20,000" in client.get(address("billing_billingrun_changelist")).content.decode()

    def test_says_in_words_what_the_checks_found(self, client):
        wrong = [
            {"name": "invoice_adds_up", "found": ["inv_1", "inv_2"], "more": True},
            {"name": "usage_was_billed", "error": "QueryCanceled"},
            {"name": "periods_tile"},
        ]
        run = BillingRun.objects.create(cutoff=FEB_1, checks=wrong)
        page = client.get(address("billing_billingrun_change", run.pk)).content.decode()
        assert "Invoices whose lines or taxes don&#x27;t sum to them. inv_1, inv_2, and others." in page
        assert "This could not be looked at: QueryCanceled." in page
        BillingRun.objects.update(checks=[{"name": "periods_tile", "milliseconds": 4}])
        page = client.get(address("billing_billingrun_change", run.pk)).content.decode()
        assert "1 checks found nothing wrong, in 4 ms." in page
