"""Test clocks: time that passes instant by instant, stays sealed, and goes on after a failure."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, connections, transaction

from billing import clock as billing_clock
from billing import credits as giving_back
from billing import documents, invoices, runs, subscriptions
from billing.credit_notes import LineCredit
from billing.models import (
    BalanceEntry,
    Customer,
    Document,
    Invoice,
    NumberSeries,
    Payment,
    Refund,
    SandboxCharge,
    Subscription,
    UsageRollup,
)
from gtm import clocks, tasks
from gtm.shared import db, outbox
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event, PendingFact, TestClock
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
APRIL = datetime(2026, 4, 2, tzinfo=UTC)


@pytest.fixture
def clock() -> TestClock:
    return clocks.create(name="A clock", frozen_time=JAN_1)


def subscribed(clock: TestClock | None, card: str = "pm_card_visa") -> Subscription:
    customer = makers.customer(test_clock=clock)
    makers.card(customer, card)
    plan = Subscription.objects.first().plan_version.plan if Subscription.objects.exists() else makers.published_plan()
    return subscriptions.create(customer=customer, plan=plan, at=JAN_1)


class TestAdvance:
    def test_does_all_that_is_due_in_order(self, clock):
        subscribed(clock)
        advanced = clocks.advance(clock=clock, to=APRIL)
        assert (advanced.status, advanced.frozen_time, advanced.target_time) == ("ready", APRIL, None)
        instants = Event.objects.filter(type="billing.subscription.renewed").order_by("position")
        assert [event.occurred_at.month for event in instants] == [2, 3, 4]

    def test_gives_up_a_first_payment_after_a_day(self, clock):
        declined = subscribed(clock, "pm_card_chargeDeclined")
        clocks.advance(clock=clock, to=JAN_1 + timedelta(hours=23))
        declined.refresh_from_db()
        assert declined.status == Subscription.Status.INCOMPLETE
        clocks.advance(clock=clock, to=JAN_1 + timedelta(days=3))
        declined.refresh_from_db()
        assert (declined.status, declined.ended_at) == ("expired", JAN_1 + timedelta(hours=24))

    def test_deals_with_the_clocks_facts_inline(self, clock):
        subscribed(clock)
        clocks.advance(clock=clock, to=APRIL)
        assert not PendingFact.objects.filter(test_clock_id=clock.pk).exists()

    def test_leaves_others_alone(self, clock):
        subscribed(None)
        other = subscribed(clocks.create(name="Other", frozen_time=JAN_1))
        clocks.advance(clock=clock, to=APRIL)
        assert Invoice.objects.count() == 2
        other.refresh_from_db()
        assert other.next_bill_at == datetime(2026, 2, 1, tzinfo=UTC)

    def test_never_goes_back_and_never_absurdly_far(self, clock):
        with pytest.raises(Conflict) as refusal:
            clocks.advance(clock=clock, to=JAN_1 - timedelta(seconds=1))
        assert refusal.value.code == "clock_backwards"
        with pytest.raises(Invalid):
            clocks.advance(clock=clock, to=datetime(2999, 1, 1, tzinfo=UTC))

    def test_stops_when_patience_runs_out_and_a_worker_goes_on(self, clock):
        subscribed(clock)
        waiting = clocks.advance(clock=clock, to=APRIL, patience=timedelta(0))
        assert waiting.status == TestClock.Status.ADVANCING
        assert waiting.frozen_time == datetime(2026, 2, 1, tzinfo=UTC)
        tasks.advance_clock(clock_id=str(clock.pk))
        clock.refresh_from_db()
        assert (clock.status, clock.frozen_time) == ("ready", APRIL)
        assert Invoice.objects.count() == 4


class TestFailure:
    def test_is_noted_and_the_next_call_goes_on(self, clock, monkeypatch):
        subscribed(clock)
        with monkeypatch.context() as broken:
            broken.setattr(outbox, "drain", lambda clock_id: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                clocks.advance(clock=clock, to=APRIL)
        clock.refresh_from_db()
        assert (clock.status, clock.last_error) == ("failed", "ZeroDivisionError: division by zero")
        assert clocks.advance(clock=clock, to=APRIL).status == TestClock.Status.READY
        assert Invoice.objects.count() == 4

    def test_something_that_is_never_done_does_not_hold_it_for_ever(self, clock, monkeypatch):
        subscribed(clock)
        monkeypatch.setattr(billing_clock, "run_due", lambda clock, at: None)
        with pytest.raises(RuntimeError, match="stays due"):
            clocks.advance(clock=clock, to=APRIL)

    def test_a_clock_whose_process_died_goes_on(self, clock):
        subscribed(clock)
        TestClock.objects.update(status="advancing", target_time=APRIL)
        assert clocks.advance(clock=clock, to=APRIL).status == TestClock.Status.READY


class TestWhileAdvancing:
    def test_other_writes_on_it_are_refused(self, clock):
        subscription = subscribed(clock)
        TestClock.objects.update(status="advancing")
        with pytest.raises(Conflict) as refusal:
            db.now_for(subscription)
        assert refusal.value.code == "clock_advancing"
        with pytest.raises(Conflict):
            clocks.delete(clock=clock)
        with db.driving(clock.pk):
            assert db.now_for(subscription) == JAN_1


@pytest.mark.django_db(transaction=True)
def test_one_process_advances_it_at_a_time(clock):
    subscribed(clock)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [clock.pk.int % 2**62])

    def advance() -> str:
        try:
            clocks.advance(clock=clock, to=APRIL)
        except Conflict as refusal:
            return refusal.code
        finally:
            connections.close_all()
        return "done"

    with ThreadPoolExecutor(max_workers=1) as other:
        assert other.submit(advance).result(timeout=30) == "clock_advancing"
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock(%s)", [clock.pk.int % 2**62])
    assert advance() == "done"


class TestDelete:
    def test_takes_all_that_stands_on_it_and_nothing_else(self, clock):
        kept, gone = subscribed(None), subscribed(clock)
        makers.calls(gone.customer, 3, at=JAN_1)
        makers.calls(kept.customer, 2, at=JAN_1)
        clocks.advance(clock=clock, to=APRIL)
        documents.invoice_pdf(invoice=Invoice.objects.filter(test_clock=clock).first(), at=APRIL)
        clocks.delete(clock=clock)
        assert not TestClock.objects.exists()
        assert list(Subscription.objects.all()) == [kept]
        assert Invoice.objects.count() == Payment.objects.count() == SandboxCharge.objects.count() == 1
        assert Customer.objects.count() == NumberSeries.objects.count() == UsageRollup.objects.count() == 1
        assert not Document.objects.exists()
        assert not Event.objects.exclude(test_clock=None).exists()

    def test_takes_credits_refunds_and_what_they_settled_with_it(self, clock):
        customer = subscribed(clock).customer
        paid = Invoice.objects.get(test_clock=clock)
        makers.credited(paid, 1000, settle="refund")
        makers.credited(paid, 1000)
        with transaction.atomic():
            terms = {"settle": "line", "reason": "subscription_change", "origin": "api"}
            given = [LineCredit(paid.lines.get(), 500)]
            giving_back.give_back(credits=given, invoice_at=JAN_1, at=JAN_1, **terms)
        invoices.void(invoice=makers.invoiced(customer, 5000), at=JAN_1)
        clocks.advance(clock=clock, to=APRIL)
        assert Refund.objects.get().status == "succeeded"
        clocks.delete(clock=clock)
        assert not Invoice.objects.exists()
        assert not BalanceEntry.objects.exists()

    def test_of_what_was_never_used_is_nothing_special(self, clock):
        clocks.delete(clock=clock)
        assert not TestClock.objects.exists()


def test_a_clocks_customers_are_not_in_the_ordinary_run(clock):
    subscribed(clock)
    assert runs.bill_due(at=APRIL)._state.adding
