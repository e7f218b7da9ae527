"""Credit notes: what they may give back, how they are settled, and giving back what won't be used."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from billing import balances, catalog, credit_notes, customers, drafting, invoices, refunds, runs
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
    Meter,
    Refund,
)
from billing.selection import ItemTerms
from gtm.shared import vendors
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
    return makers.credited(invoice, *amounts, settle=settle, at=JAN_15)


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


def bill(customer, *, at: datetime = JAN_15, wait: bool = True) -> list[Invoice]:
    with transaction.atomic():
        context = drafting.context(vendor=vendors.current(), at=at)
        return invoices.bill_pending(payers=[customer], subscriptions=[], context=context, wait=wait)


def owe(customer, amount: int, **fields) -> Charge:
    return Charge.objects.create(
        customer=customer,
        payer=customer,
        kind="one_off",
        reason="manual",
        currency="USD",
        amount=amount,
        quantity=1,
        description="More",
        invoice_at=JAN_15,
        **fields,
    )


class TestNoRoom:
    """No invoice asks for less than nothing."""

    def test_a_credit_alone_goes_to_the_balance(self, acme):
        invoice = makers.invoiced(acme, 3000)
        makers.paid(invoice)
        (charge,) = give_back(invoice, 1000)
        assert bill(acme) == []
        charge.refresh_from_db()
        note = CreditNote.objects.get()
        assert (charge.status, charge.credit_note_line.credit_note) == ("replaced", note)
        assert (note.total, balance(acme), note.invoice) == (1200, 1200, invoice)

    def test_a_credit_above_the_charges_goes_to_the_balance_which_pays_them(self, acme):
        invoice = makers.invoiced(acme, 3000)
        makers.paid(invoice)
        give_back(invoice, 2500)
        owe(acme, 1000)
        (following,) = bill(acme)
        following.refresh_from_db()
        assert (following.total, following.balance_applied, following.status) == (1200, 1200, "paid")
        assert (balance(acme), CreditNote.objects.get().total) == (1800, 3000)

    def test_what_fits_stays_a_line(self, acme):
        invoice = makers.invoiced(acme, 3000)
        makers.paid(invoice)
        give_back(invoice, 2000)
        give_back(invoice, 700)
        owe(acme, 1000)
        (following,) = bill(acme)
        assert list(following.lines.order_by("position").values_list("amount", flat=True)) == [-700, 1000]
        assert (following.total, following.balance_applied, balance(acme)) == (360, 360, 2040)

    def test_a_tax_treatment_that_differs_makes_a_document_of_its_own(self, acme):
        invoice = makers.invoiced(acme, 3000)
        makers.paid(invoice)
        give_back(invoice, 1000)
        customers.change(customer=acme, tax_exempt="exempt", at=JAN_15)
        owe(acme, 5000)
        (following,) = bill(acme)
        assert (following.total, following.balance_applied) == (5000, 1200)
        assert CreditNote.objects.get().tax_total == 200

    def test_a_credit_for_a_line_of_a_draft_stands_on_the_draft(self, acme):
        owe(acme, 3000)
        with transaction.atomic():
            context = drafting.context(vendor=vendors.current(), at=JAN_15)
            (draft,) = drafting.gather(Charge.objects.select_related("payer", "customer"), context=context)
            draft.invoice.save()
            draft.lines[0].save()
            draft.taxes[0].save()
            Charge.objects.update(status="billed", invoice_line=draft.lines[0])
        assert give_back(draft.invoice, 1000) == []
        draft.invoice.refresh_from_db()
        assert (draft.invoice.subtotal, draft.invoice.tax_total, draft.invoice.total) == (2000, 400, 2400)
        invoice = invoices.finalize(invoice=draft.invoice, at=JAN_15)
        assert (invoice.total, invoice.lines.count(), credit_notes.creditable(draft.lines)) == (
            2400,
            2,
            {draft.lines[0].pk: 2000},
        )

    def test_what_an_invoice_has_no_room_for_is_given_back_where_it_was_paid(self, acme):
        """Bought at 60.00, upgraded at once to 100.00 (credit 60.00), upgraded again, and everything is given back."""
        first = makers.invoiced(acme, 6000)
        makers.paid(first)
        give_back(first, 6000)
        owe(acme, 10000)
        (second,) = bill(acme)
        second.refresh_from_db()
        assert second.total == 4800
        makers.paid(second)
        with transaction.atomic():
            pending = give_back_credits(
                credits=[LineCredit(second.lines.get(credits_line=None), 9000)],
                settle="refund",
                invoice_at=JAN_15,
                reason="subscription_end",
                origin="api",
                at=JAN_15,
            )
        assert pending == []
        notes = {note.invoice_id: (note.subtotal, note.total) for note in CreditNote.objects.all()}
        assert notes == {second.pk: (4000, 4800), first.pk: (5000, 6000)}
        assert sum(Refund.objects.values_list("amount", flat=True)) == 10800
        lines = [*first.lines.all(), *second.lines.filter(credits_line=None)]
        assert list(credit_notes.creditable(lines).values()) == [0, 1000]
        assert give_back(first, 6000, settle="balance") == []
        with transaction.atomic():
            again = give_back_credits(
                credits=[LineCredit(lines[1], 9000)],
                settle="balance",
                invoice_at=JAN_15,
                reason="subscription_end",
                origin="api",
                at=JAN_15,
            )
        assert again == []
        assert (balance(acme), credit_notes.creditable(lines)[lines[1].pk]) == (1200, 0)


class TestNothing:
    def test_no_document_where_the_vendor_wants_none(self, acme):
        vendors.change(issue_zero_invoices=False)
        charge = owe(acme, 0)
        assert bill(acme) == []
        charge.refresh_from_db()
        assert (charge.status, Invoice.objects.count()) == ("waived", 0)

    def test_a_free_plan_begins_without_one(self):
        vendors.change(issue_zero_invoices=False)
        plan, acme = makers.plan(code="free"), makers.customer()
        makers.price(plan=plan, code="free-month", unit_amount=0)
        subscription = makers.subscribed(acme, plan=catalog.publish(plan=plan, at=JAN_1))
        assert (subscription.status, Invoice.objects.count()) == ("active", 0)

    def test_a_draft_that_comes_to_nothing_is_dropped(self):
        vendors.change(issue_zero_invoices=False)
        plan, acme = makers.published_plan(), makers.customer()
        usage_price = makers.price(
            plan=plan, code="calls", timing="in_arrears", model="per_unit", unit_amount=1, meter=Meter.objects.get()
        )
        catalog.publish(plan=plan, at=JAN_1)
        subscription = makers.subscribed(acme, plan=plan, items=[ItemTerms(price=usage_price)])
        run_at = datetime(2026, 2, 1, tzinfo=UTC)
        runs.bill_due(at=run_at)
        assert Invoice.objects.filter(status="draft").count() == 1
        runs.bill_due(at=run_at + timedelta(hours=1))
        assert not Invoice.objects.exists()
        assert Charge.objects.get(subscription=subscription).status == "waived"
        assert Event.objects.filter(type="billing.invoice.dropped").count() == 1
