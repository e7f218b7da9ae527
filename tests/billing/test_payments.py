"""Payments: cards through the gateway, money by hand, and what a lost answer leads to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction

from billing import attempts, gateways, invoices, lost_answers, payments, runs, subscriptions
from billing.models import (
    Allocation,
    AttemptShare,
    BalanceEntry,
    Invoice,
    Payment,
    PaymentAttempt,
    SandboxCharge,
    Subscription,
)
from billing.payments import NoPaymentMethod
from gtm.shared import db, ids
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
FEB_1 = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture
def plan():
    return makers.published_plan()


@pytest.fixture
def acme():
    return makers.customer()


def open_invoice(plan, customer, **terms) -> Invoice:
    subscription = subscriptions.create(
        customer=customer, plan=plan, collection_method="send_invoice", at=JAN_1, **terms
    )
    return Invoice.objects.get(lines__subscription=subscription)


def by_hand(*invoices: Invoice, amount: int, **terms) -> Payment:
    return payments.record_manual(
        **{
            "customer": invoices[0].customer,
            "invoices": list(invoices),
            "method": "bank_transfer",
            "amount": amount,
            "reference": "Wire 8812",
            "paid_at": JAN_1,
            "at": JAN_1,
        }
        | terms
    )


def ordered(method: str) -> gateways.Order:
    return gateways.Order(ids.uuid7(), 100, "USD", kind="card", method=method, customer="", since=JAN_1)


class TestCollect:
    def test_charges_what_is_still_due(self, plan, acme):
        invoice = open_invoice(plan, acme)
        by_hand(invoice, amount=900)
        makers.card(acme)
        payment = payments.collect(invoice=invoice, at=JAN_1)
        invoice.refresh_from_db()
        assert (payment.status, payment.amount) == (Payment.Status.SUCCEEDED, 4000)
        assert (invoice.status, invoice.amount_paid, invoice.amount_due) == (Invoice.Status.PAID, 4900, 0)
        assert SandboxCharge.objects.get().amount == 4000

    def test_takes_the_given_card_before_the_default_one(self, plan, acme):
        makers.card(acme, "pm_card_chargeDeclined")
        good = makers.card(acme, default=False)
        payment = payments.collect(invoice=open_invoice(plan, acme), payment_method=good, at=JAN_1)
        assert payment.payment_method == good

    @pytest.mark.parametrize(
        ("token", "code"),
        [
            ("pm_card_chargeDeclined", "card_declined"),
            ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds"),
            ("pm_card_chargeDeclinedStolenCard", "stolen_card"),
        ],
    )
    def test_a_declined_card_raises_nothing_and_says_why(self, plan, acme, token, code):
        makers.card(acme, token)
        invoice = open_invoice(plan, acme)
        payment = payments.collect(invoice=invoice, at=JAN_1)
        invoice.refresh_from_db()
        assert (payment.status, payment.failure_code) == (Payment.Status.FAILED, code)
        assert payment.failure_message
        assert (invoice.status, invoice.amount_paid) == (Invoice.Status.OPEN, 0)
        assert Event.objects.get(type="billing.payment.failed").data["failure_code"] == code

    def test_needs_a_method_and_something_due(self, plan, acme):
        invoice = open_invoice(plan, acme)
        with pytest.raises(NoPaymentMethod):
            payments.collect(invoice=invoice, at=JAN_1)
        by_hand(invoice, amount=4900)
        makers.card(acme)
        with pytest.raises(Conflict) as refusal:
            payments.collect(invoice=invoice, at=JAN_1)
        assert refusal.value.code == "nothing_due"

    def test_an_attempt_stands_before_the_call_and_names_its_key(self, plan, acme):
        makers.card(acme)
        payments.collect(invoice=open_invoice(plan, acme), at=JAN_1)
        attempt = PaymentAttempt.objects.get()
        assert attempt.status == PaymentAttempt.Status.SUCCEEDED
        assert SandboxCharge.objects.get().idempotency_key == str(attempt.pk)


class TestLiveAttempt:
    """The process died between the attempt and its answer."""

    @pytest.fixture
    def invoice(self, plan, acme):
        makers.card(acme)
        return open_invoice(plan, acme)

    @pytest.fixture
    def left(self, invoice):
        return attempts.begin(invoices=[invoice], at=JAN_1)

    def test_keeps_every_other_payment_out(self, left, invoice):
        for act in (
            lambda: payments.collect(invoice=invoice, at=JAN_1),
            lambda: by_hand(invoice, amount=4900),
        ):
            with pytest.raises(Conflict) as refusal:
                act()
            assert refusal.value.code == "payment_in_progress"

    def test_there_is_one_at_most_says_the_database(self, left, invoice):
        other = PaymentAttempt.objects.create(
            payment=left.payment, payment_method=left.payment_method, amount=1, started_at=JAN_1
        )
        with pytest.raises(IntegrityError, match="one_live"), transaction.atomic():
            AttemptShare.objects.create(attempt=other, invoice=invoice, amount=1)

    def test_is_left_alone_for_two_minutes(self, left):
        assert lost_answers.settle_stale(at=db.now()) == 0

    @pytest.mark.parametrize("arrived", [True, False])
    def test_is_settled_once_whether_or_not_the_call_arrived(self, left, invoice, arrived):
        if arrived:
            attempts.call(left)
        later = db.now() + timedelta(minutes=3)
        assert lost_answers.settle_stale(at=later) == 1
        assert lost_answers.settle_stale(at=later) == 0
        invoice.refresh_from_db()
        assert invoice.status == Invoice.Status.PAID
        assert SandboxCharge.objects.count() == Allocation.objects.count() == 1

    def test_a_late_answer_finds_it_settled(self, left):
        lost_answers.settle_stale(at=db.now() + timedelta(minutes=3))
        attempts.settle(attempt=left, result=attempts.call(left), at=JAN_1)
        assert Allocation.objects.count() == 1
        assert Event.objects.filter(type="billing.invoice.paid").count() == 1


class TestSeveral:
    """One charge for several invoices of a payer."""

    def test_is_one_payment_that_settles_them_all(self, plan, acme):
        first, second = open_invoice(plan, acme), open_invoice(plan, acme)
        makers.card(acme)
        payment = payments.collect_many(invoices=[second, first], at=JAN_1)
        assert (payment.amount, SandboxCharge.objects.get().amount) == (9800, 9800)
        assert dict(payment.allocations.values_list("invoice", "amount")) == {first.pk: 4900, second.pk: 4900}
        assert set(Invoice.objects.values_list("status", flat=True)) == {"paid"}

    def test_when_declined_is_tried_again_as_one(self, plan, acme):
        both = [open_invoice(plan, acme), open_invoice(plan, acme)]
        makers.card(acme, "pm_card_chargeDeclinedStolenCard")
        failed = payments.collect_many(invoices=both, at=JAN_1)
        assert PaymentAttempt.objects.get().hard
        assert set(Invoice.objects.values_list("payment_status", flat=True)) == {"failed"}
        makers.card(acme)
        again = payments.collect_many(invoices=both, at=JAN_1)
        assert (again.pk, again.attempt, again.status) == (failed.pk, 2, "succeeded")
        alone = open_invoice(plan, acme)
        assert payments.collect(invoice=alone, at=JAN_1).pk != failed.pk

    def test_of_one_subscription_move_it_once(self, plan, acme):
        subscription = makers.subscribed(acme, plan=plan)
        makers.card(acme, "pm_card_chargeDeclined")
        for month in (2, 3):
            runs.bill_due(at=JAN_1.replace(month=month))
        both = list(Invoice.objects.filter(status="open"))
        payments.collect_many(invoices=both, at=FEB_1)
        makers.card(acme)
        payments.collect_many(invoices=both, at=FEB_1)
        changes = subscription.changes.order_by("recorded_at", "pk")
        assert list(changes.values_list("kind", flat=True)) == ["created", "activated", "past_due", "recovered"]

    def test_belong_to_one_payer(self, plan, acme):
        theirs = open_invoice(plan, makers.customer(name="Zeta"))
        makers.card(acme)
        with pytest.raises(Invalid) as refusal:
            payments.collect_many(invoices=[open_invoice(plan, acme), theirs], at=JAN_1)
        assert refusal.value.attr == "invoices"
        assert not Payment.objects.exists()


class TestUnderWay:
    """What is not final at once: a confirmation by the holder, a debit that takes days."""

    def test_confirmed_by_its_holder_it_is_paid_once(self, plan, acme):
        makers.card(acme, "pm_card_authenticationRequired")
        invoice = open_invoice(plan, acme)
        payment = payments.collect(invoice=invoice, on_session=True, at=JAN_1)
        sandbox = gateways.named("sandbox")
        assert (payment.status, sandbox.action(reference=payment.gateway_reference).kind) == ("requires_action", "form")
        sandbox.confirm(reference=payment.gateway_reference, accepted=True)
        for _time in range(2):
            payment = payments.refresh(payment=payment, at=JAN_1)
        assert (payment.status, Allocation.objects.count()) == ("succeeded", 1)
        assert sandbox.action(reference=payment.gateway_reference) is None

    def test_another_charge_gives_up_the_one_that_waits(self, plan, acme):
        makers.card(acme, "pm_card_authenticationRequired")
        invoice = open_invoice(plan, acme)
        waits = payments.collect(invoice=invoice, at=JAN_1).gateway_reference
        makers.card(acme)
        assert payments.collect(invoice=invoice, at=JAN_1).status == "succeeded"
        assert gateways.named("sandbox").confirm(reference=waits, accepted=True).status == "failed"
        assert list(PaymentAttempt.objects.order_by("pk").values_list("status", "failure_code")) == [
            ("failed", "superseded"),
            ("succeeded", ""),
        ]

    def test_what_nobody_needs_any_more_is_given_up(self, plan, acme):
        makers.card(acme, "pm_card_authenticationRequired")
        invoice = open_invoice(plan, acme)
        waits = payments.collect(invoice=invoice, at=JAN_1).gateway_reference
        invoices.void(invoice=invoice, at=JAN_1)
        assert lost_answers.settle_stale(at=db.now() + timedelta(minutes=3)) == 1
        assert gateways.named("sandbox").action(reference=waits) is None

    def test_money_that_came_beside_another_payment_is_credit(self, plan, acme):
        """The answer "failed" was wrong, or late: whatever the gateway has taken is on the books."""
        makers.card(acme, "pm_card_chargeDeclined")
        invoice = open_invoice(plan, acme)
        payments.collect(invoice=invoice, at=JAN_1)
        stray = PaymentAttempt.objects.select_related("payment").get()
        makers.card(acme)
        payments.collect(invoice=invoice, at=JAN_1)
        came = gateways.ChargeResult("succeeded", "pi_stray")
        for _time in range(2):
            attempts.settle(attempt=stray, result=came, at=JAN_1)
        assert Payment.objects.filter(status="succeeded").count() == 2
        assert BalanceEntry.objects.get().amount == 4900

    @pytest.mark.parametrize(("token", "comes_to"), [("pm_sepa_debit", "succeeded"), ("pm_sepa_debit_fails", "failed")])
    def test_a_direct_debit_is_under_way_for_days(self, plan, acme, token, comes_to):
        makers.card(acme, token)
        invoice = open_invoice(plan, acme)
        payment = payments.collect(invoice=invoice, at=JAN_1)
        assert (payment.status, payment.method) == ("processing", "sepa_debit")
        with pytest.raises(Conflict, match="under way"):
            payments.collect(invoice=invoice, at=JAN_1)
        lost_answers.settle_stale(at=db.now() + timedelta(minutes=3))
        payment.refresh_from_db()
        assert payment.status == comes_to


class TestManual:
    def test_can_be_partial(self, plan, acme):
        invoice = open_invoice(plan, acme)
        by_hand(invoice, amount=1000)
        invoice.refresh_from_db()
        assert (invoice.status, invoice.amount_paid, invoice.amount_due) == (Invoice.Status.OPEN, 1000, 3900)
        by_hand(invoice, amount=3900)
        invoice.refresh_from_db()
        assert (invoice.status, invoice.payment_status, invoice.paid_at) == ("paid", "paid", JAN_1)

    def test_settles_several_in_the_order_given(self, plan, acme):
        first, second = open_invoice(plan, acme), open_invoice(plan, acme)
        payment = by_hand(second, first, amount=6000)
        assert dict(payment.allocations.values_list("invoice", "amount")) == {second.pk: 4900, first.pk: 1100}

    @pytest.mark.parametrize(("amount", "code"), [(0, "invalid"), (-5, "invalid")])
    def test_refuses_nothing(self, plan, acme, amount, code):
        with pytest.raises(Invalid) as refusal:
            by_hand(open_invoice(plan, acme), amount=amount)
        assert (refusal.value.code, refusal.value.attr) == (code, "amount")
        assert not Payment.objects.exists()

    def test_refuses_another_customers_invoice(self, plan, acme):
        with pytest.raises(Invalid) as refusal:
            by_hand(open_invoice(plan, acme), amount=1, customer=makers.customer(name="Zeta"))
        assert refusal.value.attr == "invoices"

    def test_allocations_are_only_ever_added(self, plan, acme):
        by_hand(open_invoice(plan, acme), amount=10)
        with pytest.raises(IntegrityError, match="only ever added"), transaction.atomic():
            Allocation.objects.update(amount=5)
        with pytest.raises(IntegrityError, match="only ever added"), transaction.atomic():
            Allocation.objects.all()._raw_delete("default")


class TestFailedRenewal:
    def test_is_past_due_with_its_access_until_it_is_paid(self, plan, acme):
        makers.card(acme)
        subscription = subscriptions.create(customer=acme, plan=plan, at=JAN_1)
        makers.card(acme, "pm_card_chargeDeclined")
        runs.bill_due(at=FEB_1)
        subscription.refresh_from_db()
        invoice = Invoice.objects.get(status=Invoice.Status.OPEN)
        assert subscription.status == Subscription.Status.PAST_DUE
        assert invoice.next_payment_attempt == FEB_1 + timedelta(days=1)  # by the dunning policy
        assert Payment.objects.get(status=Payment.Status.FAILED).next_retry_at is None
        payments.collect(invoice=invoice, payment_method=makers.card(acme), at=FEB_1)
        subscription.refresh_from_db()
        assert subscription.status == Subscription.Status.ACTIVE
        assert list(subscription.changes.order_by("recorded_at", "pk").values_list("kind", flat=True)) == [
            "created",
            "activated",
            "past_due",
            "recovered",
        ]

    def test_without_any_card_is_one_too(self, plan, acme):
        card = makers.card(acme)
        subscription = subscriptions.create(customer=acme, plan=plan, at=JAN_1)
        card.is_default, card.detached_at = False, JAN_1
        card.save()
        runs.bill_due(at=FEB_1)
        subscription.refresh_from_db()
        assert subscription.status == Subscription.Status.PAST_DUE
        invoice = Invoice.objects.get(status=Invoice.Status.OPEN)
        assert (invoice.payment_status, invoice.next_payment_attempt) == (Invoice.PaymentStatus.FAILED, None)


class TestSandbox:
    def test_remembers_its_answer_by_the_key(self):
        gateway, order = gateways.named("sandbox"), ordered("pm_card_chargeDeclined")
        assert gateway.lookup(order) is None
        first = gateway.charge(order)
        assert gateway.charge(replace(order, method="pm_card_visa")) == first == gateway.lookup(order)
        assert (first.status, first.failure_code) == ("failed", "card_declined")

    def test_beside_a_live_key_it_is_for_test_clocks_alone(self, settings):
        settings.STRIPE_SECRET_KEY = "sk_live_x"
        assert gateways.of_customer(makers.customer()).name == "stripe"
        assert makers.card(makers.customer(test_clock=makers.clock())).gateway == "sandbox"

    def test_knows_only_its_own_tokens(self):
        with pytest.raises(gateways.UnknownToken) as refusal:
            makers.card(makers.customer(), "pm_card_unheard_of")
        assert refusal.value.attr == "gateway_token"


@pytest.mark.django_db(transaction=True)
def test_a_card_is_never_charged_within_a_transaction(plan, acme):
    makers.card(acme)
    invoice = open_invoice(plan, acme)
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        payments.collect(invoice=invoice, at=JAN_1)
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        gateways.named("sandbox").charge(ordered("pm_card_visa"))
    assert not SandboxCharge.objects.exists()
