"""The PDF of an invoice: what it says, in which language, and that it is rendered once."""

import hashlib
import io
from datetime import UTC, date, datetime, timedelta

import pytest
from pypdf import PdfReader

from billing import catalog, documents, invoices, payments, runs, subscriptions
from billing.models import Document, Invoice
from gtm.shared import vendors
from gtm.shared.errors import Conflict
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
FEB_1 = datetime(2026, 2, 1, tzinfo=UTC)
ADDRESS = {"line1": "Industriestraße 17", "postal_code": "70565", "city": "Stuttgart", "country": "DE"}


def bought(**fields) -> Invoice:
    """The open invoice of a German company, with graduated usage and VAT."""
    makers.legal_entity(email="billing@vendor.example", iban="DE89370400440532013000", bic="COBADEFFXXX")
    catalog.create_tax_rate(
        at=JAN_1, code="de-19", name="VAT", percentage=19, country="DE", valid_from=date(2020, 1, 1)
    )
    plan = makers.published_plan()
    meter = plan.current_version.entitlements.get().feature.meter
    tiers = [{"up_to": 10, "unit_amount": "2"}, {"up_to": None, "unit_amount": "1.5"}]
    makers.price(
        plan=plan, code="calls", meter=meter, timing="in_arrears", model="graduated", unit_amount=None, tiers=tiers
    )
    customer = makers.customer(
        **{"name": "Müller & Söhne GmbH", "country": "DE", "billing_address": ADDRESS, "po_number": "4500-118"} | fields
    )
    subscriptions.create(customer=customer, plan=plan, collection_method="send_invoice", at=JAN_1)
    makers.calls(customer, 13, at=JAN_1 + timedelta(days=3))
    runs.bill_due(at=FEB_1)
    runs.bill_due(at=FEB_1 + timedelta(hours=1))
    return Invoice.objects.order_by("number").last()


def text_of(content: bytes) -> str:
    pages = PdfReader(io.BytesIO(content)).pages
    return " ".join(" ".join(page.extract_text() for page in pages).split())


class TestPdf:
    def test_says_who_owes_whom_what_why_and_how_to_pay(self):
        invoice = bought()
        text = text_of(documents.invoice_pdf(invoice=invoice, at=FEB_1).content)
        for part in (
            "INV-2026-000002",
            "Vendor GmbH",
            "DE136695976",
            "Müller & Söhne GmbH",
            "Industriestraße 17",
            "70565 Stuttgart",
            "Germany",
            "Feb 1, 2026",
            "Mar 3, 2026",
            "4500-118",
            "Pro: API calls",
            "Above 0, up to 10: 10 × $0.02 = $0.20",
            "VAT 19% on $49.25",
            "$9.36",
            "$58.61",
            "30 days net",
            "DE89 3704 0044 0532 0130 00",
        ):
            assert part in text, part

    def test_is_rendered_once_and_served_ever_after(self):
        invoice = bought()
        first = documents.invoice_pdf(invoice=invoice, at=FEB_1)
        vendors.change(accent="#aa0000")
        again = documents.invoice_pdf(invoice=invoice, at=FEB_1)
        assert bytes(again.content) == bytes(first.content)
        assert first.sha256 == hashlib.sha256(bytes(first.content)).hexdigest()
        assert (first.filename, Document.objects.count()) == ("INV-2026-000002.pdf", 1)

    def test_says_what_was_paid(self):
        invoice = bought()
        payments.record_manual(
            customer=invoice.customer,
            invoices=[invoice],
            method="bank_transfer",
            amount=861,
            reference="Wire 8812",
            paid_at=FEB_1,
            at=FEB_1,
        )
        invoice.refresh_from_db()
        text = text_of(documents.invoice_pdf(invoice=invoice, at=FEB_1).content)
        assert "Wire 8812" in text
        assert "−$8.61" in text
        assert "$50.00" in text

    def test_writes_money_and_dates_as_the_buyer_does(self):
        invoice = bought(preferred_locale="de-AT")
        text = text_of(documents.invoice_pdf(invoice=invoice, at=FEB_1).content).replace("\xa0", " ")
        assert "58,61 $" in text
        assert "01.02.2026" in text

    def test_of_a_test_clock_is_marked(self):
        clock = makers.clock()
        customer = makers.customer(test_clock=clock)
        makers.card(customer)
        subscriptions.create(customer=customer, plan=makers.published_plan(), at=JAN_1)
        text = text_of(documents.invoice_pdf(invoice=Invoice.objects.get(), at=JAN_1).content)
        assert "TEST" in text.replace("TEST-INV", "").replace(" ", "")
        assert "Visa •••• 4242" in text

    def test_of_a_void_invoice_says_so(self):
        invoice = invoices.void(invoice=bought(), at=FEB_1)
        assert "This invoice is void." in text_of(documents.invoice_pdf(invoice=invoice, at=FEB_1).content)

    def test_says_who_accounts_for_the_tax(self):
        invoice = bought(country="FR", tax_id="FR40303265045", billing_address={})
        assert "Reverse charge" in text_of(documents.invoice_pdf(invoice=invoice, at=FEB_1).content)

    def test_a_draft_has_none(self):
        invoice = bought()
        makers.calls(invoice.customer, 1, at=FEB_1 + timedelta(days=1))
        runs.bill_due(at=datetime(2026, 3, 1, tzinfo=UTC))
        with pytest.raises(Conflict):
            documents.invoice_pdf(invoice=Invoice.objects.get(status="draft"), at=FEB_1)

    @pytest.mark.parametrize("logo", ["<svg", "data:image/png;base64,!!", "data:image/png;base64,AAAA", "nonsense"])
    def test_a_broken_logo_keeps_no_invoice_from_being_printed(self, logo):
        vendors.change(logo=logo)
        assert "Vendor GmbH" in text_of(documents.invoice_pdf(invoice=bought(), at=FEB_1).content)

    def test_text_is_never_read_as_markup(self):
        name = '#panic() $x$ *bold* \\ "quoted" [a] <b> @c'
        text = text_of(documents.invoice_pdf(invoice=bought(name=name), at=FEB_1).content)
        assert "#panic() $x$ *bold*" in text

    def test_many_lines_run_over_several_pages(self):
        customer = makers.customer()
        plan = makers.published_plan()
        for _ in range(60):
            subscriptions.create(customer=customer, plan=plan, collection_method="send_invoice", at=JAN_1)
        runs.bill_due(at=FEB_1)
        document = documents.invoice_pdf(invoice=Invoice.objects.get(gathered_at=FEB_1), at=FEB_1)
        reader = PdfReader(io.BytesIO(bytes(document.content)))
        assert len(reader.pages) > 2
        assert f"Page 2 of {len(reader.pages)}" in " ".join(reader.pages[1].extract_text().split())


class TestRenderMissing:
    def test_renders_what_has_none_yet(self):
        bought()
        assert documents.render_missing(at=FEB_1) == 2
        assert documents.render_missing(at=FEB_1) == 0
        assert Document.objects.count() == 2

    def test_waits_for_the_card_up_to_an_hour(self):
        customer = makers.customer()
        makers.card(customer)
        subscriptions.create(customer=customer, plan=makers.published_plan(), at=JAN_1)
        runs.bill_due(at=FEB_1, collect=False)
        assert documents.render_missing(at=FEB_1) == 2  # January's invoice and its receipt
        assert documents.render_missing(at=FEB_1 + timedelta(minutes=59)) == 0
        assert documents.render_missing(at=FEB_1 + timedelta(hours=1)) == 1
