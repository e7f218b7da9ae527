"""What Stripe tells by webhook, at the real endpoint: in any order, twice, forged, unknown, before a redirect."""

import json
import logging
import time
from datetime import timedelta

import pytest

from billing import customers, gateway_events, gateways, lost_answers, payment_methods, payments, refunds
from billing.models import Allocation, GatewayEvent, Invoice, Payment, PaymentAttempt, PaymentMethod, Refund
from billing.views.webhooks import MOST_BYTES
from gtm.shared import db
from gtm.shared.models import Event
from tests.billing import makers
from tests.gateways.telling import OTHER_SECRET, event, signed
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
CREATE = "POST /v1/payment_intents"
ASKS = "4000002500003155"


@pytest.fixture
def acme(double):
    makers.legal_entity()
    return makers.customer(currency="USD")


def carded(customer, double, number: str = "4242424242424242") -> PaymentMethod:
    return customers.attach_payment_method(customer=customer, gateway_token=double.card(number), at=JAN_1)


@pytest.fixture
def lost(acme, double) -> Payment:
    """A charge that was taken, and whose answer never came."""
    carded(acme, double)
    double.cut(CREATE, 2)
    return payments.collect(invoice=makers.invoiced(acme, 4900), at=db.now())


class TestSignature:
    @pytest.mark.parametrize("age", [0, 290])
    def test_any_of_our_secrets_signs(self, webhooks, double, age):
        body = event("some.thing", {"id": "x_1"})
        assert webhooks.post(body, signed(body, secret=OTHER_SECRET, age=age)) == 200
        assert GatewayEvent.objects.get().status == "received"

    @pytest.mark.parametrize(
        "signature",
        ["", "t=,v1=", "nonsense", "t=1,v0=abc", signed("another body"), signed("{}", secret="whsec_theirs")],
        ids=["none", "empty", "nonsense", "another_scheme", "another_body", "another_secret"],  # they hold the time
    )
    def test_forged_is_refused_and_leaves_nothing(self, webhooks, double, signature):
        assert webhooks.post("{}", signature) == 400
        assert not GatewayEvent.objects.exists()

    def test_stale_is_refused(self, webhooks, double):
        body = event("some.thing", {"id": "x_1"})
        assert webhooks.post(body, signed(body, age=301)) == 400

    @pytest.mark.parametrize("body", ["{}", "[]", '"text"', "{", '{"id": 1, "data": {"object": []}}', "null"])
    def test_signed_nonsense_is_refused_too(self, webhooks, double, body):
        assert webhooks.post(body, signed(body)) == 400

    def test_without_a_secret_nobody_is_heard(self, webhooks, settings):
        """An empty key would let anybody sign."""
        settings.STRIPE_WEBHOOK_SECRETS = []
        assert webhooks.post("{}", signed("{}", secret="")) == 503

    def test_what_is_too_long_is_not_read(self, webhooks, double):
        body = " " * (MOST_BYTES + 1)
        assert webhooks.post(body, signed(body)) == 413

    def test_reading_is_not_for_it(self, client):
        assert client.get("/webhooks/stripe/").status_code == 405


class TestCharges:
    def test_localstripes_own_signed_event_settles_a_lost_answer(self, lost, double, webhooks):
        """Signed by another implementation than ours, delivered twice; then the janitor finds nothing to do."""
        double.session.post(
            f"{double.url}/_config/webhooks/ours", json={"url": f"{double.url}/_double/inbox", "secret": OTHER_SECRET}
        ).raise_for_status()
        lost_charge = double.charges()[0]
        carded(lost.customer, double)
        payments.collect(invoice=makers.invoiced(lost.customer, 1000), at=db.now())  # told by an event of its own
        deadline = time.monotonic() + 5
        while not double.inbox() and time.monotonic() < deadline:
            time.sleep(0.05)
        sent = double.inbox()
        assert {webhooks.post(one["body"], one["signature"]) for one in [*sent, *sent]} == {200}
        assert GatewayEvent.objects.count() == len(sent) > 0
        assert webhooks.tell("payment_intent.succeeded", lost_charge).status == "processed"
        lost.refresh_from_db()
        assert lost.status == "succeeded"
        assert lost_answers.settle_stale(at=db.now() + timedelta(minutes=3)) == 0
        assert Allocation.objects.count() == len(double.charges()) == 2

    def test_before_the_redirect_and_after_it_and_again_it_is_paid_once(self, acme, double, webhooks):
        carded(acme, double, ASKS)
        payment = payments.collect(invoice=makers.invoiced(acme, 4900), at=db.now(), on_session=True)
        reference = payment.gateway_reference
        secret = gateways.of_customer(acme).action(reference=reference).client_secret
        double.api("POST", f"payment_intents/{reference}/_authenticate", client_secret=secret, success="true")
        charged = double.charges()[0]
        webhooks.tell("payment_intent.succeeded", charged, event_id="evt_1")
        webhooks.tell("payment_intent.succeeded", charged, event_id="evt_1")
        payments.refresh(payment=payment, at=db.now())
        webhooks.tell("payment_intent.succeeded", charged, event_id="evt_2")
        payment.refresh_from_db()
        assert (payment.status, Allocation.objects.count()) == ("succeeded", 1)
        assert Event.objects.filter(type="billing.invoice.paid").count() == 1

    @pytest.mark.parametrize(
        "order",
        [
            ["payment_failed", "requires_action", "succeeded"],
            ["succeeded", "requires_action", "payment_failed"],
            ["processing", "succeeded", "processing"],
        ],
    )
    def test_their_order_does_not_matter(self, lost, double, webhooks, order):
        """The gateway is asked how the charge stands, whatever an old event says of it."""
        (charged,) = double.charges()
        for name in order:
            webhooks.tell(f"payment_intent.{name}", charged | {"status": "requires_payment_method"})
        assert (Payment.objects.get().status, Invoice.objects.get().status) == ("succeeded", "paid")
        assert Event.objects.filter(type="billing.payment.failed").count() == 0

    def test_a_charge_that_is_not_ours_is_ignored(self, lost, double, webhooks):
        for told in ({"id": "pi_other"}, {"id": "pi_other", "metadata": {"attempt": "not an id"}}):
            assert webhooks.tell("payment_intent.succeeded", told).status == "ignored"
        assert Payment.objects.get().status == "pending"

    def test_a_strangers_charge_that_names_our_attempt_settles_nothing(self, lost, double, webhooks):
        attempt = PaymentAttempt.objects.get()
        other = {"id": "pi_other", "status": "succeeded", "metadata": {"attempt": "another"}}
        double.serve({"GET /v1/payment_intents/pi_other": other})
        webhooks.tell("payment_intent.succeeded", {"id": "pi_other", "metadata": {"attempt": str(attempt.pk)}})
        assert Payment.objects.get().status == "pending"


class TestOthers:
    def test_a_setup_keeps_the_card_though_nobody_came_back(self, acme, double, webhooks):
        setup = payment_methods.begin(customer=acme)
        card = double.card()
        done = double.api(
            "POST", f"setup_intents/{setup.reference}/confirm", client_secret=setup.client_secret, payment_method=card
        )
        for _time in range(2):
            assert webhooks.tell("setup_intent.succeeded", done).status == "processed"
        assert payment_methods.take(customer=acme, given=setup.reference, at=JAN_1).is_default
        assert PaymentMethod.objects.count() == 1

    def test_a_card_for_one_bill_is_no_default_though_its_setup_is_told_first(self, acme, double, webhooks):
        setup = payment_methods.begin(customer=acme, default=False)
        done = double.api(
            "POST",
            f"setup_intents/{setup.reference}/confirm",
            client_secret=setup.client_secret,
            payment_method=double.card(),
        )
        assert webhooks.tell("setup_intent.succeeded", done).status == "processed"
        assert not payment_methods.take(customer=acme, given=setup.reference, default=False, at=JAN_1).is_default
        assert payment_methods.take(customer=acme, given=setup.reference, at=JAN_1).is_default

    def test_a_card_that_its_bank_renewed_is_shown_so(self, acme, double, webhooks):
        method = carded(acme, double)
        renewed = double.api("GET", f"payment_methods/{method.gateway_reference}")
        renewed["card"] |= {"last4": "1881", "exp_year": 2036}
        double.serve({f"GET /v1/payment_methods/{method.gateway_reference}": renewed})
        webhooks.tell("payment_method.automatically_updated", renewed)
        method.refresh_from_db()
        assert (method.last4, method.exp_year, method.is_default) == ("1881", 2036, True)
        told = Event.objects.get(type="billing.payment_method.changed").data
        assert (told["changed"], "1881" in str(told)) == (["last4", "exp_year"], False)

    def test_a_card_that_was_taken_away_there_is_gone_here(self, acme, double, webhooks):
        method = carded(acme, double)
        gone = double.api("POST", f"payment_methods/{method.gateway_reference}/detach")
        for _time in range(2):
            webhooks.tell("payment_method.detached", gone)
        method.refresh_from_db()
        assert (method.is_default, method.detached_at is None) == (False, False)
        assert Event.objects.filter(type="billing.payment_method.detached").count() == 1

    def test_a_refund_that_comes_back_days_later_is_credit(self, acme, double, webhooks):
        carded(acme, double)
        invoice = makers.invoiced(acme, 4900)
        payments.collect(invoice=invoice, at=db.now())
        makers.credited(invoice, 1000, settle="refund")
        refund = refunds.send(refund=Refund.objects.get(), at=db.now())
        failed = {"id": refund.gateway_reference, "status": "failed", "failure_reason": "lost_or_stolen_card"}
        double.serve({f"GET /v1/refunds/{refund.gateway_reference}": failed})
        for _time in range(2):
            webhooks.tell("refund.failed", failed)
        refund.refresh_from_db()
        assert (refund.status, refund.failure_code) == ("failed", "lost_or_stolen_card")
        assert (acme.balances.get().amount, Payment.objects.get().amount_refunded) == (1000, 0)

    def test_a_refund_made_at_stripe_is_for_a_person_to_look_at(self, acme, double, webhooks):
        carded(acme, double)
        payment = payments.collect(invoice=makers.invoiced(acme, 4900), at=db.now())
        told = webhooks.tell("refund.created", {"id": "re_9", "payment_intent": payment.gateway_reference})
        assert (told.status, told.due_at) == ("failed", None)
        assert payment.public_id in told.error

    def test_an_unknown_type_is_kept_and_ignored(self, double, webhooks):
        told = webhooks.tell("invoice.created", {"id": "in_1", "amount_due": 5})
        assert (told.status, told.payload, told.attempts) == ("ignored", {"id": "in_1", "amount_due": 5}, 1)


class TestInbox:
    def test_holds_no_secret_and_the_log_none_either(self, double, webhooks, caplog):
        caplog.set_level(logging.DEBUG)
        told = webhooks.tell("payment_intent.succeeded", {"id": "pi_1", "client_secret": "pi_1_secret_hush"})
        assert "client_secret" not in told.payload
        assert "hush" not in caplog.text
        assert "sk_test_double" not in caplog.text

    def test_what_fails_is_tried_again_and_left_to_somebody_in_the_end(self, lost, double, webhooks):
        (charged,) = double.charges()
        double.serve({f"GET /v1/payment_intents/{charged['id']}": [500, {"error": {}}]})
        told = webhooks.tell("payment_intent.succeeded", charged)
        assert (told.status, told.error.split(":")[0], told.attempts) == ("failed", "AnswerLost", 1)
        assert gateway_events.process_waiting(at=db.now()) == 0
        GatewayEvent.objects.update(attempts=len(gateway_events.PAUSES), due_at=JAN_1)
        gateway_events.process_waiting(at=db.now())
        told.refresh_from_db()
        assert (told.status, told.due_at) == ("failed", None)
        double.serve({f"GET /v1/payment_intents/{charged['id']}": charged})
        assert gateway_events.retry(event=told, at=db.now()).status == "processed"
        assert Payment.objects.get().status == "succeeded"

    def test_an_error_of_ours_stops_no_other(self, lost, double, webhooks, monkeypatch):
        def broken(**told):
            raise ZeroDivisionError

        monkeypatch.setattr(lost_answers, "refresh", broken)
        (charged,) = double.charges()
        body = event("payment_intent.succeeded", charged)
        webhooks.post(body, signed(body))
        other = webhooks.tell("invoice.created", {"id": "in_1"})
        ours = GatewayEvent.objects.exclude(pk=other.pk).get()
        assert (ours.status, ours.error, other.status) == ("failed", "ZeroDivisionError", "ignored")

    def test_who_dies_with_one_leaves_it_to_the_next(self, double, webhooks):
        body = event("invoice.created", {"id": "in_1"})
        webhooks.post(body, signed(body))
        told = GatewayEvent.objects.get()
        at = db.now()
        assert gateway_events._claim(told, at)
        assert not gateway_events._claim(told, at)  # of two that want it
        assert gateway_events.process_waiting(at=at) == 0
        assert gateway_events.process_waiting(at=at + gateway_events.LEASE) == 1

    def test_old_ones_are_forgotten_but_not_what_waits(self, double, webhooks):
        done = webhooks.tell("invoice.created", {"id": "in_1"})
        body = event("invoice.created", {"id": "in_2"})
        webhooks.post(body, signed(body))
        GatewayEvent.objects.update(received_at=db.now() - timedelta(days=91))
        gateway_events.sweep(at=db.now())
        assert not GatewayEvent.objects.filter(pk=done.pk).exists()
        assert GatewayEvent.objects.count() == 1

    def test_a_live_event_is_another_gateways(self, double, webhooks):
        body = event("invoice.created", {"id": "in_1"}, livemode=True, event_id="evt_1")
        webhooks.post(body, signed(body))
        webhooks.tell("invoice.created", {"id": "in_1"}, event_id="evt_1")
        assert set(GatewayEvent.objects.values_list("gateway", flat=True)) == {"stripe", "stripe_test"}
        assert json.loads(body)["livemode"]
