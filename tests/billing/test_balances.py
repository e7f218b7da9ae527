"""The balance: a ledger that never falls below zero, applied when an invoice is finalized, returned when it is void."""

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from billing import balances, invoices
from billing.balances import BalanceTooLow
from billing.models import Allocation, BalanceEntry, CustomerBalance, Invoice
from gtm.shared.errors import Invalid
from gtm.shared.models import Event
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme():
    return makers.customer(collection_method="send_invoice")


def balance(customer) -> int:
    return CustomerBalance.objects.get(customer=customer).amount


class TestAdjust:
    def test_moves_the_balance_and_says_so(self, acme):
        entry = balances.adjust(customer=acme, amount=500, reason="An outage", at=JAN_1)
        assert (entry.kind, entry.amount, entry.balance_after, entry.reason) == ("adjustment", 500, 500, "An outage")
        balances.adjust(customer=acme, amount=-200, reason="Too much", at=JAN_1)
        assert balance(acme) == 300
        fact = Event.objects.filter(type="billing.balance.changed").latest("pk")
        assert fact.data == {"kind": "adjustment", "amount": -200, "currency": "USD", "balance": 300}

    def test_never_below_zero(self, acme):
        balances.adjust(customer=acme, amount=500, reason="An outage", at=JAN_1)
        with pytest.raises(BalanceTooLow):
            balances.adjust(customer=acme, amount=-501, reason="Too much", at=JAN_1)
        assert (balance(acme), BalanceEntry.objects.count()) == (500, 1)

    @pytest.mark.parametrize(
        ("fields", "attr"),
        [({"amount": 0}, "amount"), ({"reason": " "}, "reason"), ({"currency": "EUR"}, "currency")],
    )
    def test_is_refused_where_it_says_nothing(self, acme, fields, attr):
        with pytest.raises(Invalid) as refusal:
            balances.adjust(**{"customer": acme, "amount": 5, "reason": "x", "at": JAN_1} | fields)
        assert refusal.value.attr == attr
        assert not CustomerBalance.objects.exists()

    def test_entries_are_only_added(self, acme):
        entry = balances.adjust(customer=acme, amount=500, reason="An outage", at=JAN_1)
        with pytest.raises(IntegrityError), transaction.atomic():
            BalanceEntry.objects.filter(pk=entry.pk).update(amount=5000)


class TestApply:
    def test_pays_what_it_can(self, acme):
        balances.adjust(customer=acme, amount=500, reason="An outage", at=JAN_1)
        invoice = makers.invoiced(acme, 2000)
        assert (invoice.status, invoice.balance_applied, invoice.amount_due) == ("open", 500, 1500)
        allocation = Allocation.objects.get(invoice=invoice)
        assert (allocation.kind, allocation.amount) == ("balance", 500)
        entry = BalanceEntry.objects.get(invoice=invoice)
        assert (entry.kind, entry.amount, entry.balance_after) == ("applied", -500, 0)

    def test_an_invoice_it_pays_in_full_is_paid(self, acme):
        balances.adjust(customer=acme, amount=5000, reason="An outage", at=JAN_1)
        invoice = makers.invoiced(acme, 2000)
        assert (invoice.status, invoice.payment_status, invoice.paid_at) == ("paid", "paid", JAN_1)
        assert balance(acme) == 3000

    def test_a_card_is_charged_for_the_rest_alone(self):
        plan, acme = makers.published_plan(), makers.customer()
        balances.adjust(customer=acme, amount=900, reason="An outage", at=JAN_1)
        subscription = makers.subscribed(acme, plan=plan)
        assert subscription.status == "active"
        assert acme.payments.get().amount == 4000

    def test_a_first_invoice_paid_in_full_needs_no_money(self):
        plan, acme = makers.published_plan(), makers.customer()
        balances.adjust(customer=acme, amount=4900, reason="An outage", at=JAN_1)
        assert makers.subscribed(acme, plan=plan).status == "active"
        assert not acme.payments.exists()

    def test_a_void_invoice_returns_it(self, acme):
        balances.adjust(customer=acme, amount=500, reason="An outage", at=JAN_1)
        invoice = makers.invoiced(acme, 2000)
        invoices.void(invoice=invoice, at=JAN_1, waive=True)
        invoice.refresh_from_db()
        assert (invoice.status, invoice.balance_applied, balance(acme)) == ("void", 0, 500)
        assert sum(Allocation.objects.values_list("amount", flat=True)) == 0
        assert BalanceEntry.objects.latest("pk").kind == "returned"

    def test_takes_as_many_queries_for_many_as_for_few(self, acme):
        def queries(count: int) -> int:
            payers = [makers.customer(name=f"Payer {n}") for n in range(count)]
            for payer in payers:
                balances.adjust(customer=payer, amount=100, reason="x", at=JAN_1)
            drafts = [
                Invoice(customer=payer, legal_entity=makers.legal_entity(), currency="USD", total=250, subtotal=250)
                for payer in payers
                for _invoice in range(2)
            ]
            for draft in drafts:
                draft.gathered_at = JAN_1
            Invoice.objects.bulk_create(drafts)
            with CaptureQueriesContext(connection) as captured, transaction.atomic():
                balances.apply_all(invoices=drafts, at=JAN_1)
            assert [draft.balance_applied for draft in drafts] == [100, 0] * count
            return len(captured)

        assert queries(2) == queries(5)


class TestTooMuch:
    def test_stands_to_the_credit(self, acme):
        invoice = makers.invoiced(acme, 2000)
        payment = makers.paid(invoice, 2500)
        assert payment.allocations.get().amount == 2000
        entry = BalanceEntry.objects.get()
        assert (entry.kind, entry.amount, entry.payment, balance(acme)) == ("overpayment", 500, payment, 500)
