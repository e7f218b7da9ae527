"""A key was taken away, as when a vendor goes live: nothing stays under way for ever, and cards are given anew."""

from datetime import UTC, datetime, timedelta

import pytest

from billing import attempts, customers, lost_answers, payment_methods, payments, runs
from billing.models import DunningCase, Invoice, Payment, PaymentAttempt, PaymentMethod
from billing.payments import NoPaymentMethod
from billing.queries import portal
from gtm.health import work
from gtm.shared import db
from gtm.shared.models import Event
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
FEB_1 = datetime(2026, 2, 1, tzinfo=UTC)
ASKS = "4000002500003155"


@pytest.fixture
def acme(double):
    makers.legal_entity()
    return makers.customer(currency="USD")


@pytest.fixture
def live(settings):
    def go() -> None:
        settings.STRIPE_SECRET_KEY = "sk_live_double"

    return go


def carded(customer, double, number: str = "4242424242424242") -> None:
    customers.attach_payment_method(customer=customer, gateway_token=double.card(number), at=JAN_1)


def test_what_was_under_way_is_given_up_after_days(acme, double, live):
    carded(acme, double)
    attempt = attempts.begin(invoices=[makers.invoiced(acme, 4900)], at=JAN_1)
    live()
    assert work.kept_elsewhere().sentence == "No key for stripe_test. Cards: 1; payments under way: 1."
    for days, status in ((1, "live"), (4, "failed")):
        lost_answers.settle_stale(at=db.now() + timedelta(days=days))
        attempt.refresh_from_db()
        assert attempt.status == status
    assert (attempt.failure_code, attempt.hard) == ("gateway_removed", True)
    assert Invoice.objects.get().payment_status == "failed"


def test_a_debit_on_its_way_is_given_its_time(acme, double, live):
    carded(acme, double)
    attempt = attempts.begin(invoices=[makers.invoiced(acme, 4900)], at=JAN_1)
    Payment.objects.update(status="processing")
    live()
    for days, status in ((20, "live"), (31, "failed")):
        lost_answers.settle_stale(at=db.now() + timedelta(days=days))
        attempt.refresh_from_db()
        assert attempt.status == status


def test_a_card_of_a_removed_gateway_is_no_card_and_its_holder_is_asked(acme, double, live):
    carded(acme, double)
    subscription = makers.subscribed(acme, plan=makers.published_plan())
    live()
    runs.bill_due(at=FEB_1)  # the key may come back
    invoice = Invoice.objects.get(status="open")
    assert (invoice.payment_status, DunningCase.objects.count()) == ("none", 0)
    for _time in range(2):
        runs.collect_waiting(at=FEB_1 + timedelta(days=1))
    invoice.refresh_from_db()
    subscription.refresh_from_db()
    assert (invoice.payment_status, subscription.status) == ("failed", "past_due")
    assert DunningCase.objects.get().needs_method
    assert Event.objects.get(type="billing.payment.failed").data["failure_code"] == "gateway_removed"
    assert portal.payment_method(acme) is None
    with pytest.raises(NoPaymentMethod):
        payments.require_method_of(subscription)
    gone = payment_methods.detach(method=PaymentMethod.objects.get(), at=FEB_1)
    assert gone.detached_at == FEB_1
    carded(acme, double)
    assert payments.collect(invoice=invoice, at=FEB_1).status == "succeeded"


def test_what_waits_for_a_holder_there_holds_up_no_other_card(acme, double, live):
    carded(acme, double, ASKS)
    invoice = makers.invoiced(acme, 4900)
    assert payments.collect(invoice=invoice, at=JAN_1).status == "requires_action"
    live()
    carded(acme, double)
    assert payments.collect(invoice=invoice, at=JAN_1).status == "succeeded"
    assert set(PaymentAttempt.objects.values_list("status", flat=True)) == {"failed", "succeeded"}
