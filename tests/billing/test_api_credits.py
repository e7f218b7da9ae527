"""Credit notes, refunds, balances and invoices made by hand, over the API."""

import pytest

from billing import balances, refunds
from billing.models import Invoice, Plan, Refund
from tests.billing import makers
from tests.billing.api import BASE, caller, problem
from tests.world import JAN_1

pytestmark = pytest.mark.django_db


@pytest.fixture
def api():
    return caller()


@pytest.fixture
def acme():
    makers.tax_rate("20")
    return makers.customer(collection_method="send_invoice")


def note(api, invoice: Invoice, amount: int, **fields):
    line = invoice.lines.get().public_id
    body = {"invoice": invoice.public_id, "lines": [{"invoice_line": line, "amount": amount}]} | fields
    return api.post(f"{BASE}/credit_notes", body, format="json")


def balance(api, customer) -> int:
    return api.get(f"{BASE}/customers/{customer.public_id}").json()["credit_balance"]


class TestCreditNotes:
    def test_gives_back_to_the_balance(self, api, acme):
        invoice = makers.invoiced(acme, 1000)
        makers.paid(invoice)
        response = note(api, invoice, 400, reason="Late", settle="balance")
        assert response.status_code == 201
        shown = response.json()
        assert (shown["number"][:3], shown["invoice"], shown["customer"]) == ("CN-", invoice.public_id, acme.public_id)
        assert (shown["subtotal"], shown["tax_total"], shown["total"], shown["balance_amount"]) == (400, 80, 480, 480)
        assert (shown["settle"], shown["status"], shown["reason"]) == ("balance", "issued", "Late")
        assert [(line["amount"], line["tax_amount"]) for line in shown["lines"]] == [(400, 80)]
        assert [(tax["rate"], tax["amount"]) for tax in shown["taxes"]] == [("vat", 80)]
        assert balance(api, acme) == 480
        assert api.get(f"{BASE}/credit_notes/{shown['id']}").json() == shown
        assert api.get(f"{BASE}/credit_notes?invoice={invoice.public_id}").json()["results"] == [shown]
        assert api.get(f"{BASE}/invoices/{invoice.public_id}").json()["credit_note_total"] == 480

    def test_names_the_amount_that_is_too_much(self, api, acme):
        invoice = makers.invoiced(acme, 1000)
        assert problem(note(api, invoice, 1001), status=400) == ("more_than_creditable", "lines.0.amount")
        assert problem(note(api, invoice, 0), status=400) == ("min_value", "lines.0.amount")
        assert problem(note(api, invoice, 10, settle="gift"), status=400)[1] == "settle"

    def test_goes_back_to_the_payment(self, api, acme):
        invoice = makers.invoiced(acme, 1000)
        payment = makers.paid(invoice)
        shown = note(api, invoice, 1000, settle="refund").json()
        refund = api.get(f"{BASE}/refunds/{shown['refunds'][0]}").json()
        assert (refund["payment"], refund["amount"], refund["by_hand"]) == (payment.public_id, 1200, True)
        assert (refund["status"], refund["credit_note"]) == ("pending", shown["id"])
        assert api.get(f"{BASE}/payments/{payment.public_id}").json()["amount_refunded"] == 1200


class TestBalance:
    def test_is_adjusted_with_a_reason(self, api, acme):
        body = {"customer": acme.public_id, "amount": 500, "reason": "An outage"}
        entry = api.post(f"{BASE}/balance_entries", body, format="json").json()
        assert (entry["kind"], entry["amount"], entry["balance_after"], entry["currency"]) == (
            "adjustment",
            500,
            500,
            "USD",
        )
        assert balance(api, acme) == 500
        assert api.get(f"{BASE}/balance_entries?customer={acme.public_id}").json()["results"] == [entry]
        assert api.get(f"{BASE}/balance_entries/{entry['id']}").json() == entry
        answer = api.post(f"{BASE}/balance_entries", body | {"amount": -501}, format="json")
        assert problem(answer, status=409) == ("balance_too_low", "amount")
        answer = api.post(f"{BASE}/balance_entries", body | {"reason": ""}, format="json")
        assert problem(answer, status=400)[1] == "reason"

    def test_money_for_no_invoice_stands_to_the_credit(self, api, acme):
        address = f"{BASE}/customers/{acme.public_id}/payments"
        payment = api.post(address, {"amount": 700, "reference": "Too early"}, format="json").json()
        assert (payment["status"], payment["allocations"]) == ("succeeded", [])
        assert balance(api, acme) == 700
        assert problem(api.post(address, {}, format="json"), status=400)[1] == "amount"

    def test_one_payment_over_several_invoices_and_the_rest_to_the_balance(self, api, acme):
        first, second = makers.invoiced(acme, 1000), makers.invoiced(acme, 2000)
        body = {"invoices": [first.public_id, second.public_id], "amount": 4000}
        payment = api.post(f"{BASE}/customers/{acme.public_id}/payments", body, format="json").json()
        assert [share["amount"] for share in payment["allocations"]] == [1200, 2400]
        assert balance(api, acme) == 400


@pytest.mark.django_db(transaction=True)
class TestRefunds:
    def test_pay_the_balance_out(self, api):
        acme = makers.customer()
        makers.card(acme)
        makers.subscribed(acme, plan=makers.published_plan())
        payment = acme.payments.get()
        body = {"payment": payment.public_id, "amount": 300, "reason": "Asked for"}
        assert problem(api.post(f"{BASE}/refunds", body, format="json"), status=409)[0] == "balance_too_low"
        assert not Refund.objects.exists()
        balances.adjust(customer=acme, amount=500, reason="An outage", at=JAN_1)
        refund = api.post(f"{BASE}/refunds", body, format="json", headers={"Idempotency-Key": "r"}).json()
        assert (refund["status"], refund["amount"]) == ("succeeded", 300)
        again = api.post(f"{BASE}/refunds", body, format="json", headers={"Idempotency-Key": "r"}).json()
        assert again == refund
        assert balance(api, acme) == 200
        assert problem(api.post(f"{BASE}/refunds", body | {"amount": 4601}, format="json"), status=400)[1] == "amount"

    def test_one_that_fails_goes_back_to_the_balance(self, api):
        acme = makers.customer()
        makers.card(acme, "pm_card_refundFail")
        makers.subscribed(acme, plan=makers.published_plan())
        invoice = Invoice.objects.get()
        note(api, invoice, 1000, settle="refund")
        assert refunds.send_pending() == 1
        refund = api.get(f"{BASE}/refunds").json()["results"][0]
        assert (refund["status"], refund["failure_code"]) == ("failed", "expired_or_canceled_card")
        assert (balance(api, acme), acme.payments.get().amount_refunded) == (1000, 0)


class TestInvoicesByHand:
    def body(self, customer, **fields):
        lines = [
            {"description": "Workshop", "quantity": 2, "unit_amount": "15000"},
            {"description": "Travel", "amount": 1250},
        ]
        return {"customer": customer.public_id, "lines": lines} | fields

    def test_a_draft_that_is_written_again_and_finalized(self, api, acme):
        response = api.post(f"{BASE}/invoices", self.body(acme, po_number="PO-7"), format="json")
        assert response.status_code == 201
        draft = response.json()
        assert (draft["status"], draft["subtotal"], draft["tax_total"], draft["total"]) == ("draft", 31250, 6250, 37500)
        assert [(line["kind"], line["reason"], line["amount"]) for line in draft["lines"]] == [
            ("one_off", "manual", 30000),
            ("one_off", "manual", 1250),
        ]
        address = f"{BASE}/invoices/{draft['id']}"
        lines = [{"description": "Workshop, shortened", "amount": 20000}]
        changed = api.patch(address, {"lines": lines, "net_terms_days": 14}, format="json").json()
        assert (changed["total"], len(changed["lines"]), changed["net_terms_days"]) == (24000, 1, 14)
        assert changed["po_number"] == "PO-7"
        assert api.patch(address, {"po_number": "PO-8"}, format="json").json()["total"] == 24000
        final = api.post(f"{address}/finalization").json()
        assert (final["status"], final["number"][:4], final["po_number"]) == ("open", "INV-", "PO-8")
        refusal = api.patch(address, {"lines": lines}, format="json")
        assert problem(refusal, status=409)[0] == "invoice_not_editable"

    def test_finalized_at_once(self, api, acme):
        final = api.post(f"{BASE}/invoices", self.body(acme, finalize=True, net_terms_days=7), format="json").json()
        assert (final["status"], final["collection_method"], final["net_terms_days"]) == ("open", "send_invoice", 7)

    def test_a_one_time_price(self, api, acme):
        plan = makers.plan()
        makers.price(plan=plan, code="setup", interval="one_time", unit_amount=9900)
        makers.price(plan=plan, code="monthly")
        draft = api.post(
            f"{BASE}/invoices", self.body(acme, lines=[{"price": "setup", "quantity": 1}]), format="json"
        ).json()
        assert (draft["subtotal"], draft["lines"][0]["description"]) == (9900, "Pro")
        refusal = api.post(f"{BASE}/invoices", self.body(acme, lines=[{"price": "monthly"}]), format="json")
        assert problem(refusal, status=400) == ("invalid", "lines.0.price")

    @pytest.mark.parametrize(
        ("line", "attr"),
        [
            ({"description": "Both", "amount": 1, "unit_amount": "1"}, "lines.0.amount"),
            ({"description": "None"}, "lines.0.amount"),
            ({"description": "Back", "amount": -1}, "lines.0.amount"),
            ({"description": "Back", "unit_amount": "-1"}, "lines.0.unit_amount"),
            ({"amount": 1}, "lines.0.description"),
            ({"description": "Half", "amount": 1, "period_start": "2026-01-01T00:00:00Z"}, "lines.0.period_end"),
        ],
    )
    def test_refuses_what_says_nothing(self, api, acme, line, attr):
        refusal = api.post(f"{BASE}/invoices", self.body(acme, lines=[line]), format="json")
        assert problem(refusal, status=400)[1] == attr
        assert not Invoice.objects.exists()

    def test_refuses_another_currency(self, api, acme):
        refusal = api.post(f"{BASE}/invoices", self.body(acme, currency="EUR"), format="json")
        assert problem(refusal, status=400) == ("currency_differs", "currency")

    def test_one_that_subscriptions_made_is_not_written_again(self, api):
        acme = makers.customer(collection_method="send_invoice")
        makers.published_plan()
        subscription = makers.subscribed(acme, plan=Plan.objects.get())
        invoice = Invoice.objects.get(lines__subscription=subscription)
        refusal = api.patch(f"{BASE}/invoices/{invoice.public_id}", {"po_number": "x"}, format="json")
        assert problem(refusal, status=409)[0] == "invoice_not_editable"


class TestWriteOff:
    def test_a_later_payment_settles_it_all_the_same(self, api, acme):
        invoice = makers.invoiced(acme, 1000)
        address = f"{BASE}/invoices/{invoice.public_id}"
        shown = api.post(f"{address}/write_off", {"reason": "Bankrupt"}, format="json").json()
        assert (shown["status"], shown["amount_due"], shown["metadata"]) == (
            "uncollectible",
            1200,
            {"write_off_reason": "Bankrupt"},
        )
        assert problem(api.post(f"{address}/write_off"), status=409)[0] == "invoice_not_open"
        shown = api.post(f"{address}/payment", {"amount": 1200}, format="json").json()
        assert (shown["status"], shown["amount_due"]) == ("paid", 0)
