"""Invoices, credit notes and receipts as they are printed: what stands on them, in what sort of file."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from billing import documents, pricing, wording
from billing.models import Allocation, Coupon, Customer, Discount, DiscountUse, Document, Invoice, InvoiceLine, Refund
from billing.price_terms import PriceTerms
from gtm.shared import vendors
from gtm.shared.errors import Conflict
from tests.billing import makers, papers
from tests.billing.einvoices import broken_rules
from tests.billing.papers import TIERS, attached, line, text_of, vat
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
FEB_2 = datetime(2026, 2, 2, 9, tzinfo=UTC)
PAYMENT = UUID("019c4000-0000-7000-8000-000000000001")  # printed: the file is the same in every run
LOGO = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40"><rect width="40" height="40" fill="#1f6f54"/></svg>'


def printed(invoice) -> bytes:
    return bytes(documents.invoice_pdf(invoice=invoice, at=FEB_2).content)


class TestFile:
    def test_is_an_archive_that_can_be_read_aloud_with_its_e_invoice_inside(self):
        vendors.change(logo=LOGO)
        content = printed(papers.invoice(line(4900)))
        for profile in ("3b", "ua1"):
            assert papers.failures(content, profile) == []
        assert broken_rules(attached(content)["factur-x.xml"], "factur-x") == []
        metadata = papers.reader(content).root_object["/Metadata"].get_data()
        assert b"<fx:ConformanceLevel>EN 16931</fx:ConformanceLevel>" in metadata

    def test_goes_without_an_e_invoice_where_there_can_be_none(self):
        invoice = papers.invoice(line(4900), seller={**papers.SELLER, "tax_ids": []})
        content = printed(invoice)
        assert attached(content) == {}
        assert papers.failures(content, "3b") == []
        assert documents.why_no_e_invoice(invoice) == "The legal entity has no VAT id."
        with pytest.raises(documents.NoEInvoice, match="no VAT id"):
            documents.e_invoice(subject=invoice, syntax="ubl", at=FEB_2)

    @pytest.mark.parametrize(("country", "width"), [("DE", 595), ("US", 612)])
    def test_has_the_paper_of_the_sellers_country(self, country, width):
        seller = {"name": "Vendor", "country": country}
        content = printed(papers.invoice(line(4900), seller=seller))
        assert round(float(papers.reader(content).pages[0].mediabox.width)) == width


class TestInvoice:
    def test_says_how_each_amount_comes_about(self):
        usage = line(2725, quantity=Decimal(12500), unit_amount=None, explanation=TIERS, description="API calls")
        text = text_of(printed(papers.invoice(line(4900), usage)))
        for part in (
            "Feb 1 – 28, 2026 (Central European Time)",
            "Fixed price of €49.00",
            "Of 12,500, 1,000 are included; 11,500 are charged",
            "Above 0, up to 10,000: 10,000 × €0.002 = €20.00",
            "Above 10,000: 1,500 × €0.0015 plus €5.00 = €7.25",
            "Subtotal €76.25",
            "VAT 19% on €76.25 €14.49",
            "Total €90.74",
        ):
            assert part in text, part

    def test_says_what_each_transaction_adds_to_a_percentage(self):
        terms = PriceTerms(
            model="percentage",
            percentage=Decimal("1.5"),
            fixed_amount=Decimal(10),
            free_units=Decimal(1),
            per_transaction_min=Decimal(25),
            per_transaction_max=Decimal(500),
        )
        transactions = (Decimal(9000), Decimal(1000), Decimal(27000), Decimal(64000))
        rated = pricing.rate(terms, Decimal(101000), transactions)
        fees = line(rated.amount, quantity=Decimal(101000), unit_amount=None, explanation=wording.stored(rated.steps))
        text = text_of(printed(papers.invoice(fees)))
        for part in (
            "€1,010.00 €9.40",
            "Of €1,010.00, €90.00 is free; a fee is charged on €920.00",
            "1.5 % of €920.00 = €13.80",
            "4 transactions, 1 of them free; plus 3 × €0.10; 1 held down to €5.00; €9.40 in all",
        ):
            assert part in text, part

    def test_keeps_a_word_that_no_column_holds_within_its_column(self):
        word = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
        text = text_of(printed(papers.invoice(line(4900, description="7" * 120), buyer={"name": word, "locale": "de"})))
        assert "schifffahrtselektrizitätenhauptbetriebswerkbau" not in text
        assert "7" * 120 not in text
        assert word in text.replace("\xad ", "")
        assert "7" * 120 in text.replace(" ", "")

    def test_says_who_where_and_how_to_pay(self):
        text = text_of(printed(papers.invoice(line(4900))))
        for part in (
            "DE89 3704 0044 0532 0130 00",
            "COBADEFFXXX",
            "INV-2026-000900",
            "PO number 4500-118",
            "30 days net",
            "To be paid by Mar 3, 2026 As of Feb 2, 2026",
            "Register HRB 1234 B",
            "VAT ID DE811128135",
            "Industriestraße 17 70565 Stuttgart Germany",
        ):
            assert part in text, part

    def test_names_the_coupon_that_took_something_off(self):
        customer = makers.customer(currency="USD")
        subscription = makers.subscribed(customer, plan=makers.published_plan())
        invoice = papers.invoice(line(4900, discount_amount=980), customer=customer)
        coupon = Coupon.objects.create(code="SAVE20", percent_off=20, duration="forever")
        discount = Discount.objects.create(coupon=coupon, customer=customer, subscription=subscription, starts_at=JAN_1)
        DiscountUse.objects.create(discount=discount, invoice_line=invoice.lines.get(), period_start=JAN_1, amount=900)
        text = text_of(printed(invoice))
        assert "Discount SAVE20 (20%): −€9.00 Discount: −€0.80" in text
        assert "Discount SAVE20 (20%) −€9.00 Discount −€0.80" in text
        assert "Total €46.65" in text

    def test_says_what_settled_it(self):
        invoice = papers.invoice(line(4900))
        note = papers.credit_note(invoice, 1000, settle="offset", balance_amount=0, offset_amount=1190)
        Allocation.objects.create(
            invoice=invoice, kind="credit_note", credit_note=note, amount=1190, allocated_at=note.issued_at
        )
        Allocation.objects.create(invoice=invoice, kind="balance", amount=500, allocated_at=papers.FEB_1)
        invoice.amount_credited, invoice.balance_applied = 1190, 500
        papers.paid(invoice, invoice.amount_due)
        document = documents.invoice_pdf(invoice=invoice, at=FEB_2)
        text = text_of(document.content)
        for part in (
            "Paid on Feb 10, 2026 €58.31",
            "From your balance −€5.00 Credited −€11.90 Paid −€41.41 Amount due €0.00",
            "Feb 14, 2026: €11.90, Credit note CN-2026-000900",
            "Feb 10, 2026: €41.41, Visa •••• 4242",
        ):
            assert part in text, part
        assert document.settled == 5831
        assert b"<ram:DuePayableAmount>0.00<" in attached(document.content)["factur-x.xml"]

    def test_what_is_paid_later_changes_neither_document_nor_e_invoice(self):
        invoice = papers.invoice(line(4900))
        before = printed(invoice)
        xml = documents.e_invoice(subject=invoice, syntax="cii", at=FEB_2)
        papers.paid(invoice, invoice.total)
        Customer.objects.update(name="Renamed", timezone="Asia/Tokyo")
        invoice = Invoice.objects.get()
        assert printed(invoice) == before
        assert documents.e_invoice(subject=invoice, syntax="cii", at=FEB_2) == xml == attached(before)["factur-x.xml"]
        ubl = documents.e_invoice(subject=invoice, syntax="ubl", at=FEB_2)
        assert broken_rules(ubl, "ubl-2.1") == []
        assert b">58.31</cbc:PayableAmount>" in ubl
        assert b"<cbc:EndDate>2026-02-28<" in ubl

    def test_a_credit_names_the_invoice_that_it_gives_back_from(self):
        first = papers.invoice(line(4900), number="INV-2026-000899")
        credit = line(-2450, quantity=Decimal(-1), unit_amount=Decimal(2450), kind="proration_credit")
        second = papers.invoice(line(9900), {**credit, "credits_line": first.lines.get()}, customer=first.customer)
        text = text_of(printed(second))
        assert "Credits invoice INV-2026-000899" in text
        assert "−1 €24.50 −€24.50" in text

    @pytest.mark.parametrize(
        ("treatment", "notice"),
        [
            ("reverse_charge", "Reverse charge: the recipient accounts for the tax."),
            ("exempt", "Exempt from tax."),
            ("outside", "Not taxable in the seller's country"),
        ],
    )
    def test_says_why_no_tax_was_added(self, treatment, notice):
        buyer = {"country": "FR", "address": {"country": "FR"}, "tax_id": "FR40303265045"}
        invoice = papers.invoice(line(4900, tax_amount=0, taxes=vat(0, treatment=treatment)), buyer=buyer)
        content = printed(invoice)
        assert notice in text_of(content)
        assert notice in attached(content)["factur-x.xml"].decode()

    @pytest.mark.parametrize(("currency", "total"), [("JPY", "¥5,831"), ("BHD", "BHD 5.831")])
    def test_writes_the_places_of_the_currency(self, currency, total):
        assert f"Total {total}" in text_of(printed(papers.invoice(line(4900), currency=currency))).replace("\xa0", " ")

    @pytest.mark.parametrize(
        "name",
        ["Công ty Nguyễn Văn Đức", "深圳市科技有限公司 株式会社", "شركة النور", "Kočí, Ðorđević, Łoś", "Γιώργος Жуков"],
    )
    def test_prints_the_names_of_the_world(self, name):
        text = text_of(printed(papers.invoice(line(4900), buyer={"name": name})))
        assert "□" not in text
        assert name.split()[0] in text or "شركة" in name  # Arabic is written in the order in which it is read

    def test_a_letter_that_no_font_has_keeps_no_invoice_from_being_printed(self):
        text = text_of(printed(papers.invoice(line(4900), buyer={"name": "Acme \U0001f9ff \u1bc0\u1bc1 GmbH"})))
        assert "GmbH" in text

    def test_lines_run_over_pages_under_a_head_on_each(self):
        rows = [line(2725, description=f"Calls {number}", explanation=TIERS) for number in range(1, 41)]
        pages = papers.reader(printed(papers.invoice(*rows))).pages
        texts = [" ".join(one.extract_text().split()) for one in pages]
        assert all(f"Page {number} of {len(pages)}" in text for number, text in enumerate(texts, start=1))
        assert all("Description Quantity Unit price Amount" in text for text in texts[:3])
        assert all("Invoice INV-2026-000900" in text for text in texts[1:])


class TestCreditNote:
    def test_names_its_invoice_its_lines_and_where_the_money_went(self):
        invoice = papers.invoice(line(4900))
        payment = papers.paid(invoice, invoice.total)
        note = papers.credit_note(
            invoice, 2000, settle="refund", offset_amount=380, balance_amount=1000, refund_amount=1000
        )
        Refund.objects.create(
            customer=note.customer, payment=payment, credit_note=note, currency="EUR", amount=1000, status="succeeded"
        )
        content = bytes(documents.credit_note_pdf(note=note, at=FEB_2).content)
        text = text_of(content)
        for part in (
            "Credit note CN-2026-000900",
            "Credit for invoice INV-2026-000900 €23.80",
            "Invoice of Feb 1, 2026",
            "Feb 14 – 28, 2026 (Central European Time)",
            "15 of 28 days of €49.00",
            "VAT 19% on €20.00 €3.80",
            "Total credited €23.80",
            "Two seats were given back.",
            "€3.80 offset against what was open on invoice INV-2026-000900",
            "€10.00 added to your balance",
            "€10.00 refunded to Visa •••• 4242",
        ):
            assert part in text, part
        assert papers.failures(content, "3b") == []
        xml = attached(content)["factur-x.xml"]
        assert broken_rules(xml, "factur-x") == []
        assert b"<ram:DuePayableAmount>10.00<" in xml
        assert broken_rules(documents.e_invoice(subject=note, syntax="ubl", at=FEB_2), "ubl-2.1") == []

    def test_a_reason_that_the_engine_gave_is_in_the_readers_language(self):
        invoice = papers.invoice(line(4900), buyer={"locale": "de"})
        note = papers.credit_note(invoice, 2000, reason="Subscription end")
        text = text_of(documents.credit_note_pdf(note=note, at=FEB_2).content)
        assert "Ende des Abonnements" in text


class TestReceipt:
    def test_says_what_was_paid_how_and_for_what(self):
        invoice = papers.invoice(line(4900))
        payment = papers.paid(invoice, 6000, amount_refunded=169, id=PAYMENT)
        content = documents.receipt(payment=payment, at=FEB_2).content
        text = text_of(content)
        for part in (
            payment.public_id,
            "Paid Feb 10, 2026",
            "Visa •••• 4242",
            "Invoice INV-2026-000900 Feb 1, 2026 €58.31 €58.31",
            "Added to your balance €1.69",
            "Paid €60.00",
            "Refunded −€1.69",
            "Müller & Söhne GmbH",
        ):
            assert part in text, part
        assert papers.failures(bytes(content), "3b") == []

    def test_of_a_transfer_says_what_it_was_marked_with(self):
        invoice = papers.invoice(line(4900))
        payment = papers.paid(invoice, 5831, method="bank_transfer", reference="Wire 8812")
        text = text_of(documents.receipt(payment=payment, at=FEB_2).content)
        assert "Bank transfer" in text
        assert "Reference Wire 8812" in text

    def test_a_payment_that_failed_has_none(self):
        payment = papers.paid(papers.invoice(line(4900)), 5831, status="failed")
        with pytest.raises(Conflict):
            documents.receipt(payment=payment, at=FEB_2)


def test_whatever_has_no_document_is_rendered_once():
    invoice = papers.invoice(line(4900))
    papers.paid(invoice, invoice.total)
    papers.credit_note(invoice, 1000)
    assert documents.render_missing(at=FEB_2) == 3
    assert documents.render_missing(at=FEB_2) == 0
    assert sorted(Document.objects.values_list("kind", flat=True)) == ["credit_note", "invoice", "receipt"]
    assert InvoiceLine.objects.count() == 1
