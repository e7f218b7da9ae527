"""Credit notes, balances, refunds and invoices by hand, as finance makes them in the back office."""

import pytest
from django.test import Client

from billing import balances
from billing.models import CreditNote, CustomerBalance, Invoice, Payment, Refund
from tests import world
from tests.backoffice import address, errors, facts, signed_in, submit
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    return signed_in(world.user(email="money@vendor.example", roles=("finance",)))


@pytest.fixture
def acme():
    makers.tax_rate("20")
    return makers.customer(collection_method="send_invoice")


def balance(customer) -> int:
    return sum(CustomerBalance.objects.filter(customer=customer).values_list("amount", flat=True))


def seen(page) -> dict[str, str]:
    """What sends a step's form again after its outcome was shown."""
    assert page.context["outcome"]
    return {"_shown": page.context["shown"]}


class TestCreditNote:
    def test_its_totals_are_shown_before_it_is_issued(self, client, acme):
        invoice = makers.invoiced(acme, 10000, 5000)
        makers.paid(invoice, 17000)
        path = address("billing_invoice_credit", invoice.pk)
        entered = {"line_1": "25.00", "settle": "balance", "reason": "Late"}
        page = submit(client, path, **entered)
        assert page.context["outcome"] == [
            "Net: $25.00",
            "VAT 20 %: $5.00",
            "Total: $30.00",
            "Off what is open: $10.00",
            "To the balance: $20.00",
        ]
        assert not CreditNote.objects.exists()
        submit(client, path, **entered, **seen(page))
        note = CreditNote.objects.get()
        assert (note.total, note.reason, balance(acme)) == (3000, "Late", 2000)
        assert facts("billing.credit_note.issued") == ["billing.credit_note.issued"]

    def test_too_much_is_said_beside_its_line(self, client, acme):
        invoice = makers.invoiced(acme, 10000, 5000)
        page = submit(client, address("billing_invoice_credit", invoice.pk), line_2="50.01", settle="balance")
        assert "Only $50.00" in errors(page)["line_2"][0]
        page = submit(client, address("billing_invoice_credit", invoice.pk), settle="balance")
        assert errors(page)["__all__"] == ["Enter what is given back of some line."]

    def test_stands_on_the_invoice_and_has_a_page(self, client, acme):
        invoice = makers.invoiced(acme, 10000)
        note = makers.credited(invoice, 2500)
        assert note.number in client.get(address("billing_invoice_change", invoice.pk)).content.decode()
        shown = client.get(address("billing_creditnote_change", note.pk)).content.decode()
        assert all(words in shown for words in (note.number, "$25.00", "$30.00"))
        assert client.get(address("billing_creditnote_changelist")).status_code == 200


class TestCollection:
    def test_payment_by_invoice_is_allowed_to_one_customer(self, client, acme):
        submit(client, address("billing_customer_allow_invoices", acme.pk))
        acme.refresh_from_db()
        assert (acme.allowed_collection_reason, "send_invoice" in acme.allowed_collection) == ("agreed", True)


class TestBalance:
    def test_is_adjusted_with_its_reason(self, client, acme):
        submit(client, address("billing_customer_adjust_balance", acme.pk), amount="5.00", reason="An outage")
        assert balance(acme) == 500
        page = submit(client, address("billing_customer_adjust_balance", acme.pk), amount="-6.00", reason="Too much")
        assert "Only $5.00" in errors(page)["amount"][0]
        shown = client.get(address("billing_customer_change", acme.pk)).content.decode()
        assert "$5.00 stand to this customer" in shown
        assert "An outage" in shown
        assert client.get(address("billing_balanceentry_changelist")).status_code == 200
        assert facts("billing.balance.changed") == ["billing.balance.changed"]

    def test_money_pays_the_oldest_first_and_the_rest_is_credit(self, client, acme):
        first, second = makers.invoiced(acme, 1000), makers.invoiced(acme, 2000)
        path = address("billing_customer_record_money", acme.pk)
        page = submit(client, path, amount="40.00")
        assert page.context["outcome"] == [f"{first}: $12.00", f"{second}: $24.00", "To the balance: $4.00"]
        submit(client, path, amount="40.00", **seen(page))
        assert (Payment.objects.get().amount, balance(acme)) == (4000, 400)
        assert set(Invoice.objects.values_list("status", flat=True)) == {"paid"}


class TestRefunds:
    def test_one_by_hand_is_paid_out(self, client, acme):
        invoice = makers.invoiced(acme, 1000)
        makers.paid(invoice)
        makers.credited(invoice, 1000, settle="refund")
        refund = Refund.objects.get()
        submit(client, address("billing_refund_paid_out", refund.pk), reference="TX 9")
        refund.refresh_from_db()
        assert (refund.status, refund.gateway_reference) == ("succeeded", "TX 9")
        assert facts("billing.refund.succeeded") == ["billing.refund.succeeded"]

    def test_one_that_cannot_be_paid_out_is_credit(self, client, acme):
        invoice = makers.invoiced(acme, 1000)
        payment = makers.paid(invoice)
        makers.credited(invoice, 1000, settle="refund")
        submit(client, address("billing_refund_give_up", Refund.objects.get().pk))
        payment.refresh_from_db()
        assert (Refund.objects.get().status, payment.amount_refunded, balance(acme)) == ("failed", 0, 1200)


class TestInvoiceByHand:
    def test_is_drafted_or_issued(self, client, acme):
        path = address("billing_customer_invoice_by_hand", acme.pk)
        lines = {"description_1": "Workshop", "quantity_1": "2", "price_1": "150.00", "po_number": "PO-7"}
        submit(client, path, **lines)
        draft = Invoice.objects.get()
        assert (draft.status, draft.subtotal, draft.total, draft.po_number) == ("draft", 30000, 36000, "PO-7")
        submit(client, path, **lines, finalize="on")
        assert Invoice.objects.filter(status="open").count() == 1
        assert errors(submit(client, path))["__all__"] == ["Enter a line."]


class TestWriteOff:
    def test_says_why(self, client, acme):
        invoice = makers.invoiced(acme, 1000)
        submit(client, address("billing_invoice_write_off", invoice.pk), reason="Bankrupt")
        invoice.refresh_from_db()
        assert (invoice.status, invoice.metadata) == ("uncollectible", {"write_off_reason": "Bankrupt"})
        assert facts("billing.invoice.written_off") == ["billing.invoice.written_off"]


@pytest.mark.django_db(transaction=True)
def test_credit_is_paid_out_to_where_a_payment_came_from():
    client = signed_in(world.user(email="money@vendor.example", roles=("finance",)))
    acme = makers.customer()
    makers.subscribed(acme, plan=makers.published_plan())
    balances.adjust(customer=acme, amount=500, reason="An outage", at=JAN_1)
    payment = acme.payments.get()
    submit(client, address("billing_payment_refund", payment.pk), amount="5.00")
    assert (Refund.objects.get().status, balance(acme)) == ("succeeded", 0)
