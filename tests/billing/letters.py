"""A customer's life on a test clock, in which every mail is written that a customer can get."""

from datetime import timedelta
from typing import Any

from django.db import transaction

from billing import changes, invoices, notices, pauses, payments, prompts, subscriptions
from billing.handlers import _about
from billing.models import CollectionMethod, Customer, Invoice, Subscription
from gtm import clocks
from gtm.shared import outbox
from gtm.shared.models import Event, Mail, TestClock
from tests.billing import makers
from tests.world import JAN_1

DAY = timedelta(days=1)
BY_HAND = ("card_expiring", "invoice_reminder", "final_notice")  # what dunning sends


def customer(clock: TestClock | None = None, **fields: Any) -> Customer:
    """Acme, whose accountants get what is about money."""
    given = {"email": "cora@acme.example", "billing_emails": ["books@acme.example"], "test_clock": clock}
    return makers.customer(**given | fields)


def letter(customer: Customer, template: str) -> Mail:
    """The last mail of its kind to the customer."""
    return Mail.objects.filter(customer_id=customer.pk, template=template).latest("created_at", "pk")


def lived(clock: TestClock, **fields: Any) -> Customer:
    """One that has got every mail, the last half of January long and then through the year."""
    acme, plan = customer(clock, **fields), makers.published_plan(trial_days=14, trial_requires_payment_method=False)
    team = makers.published_plan(code="team", name="Team")
    trial = makers.subscribed(acme, plan=plan)
    clocks.advance(clock=clock, to=JAN_1 + 15 * DAY)
    _pays(acme, clock)
    _changes(trial, team, clock)
    _dunned(acme, clock)
    yearly = makers.subscribed(acme, plan=team, interval="year", at=_now(clock))
    clocks.advance(clock=clock, to=yearly.current_period_end - 20 * DAY)  # type: ignore[operator]
    return acme


def _now(clock: TestClock) -> Any:
    clock.refresh_from_db()
    return clock.frozen_time


def _pays(acme: Customer, clock: TestClock) -> None:
    """An invoice, its receipt, what is given back of it, and two cards that don't pay."""
    at = _now(clock)
    Customer.objects.filter(pk=acme.pk).update(collection_method=CollectionMethod.SEND_INVOICE)
    acme.refresh_from_db()
    sent = makers.invoiced(acme, 5000, at=at)
    makers.paid(sent, at=at)
    sent.refresh_from_db()
    makers.credited(sent, 2000, settle="refund", at=at)
    for refund in acme.refunds.all():
        from billing import refunds

        refunds.pay_out(refund=refund, at=at)
    Customer.objects.filter(pk=acme.pk).update(collection_method=CollectionMethod.CHARGE_AUTOMATICALLY)
    acme.refresh_from_db()
    for token in ("pm_card_chargeDeclinedInsufficientFunds", "pm_card_authenticationRequired"):
        unpaid = makers.invoiced(acme, 900, at=at)
        payments.collect(invoice=unpaid, payment_method=makers.card(acme, token, default=False, at=at), at=at)
    outbox.drain(clock.pk)
    makers.paid(unpaid, at=at)
    with transaction.atomic():
        invoices.request_link(invoice=unpaid, at=at)
    outbox.drain(clock.pk)


def _changes(subscription: Subscription, team: Any, clock: TestClock) -> None:
    at = _now(clock)
    changes.change(subscription=subscription, plan=team, effective="now", origin="portal", at=at)
    outbox.drain(clock.pk)
    pauses.pause(subscription=subscription, resume_at=at + 9 * DAY, at=at)
    outbox.drain(clock.pk)
    pauses.resume(subscription=subscription, at=at)
    outbox.drain(clock.pk)
    for code in ("usage", "product"):
        prompts.show(
            customer_id=subscription.customer_id, code=code, period="1", text="You have used 80 %.", link="/x/", at=at
        )
    subscriptions.cancel(subscription=subscription, at=at)
    outbox.drain(clock.pk)
    subscriptions.cancel(subscription=subscription, when="now", at=at)
    outbox.drain(clock.pk)


def _dunned(acme: Customer, clock: TestClock) -> None:
    invoice = Invoice.objects.filter(customer=acme, status=Invoice.Status.OPEN).latest("pk")
    context = _about(invoice) | {
        "payment_method": acme.payment_methods.filter(is_default=True).get(),
        "card_url": "http://example/card/",
        "pay_url": "http://example/pay/",
        "overdue": True,
        "ends_at": _now(clock),
        "plan": "Pro",
    }
    event = Event.objects.filter(customer_id=acme.pk).latest("position")
    with transaction.atomic():
        for template in BY_HAND:
            notices.send(template, customer=acme, event=event, context=context)
