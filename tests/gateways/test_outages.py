"""The gateway is away: a run asks a few times and leaves the rest, no one starves, and no retry is taken for made."""

from datetime import UTC, datetime, timedelta

import pytest

from billing import attempts, customers, dunning_runs, lost_answers, runs
from billing.models import DunningCase, Invoice, Payment, PaymentAttempt
from gtm.shared import db
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
CREATE, LIST = "POST /v1/payment_intents", "GET /v1/payment_intents"
AWAY = [500, {"error": {}}]
ASKS = "4000002500003155"
FEB_1 = datetime(2026, 2, 1, tzinfo=UTC)
DAY_14 = FEB_1 + timedelta(days=14)


@pytest.fixture
def acme(double, monkeypatch):
    monkeypatch.setattr("stripe._http_client.HTTPClient.INITIAL_DELAY", 0.01)
    makers.legal_entity()
    return makers.customer(currency="USD")


def carded(customer, double, number: str = "4242424242424242") -> None:
    customers.attach_payment_method(customer=customer, gateway_token=double.card(number), at=JAN_1)


def test_the_janitor_asks_three_times_a_run_and_the_longest_waiting_first(acme, double):
    carded(acme, double)
    for _number in range(5):
        attempts.begin(invoices=[makers.invoiced(acme, 4900)], at=db.now())
    double.serve({LIST: AWAY, CREATE: AWAY})
    later = db.now() + timedelta(minutes=3)
    for asked in (3, 5):
        assert lost_answers.settle_stale(at=later) == 0
        assert PaymentAttempt.objects.filter(asked_at__isnull=False).count() == asked


def test_a_run_charges_no_more_than_three_cards_in_vain(acme, double):
    carded(acme, double)
    for _number in range(5):
        makers.invoiced(acme, 4900)
    double.serve({CREATE: AWAY})
    runs.collect_waiting(at=FEB_1)
    found = Invoice.objects.order_by("pk").values_list("payment_status", flat=True)
    assert list(found) == ["pending"] * 3 + ["none"] * 2
    runs.collect_waiting(at=FEB_1)
    assert set(Invoice.objects.values_list("payment_status", flat=True)) == {"pending"}


def test_a_retry_that_was_not_made_stays_due_and_nothing_is_taken_away(acme, double):
    """The charge that waits for its holder can't be given up while the gateway is away."""
    carded(acme, double)
    subscription = makers.subscribed(acme, plan=makers.published_plan())
    carded(acme, double, ASKS)
    runs.bill_due(at=FEB_1)
    waits = Payment.objects.get(status="requires_action").gateway_reference
    intent = double.api("GET", f"payment_intents/{waits}")
    double.serve({f"POST /v1/payment_intents/{waits}/cancel": AWAY})
    dunning_runs.run_due(at=DAY_14)
    case = DunningCase.objects.get()
    subscription.refresh_from_db()
    assert (case.status, case.next_action_at, case.steps.count()) == ("open", DAY_14 + dunning_runs.LEASE, 0)
    assert (subscription.status, subscription.access_ended_at) == ("past_due", None)
    double.serve({f"POST /v1/payment_intents/{waits}/cancel": intent | {"status": "canceled"}})
    dunning_runs.run_due(at=DAY_14 + dunning_runs.LEASE)
    subscription.refresh_from_db()
    assert subscription.status == "canceled"
    assert set(case.steps.values_list("kind", flat=True)) == {"retry", "end_access", "final"}
