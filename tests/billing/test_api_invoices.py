"""Invoices and payments over the API."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from billing import runs, subscriptions
from billing.models import Invoice
from gtm.shared import db, keys
from tests.billing import makers, papers
from tests.billing.einvoices import broken_rules

pytestmark = pytest.mark.django_db
INVOICES = "/api/v1/invoices"


@pytest.fixture
def api() -> APIClient:
    _, plaintext = keys.issue(name="Tests", scope="write")
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {plaintext}")
    return client


@pytest.fixture
def plan():
    return makers.published_plan()


@pytest.fixture
def acme():
    return makers.customer()


def opened(plan, customer, **terms: Any) -> Invoice:
    at = db.now_for(customer)
    bought = subscriptions.create(customer=customer, plan=plan, collection_method="send_invoice", at=at, **terms)
    return Invoice.objects.get(lines__subscription=bought)


def problem(response: Any, status: int) -> tuple[str, str | None]:
    assert response.status_code == status, response.data
    error = response.json()["errors"][0]
    return error["code"], error["attr"]


class TestRetrieve:
    def test_shows_what_is_billed_and_why(self, api, plan, acme):
        invoice = opened(plan, acme, po_number="PO-4")
        body = api.get(f"{INVOICES}/{invoice.public_id}").json()
        (line,) = body["lines"]
        assert (body["number"], body["status"], body["payment_status"]) == (invoice.number, "open", "none")
        assert (body["subtotal"], body["tax_total"], body["total"], body["amount_due"]) == (4900, 0, 4900, 4900)
        assert (body["customer"], body["po_number"]) == (acme.public_id, "PO-4")
        assert body["subscriptions"] == [line["subscription"]]
        assert (line["kind"], line["reason"], line["amount"], line["unit_amount"]) == (
            "recurring",
            "subscription_start",
            4900,
            "4900",
        )
        assert line["explanation"] == "Fixed price of $49.00"
        assert (body["buyer"]["name"], body["seller"]["name"]) == ("Acme", "Tandem")

    def test_lists_with_a_constant_number_of_queries(self, api, plan, acme):
        api.get(INVOICES)  # notes the use of the key
        counts = []
        for _ in range(2):
            opened(plan, acme)
            with CaptureQueriesContext(connection) as queries:
                assert api.get(INVOICES).status_code == 200
            counts.append(len(queries))
        assert counts[0] == counts[1]

    def test_filters(self, api, plan, acme):
        invoice = opened(plan, acme)
        for query, found in [
            (f"customer={acme.public_id}", 1),
            (f"number={invoice.number}", 1),
            ("status=paid", 0),
            ("collection_method=send_invoice", 1),
            (f"subscription={invoice.lines.get().subscription.public_id}", 1),
        ]:
            assert len(api.get(f"{INVOICES}?{query}").json()["results"]) == found, query


class TestPdf:
    def test_is_the_document(self, api, plan, acme):
        body = api.get(f"{INVOICES}/{opened(plan, acme).public_id}").json()
        response = api.get(body["pdf_url"])
        assert response["Content-Type"] == "application/pdf"
        assert response.content.startswith(b"%PDF-")
        assert f"{body['number']}.pdf" in response["Content-Disposition"]

    def test_of_nothing_is_404(self, api):
        assert api.get(f"{INVOICES}/inv_00000000000000000000000000/pdf").status_code == 404


class TestEInvoice:
    @pytest.mark.parametrize(("syntax", "flavor"), [("xml", "factur-x"), ("ubl", "ubl-2.1")])
    def test_is_one_of_the_standard(self, api, syntax, flavor):
        invoice = papers.invoice(papers.line(4900))
        response = api.get(f"{INVOICES}/{invoice.public_id}/{syntax}")
        assert response["Content-Type"] == "application/xml"
        assert f"{invoice.number}-" in response["Content-Disposition"]
        assert broken_rules(response.content, flavor) == []

    def test_a_draft_has_none_and_others_say_why(self, api):
        draft = papers.invoice(papers.line(4900), status="draft", number=None, finalized_at=None)
        assert problem(api.get(f"{INVOICES}/{draft.public_id}/xml"), 409)[0] == "invoice_is_draft"
        nowhere = papers.invoice(papers.line(4900), buyer={"country": "", "address": {}})
        assert problem(api.get(f"{INVOICES}/{nowhere.public_id}/ubl"), 409)[0] == "no_e_invoice_buyer_country"


class TestReceipt:
    def test_is_the_payments_document(self, api):
        payment = papers.paid(papers.invoice(papers.line(4900)), 5831)
        response = api.get(f"/api/v1/payments/{payment.public_id}/receipt")
        assert response["Content-Type"] == "application/pdf"
        assert response.content.startswith(b"%PDF-")

    def test_a_payment_that_failed_has_none(self, api):
        payment = papers.paid(papers.invoice(papers.line(4900)), 5831, status="failed")
        assert problem(api.get(f"/api/v1/payments/{payment.public_id}/receipt"), 409)[0] == "payment_not_succeeded"


class TestPayment:
    def test_can_be_partial(self, api, plan, acme):
        address = f"{INVOICES}/{opened(plan, acme).public_id}/payment"
        body = api.post(address, {"method": "bank_transfer", "amount": 900, "reference": "Wire 1"}).json()
        assert (body["status"], body["amount_paid"], body["amount_due"]) == ("open", 900, 4000)
        body = api.post(address, {}).json()
        assert (body["status"], body["payment_status"], body["amount_due"]) == ("paid", "paid", 0)
        assert body["paid_at"]
        assert problem(api.post(address, {}), 409)[0] == "nothing_due"

    def test_for_several_invoices_is_one_payment(self, api, plan, acme):
        ids = [opened(plan, acme).public_id for _ in range(2)]
        response = api.post(f"/api/v1/customers/{acme.public_id}/payments", {"invoices": ids, "amount": 5000})
        assert response.status_code == 201
        assert response.json()["allocations"] == [
            {"invoice": ids[0], "amount": 4900},
            {"invoice": ids[1], "amount": 100},
        ]
        listed = api.get(f"/api/v1/payments?customer={acme.public_id}").json()["results"]
        assert [one["id"] for one in listed] == [response.json()["id"]]

    def test_for_another_customers_invoice_is_refused(self, api, plan, acme):
        invoice = opened(plan, makers.customer(name="Zeta"))
        response = api.post(f"/api/v1/customers/{acme.public_id}/payments", {"invoices": [invoice.public_id]})
        assert problem(response, 400)[1] == "invoices"

    def test_the_same_key_pays_once(self, api, plan, acme):
        address = f"{INVOICES}/{opened(plan, acme).public_id}/payment"
        for _ in range(2):
            body = api.post(address, {"amount": 100}, headers={"Idempotency-Key": "p-1"}).json()
        assert body["amount_paid"] == 100
        assert Invoice.objects.get().amount_paid == 100


class TestCollection:
    def test_charges_the_card_now(self, api, plan, acme):
        invoice = opened(plan, acme)
        address = f"{INVOICES}/{invoice.public_id}/collection"
        assert problem(api.post(address), 409) == ("no_payment_method", "payment_method")
        makers.card(acme)
        assert api.post(address).json()["status"] == "paid"
        payment = api.get("/api/v1/payments").json()["results"][0]
        assert (payment["status"], payment["method"], payment["attempt"]) == ("succeeded", "card", 1)
        assert payment["allocations"] == [{"invoice": invoice.public_id, "amount": 4900}]


class TestVoid:
    def test_takes_it_back(self, api, plan, acme):
        address = f"{INVOICES}/{opened(plan, acme).public_id}"
        assert api.post(f"{address}/void", {"reason": "wrong PO"}).json()["status"] == "void"
        assert problem(api.post(f"{address}/void"), 409)[0] == "invoice_not_open"


class TestFinalization:
    def test_numbers_a_draft(self, api, plan, acme):
        meter = plan.current_version.entitlements.get().feature.meter
        makers.price(plan=plan, code="calls", meter=meter, timing="in_arrears", model="per_unit", unit_amount=2)
        makers.card(acme)
        start = datetime(2026, 1, 1, tzinfo=UTC)
        subscriptions.create(customer=acme, plan=plan, at=start)
        runs.bill_due(at=start + timedelta(days=31))
        draft = Invoice.objects.get(status=Invoice.Status.DRAFT)
        address = f"{INVOICES}/{draft.public_id}"
        body = api.get(address).json()
        assert (body["number"], body["pdf_url"], body["status"]) == (None, None, "draft")
        assert problem(api.get(f"{address}/pdf"), 409)[0] == "invoice_is_draft"
        body = api.post(f"{address}/finalization").json()
        assert (body["number"], body["status"]) == ("INV-2026-000002", "paid")
        assert problem(api.post(f"{address}/finalization"), 409)[0] == "invoice_not_draft"
