"""Money that is taken back, and money that comes by transfer: signed events through the real endpoint."""

import pytest
from django.db import transaction

from billing import (
    attempts,
    balances,
    customers,
    disputes,
    lost_answers,
    payments,
    refunds,
    settlement,
    subscriptions,
    transfers,
)
from billing.gateways import ChargeResult
from billing.models import (
    Allocation,
    Dispute,
    DunningCase,
    GatewayCustomer,
    Invoice,
    Payment,
    PaymentAttempt,
    PaymentMethod,
    Plan,
    Refund,
    Subscription,
)
from gtm.shared import db
from gtm.shared.errors import Invalid
from gtm.shared.models import Event
from tests.billing import makers, replay
from tests.world import JAN_1

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme(double):
    makers.published_plan()
    return makers.customer(currency="USD")


@pytest.fixture
def paid(acme, double) -> Payment:
    """49.00 by card, for the first month of a subscription."""
    customers.attach_payment_method(customer=acme, gateway_token=double.card(), at=JAN_1)
    subscriptions.create(customer=acme, plan=Plan.objects.get(), at=db.now())
    return Payment.objects.get()


@pytest.fixture
def bank(double, webhooks):
    """Says how the dispute ``dp_1`` of a payment stands, and tells it."""

    def says(payment: Payment, status: str, kind: str = "updated", **fields):
        told = {
            "id": "dp_1",
            "payment_intent": payment.gateway_reference,
            "charge": "ch_1",
            "status": status,
            "amount": 4900,
            "currency": "usd",
            "reason": "fraudulent",
            "created": 1767225600,
            "evidence_details": {"due_by": 1768000000},
        } | fields
        double.serve({"GET /v1/disputes/dp_1": told})
        assert webhooks.tell(f"charge.dispute.{kind}", told).status == "processed"
        return Dispute.objects.get()

    return says


def facts(prefix: str) -> list[str]:
    found = Event.objects.filter(type__startswith=prefix).order_by("occurred_at", "pk")
    return [one.type.removeprefix(prefix) for one in found]


class TestDispute:
    def test_that_is_told_before_the_success_is_no_less_one(self, acme, double, bank):
        customers.attach_payment_method(customer=acme, gateway_token=double.card(), at=JAN_1)
        attempt = attempts.begin(invoices=[makers.invoiced(acme, 4900, at=db.now())], at=db.now())
        taken = attempts.call(attempt)
        attempts.settle(attempt=attempt, result=ChargeResult("processing", taken.reference), at=db.now())
        bank(Payment.objects.get(), "needs_response", "created")
        lost_answers.refresh(attempt=PaymentAttempt.objects.get(), at=db.now())
        invoice, payment = Invoice.objects.get(), Payment.objects.get()
        assert (payment.status, payment.amount_disputed) == ("succeeded", 4900)
        assert (invoice.status, invoice.amount_due) == ("open", 4900)

    def test_opens_the_invoice_again_until_it_is_won(self, acme, paid, bank):
        dispute = bank(paid, "needs_response", "created")
        invoice = Invoice.objects.get()
        paid.refresh_from_db()
        assert (dispute.kind, dispute.amount_reversed, dispute.respond_by is None) == ("chargeback", 4900, False)
        assert (invoice.status, invoice.payment_status, invoice.amount_due) == ("open", "failed", 4900)
        assert (paid.status, paid.amount_disputed) == ("succeeded", 4900)
        assert Subscription.objects.get().status == "past_due"
        assert disputes.disputed([invoice]) == {invoice.pk}  # dunning waits
        bank(paid, "under_review")
        dispute = bank(paid, "won", "closed")
        for row in (invoice, paid):
            row.refresh_from_db()
        assert (dispute.status, dispute.amount_reversed, dispute.closed_at is None) == ("won", 0, False)
        assert (invoice.status, invoice.amount_due, paid.amount_disputed) == ("paid", 0, 0)
        assert Subscription.objects.get().status == "active"
        assert not disputes.disputed([invoice])
        amounts = list(Allocation.objects.order_by("pk").values_list("kind", "amount"))
        assert amounts == [("payment", 4900), ("reversal", -4900), ("payment", 4900)]
        assert facts("billing.dispute.") == ["opened", "changed", "won"]
        replay.agrees()

    def test_of_a_bill_on_terms_it_keeps_the_subscription_behind_whatever_else_is_paid(self, acme, double, bank):
        customers.attach_payment_method(customer=acme, gateway_token=double.card(), at=JAN_1)
        terms = {"collection_method": "send_invoice", "net_terms_days": 30}
        subscription = subscriptions.create(customer=acme, plan=Plan.objects.get(), at=db.now(), **terms)
        paid = payments.collect(invoice=Invoice.objects.get(), at=db.now())
        bank(paid, "needs_response", "created")
        other = makers.invoiced(acme, 500, at=db.now(), subscription=subscription)
        assert payments.collect(invoice=other, at=db.now()).status == "succeeded"
        assert Subscription.objects.get().status == "past_due"
        bank(paid, "won", "closed")
        assert Subscription.objects.get().status == "active"

    def test_lost_the_invoice_stays_open_and_another_card_pays_it(self, acme, paid, bank, double):
        bank(paid, "needs_response", "created")
        assert not DunningCase.objects.exists()
        for _time in range(2):
            bank(paid, "lost", "closed")
        invoice = Invoice.objects.get()
        assert (invoice.status, disputes.disputed([invoice])) == ("open", set())
        assert invoice.dunning_case == DunningCase.objects.get(status="open", needs_method=True)
        assert facts("billing.dispute.") == ["opened", "lost"]
        again = payments.collect(invoice=invoice, at=db.now())
        assert (again.pk != paid.pk, again.status, len(double.charges())) == (True, "succeeded", 2)
        replay.agrees()

    def test_its_news_come_twice_and_in_any_order(self, paid, bank, double, webhooks):
        bank(paid, "lost", "closed")
        bank(paid, "needs_response", "created")  # the answer to a question asked earlier
        dispute = bank(paid, "lost", "funds_withdrawn")
        assert (dispute.status, dispute.amount_reversed) == ("lost", 4900)
        assert Allocation.objects.filter(kind="reversal").count() == 1

    def test_won_after_it_was_paid_otherwise_it_is_credit(self, acme, paid, bank):
        bank(paid, "needs_response", "created")
        makers.paid(Invoice.objects.get(), at=db.now())
        bank(paid, "won", "closed")
        assert acme.balances.get().amount == 4900
        assert acme.balance_entries.get().kind == "reinstated"
        replay.agrees()

    def test_an_inquiry_takes_no_money(self, paid, bank):
        assert bank(paid, "warning_needs_response", "created").kind == "inquiry"
        assert Invoice.objects.get().status == "paid"
        assert bank(paid, "needs_response").kind == "chargeback"
        assert Invoice.objects.get().status == "open"

    def test_part_of_a_payment_opens_part_of_the_invoice(self, paid, bank):
        bank(paid, "needs_response", "created", amount=1500)
        assert Invoice.objects.get().amount_due == 1500
        amounts = list(Allocation.objects.order_by("pk").values_list("kind", "amount"))
        assert amounts == [("payment", 4900), ("reversal", -4900), ("payment", 3400)]
        assert Event.objects.get(type="billing.payment.disputed").data["amount"] == 1500
        replay.agrees()

    def test_what_the_bank_holds_can_not_be_refunded(self, acme, paid, bank):
        bank(paid, "needs_response", "created")
        paid.refresh_from_db()
        with pytest.raises(Invalid):
            refunds.create(payment=paid, amount=1, at=db.now())

    def test_what_was_given_back_before_is_not_taken_twice(self, acme, paid, bank):
        invoice = Invoice.objects.get()
        makers.credited(invoice, 1000, settle="refund", at=db.now())
        refunds.send(refund=Refund.objects.get(), at=db.now())
        dispute = bank(paid, "needs_response", "created", amount=3900)
        paid.refresh_from_db()
        assert (dispute.amount_reversed, paid.amount_disputed, paid.amount_refunded) == (3900, 3900, 1000)

    def test_credit_that_was_used_meanwhile_is_said_to_be_uncovered(self, acme, paid, bank, double):
        """Too much was paid, and what went to the balance is spent: the ledger doesn't go below zero."""
        invoice = makers.invoiced(acme, 1000, at=db.now())
        big = Payment.objects.create(
            customer=acme,
            legal_entity=invoice.legal_entity,
            currency="USD",
            amount=5000,
            status="succeeded",
            method="card",
            gateway="stripe_test",
            gateway_reference="pi_big",
            paid_at=db.now(),
        )
        with transaction.atomic():
            locked, subscribed = settlement.lock_all([invoice])
            settlement.allocate(big, locked, subscribed, at=db.now())
        balances.adjust(customer=acme, amount=-3500, reason="Spent", at=db.now())
        dispute = bank(big, "lost", "created", amount=5000)
        assert (dispute.amount_reversed, dispute.uncovered, acme.balances.get().amount) == (5000, 3500, 0)

    def test_of_a_payment_that_is_not_ours_nothing_follows(self, double, webhooks):
        told = webhooks.tell("charge.dispute.created", {"id": "dp_2", "payment_intent": "pi_other"})
        assert told.status == "ignored"


class TestReturnedDebit:
    @pytest.fixture
    def debited(self, acme, double, webhooks) -> Payment:
        iban = {"sepa_debit[iban]": "DE89370400440532013000"}
        token = double.api("POST", "payment_methods", type="sepa_debit", **iban)["id"]
        customers.attach_payment_method(customer=acme, gateway_token=token, at=JAN_1)
        subscriptions.create(customer=acme, plan=Plan.objects.get(), at=db.now())
        payment = Payment.objects.get()
        (intent,) = double.api("GET", "payment_intents")["data"]
        double.serve({f"GET /v1/payment_intents/{intent['id']}": intent | {"status": "succeeded"}})
        webhooks.tell("payment_intent.succeeded", intent)
        payment.refresh_from_db()
        assert payment.status == "succeeded"
        return payment

    def test_is_told_as_a_dispute_that_is_lost_already(self, debited, bank):
        dispute = bank(debited, "lost", "created", reason="insufficient_funds")
        debited.refresh_from_db()
        invoice = Invoice.objects.get()
        assert (dispute.kind, dispute.status) == ("return", "lost")
        assert (debited.status, debited.failure_code) == ("failed", "insufficient_funds")
        assert (invoice.status, invoice.amount_due) == ("open", 4900)
        assert Subscription.objects.get().status == "past_due"
        assert "returned" in facts("billing.payment.")

    def test_or_as_a_charge_that_has_failed_after_all(self, debited, double, webhooks):
        error = {"code": "debit_not_authorized"}
        intent = {"id": debited.gateway_reference, "status": "requires_payment_method", "last_payment_error": error}
        double.serve({f"GET /v1/payment_intents/{debited.gateway_reference}": intent})
        for _time in range(2):
            webhooks.tell("payment_intent.payment_failed", intent)
        assert (Dispute.objects.get().kind, Dispute.objects.get().amount_reversed) == ("return", 4900)
        assert (Invoice.objects.get().status, Allocation.objects.filter(kind="reversal").count()) == ("open", 1)

    def test_another_attempt_makes_a_payment_of_its_own(self, debited, bank, double):
        """What had been paid and came back stays on the books as it was."""
        bank(debited, "lost", "created")
        customers.attach_payment_method(customer=debited.customer, gateway_token=double.card(), at=JAN_1)
        assert payments.collect(invoice=Invoice.objects.get(), at=db.now()).pk != debited.pk


class TestTransfer:
    @pytest.fixture
    def known(self, acme, double) -> GatewayCustomer:
        customers.reference_at(transfers.gateways.of_customer(acme), acme)
        return GatewayCustomer.objects.get()

    @pytest.fixture
    def arrives(self, known, double, webhooks):
        """Money in the account that Stripe keeps for the payer, charged at once."""

        def tell(amount: int, memo: str = "", type_: str = "funded"):
            told = {
                "id": f"ccsbtxn_{amount}",
                "customer": known.reference,
                "currency": "usd",
                "net_amount": amount,
                "type": type_,
                "funded": {"bank_transfer": {"reference": memo}},
            }
            double.serve(
                {
                    f"GET /v1/customers/{known.reference}/cash_balance_transactions/{told['id']}": told,
                    "POST /v1/payment_intents": {"id": f"pi_{amount}", "status": "succeeded"},
                }
            )
            return webhooks.tell("customer_cash_balance_transaction.created", told)

        return tell

    def test_pays_what_it_names_then_the_oldest_and_the_rest_is_credit(self, acme, arrives, double):
        first, second = makers.invoiced(acme, 3000), makers.invoiced(acme, 1000)
        for _time in range(2):
            assert arrives(5000, f"payment {second.number.lower().replace('-', ' ')} thanks").status == "processed"
        payment = Payment.objects.get()
        settled = payment.allocations.order_by("pk").values_list("invoice", "amount")
        assert list(settled) == [(second.pk, 1000), (first.pk, 3000)]
        assert (payment.method, payment.amount, acme.balances.get().amount) == ("bank_transfer", 5000, 1000)
        assert len(double.calls("POST /v1/payment_intents")) == 1
        assert not PaymentMethod.objects.get().is_default

    def test_may_be_too_little(self, acme, arrives):
        invoice = makers.invoiced(acme, 3000)
        arrives(1000)
        invoice.refresh_from_db()
        assert (invoice.status, invoice.amount_due) == ("open", 2000)

    def test_for_nothing_is_credit(self, acme, arrives):
        arrives(700)
        assert acme.balances.get().amount == 700

    def test_other_movements_of_that_account_are_none(self, acme, arrives):
        assert arrives(700, type_="applied_to_payment").status == "processed"
        assert not Payment.objects.exists()

    def test_is_sent_back_by_hand(self, acme, arrives):
        """A bank's account takes no refund of a charge."""
        arrives(700)
        refund = refunds.create(payment=Payment.objects.get(), amount=700, at=db.now())
        assert (refund.by_hand, refund.status) == (True, "pending")

    def test_where_to_send_it(self, acme, known, double):
        iban = {"account_holder_name": "Vendor GmbH", "iban": "DE00123456782501", "bic": "DEUTDEFF", "country": "DE"}
        address = {"type": "iban", "iban": iban}
        told = {"bank_transfer": {"financial_addresses": [address]}}
        double.serve({f"POST /v1/customers/{known.reference}/funding_instructions": told})
        account = transfers.account_of(customer=acme, currency="EUR")
        assert ("IBAN", "DE00123456782501") in account.lines
        assert transfers.account_of(customer=acme, currency="CHF") is None
