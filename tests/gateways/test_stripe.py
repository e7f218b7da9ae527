"""The Stripe gateway over HTTP, against a double of Stripe: what is charged, what is refused, what was lost."""

from datetime import timedelta

import pytest

from billing import attempts, customers, gateways, lost_answers, payment_methods, payments, refunds, tasks
from billing.gateways import GatewayUnavailable
from billing.gateways.stripe import API_VERSION
from billing.models import Allocation, GatewayCustomer, Invoice, Payment, PaymentAttempt, PaymentMethod, Refund
from gtm.shared import db
from gtm.shared.errors import Conflict
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
CREATE, GET = "POST /v1/payment_intents", "GET /v1/payment_intents"
DECLINES, ASKS = "4000000000000341", "4000002500003155"


@pytest.fixture
def acme(double):
    makers.legal_entity()
    return makers.customer(currency="USD")


def carded(customer, double, number: str = "4242424242424242", **terms) -> PaymentMethod:
    return customers.attach_payment_method(customer=customer, gateway_token=double.card(number), at=JAN_1, **terms)


def owed(customer) -> Invoice:
    """An open invoice over 49.00."""
    return makers.invoiced(customer, 4900)


class TestCharge:
    def test_takes_the_money_once_and_settles_the_invoice(self, acme, double):
        method = carded(acme, double)
        payment = payments.collect(invoice=owed(acme), at=db.now())
        (taken,) = double.charges()
        attempt = PaymentAttempt.objects.get()
        assert (method.gateway, method.brand, method.last4, method.exp_year) == ("stripe_test", "visa", "4242", 2034)
        assert (payment.status, payment.gateway_reference, taken["amount"]) == ("succeeded", taken["id"], 4900)
        assert taken["metadata"] == {"attempt": str(attempt.pk), "payment": payment.public_id}
        (call,) = double.calls(CREATE)
        assert (call["key"], call["version"]) == (f"attempt-{attempt.pk}", API_VERSION)
        assert "off_session=true" in call["body"]
        assert Invoice.objects.get().status == "paid"

    @pytest.mark.parametrize(
        ("code", "hard"), [("generic_decline", False), ("insufficient_funds", False), ("stolen_card", True)]
    )
    def test_a_decline_says_why_and_whether_for_good(self, acme, double, code, hard):
        carded(acme, double, DECLINES)
        double.decline(code)
        payment = payments.collect(invoice=owed(acme), at=db.now())
        attempt = PaymentAttempt.objects.get()
        assert (payment.status, payment.failure_code, attempt.hard) == ("failed", code, hard)
        assert payment.failure_message
        assert attempt.gateway_reference.startswith("pi_")
        assert not double.charges()

    def test_a_holder_who_is_asked_confirms_and_it_is_paid_without_a_webhook(self, acme, double):
        carded(acme, double, ASKS)
        payment = payments.collect(invoice=owed(acme), at=db.now(), on_session=True)
        action = gateways.of_customer(acme).action(reference=payment.gateway_reference)
        assert (payment.status, action.kind, action.publishable_key) == ("requires_action", "script", "pk_test_double")
        assert action.client_secret not in repr(action)
        secret, reference = action.client_secret, payment.gateway_reference
        double.api("POST", f"payment_intents/{reference}/_authenticate", client_secret=secret, success="true")
        for _time in range(2):
            payment = payments.refresh(payment=payment, at=db.now())
        assert (payment.status, Allocation.objects.count(), len(double.charges())) == ("succeeded", 1, 1)

    def test_a_holder_who_refuses_has_not_paid(self, acme, double):
        carded(acme, double, ASKS)
        payment = payments.collect(invoice=owed(acme), at=db.now(), on_session=True)
        secret = gateways.of_customer(acme).action(reference=payment.gateway_reference).client_secret
        path = f"payment_intents/{payment.gateway_reference}/_authenticate"
        double.api("POST", path, client_secret=secret, success="false")
        payment = payments.refresh(payment=payment, at=db.now())
        assert (payment.status, payment.failure_code) == ("failed", "authentication_failed")

    def test_another_card_takes_the_place_of_the_one_that_asks(self, acme, double):
        """Or the page that still stands open could pay a second time."""
        carded(acme, double, ASKS)
        invoice = owed(acme)
        waits = payments.collect(invoice=invoice, at=db.now()).gateway_reference
        carded(acme, double)
        assert payments.collect(invoice=invoice, at=db.now()).status == "succeeded"
        assert double.api("GET", f"payment_intents/{waits}")["status"] == "canceled"

    def test_an_iban_is_debited_and_paid_when_the_bank_says_so(self, acme, double):
        name = double.api(
            "POST", "payment_methods", type="sepa_debit", **{"sepa_debit[iban]": "DE89370400440532013000"}
        )
        customers.attach_payment_method(customer=acme, gateway_token=name["id"], at=JAN_1)
        method = PaymentMethod.objects.get()
        assert (method.kind, method.last4, method.country) == ("sepa_debit", "3000", "DE")
        assert method.mandate_reference
        payment = payments.collect(invoice=owed(acme), at=db.now())
        assert payment.method == "sepa_debit"
        assert payment.status in {"processing", "succeeded"}

    def test_yen_have_no_cents(self, acme, double):
        gateway, method = gateways.of_customer(acme), carded(acme, double)
        attempt = PaymentAttempt(payment_method=method, amount=4900, started_at=db.now())
        attempt.payment = Payment(customer=acme, currency="JPY", amount=4900)
        gateway.charge(attempts.order_of(attempt))
        assert [one["amount"] for one in double.charges()] == [4900]
        attempt = PaymentAttempt(payment_method=method, amount=4901, started_at=db.now())
        attempt.payment = Payment(customer=acme, currency="KWD", amount=4901)
        assert gateway.charge(attempts.order_of(attempt)).failure_code == "amount_not_chargeable"


class TestLostAnswer:
    def test_a_cut_connection_is_tried_again_with_the_same_key(self, acme, double):
        carded(acme, double)
        double.cut(CREATE, 1)
        assert payments.collect(invoice=owed(acme), at=db.now()).status == "succeeded"
        assert len({call["key"] for call in double.calls(CREATE)}) == len(double.charges()) == 1

    @pytest.mark.parametrize("is_key_forgotten", [False, True])
    def test_the_janitor_settles_it_and_the_money_is_taken_once(self, acme, double, is_key_forgotten):
        carded(acme, double)
        invoice = owed(acme)
        double.cut(CREATE, 2)
        assert payments.collect(invoice=invoice, at=db.now()).status == "pending"
        with pytest.raises(Conflict, match="under way"):
            payments.collect(invoice=invoice, at=db.now())
        at = db.now() + (timedelta(days=2) if is_key_forgotten else timedelta(minutes=3))
        assert (lost_answers.settle_stale(at=at), lost_answers.settle_stale(at=at)) == (1, 0)
        assert (Payment.objects.get().status, len(double.charges())) == ("succeeded", 1)
        assert Invoice.objects.get().status == "paid"

    def test_it_is_settled_though_the_customer_was_deleted_at_stripe(self, acme, double):
        carded(acme, double)
        invoice = owed(acme)
        double.cut(CREATE, 2)
        payments.collect(invoice=invoice, at=db.now())
        gone = {"error": {"type": "invalid_request_error", "code": "resource_missing", "message": "No such customer"}}
        double.serve({"GET /v1/payment_intents": [400, gone]})
        assert lost_answers.settle_stale(at=db.now() + timedelta(minutes=3)) == 1
        assert (Payment.objects.get().status, len(double.calls(CREATE))) == ("succeeded", 3)

    def test_what_never_arrived_is_sent_within_a_day_and_given_up_later(self, acme, double):
        carded(acme, double)
        first, second = (attempts.begin(invoices=[owed(acme)], at=db.now()) for _number in range(2))
        PaymentAttempt.objects.filter(pk=first.pk).update(created_at=db.now() - timedelta(days=2))
        lost_answers.settle_stale(at=db.now() + timedelta(minutes=3))
        for attempt in (first, second):
            attempt.refresh_from_db()
        assert (first.status, first.failure_code, first.hard) == ("failed", "gateway_unreachable", False)
        assert (second.status, len(double.charges())) == ("succeeded", 1)

    @pytest.mark.parametrize("answer", [[429, {"error": {"code": "rate_limit"}}], [500, {"error": {}}]])
    def test_too_many_calls_or_an_outage_are_no_failure(self, acme, double, answer, monkeypatch):
        monkeypatch.setattr("stripe._http_client.HTTPClient.INITIAL_DELAY", 0.01)
        carded(acme, double)
        invoice = owed(acme)
        double.serve({CREATE: answer})
        assert payments.collect(invoice=invoice, at=db.now()).status == "pending"
        assert Invoice.objects.get().payment_status == "pending"
        assert lost_answers.settle_stale(at=db.now() + timedelta(minutes=3)) == 0

    def test_a_key_that_is_refused_fails_no_payment(self, acme, double, settings):
        carded(acme, double)
        settings.STRIPE_SECRET_KEY = "sk_test_wrong"
        assert payments.collect(invoice=owed(acme), at=db.now()).status == "pending"
        with pytest.raises(GatewayUnavailable):
            customers.attach_payment_method(customer=makers.customer(name="New"), gateway_token="pm_1", at=JAN_1)


class TestMethods:
    def test_a_customer_is_made_once(self, acme, double):
        carded(acme, double)
        carded(acme, double)
        GatewayCustomer.objects.all().delete()  # as if the process had died before it was written down
        carded(acme, double)
        assert len(double.api("GET", "customers")["data"]) == 1

    def test_a_page_gives_a_card_and_the_payer_comes_back(self, acme, double):
        setup = payment_methods.begin(customer=acme)
        assert setup.client_secret not in repr(setup)
        with pytest.raises(gateways.MethodRefused):
            payment_methods.take(customer=acme, given=setup.reference, at=JAN_1)
        card, secret = double.card(), setup.client_secret
        double.api("POST", f"setup_intents/{setup.reference}/confirm", client_secret=secret, payment_method=card)
        kept = [payment_methods.take(customer=acme, given=setup.reference, at=JAN_1) for _time in range(2)]
        assert kept[0] == kept[1] == PaymentMethod.objects.get(is_default=True)

    def test_somebody_elses_setup_gives_nothing(self, acme, double):
        setup = payment_methods.begin(customer=acme)
        with pytest.raises(gateways.UnknownToken):
            payment_methods.take(customer=makers.customer(name="Other"), given=setup.reference, at=JAN_1)

    def test_a_card_that_the_bank_declines_is_not_kept(self, acme, double):
        with pytest.raises(gateways.MethodRefused) as refusal:
            carded(acme, double, "4000000000000002")
        assert (refusal.value.code, refusal.value.attr) == ("card_declined", "gateway_token")
        with pytest.raises(gateways.UnknownToken):
            customers.attach_payment_method(customer=acme, gateway_token="pm_unheard_of", at=JAN_1)
        assert not PaymentMethod.objects.exists()

    def test_taken_away_it_is_no_default_and_can_not_be_charged(self, acme, double):
        method = carded(acme, double)
        payment_methods.detach(method=method, at=JAN_1)
        with pytest.raises(attempts.NoPaymentMethod):
            payments.collect(invoice=owed(acme), at=JAN_1)

    def test_one_becomes_the_default_in_the_place_of_the_other(self, acme, double):
        first, second = carded(acme, double), carded(acme, double)
        payment_methods.make_default(method=first, at=JAN_1)
        second.refresh_from_db()
        assert (PaymentMethod.objects.get(is_default=True), second.is_default) == (first, False)


@pytest.mark.django_db(transaction=True)
class TestRefund:
    @pytest.fixture
    def paid(self, acme, double):
        carded(acme, double)
        invoice = owed(acme)
        payments.collect(invoice=invoice, at=db.now())
        return invoice

    def test_goes_back_once_though_the_answer_is_lost(self, paid, double):
        double.cut("POST /v1/refunds", 2)
        makers.credited(paid, 1000, settle="refund")
        assert refunds.send(refund=Refund.objects.get(), at=db.now()).status == "pending"
        tasks.send_refunds()
        refund = Refund.objects.get()
        (gone,) = double.api("GET", "refunds")["data"]
        assert (refund.status, refund.gateway_reference, gone["amount"]) == ("succeeded", gone["id"], 1000)

    def test_is_looked_for_when_its_key_is_forgotten(self, paid, double):
        makers.credited(paid, 1000, settle="refund")
        refund = Refund.objects.get()
        refunds.send(refund=refund, at=db.now())
        Refund.objects.update(status="pending", gateway_reference="")
        refunds.send(refund=Refund.objects.get(), at=db.now() + timedelta(days=3))
        assert (Refund.objects.get().status, len(double.api("GET", "refunds")["data"])) == ("succeeded", 1)

    def test_under_way_it_is_asked_about_by_its_own_name(self, paid, double):
        under_way = {"id": "re_1", "status": "pending", "metadata": {}}
        double.serve({"POST /v1/refunds": under_way, "GET /v1/refunds/re_1": under_way | {"status": "succeeded"}})
        makers.credited(paid, 1000, settle="refund")
        refund = refunds.send(refund=Refund.objects.get(), at=db.now())
        assert (refund.status, refund.gateway_reference) == ("pending", "re_1")
        tasks.send_refunds()
        assert Refund.objects.get().status == "succeeded"
        assert len(double.calls("POST /v1/refunds")) == 1


class TestKeys:
    def test_which_gateway_a_customer_has(self, settings):
        acme, trial = makers.customer(), makers.customer(name="Trial", test_mode=True)
        clocked = makers.customer(name="Clocked", test_clock=makers.clock())

        def names():
            return [gateways.of_customer(one).name for one in (acme, trial, clocked)]

        assert names() == ["sandbox", "sandbox", "sandbox"]
        settings.STRIPE_SECRET_KEY = "sk_test_1"
        assert names() == ["stripe_test", "stripe_test", "sandbox"]
        settings.STRIPE_SECRET_KEY, settings.STRIPE_TEST_SECRET_KEY = "rk_live_1", "sk_test_1"
        assert names() == ["stripe", "stripe_test", "sandbox"]
        settings.STRIPE_TEST_SECRET_KEY = "sk_live_2"
        with pytest.raises(GatewayUnavailable):
            gateways.of_customer(trial)

    def test_a_customer_in_test_mode_stays_so_when_it_has_bought(self):
        makers.legal_entity()
        trial = makers.customer(currency="USD", test_mode=True)
        makers.invoiced(trial, 100)
        with pytest.raises(Conflict) as refusal:
            customers.change(customer=trial, test_mode=False, at=JAN_1)
        assert (refusal.value.code, refusal.value.attr) == ("mode_fixed", "test_mode")

    def test_a_card_of_the_sandbox_pays_nothing_beside_a_key(self, settings):
        makers.legal_entity()
        acme = makers.customer(currency="USD")
        makers.card(acme)
        invoice = owed(acme)
        settings.STRIPE_SECRET_KEY = "sk_live_1"
        with pytest.raises(GatewayUnavailable, match="Give it again"):
            payments.collect(invoice=invoice, at=JAN_1)
