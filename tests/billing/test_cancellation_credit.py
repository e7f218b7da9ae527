"""What a cancellation gives back of time that was billed in advance, by which way it was paid."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db.models import Sum

from billing import invoices, payments, refunds, runs, subscriptions
from billing.models import BalanceEntry, CreditNote, Customer, CustomerBalance, Invoice, Refund, Subscription
from gtm.shared import vendors
from gtm.shared.errors import Invalid
from tests.billing import makers
from tests.world import JAN_1

JAN_11 = datetime(2026, 1, 11, 12, tzinfo=UTC)


def balance_of(customer: Customer) -> int:
    return CustomerBalance.objects.filter(customer=customer).aggregate(of=Sum("amount"))["of"] or 0


@pytest.fixture
def subscription() -> Subscription:
    """49.00 a month from 1 January, 31 days, paid by card."""
    makers.legal_entity(timezone="UTC")
    return makers.subscribed(makers.customer(), plan=makers.published_plan())


@pytest.mark.django_db
class TestCreditOfACancellation:
    def test_none_gives_back_nothing(self, subscription: Subscription) -> None:
        subscriptions.cancel(subscription=subscription, when="now", at=JAN_11)
        assert not CreditNote.objects.exists()

    def test_prorate_puts_the_days_after_the_last_on_the_balance(self, subscription: Subscription) -> None:
        subscriptions.cancel(subscription=subscription, when="now", credit="prorate", at=JAN_11)
        note = CreditNote.objects.get()
        assert (note.total, note.balance_amount) == (3161, 3161)  # 20 of 31 days of 49.00: the 11th is billed
        assert balance_of(subscription.payer) == 3161
        line = note.lines.get()
        assert [step["code"] for step in line.explanation] == ["unused"]
        assert (line.explanation[0]["part"], line.explanation[0]["whole"]) == ("20", "31")
        assert line.period_start == datetime(2026, 1, 12, tzinfo=UTC)

    def test_by_the_second_it_is_to_the_second(self, subscription: Subscription) -> None:
        vendors.change(proration_unit="second")
        subscriptions.cancel(subscription=subscription, when="now", credit="prorate", at=JAN_11)
        assert CreditNote.objects.get().total == 3240  # 20.5 of 31 days

    def test_refund_goes_back_to_the_card(self, subscription: Subscription) -> None:
        subscriptions.cancel(subscription=subscription, when="now", credit="refund", at=JAN_11)
        refund = Refund.objects.get()
        assert (refund.amount, refund.payment.customer) == (3161, subscription.payer)
        refunds.send_pending()
        refund.refresh_from_db()
        assert refund.status == Refund.Status.SUCCEEDED

    def test_what_is_unpaid_is_taken_off_and_never_money(self) -> None:
        makers.legal_entity(timezone="UTC")
        customer = makers.customer(collection_method="send_invoice", net_terms_days=30)
        subscription = subscriptions.create(customer=customer, plan=makers.published_plan(), at=JAN_1)
        invoice = Invoice.objects.get()
        payments.record_manual(
            customer=customer, invoices=[invoice], method="bank_transfer", amount=2900, paid_at=JAN_1, at=JAN_1
        )
        subscriptions.cancel(subscription=subscription, when="now", credit="refund", at=JAN_11)
        note = CreditNote.objects.get()
        assert (note.offset_amount, note.refund_amount) == (2000, 1161)
        invoice.refresh_from_db()
        assert (invoice.status, invoice.amount_due) == ("paid", 0)

    def test_the_balance_pays_the_closing_invoice(self) -> None:
        makers.legal_entity(timezone="UTC")
        plan = makers.published_plan()
        makers.price(
            plan=plan,
            code="pro-calls",
            model="per_unit",
            unit_amount=100,
            meter=plan.current_version.entitlements.get().feature.meter,
            timing="in_arrears",
        )
        subscription = makers.subscribed(makers.customer(), plan=plan)
        makers.calls(subscription.customer, 10, at=datetime(2026, 1, 5, tzinfo=UTC))
        subscriptions.cancel(subscription=subscription, when="now", credit="prorate", at=JAN_11)
        for draft in Invoice.objects.filter(status="draft"):
            invoices.finalize(invoice=draft, at=JAN_11)
        closing = Invoice.objects.exclude(lines__reason="subscription_start").get()
        assert (closing.total, closing.balance_applied, closing.status) == (1000, 1000, "paid")
        assert balance_of(subscription.payer) == 2161

    def test_a_time_ahead_gives_back_when_it_comes(self, subscription: Subscription) -> None:
        subscriptions.cancel(subscription=subscription, when=JAN_11, credit="prorate", at=JAN_1)
        assert not CreditNote.objects.exists()
        runs.bill_due(at=JAN_11)
        assert CreditNote.objects.get().total == 3161
        runs.bill_due(at=JAN_11)
        assert BalanceEntry.objects.count() == 1

    def test_undone_it_gives_back_nothing(self, subscription: Subscription) -> None:
        subscriptions.cancel(subscription=subscription, when=JAN_11, credit="prorate", at=JAN_1)
        subscriptions.undo_cancellation(subscription=subscription, at=JAN_1)
        runs.bill_due(at=JAN_11)
        assert not CreditNote.objects.exists()

    @pytest.mark.parametrize("when", ["period_end", datetime(2026, 2, 1, tzinfo=UTC)])
    def test_at_the_end_of_the_period_nothing_is_left(self, subscription: Subscription, when: Any) -> None:
        subscriptions.cancel(subscription=subscription, when=when, credit="refund", at=JAN_11)
        runs.bill_due(at=datetime(2026, 2, 1, tzinfo=UTC))
        assert not CreditNote.objects.exists()
        subscription.refresh_from_db()
        assert subscription.status == "canceled"

    def test_an_unknown_credit_is_refused(self, subscription: Subscription) -> None:
        with pytest.raises(Invalid) as refusal:
            subscriptions.cancel(subscription=subscription, when="now", credit="double", at=JAN_11)
        assert refusal.value.attr == "credit"
