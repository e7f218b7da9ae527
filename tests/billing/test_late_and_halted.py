"""What halts one order, charge or clock halts no other; and nothing is asked for that never began."""

from datetime import UTC, date, datetime, timedelta

import pytest

from billing import (
    attempts,
    catalog,
    customers,
    first_payments,
    gateways,
    invoices,
    lost_answers,
    parking,
    payments,
    runs,
    subscriptions,
)
from billing import clock as billing_clock
from billing.models import Charge, Customer, Invoice, PaymentAttempt, Plan, Subscription
from gtm.shared import db
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import TestClock as Clock
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db(transaction=True)
FEB_1 = datetime(2026, 2, 1, tzinfo=UTC)
MAR_1 = datetime(2026, 3, 1, tzinfo=UTC)
Status = Subscription.Status


@pytest.fixture
def plan() -> Plan:
    return makers.published_plan()


def buyer(card: str = "pm_card_visa", **fields: object) -> Customer:
    customer = makers.customer(**fields)
    makers.card(customer, card)
    return customer


def refused(plan: Plan, **fields: object) -> tuple[Subscription, Invoice]:
    """An order whose card was refused, with its open invoice."""
    customer = buyer("pm_card_chargeDeclined", **fields)
    subscription = subscriptions.create(customer=customer, plan=plan, at=JAN_1)
    return subscription, Invoice.objects.get(lines__subscription=subscription)


def left_live(plan: Plan, **fields: object) -> PaymentAttempt:
    """The attempt of a process that was killed before it called the gateway, long ago."""
    customer = buyer(**fields)
    subscription = subscriptions.create(customer=customer, plan=plan, collection_method="send_invoice", at=JAN_1)
    invoice = Invoice.objects.get(lines__subscription=subscription)
    attempt = attempts.begin(invoices=[invoice], at=JAN_1)
    PaymentAttempt.objects.filter(pk=attempt.pk).update(created_at=JAN_1)
    return attempt


class TestSettleAttempts:
    def test_a_clock_that_was_left_advancing_holds_up_nobody_else(self, plan):
        clock = makers.clock()
        clocked, real = left_live(plan, test_clock=clock), left_live(plan)
        Clock.objects.update(status=Clock.Status.ADVANCING)
        assert lost_answers.settle_stale(at=db.now()) == 1
        for attempt in (clocked, real):
            attempt.refresh_from_db()
        assert (clocked.status, real.status) == ("live", "succeeded")
        Clock.objects.update(status=Clock.Status.READY)
        assert lost_answers.settle_stale(at=db.now()) == 1


class TestExpireIncomplete:
    def test_an_order_that_is_partly_paid_stays_and_holds_up_no_other(self, plan):
        paid_in_part, invoice = refused(plan)
        late, _invoice = refused(plan)
        paid = {"customer": invoice.customer, "invoices": [invoice], "method": "bank_transfer", "amount": 100}
        payments.record_manual(**paid, paid_at=JAN_1, at=JAN_1)
        assert first_payments.expire_incomplete(at=JAN_1 + timedelta(days=2)) == 1
        for one in (paid_in_part, late):
            one.refresh_from_db()
        assert (paid_in_part.status, late.status) == (Status.INCOMPLETE, Status.EXPIRED)


class TestVoid:
    def test_of_an_order_that_waits_for_its_payment_ends_it_and_asks_for_nothing_again(self, plan):
        subscription, invoice = refused(plan)
        invoices.void(invoice=invoice, at=JAN_1)
        subscription.refresh_from_db()
        assert (subscription.status, Charge.objects.get().status) == (Status.EXPIRED, Charge.Status.WAIVED)
        makers.card(subscription.customer)
        second = subscriptions.create(customer=subscription.customer, plan=plan, at=FEB_1)
        assert Invoice.objects.get(lines__subscription=second).total == 4900

    def test_of_what_a_canceled_subscription_owed_asks_for_nothing_again(self, plan):
        customer = makers.customer()
        subscription = subscriptions.create(customer=customer, plan=plan, collection_method="send_invoice", at=JAN_1)
        subscriptions.cancel(subscription=subscription, when="now", at=JAN_1 + timedelta(days=1))
        invoices.void(invoice=Invoice.objects.get(), at=FEB_1)
        assert Charge.objects.get().status == Charge.Status.WAIVED
        subscription.refresh_from_db()
        assert subscription.status == Status.CANCELED


class TestOrderOnTwoInvoices:
    @pytest.fixture
    def split(self, plan) -> list[Invoice]:
        """The invoices of one order whose card was refused: with tax, and without for a class that has no rate."""
        makers.legal_entity(country="US")
        terms = {"code": "us", "name": "Tax", "percentage": 10, "country": "US", "tax_class": "saas"}
        catalog.create_tax_rate(at=JAN_1, valid_from=date(2020, 1, 1), **terms)
        plan.prices.update(tax_class="saas")
        makers.price(plan=plan, code="books", name="Books", unit_amount=1000, tax_class="books")
        subscriptions.create(customer=buyer("pm_card_chargeDeclined"), plan=plan, at=JAN_1)
        return list(Invoice.objects.order_by("total"))

    def test_goes_on_waiting_while_one_of_them_can_be_paid(self, split):
        books, rest = split
        invoices.void(invoice=books, at=JAN_1)
        assert Subscription.objects.get().status == Status.INCOMPLETE
        makers.card(rest.customer)
        payments.collect(invoice=rest, at=JAN_1)
        assert Subscription.objects.get().status == Status.ACTIVE
        runs.bill_due(at=FEB_1)
        assert (
            Charge.objects.filter(description="Pro: Books", status=Charge.Status.BILLED).count() == 2
        )  # January's too

    def test_is_given_up_with_the_last_one_and_asks_for_nothing_again(self, split):
        for invoice in split:
            invoices.void(invoice=invoice, at=JAN_1)
        assert Subscription.objects.get().status == Status.EXPIRED
        assert not Charge.objects.filter(status__in=[Charge.Status.PENDING, Charge.Status.BILLED]).exists()


class TestMeters:
    def test_usage_is_not_sold_twice_by_an_order_that_begins_later(self, plan):
        meter = plan.current_version.entitlements.get().feature.meter
        makers.price(plan=plan, code="calls", meter=meter, timing="in_arrears", model="per_unit", unit_amount=2)
        customer = buyer()
        subscriptions.create(customer=customer, plan=plan, start_at=FEB_1, at=JAN_1)
        with pytest.raises(Conflict, match="billed by another subscription"):
            subscriptions.create(customer=customer, plan=plan, at=JAN_1)

    @pytest.fixture
    def declined(self, plan) -> list[Invoice]:
        """The first invoices of two orders on one meter that wait for their payment, with a good card by now."""
        meter = plan.current_version.entitlements.get().feature.meter
        makers.price(plan=plan, code="calls", meter=meter, timing="in_arrears", model="per_unit", unit_amount=2)
        customer = buyer("pm_card_chargeDeclined")
        orders = [subscriptions.create(customer=customer, plan=plan, at=JAN_1) for _ in range(2)]
        makers.card(customer)
        return [Invoice.objects.get(lines__subscription=order) for order in orders]

    def test_of_two_orders_that_wait_for_their_payment_one_can_begin(self, declined):
        first, second = declined
        payments.collect(invoice=first, at=JAN_1)
        pay = {"customer": second.customer, "method": "cheque", "amount": 4900, "paid_at": JAN_1}
        for act in (
            lambda: payments.collect(invoice=second, at=JAN_1),
            lambda: payments.record_manual(invoices=[second], at=JAN_1, **pay),
        ):
            with pytest.raises(Conflict) as refusal:
                act()
            assert refusal.value.code == "meter_in_use"
        second.refresh_from_db()
        assert (second.status, second.amount_paid) == (Invoice.Status.OPEN, 0)
        assert Subscription.objects.filter(status=Status.ACTIVE).count() == 1

    def test_while_one_is_being_paid_neither_the_other_nor_a_new_order_can_begin(self, declined, plan):
        first, second = declined
        attempt = attempts.begin(invoices=[first], at=JAN_1)
        for act in (
            lambda: payments.collect(invoice=second, at=JAN_1),
            lambda: subscriptions.create(customer=first.customer, plan=plan, at=JAN_1),
        ):
            with pytest.raises(Conflict) as refusal:
                act()
            assert refusal.value.code == "meter_in_use"
        failed = gateways.ChargeResult(status="failed", reference="", failure_code="card_declined")
        attempts.settle(attempt=attempt, result=failed, at=JAN_1)
        assert payments.collect(invoice=second, at=JAN_1).status == "succeeded"


class TestCancelBeforeTheStart:
    @pytest.mark.parametrize("when", ["now", "period_end"])
    def test_ends_it_at_once_and_costs_nothing(self, when):
        plan = makers.published_plan(trial_days=14)
        customer, at = buyer(), JAN_1 + timedelta(days=3)
        ahead = subscriptions.create(customer=customer, plan=plan, start_at=FEB_1, at=JAN_1)
        subscriptions.cancel(subscription=ahead, when=when, at=at)
        ahead.refresh_from_db()
        assert (ahead.status, ahead.ended_at, ahead.cancel_at) == (Status.CANCELED, at, at)
        assert (ahead.next_bill_at, ahead.grants.count(), Charge.objects.count()) == (None, 0, 0)
        assert set(ahead.items.values_list("ended_at", "next_bill_at")) == {(at, None)}
        change = ahead.changes.get(kind="canceled")
        assert (change.mrr_before, change.mrr_after) == (0, 0)
        assert runs.bill_due(at=MAR_1)._state.adding
        again = subscriptions.create(customer=customer, plan=plan, at=MAR_1)
        assert again.status == Status.TRIALING  # the trial was not had yet

    def test_can_not_be_put_off(self, plan):
        ahead = subscriptions.create(customer=buyer(), plan=plan, start_at=FEB_1, at=JAN_1)
        with pytest.raises(Invalid) as refusal:
            subscriptions.cancel(subscription=ahead, when=MAR_1, at=JAN_1)
        assert refusal.value.attr == "when"

    def test_is_not_for_what_waits_for_its_first_payment(self, plan):
        subscription, _invoice = refused(plan)
        with pytest.raises(Conflict):
            subscriptions.cancel(subscription=subscription, when="now", at=JAN_1)


class TestCancel:
    @pytest.fixture
    def paused(self) -> Subscription:
        """Its trial ended on 15 January, and it waits since."""
        plan = makers.published_plan(trial_days=14, trial_end="pause")
        subscription = subscriptions.create(customer=buyer(), plan=plan, at=JAN_1)
        runs.bill_due(at=JAN_1 + timedelta(days=20))
        subscription.refresh_from_db()
        assert subscription.status == Status.PAUSED
        return subscription

    def test_what_is_paused_costs_nothing(self, paused):
        subscriptions.cancel(subscription=paused, at=FEB_1)
        paused.refresh_from_db()
        assert (paused.status, Charge.objects.count()) == (Status.CANCELED, 0)

    def test_what_is_paused_ends_at_the_time_that_was_set(self, paused):
        subscriptions.cancel(subscription=paused, when=FEB_1, at=JAN_1 + timedelta(days=21))
        runs.bill_due(at=FEB_1)
        paused.refresh_from_db()
        assert (paused.status, paused.ended_at, Charge.objects.count()) == (Status.CANCELED, FEB_1, 0)

    @pytest.mark.parametrize("clocked", [False, True])
    def test_now_of_what_can_not_be_taxed_parks_the_payer_and_bills_it_later(self, plan, clocked):
        clock = makers.clock() if clocked else None
        meter = plan.current_version.entitlements.get().feature.meter
        makers.price(plan=plan, code="calls", meter=meter, timing="in_arrears", model="per_unit", unit_amount=2)
        customer = buyer(test_clock=clock)
        subscription = subscriptions.create(customer=customer, plan=plan, at=JAN_1)
        makers.calls(customer, 30, at=JAN_1 + timedelta(hours=1))
        terms = {"code": "us", "name": "Tax", "percentage": 10, "country": "US", "valid_from": date(2026, 1, 2)}
        catalog.create_tax_rate(at=JAN_1, **terms)
        customers.change(customer=customer, country="", at=JAN_1)
        later = JAN_1 + timedelta(days=3)
        subscriptions.cancel(subscription=subscription, when="now", at=later)
        subscription.refresh_from_db()
        customer.refresh_from_db()
        assert (subscription.status, customer.parked_at) == (Status.CANCELED, later)
        assert "country" in customer.parked_reason
        assert Charge.objects.get(kind="usage").status == Charge.Status.PENDING
        assert runs.bill_due(at=FEB_1, test_clock=clock)._state.adding

        customers.change(customer=customer, country="US", at=FEB_1)
        parking.unpark(customer=customer, at=FEB_1)
        assert clock is None or billing_clock.next_due(clock=clock) == later
        runs.bill_due(at=FEB_1, test_clock=clock)
        runs.bill_due(at=MAR_1, test_clock=clock)
        assert Invoice.objects.get(lines__kind="usage").total == 66
        assert Charge.objects.get(kind="usage").status == Charge.Status.BILLED

    def test_when_the_run_is_late_after_a_trial_costs_nothing(self):
        plan = makers.published_plan(trial_days=14)
        subscription = subscriptions.create(customer=buyer(), plan=plan, at=JAN_1)
        subscriptions.cancel(subscription=subscription, at=subscription.trial_end + timedelta(seconds=20))
        subscription.refresh_from_db()
        assert (subscription.status, Charge.objects.count()) == (Status.CANCELED, 0)

    def test_when_the_run_is_late_ends_with_the_period_that_has_begun(self, plan):
        subscription = subscriptions.create(customer=buyer(), plan=plan, at=JAN_1)
        subscriptions.cancel(subscription=subscription, at=FEB_1 + timedelta(seconds=20))
        runs.bill_due(at=FEB_1 + timedelta(seconds=60))
        subscription.refresh_from_db()
        assert (subscription.status, subscription.cancel_at) == (Status.ACTIVE, MAR_1)
        runs.bill_due(at=MAR_1)
        subscription.refresh_from_db()
        assert (subscription.status, Charge.objects.count()) == (Status.CANCELED, 2)
