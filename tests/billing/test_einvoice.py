"""E-invoices: the model of EN 16931 from what a document holds, and that the standard's own checks pass."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing import einvoice, einvoice_cii, einvoice_rules, einvoice_ubl
from billing.einvoice import AppliedTax, EInvoice, Means, NotExpressible, Source, SourceLine, Trader
from billing.invoicing import Discount, Line, TaxRate, assemble
from tests.billing.einvoices import broken_rules

SELLER = Trader(
    name="Vendor GmbH",
    country="DE",
    line1="Hauptstr. 1",
    city="Berlin",
    postal_code="10115",
    email="billing@vendor.example",
    tax_ids=("DE136695976",),
    registration="HRB 1234",
)
BUYER = Trader(name="Müller & Söhne <GmbH>", country="DE", city="Stuttgart", tax_ids=("DE811128135",))
FRENCH = Trader(name="Société SA", country="FR", tax_ids=("FR40303265045",))
AMERICAN = Trader(name="Acme Inc", country="US", region="CA", tax_ids=("12-3456789",))
EXEMPTIONS = {"reverse_charge": "Reverse charge", "exempt": "Exempt", "outside": "Not taxable", "none": "No tax"}


def vat(amount: int, percentage: int | str = 19) -> tuple[AppliedTax, ...]:
    return (AppliedTax("taxed", Decimal(percentage), amount),)


def untaxed(treatment: str) -> tuple[AppliedTax, ...]:
    return (AppliedTax(treatment),)


def line(
    amount: int, taxes: tuple[AppliedTax, ...], *, quantity: Any = 1, unit: Any = None, **fields: Any
) -> SourceLine:
    """One line; ``unit`` is the rate in minor units."""
    rate = Decimal(str(unit)) if unit is not None else None
    defaults: dict[str, Any] = {"position": 1, "name": "Pro"}
    return SourceLine(
        amount=amount, taxes=taxes, quantity=Decimal(str(quantity)), unit_amount=rate, **defaults | fields
    )


def source(*lines: SourceLine, **fields: Any) -> Source:
    """A German invoice in EUR by transfer, its sums made from its lines."""
    placed = tuple(replace(one, position=position) for position, one in enumerate(lines, start=1))
    tax_total = sum(tax.amount for one in lines for tax in one.taxes)
    defaults: dict[str, Any] = {
        "kind": "invoice",
        "number": "INV-2026-000001",
        "issue_date": date(2026, 2, 1),
        "due_date": date(2026, 3, 3),
        "currency": "EUR",
        "seller": SELLER,
        "buyer": BUYER,
        "lines": placed,
        "tax_total": tax_total,
        "total": sum(one.amount - one.discount_amount for one in lines) + tax_total,
        "terms": "30 days net",
        "po_number": "4500-118",
        "means": Means(iban="DE89370400440532013000", bic="COBADEFFXXX", account_name="Vendor GmbH"),
        "notes": ("A note",),
        "exemptions": EXEMPTIONS,
    }
    return Source(**defaults | fields)


def built(*lines: SourceLine, **fields: Any) -> EInvoice:
    return einvoice_rules.require(einvoice.build(source(*lines, **fields)))


MONTH = line(4900, vat(931), unit=4900, interval="month", period=(date(2026, 2, 1), date(2026, 2, 28)))
CASES = {
    "a month in advance, and tiers without one unit price": source(
        MONTH, line(2725, vat(518), quantity=12500, explanation=("10,000 × 0.002", "2,500 × 0.0029"))
    ),
    "seats with a discount": source(
        line(7500, vat(1283), quantity=5, unit=1500, discount_amount=750, discount_reason="SAVE10")
    ),
    "credit for unused time": source(
        line(10000, vat(1900), unit=10000), line(-2450, vat(-466), quantity=-1, unit=2450)
    ),
    "a credit whose quantity was stored as positive": source(
        line(10000, vat(1900), unit=10000), line(-2450, vat(-466), quantity=1, unit=-2450)
    ),
    "two rates": source(line(10000, vat(1900), unit=10000), line(1000, vat(70, 7), unit=1000)),
    "reverse charge": source(line(4900, untaxed("reverse_charge"), unit=4900), buyer=FRENCH),
    "an exempt buyer": source(line(4900, untaxed("exempt"), unit=4900)),
    "outside the scope": source(line(4900, untaxed("outside"), unit=4900), buyer=AMERICAN, currency="USD"),
    "outside the scope, by a seller without a register": source(
        line(4900, untaxed("outside"), unit=4900), seller=replace(SELLER, registration=""), buyer=AMERICAN
    ),
    "no tax at all": source(line(4900, untaxed("none"), unit=4900), seller=AMERICAN, buyer=AMERICAN, currency="USD"),
    "a rate of zero": source(line(4900, vat(0, 0), unit=4900)),
    "paid by card": source(
        MONTH, means=Means(by_card=True, card_last4="4242", card_brand="visa"), settled=5831, terms=""
    ),
    "partly paid from a balance": source(MONTH, settled=831),
    "yen": source(line(9900, vat(990, 10), quantity=3, unit=3300), currency="JPY"),
    "dinars without a third decimal": source(line(9900, vat(990, 10), unit=9900), currency="BHD"),
    "a fee for nothing used": source(line(500, vat(95), quantity=0)),
    "nothing to pay": source(line(0, vat(0), unit=0)),
    "a credit note": source(
        MONTH, kind="credit_note", preceding=("INV-2026-000001", date(2026, 1, 1)), settled=831, due_date=None
    ),
    "letters that XML can't hold": source(replace(MONTH, name="Pro\x0b \x1fplan \ufffe")),
}


class TestValid:
    @pytest.mark.parametrize("name", CASES)
    def test_passes_the_checks_of_the_standard(self, name):
        model = einvoice_rules.require(einvoice.build(CASES[name]))
        assert broken_rules(einvoice_cii.write(model), "factur-x") == []
        assert broken_rules(einvoice_ubl.write(model), "ubl-2.1") == []

    def test_the_checks_find_what_is_wrong(self):
        wrong = replace(built(MONTH), total=5832, due=5832)
        assert any("BR-CO-15" in rule for rule in broken_rules(einvoice_cii.write(wrong), "factur-x"))
        assert any("BR-CO-15" in rule for rule in broken_rules(einvoice_ubl.write(wrong), "ubl-2.1"))


class TestFigures:
    def test_sums_are_those_of_the_document(self):
        model = built(line(7500, vat(1283), quantity=5, unit=1500, discount_amount=750), line(-1000, vat(-190)))
        assert (model.net_total, model.tax_total, model.total) == (5750, 1093, 6843)
        assert [(tax.category.percent, tax.taxable, tax.tax) for tax in model.taxes] == [(19, 5750, 1093)]

    @pytest.mark.parametrize(
        ("one", "price", "base", "quantity"),
        [
            (line(7500, vat(1425), quantity=5, unit=1500), "15", 1, 5),
            (line(2, vat(0), quantity=13, unit="0.15"), "0.0015", 1, 13),
            (line(2725, vat(518), quantity=12500), "27.25", 12500, 12500),
            (line(2450, vat(466), quantity=1, unit=4900), "24.5", 1, 1),
            (line(-2450, vat(-466), quantity=-1, unit=2450), "24.5", 1, -1),
            (line(-2450, vat(-466), quantity="-0.5", unit=4900), "49", 1, "-0.5"),
            (line(500, vat(95), quantity=0, unit=300), "5", 1, 1),
        ],
    )
    def test_price_times_quantity_is_the_amount(self, one, price, base, quantity):
        (made,) = einvoice.build(source(one)).lines
        assert (made.price, made.price_base, made.quantity) == (Decimal(price), base, Decimal(quantity))

    @pytest.mark.parametrize(
        ("interval", "quantity", "unit"),
        [
            ("month", 1, "MON"),
            ("year", 1, "ANN"),
            ("quarter", 1, "QAN"),
            ("week", 1, "WEE"),
            ("", 1, "C62"),
            ("month", 2, "C62"),
        ],
    )
    def test_a_whole_interval_is_a_unit_of_time(self, interval, quantity, unit):
        (made,) = einvoice.build(source(line(100, vat(19), quantity=quantity, interval=interval))).lines
        assert made.unit == unit

    @pytest.mark.parametrize(
        ("currency", "minor", "text"),
        [
            ("EUR", 1250, "12.50"),
            ("EUR", -5, "-0.05"),
            ("JPY", 1250, "1250"),
            ("BHD", 1250, "1.25"),
            ("BHD", 1255, "1.255"),
        ],
    )
    def test_writes_the_decimals_of_the_currency(self, currency, minor, text):
        assert replace(einvoice.build(source(MONTH)), currency=currency).amount(minor) == text

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({}, "58"),
            ({"currency": "USD"}, "30"),
            ({"means": Means()}, "1"),
            ({"means": Means(by_card=True)}, "48"),
        ],
    )
    def test_says_how_it_is_paid(self, fields, code):
        assert built(MONTH, **fields).means_code == code


class TestTaxes:
    @pytest.mark.parametrize(
        ("taxes", "category"),
        [
            (vat(931), ("S", 19, "")),
            (vat(0, 0), ("Z", 0, "")),
            (untaxed("reverse_charge"), ("AE", 0, "VATEX-EU-AE")),
            (untaxed("exempt"), ("E", 0, "")),
            (untaxed("outside"), ("O", None, "VATEX-EU-O")),
            (untaxed("none"), ("O", None, "VATEX-EU-O")),
        ],
    )
    def test_categories_come_from_the_stored_treatment(self, taxes, category):
        made = einvoice.build(source(line(4900, taxes, unit=4900), buyer=FRENCH)).taxes[0].category
        assert (made.code, made.percent, made.reason_code) == category

    def test_what_is_outside_the_scope_names_no_vat_id(self):
        model = built(line(4900, untaxed("outside"), unit=4900), buyer=FRENCH)
        assert (model.seller.vat_id, model.buyer.vat_id, model.seller.registration) == ("", "", "HRB 1234")

    def test_a_vat_id_is_the_one_of_the_sellers_country(self):
        ids = ("FR40303265045", "DE 136 695 976", "27/123/45678")
        model = built(MONTH, seller=replace(SELLER, tax_ids=ids))
        assert (model.seller.vat_id, model.seller.tax_number) == ("DE136695976", "27/123/45678")


class TestRefused:
    @pytest.mark.parametrize(
        ("code", "made"),
        [
            ("seller_country", source(MONTH, seller=replace(SELLER, country=""))),
            ("seller_vat_id", source(MONTH, seller=replace(SELLER, tax_ids=()))),
            ("seller_vat_id", source(line(1, untaxed("reverse_charge")), seller=AMERICAN, buyer=FRENCH)),
            ("seller_id", source(line(1, untaxed("none")), seller=Trader("X", "US"), buyer=AMERICAN)),
            ("buyer_country", source(MONTH, buyer=replace(BUYER, country=""))),
            ("buyer_vat_id", source(line(1, untaxed("reverse_charge")), buyer=replace(FRENCH, tax_ids=()))),
            ("two_taxes", source(line(100, (*vat(5, 5), *vat(7, 7))))),
            ("mixed_scope", source(MONTH, line(100, untaxed("outside")))),
            ("decimals", source(line(9905, vat(1882), unit=9905), currency="BHD")),
        ],
    )
    def test_says_why_the_standard_cant_express_it(self, code, made):
        with pytest.raises(NotExpressible) as refusal:
            einvoice_rules.require(einvoice.build(made))
        assert refusal.value.code == code
        assert refusal.value.detail


class TestRules:
    @pytest.mark.parametrize(
        ("rule", "changes"),
        [
            ("BR-CO-10", {"net_total": 4901}),
            ("BR-CO-14", {"tax_total": 930}),
            ("BR-CO-15", {"total": 5832}),
            ("BR-CO-16", {"prepaid": 1}),
            ("BR-CO-25", {"due_date": None, "terms": ""}),
            ("BR-02", {"number": ""}),
            ("BR-16", {"lines": ()}),
        ],
    )
    def test_finds_what_doesnt_add_up(self, rule, changes):
        model = einvoice.build(source(MONTH))
        assert einvoice_rules.violations(model) == []
        assert rule in einvoice_rules.violations(replace(model, **changes))

    def test_the_tax_of_a_rate_fits_its_net(self):
        model = einvoice.build(source(line(100_00, vat(17_00), unit=100_00)))
        assert einvoice_rules.violations(model) == ["BR-CO-17"]

    def test_tax_rounded_by_the_line_may_differ_by_less_than_one(self):
        lines = [line(13, vat(2), unit=13) for _one in range(60)]  # 60 × 2 against 19 % of 7.80
        assert einvoice_rules.violations(einvoice.build(source(*lines))) == []


RATES = [TaxRate("de-19", "VAT", Decimal(19)), TaxRate("de-7", "VAT", Decimal(7)), TaxRate("ch", "VAT", Decimal("8.1"))]


@given(
    lines=st.lists(st.tuples(st.integers(-10_000, 100_000), st.sampled_from(RATES)), min_size=1, max_size=8),
    percent_off=st.integers(0, 100),
    rounding=st.sampled_from(["document", "line"]),
    currency=st.sampled_from(["EUR", "JPY"]),
)
@settings(max_examples=50, deadline=None)
def test_whatever_an_invoice_comes_to_its_figures_keep_the_rules(lines, percent_off, rounding, currency):
    discounts = [Discount("X", percent_off=Decimal(percent_off))]
    totals = assemble([Line(amount, (rate,)) for amount, rate in lines], discounts=discounts, tax_rounding=rounding)
    parts = [
        line(one.amount, vat(one.tax_amount, rate.percentage), quantity=3, discount_amount=one.discount_amount)
        for one, (_amount, rate) in zip(totals.lines, lines, strict=True)
    ]
    model = einvoice.build(source(*parts, currency=currency, total=totals.total, tax_total=totals.tax_total))
    found = set(einvoice_rules.violations(model))
    if rounding == "line" and currency == "JPY":
        found -= {"BR-CO-17"}  # it leaves one yen, and each of several lines may be half a yen off
    assert not found
    assert (model.net_total, model.total) == (totals.subtotal - totals.discount_total, totals.total)


class TestWritten:
    def test_a_credit_note_names_its_invoice(self):
        model = built(MONTH, kind="credit_note", preceding=("INV-2025-000009", date(2025, 12, 1)), due_date=None)
        assert b"<CreditNote " in einvoice_ubl.write(model)
        assert "INV-2025-000009" in einvoice_cii.write(model).decode()
        assert b"<ram:TypeCode>381<" in einvoice_cii.write(model)

    def test_holds_how_each_line_comes_about(self):
        xml = einvoice_cii.write(built(replace(MONTH, explanation=("Feb 1 – 28", "28 of 28 days"))))
        assert "Feb 1 – 28; 28 of 28 days" in xml.decode()

    def test_text_is_never_markup(self):
        assert b"M\xc3\xbcller &amp; S\xc3\xb6hne &lt;GmbH&gt;" in einvoice_ubl.write(built(MONTH))
