"""Credit notes: what they may give back, how they are settled, and giving back what won't be used."""

from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, connection, transaction

from billing import balances, credit_notes, invoices, refunds
from billing.credit_notes import LineCredit
from billing.credits import give_back as give_back_credits
from billing.models import (
    Allocation,
    BalanceEntry,
    Charge,
    CreditNote,
    CreditNoteLine,
    CustomerBalance,
    Invoice,
    Refund,
)
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
JAN_15 = datetime(2026, 1, 15, tzinfo=UTC)


@pytest.fixture
def acme():
    makers.tax_rate("20")
    return makers.customer(collection_method="send_invoice")


def credit(invoice: Invoice, *amounts: int, settle: str = "balance") -> CreditNote:
    lines = list(invoice.lines.order_by("position"))
    return credit_notes.issue(
        invoice=invoice,
        lines=[LineCredit(line, amount) for line, amount in zip(lines, amounts, strict=False) if amount],
        settle=settle,
        reason="Not delivered",
        origin="admin",
        at=JAN_15,
    )


def balance(customer) -> int:
    found = CustomerBalance.objects.filter(customer=customer).first()
    entries = BalanceEntry.objects.filter(customer=customer)
    assert sum(entry.amount for entry in entries) == (found.amount if found else 0)
    return found.amount if found else 0


class TestIssue:
    def test_takes_a_paid_amount_to_the_balance(self, acme):
        invoice = makers.invoiced(acme, 10000)
        makers.paid(invoice)
        note = credit(invoice, 2500)
        assert (note.subtotal, note.tax_total, note.total, note.balance_amount) == (2500, 500, 3000, 3000)
        assert (note.number, note.issue_date.isoformat()) == ("CN-2026-000001", "2026-01-15")
        assert note.buyer["name"] == "Acme"
        assert note.seller == invoice.seller
        assert balance(acme) == 3000
        invoice.refresh_from_db()
        assert (invoice.status, invoice.amount_credited, invoice.credit_note_total) == ("paid", 0, 3000)
        line, tax = note.lines.get(), note.taxes.get()
        assert (line.amount, line.tax_amount, line.taxes[0]["rate"], line.taxes[0]["amount"]) == (2500, 500, "vat", 500)
        assert (tax.taxable, tax.amount) == (2500, 500)
        fact = Event.objects.get(type="billing.credit_note.issued")
        assert fact.data["total"] == 3000
        assert "Not delivered" not in str(fact.data)

    def test_offsets_what_is_open_first(self, acme):
        invoice = makers.invoiced(acme, 10000)
        makers.paid(invoice, 11000)
        note = credit(invoice, 2500)
        assert (note.offset_amount, note.balance_amount) == (1000, 2000)
        allocation = Allocation.objects.get(credit_note=note)
        assert (allocation.kind, allocation.amount, allocation.invoice) == ("credit_note", 1000, invoice)
        invoice.refresh_from_db()
        assert (invoice.status, invoice.amount_due, invoice.amount_credited) == ("paid", 0, 1000)
        assert Event.objects.filter(type="billing.invoice.paid", object_id=invoice.pk).count() == 1

    def test_an_invoice_credited_in_full_is_paid_and_its_subscription_begins(self):
        plan, acme = makers.published_plan(), makers.customer()
        makers.card(acme, "pm_card_chargeDeclined")
        subscription = makers.subscribed(acme, plan=plan)
        assert subscription.status == "incomplete"
        invoice = Invoice.objects.get(lines__subscription=subscription)
        credit(invoice, 4900, settle="offset")
        invoice.refresh_from_db()
        subscription.refresh_from_db()
        assert (invoice.status, subscription.status, balance(acme)) == ("paid", "active", 0)

    def test_the_last_note_takes_what_is_left(self, acme):
        invoice = makers.invoiced(acme, 6833, 6833, 6833, 6833)
        makers.paid(invoice)
        asked = [(6833,), (0, 6833), (0, 0, 6833), (0, 0, 0, 1367), (0, 0, 0, 2233), (0, 0, 0, 3233)]
        assert [credit(invoice, *amounts).total for amounts in asked] == [8200, 8200, 8200, 1640, 2680, 3878]
        invoice.refresh_from_db()
        assert (invoice.credit_note_total, balance(acme)) == (32798, 32798)
        assert set(credit_notes.creditable(list(invoice.lines.all())).values()) == {0}

    def test_never_more_than_the_line(self, acme):
        invoice = makers.invoiced(acme, 1000, 500)
        credit(invoice, 600, settle="offset")
        with pytest.raises(Invalid) as refusal:
            credit(invoice, 300, 501)
        assert (refusal.value.code, refusal.value.attr) == ("more_than_creditable", "lines.1.amount")
        with pytest.raises(Invalid) as refusal:
            credit(invoice, 401)
        assert refusal.value.attr == "lines.0.amount"
        assert CreditNote.objects.count() == 1
        assert balance(acme) == 0

    def test_an_offset_refuses_more_than_is_open(self, acme):
        invoice = makers.invoiced(acme, 1000)
        makers.paid(invoice, 700)
        with pytest.raises(Invalid) as refusal:
            credit(invoice, 500, settle="offset")
        assert (refusal.value.code, refusal.value.attr) == ("more_than_open", "settle")
        assert credit(invoice, 400, settle="offset").offset_amount == 480

    @pytest.mark.parametrize("amount", [0, -5])
    def test_an_amount_is_more_than_nothing(self, acme, amount):
        invoice = makers.invoiced(acme, 1000)
        with pytest.raises(Invalid) as refusal:
            credit_notes.issue(
                invoice=invoice,
                lines=[LineCredit(invoice.lines.get(), amount)],
                settle="balance",
                reason="",
                origin="api",
                at=JAN_15,
            )
        assert refusal.value.attr == "lines.0.amount"

    def test_a_line_of_another_invoice_is_refused(self, acme):
        invoice, other = makers.invoiced(acme, 1000), makers.invoiced(acme, 2000)
        with pytest.raises(Invalid) as refusal:
            credit_notes.issue(
                invoice=invoice,
                lines=[LineCredit(other.lines.get(), 10)],
                settle="balance",
                reason="",
                origin="api",
                at=JAN_15,
            )
        assert refusal.value.attr == "lines.0.invoice_line"

    def test_a_void_invoice_has_none(self, acme):
        invoice = makers.invoiced(acme, 1000)
        invoices.void(invoice=invoice, at=JAN_15, waive=True)
        with pytest.raises(Conflict) as refusal:
            credit(invoice, 10)
        assert refusal.value.code == "invoice_not_creditable"
        assert credit_notes.creditable([invoice.lines.get()]) == {invoice.lines.get().pk: 0}

    def test_a_refund_goes_to_the_payments_newest_first_and_the_balance_share_to_the_balance(self, acme):
        balances.adjust(customer=acme, amount=200, reason="Sorry", at=JAN_1)
        invoice = makers.invoiced(acme, 1000)
        first, second = makers.paid(invoice, 600), makers.paid(invoice, 400, at=JAN_15)
        assert invoice.balance_applied == 200
        note = credit(invoice, 1000, settle="refund")
        assert (note.total, note.refund_amount, note.balance_amount) == (1200, 1000, 200)
        assert {(refund.payment, refund.amount) for refund in note.refunds.all()} == {(first, 600), (second, 400)}
        second.refresh_from_db()
        assert (second.amount_refunded, balance(acme)) == (400, 200)

    def test_a_second_refund_goes_on_where_the_first_ended(self, acme):
        invoice = makers.invoiced(acme, 1000)
        first, second = makers.paid(invoice, 800), makers.paid(invoice, 400, at=JAN_15)
        credit(invoice, 250, settle="refund")
        credit(invoice, 250, settle="refund")
        assert list(Refund.objects.order_by("pk").values_list("payment", "amount")) == [
            (second.pk, 300),
            (second.pk, 100),
            (first.pk, 200),
        ]

    def test_its_lines_sum_to_it(self, acme):
        note = credit(makers.invoiced(acme, 1000), 100)
        more = CreditNoteLine(
            credit_note=note, position=2, invoice_line=note.lines.get().invoice_line, amount=5, description="More"
        )
        more.save()
        with pytest.raises(IntegrityError, match="do not sum"):
            connection.check_constraints()

    def test_is_frozen(self, acme):
        invoice = makers.invoiced(acme, 1000)
        note = credit(invoice, 100)
        with pytest.raises(IntegrityError), transaction.atomic():
            CreditNote.objects.filter(pk=note.pk).update(total=1)


def give_back(invoice: Invoice, amount: int, *, settle: str = "line") -> list[Charge]:
    with transaction.atomic():
        return give_back_credits(
            credits=[LineCredit(invoice.lines.first(), amount)],
            settle=settle,
            invoice_at=JAN_15,
            reason="subscription_change",
            origin="api",
            at=JAN_15,
        )


class TestGiveBack:
    def test_what_was_paid_becomes_a_credit_line_with_its_own_tax(self, acme):
        invoice = makers.invoiced(acme, 3000)
        makers.paid(invoice)
        (charge,) = give_back(invoice, 1000)
        assert (charge.amount, charge.quantity, charge.status, charge.credits_line.invoice) == (
            -1000,
            -1,
            "pending",
            invoice,
        )
        following = makers.invoiced(acme, 5000, at=JAN_15)
        line = following.lines.get(credits_line__isnull=False)
        assert (line.amount, line.taxes[0]["amount"], line.taxes[0]["evidence"]["date"]) == (-1000, -200, "2026-01-01")
        assert (following.subtotal, following.tax_total, following.total) == (4000, 800, 4800)

    def test_the_unpaid_part_is_offset_first(self, acme):
        invoice = makers.invoiced(acme, 3000)
        makers.paid(invoice, 3000)
        (charge,) = give_back(invoice, 1000)
        assert charge.amount == -500
        note = CreditNote.objects.get()
        assert (note.offset_amount, note.subtotal, note.settle) == (600, 500, "balance")
        invoice.refresh_from_db()
        assert (invoice.status, invoice.amount_due) == ("paid", 0)

    def test_an_unpaid_invoice_is_offset_alone(self, acme):
        invoice = makers.invoiced(acme, 3000)
        assert give_back(invoice, 1000) == []
        invoice.refresh_from_db()
        assert (invoice.amount_due, balance(acme)) == (2400, 0)

    @pytest.mark.parametrize(("settle", "kept", "refunded"), [("balance", 1200, 0), ("refund", 0, 1200)])
    def test_or_goes_to_the_balance_or_back(self, acme, settle, kept, refunded):
        invoice = makers.invoiced(acme, 3000)
        payment = makers.paid(invoice)
        assert give_back(invoice, 1000, settle=settle) == []
        payment.refresh_from_db()
        assert (balance(acme), payment.amount_refunded) == (kept, refunded)

    def test_never_gives_back_twice(self, acme):
        invoice = makers.invoiced(acme, 3000)
        makers.paid(invoice)
        give_back(invoice, 2000)
        assert [charge.amount for charge in give_back(invoice, 2000)] == [-1000]
        assert give_back(invoice, 2000) == []
        assert give_back(invoice, 2000, settle="balance") == []
        assert Charge.objects.filter(credits_line__isnull=False).count() == 2
        with pytest.raises(Invalid):
            credit(invoice, 1)


class TestRefunds:
    def test_one_by_card_goes_through_the_gateway(self):
        plan, acme = makers.published_plan(), makers.customer()
        subscription = makers.subscribed(acme, plan=plan)
        credit(Invoice.objects.get(lines__subscription=subscription), 1000, settle="refund")
        refund = Refund.objects.get()
        assert (refund.status, refund.by_hand) == ("pending", False)
        assert refunds.send_pending() == 1
        refund.refresh_from_db()
        assert (refund.status, refund.amount) == ("succeeded", 1000)
        assert refund.gateway_reference
        assert refunds.send_pending() == 0
        assert set(Event.objects.filter(type__startswith="billing.refund").values_list("type", flat=True)) == {
            "billing.refund.created",
            "billing.refund.succeeded",
        }
