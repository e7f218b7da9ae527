"""Money that takes its time, is taken back or never comes: what is owed is asked for, once and in the end."""

from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse

from billing import (
    attempts,
    collection,
    disputes,
    dunning_runs,
    hosted,
    lost_answers,
    payments,
    refunds,
    runs,
    subscriptions,
)
from billing.gateways import SeenDispute
from billing.models import (
    Customer,
    Dispute,
    DunningCase,
    DunningStep,
    Invoice,
    LegalEntity,
    Payment,
    PaymentAttempt,
    Plan,
    SandboxCharge,
    Subscription,
)
from billing.views import cards
from gtm.shared import db
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
FEB_1 = JAN_1.replace(month=2)
DAY = timedelta(days=1)
DECLINED, ASKS = "pm_card_chargeDeclined", "pm_card_authenticationRequired"


@pytest.fixture
def acme() -> Customer:
    makers.legal_entity()
    makers.published_plan()
    return makers.customer()


def on_terms(acme: Customer) -> tuple[Subscription, Invoice]:
    """Active since January, with the bill of February, due on 3 March."""
    acme.collection_method, acme.net_terms_days = "send_invoice", 30
    acme.save()
    subscription = subscriptions.create(customer=acme, plan=Plan.objects.get(), at=JAN_1)
    makers.paid(Invoice.objects.get())
    runs.bill_due(at=FEB_1 + timedelta(hours=3))
    return subscription, Invoice.objects.get(status="open")


def settle(at: datetime) -> None:
    """The bank has decided on the debits that were under way."""
    for attempt in PaymentAttempt.objects.filter(status="live"):
        lost_answers.refresh(attempt=attempt, at=at)


def lost(payment: Payment, *, at: datetime) -> None:
    seen = SeenDispute(
        reference="dp_1",
        charge=payment.gateway_reference,
        status="lost",
        kind="chargeback",
        amount=payment.amount,
        currency=payment.currency,
        holds=True,
        opened_at=at,
    )
    disputes.record(gateway=payment.gateway, seen=seen, at=at)


def test_a_card_declined_before_a_bill_is_due_puts_nobody_behind(acme: Customer) -> None:
    subscription, invoice = on_terms(acme)
    card = makers.card(acme, DECLINED, default=False)
    payments.collect(invoice=invoice, payment_method=card, on_session=True, at=FEB_1 + DAY)
    subscription.refresh_from_db()
    invoice.refresh_from_db()
    assert (invoice.payment_status, subscription.status) == ("failed", "active")


def test_a_debit_that_takes_days_leaves_its_case_open_and_its_days_as_they_are(acme: Customer) -> None:
    subscription = makers.subscribed(acme, plan=Plan.objects.get())
    makers.card(acme, "pm_sepa_debit_fails", at=JAN_1 + DAY)
    runs.bill_due(at=FEB_1)
    SandboxCharge.objects.update(failure_code="insufficient_funds")
    settle(FEB_1 + timedelta(hours=12))
    for day in range(1, 20):
        dunning_runs.run_due(at=FEB_1 + day * DAY + timedelta(hours=13))
        SandboxCharge.objects.update(failure_code="insufficient_funds")
        settle(FEB_1 + day * DAY + timedelta(hours=18))
    case, steps = DunningCase.objects.get(), DunningStep.objects.order_by("pk")
    assert list(steps.values_list("kind", "day")) == [
        ("retry", 1),
        ("retry", 3),
        ("retry", 7),
        ("end_access", 7),
        ("retry", 14),
        ("final", 14),
    ]
    subscription.refresh_from_db()
    assert (case.status, subscription.status) == ("exhausted", "canceled")


def test_who_switches_to_invoices_is_not_rid_of_what_the_card_owes(acme: Customer) -> None:
    subscription = makers.subscribed(acme, plan=Plan.objects.get())
    makers.card(acme, DECLINED, at=JAN_1 + DAY)
    runs.bill_due(at=FEB_1)
    acme = collection.allow(customer=acme, methods=["send_invoice"], reason=collection.AGREED, at=FEB_1)
    collection.switch(customer=acme, method="send_invoice", at=FEB_1 + DAY)
    for day in (1, 3, 7, 14):
        dunning_runs.run_due(at=FEB_1 + day * DAY)
    subscription.refresh_from_db()
    assert (subscription.collection_method, subscription.status) == ("send_invoice", "canceled")


def test_a_bill_whose_payment_is_lost_is_asked_for_again_with_time_to_pay(acme: Customer) -> None:
    subscription, invoice = on_terms(acme)
    payment = payments.collect(invoice=invoice, payment_method=makers.card(acme, default=False), at=FEB_1 + DAY)
    taken = JAN_1.replace(month=6)
    lost(payment, at=taken)
    for day in (0, 2, 8, 15, 31):
        dunning_runs.run_due(at=taken + day * DAY)
    steps = DunningStep.objects.order_by("pk").values_list("kind", "day", "done_at")
    assert [(kind, day, (at - taken).days) for kind, day, at in steps] == [
        ("overdue", 1, 2),
        ("reminder", 1, 2),
        ("reminder", 7, 8),
        ("reminder", 14, 15),
        ("reminder", 30, 31),
        ("final", 30, 31),
    ]
    subscription.refresh_from_db()
    assert subscription.status == "past_due"


def test_a_payment_that_another_took_the_place_of_waits_for_nobody(acme: Customer) -> None:
    invoice = makers.invoiced(acme, 5000)
    first = payments.collect(invoice=invoice, payment_method=makers.card(acme, ASKS), at=JAN_1)
    invoice.refresh_from_db()
    makers.credited(invoice, 2000, settle="offset")
    second = payments.collect(invoice=invoice, payment_method=makers.card(acme), at=JAN_1)
    first.refresh_from_db()
    assert (first.status, first.failure_code, second.status, second.amount) == (
        "failed",
        "superseded",
        "succeeded",
        3000,
    )
    assert Event.objects.filter(type="billing.payment.superseded", object_id=first.pk).count() == 1


def test_nothing_is_charged_beside_what_began_to_wait_for_its_holder_meanwhile(acme: Customer) -> None:
    """Of two who pay at once, the second has looked before the first one's payment waited."""
    invoice = makers.invoiced(acme, 5000)
    payments.collect(invoice=invoice, payment_method=makers.card(acme, ASKS), on_session=True, at=JAN_1)
    with pytest.raises(Conflict) as refusal:
        attempts.begin(invoices=[invoice], payment_method=makers.card(acme), at=JAN_1)
    assert refusal.value.code == "payment_in_progress"
    assert PaymentAttempt.objects.count() == 1


def test_a_debit_that_was_given_back_may_still_be_returned(acme: Customer) -> None:
    invoice = makers.invoiced(acme, 5000)
    payment = payments.collect(invoice=invoice, payment_method=makers.card(acme), at=JAN_1)
    invoice.refresh_from_db()
    makers.credited(invoice, 5000, settle="refund")
    refunds.send_pending()
    payment.refresh_from_db()
    disputes.record_return(payment=payment, reason="", at=JAN_1)
    found = Dispute.objects.get()
    assert (found.amount, found.amount_reversed, found.status) == (5000, 0, "lost")


def test_who_pays_in_the_portal_by_what_takes_days_is_not_told_of_a_failure(client: Client, acme: Customer) -> None:
    client.force_login(makers.member(acme, "ann@acme.example"))
    one, other = (makers.invoiced(acme, amount, at=db.now()) for amount in (5000, 700))
    page = reverse("portal_pay", args=[acme.public_id, one.public_id])
    answer = client.post(page, {"card": "pm_sepa_debit"}, follow=True)
    assert answer.redirect_chain[0][0] == reverse("portal_invoice", args=[acme.public_id, one.public_id])
    assert "being processed" in answer.content.decode()
    makers.card(acme, "pm_sepa_debit", at=db.now())
    several = client.post(reverse("portal_pay_open", args=[acme.public_id]), {"invoices": [other.public_id]})
    assert "is under way" in several.content.decode()
    assert "did not go through" not in answer.content.decode() + several.content.decode()
    assert Payment.objects.filter(status="processing").count() == 2


def test_a_payment_that_the_gateway_does_not_know_any_more_stops_nobody(acme: Customer) -> None:
    """As when the vendor has moved to another account of the gateway."""
    stuck, other = makers.invoiced(acme, 5000), makers.invoiced(acme, 700)
    payments.collect(invoice=stuck, payment_method=makers.card(acme, ASKS), at=JAN_1)
    SandboxCharge.objects.all().delete()
    makers.card(acme)
    payments.collect_all(invoices=[stuck, other], at=JAN_1)
    assert set(Invoice.objects.values_list("status", flat=True)) == {"paid"}


def test_a_charge_that_breaks_the_gateway_holds_up_no_other(acme: Customer) -> None:
    """Whatever the first one runs into, the janitor comes to the second one."""
    broken, other = (
        attempts.begin(invoices=[makers.invoiced(one, 5000)], payment_method=makers.card(one), at=JAN_1)
        for one in (acme, makers.customer(name="Beta"))
    )
    broken.payment_method.gateway_reference = "pm_unheard_of"
    broken.payment_method.save()
    assert lost_answers.settle_stale(at=db.now() + DAY) == 1
    assert Payment.objects.get(pk=other.payment_id).status == "succeeded"


def test_a_card_of_somebody_else_stops_no_run(acme: Customer) -> None:
    """What no screen lets happen; yet one payer's trouble is no other's."""
    subscription = makers.subscribed(acme, plan=Plan.objects.get())
    Subscription.objects.update(payment_method=makers.card(makers.customer(name="Zoe")))
    beta = makers.subscribed(makers.customer(name="Beta"), plan=Plan.objects.get())
    runs.bill_due(at=FEB_1)
    assert set(Invoice.objects.filter(customer=beta.payer).values_list("status", flat=True)) == {"paid"}
    assert Invoice.objects.filter(customer=subscription.payer, status="open").count() == 1


def test_nobody_tries_out_cards_by_the_pages_of_a_payer(client: Client, acme: Customer, settings, monkeypatch) -> None:
    monkeypatch.setattr(cards, "FOR_ONE_PAYER", "2/h")
    client.force_login(makers.member(acme, "ann@acme.example"))
    page = hosted.card_url(acme.pk, at=db.now()).removeprefix(settings.BASE_URL)
    pages = [page, reverse("portal_card", args=[acme.public_id]), page]
    assert [client.post(one, {"prepare": "1"}).status_code for one in pages] == [200, 200, 429]


def test_money_is_not_recorded_for_days_to_come_nor_in_books_that_are_closed(acme: Customer) -> None:
    invoice = makers.invoiced(acme, 5000, at=FEB_1)
    LegalEntity.objects.update(closed_through=JAN_1.date())
    terms = {"customer": acme, "invoices": [invoice], "method": "cheque", "amount": 5000, "at": FEB_1}
    for paid_at, error in ((FEB_1 + DAY, Invalid), (JAN_1, Conflict)):
        with pytest.raises(error) as refusal:
            payments.record_manual(**terms, paid_at=paid_at)
        assert refusal.value.attr == "paid_at"
    assert payments.record_manual(**terms, paid_at=JAN_1 + 2 * DAY).paid_at == JAN_1 + 2 * DAY


def test_without_a_key_the_pages_say_so(client: Client, acme: Customer, settings) -> None:
    """A customer for tests, beside a live key, where there is no key for tests."""
    settings.STRIPE_SECRET_KEY, settings.STRIPE_TEST_SECRET_KEY = "sk_live_none", ""
    Customer.objects.update(test_mode=True)
    client.force_login(makers.member(acme, "ann@acme.example"))
    pages = [hosted.card_url(acme.pk, at=db.now()).removeprefix(settings.BASE_URL), "/checkout/pro/"]
    assert [client.get(page).status_code for page in pages] == [409, 503]


def test_what_no_database_can_hold_is_no_plan(client: Client, acme: Customer) -> None:
    subscription = makers.subscribed(acme, plan=Plan.objects.get(), at=db.now())
    client.force_login(makers.member(acme, "ann@acme.example"))
    page = reverse("portal_change_preview", args=[acme.public_id, subscription.public_id])
    assert client.get(page, {"plan": "a\0b"}).status_code == 400
    typed = {"name": "B", "email": "b@b.example", "password": "correct horse battery", "country": "US"}
    form = dict(Client().get("/checkout/pro/").context["form"].initial) | typed | {"card": "pm_card_visa"}
    assert Client().post("/checkout/pro/?external_id=a%00b", form).status_code == 302
