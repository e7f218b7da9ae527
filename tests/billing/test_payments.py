"""Payments: cards through the gateway, money by hand, and what a lost answer leads to."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction

from billing import gateways, payments, runs, subscriptions
from billing.models import Allocation, Invoice, Payment, PaymentAttempt, SandboxCharge, Subscription
from billing.payments import NoPaymentMethod
from gtm.shared import db
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
    def left(self, plan, acme):
        makers.card(acme)
        invoice = open_invoice(plan, acme)
        return payments._begin(invoice=invoice, at=JAN_1, payment_method=None)

    def test_keeps_every_other_payment_out(self, left):
        for act in (
            lambda: payments.collect(invoice=left.invoice, at=JAN_1),
            lambda: by_hand(left.invoice, amount=4900),
        ):
            with pytest.raises(Conflict) as refusal:
                act()
            assert refusal.value.code == "payment_in_progress"

    def test_there_is_one_at_most_says_the_database(self, left):
        with pytest.raises(IntegrityError, match="one_live"), transaction.atomic():
            PaymentAttempt.objects.create(
                payment=left.payment,
                invoice=left.invoice,
                payment_method=left.payment_method,
                amount=1,
                started_at=JAN_1,
            )

    def test_is_left_alone_for_two_minutes(self, left):
        assert payments.settle_attempts(at=db.now()) == 0

    @pytest.mark.parametrize("arrived", [True, False])
    def test_is_settled_once_whether_or_not_the_call_arrived(self, left, arrived):
        if arrived:
            payments._charge(left)
        later = db.now() + timedelta(minutes=3)
        assert payments.settle_attempts(at=later) == 1
        assert payments.settle_attempts(at=later) == 0
        left.invoice.refresh_from_db()
        assert left.invoice.status == Invoice.Status.PAID
        assert SandboxCharge.objects.count() == Allocation.objects.count() == 1

    def test_a_late_answer_finds_it_settled(self, left):
        payments.settle_attempts(at=db.now() + timedelta(minutes=3))
        payments._settle(attempt=left, result=payments._charge(left), at=JAN_1)
        assert Allocation.objects.count() == 1
        assert Event.objects.filter(type="billing.invoice.paid").count() == 1


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
        assert invoice.next_payment_attempt is None  # nothing tries it again by itself
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
        gateway, key = gateways.named("sandbox"), PaymentAttempt().pk
        call = {"attempt_id": key, "amount": 100, "currency": "USD"}
        assert gateway.lookup(attempt_id=key) is None
        first = gateway.charge(method="pm_card_chargeDeclined", **call)
        assert gateway.charge(method="pm_card_visa", **call) == first == gateway.lookup(attempt_id=key)
        assert (first.status, first.failure_code) == ("failed", "card_declined")

    def test_is_refused_beside_a_live_key(self, settings):
        settings.STRIPE_SECRET_KEY = "sk_live_x"
        with pytest.raises(gateways.GatewayUnavailable):
            makers.card(makers.customer())
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
        gateways.named("sandbox").charge(attempt_id=invoice.pk, amount=1, currency="USD", method="pm_card_visa")
    assert not SandboxCharge.objects.exists()
