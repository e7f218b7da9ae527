"""Totals against worked cases of the open billing field (named by their id), then the invariants of any document."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import invoicing
from billing.invoicing import Discount, GatheringKey, Line, TaxRate, TaxSum

D = Decimal
VAT_19 = TaxRate("de-19", "VAT", D(19))
VAT_7 = TaxRate("de-7", "VAT reduced", D(7))
CITY = TaxRate("city", "City tax", D("2.375"))


def percent(percentage: str) -> TaxRate:
    return TaxRate("rate", "Tax", D(percentage))


def lines(amounts: list[int], *rates: TaxRate) -> list[Line]:
    return [Line(amount, tax_rates=rates) for amount in amounts]


LINES = st.lists(
    st.builds(
        Line,
        amount=st.integers(-(10**9), 10**9),
        tax_rates=st.lists(st.sampled_from([VAT_19, VAT_7, CITY]), unique=True, max_size=3).map(tuple),
        discountable=st.booleans(),
    ),
    max_size=25,
)
DISCOUNTS = st.lists(
    st.builds(Discount, code=st.just("p"), percent_off=st.decimals(0, 100, places=2))
    | st.builds(Discount, code=st.just("a"), amount_off=st.integers(0, 10**9)),
    max_size=4,
)


class TestAssemble:
    @pytest.mark.parametrize(
        ("case", "amounts", "rate", "tax", "total"),
        [
            ("one line", [4900], "19", 931, 5831),
            ("lago-cn-round-1", [20000], "25", 5000, 25000),
            ("lago-cn-round-1, credit note", [19333], "25", 4833, 24166),
            ("lago-cn-round-2, credit note", [15467], "25", 3867, 19334),
            ("lago-cn-partial", [76900], "20", 15380, 92280),
            ("lago-cn-four-items-parts", [6833, 6833, 6833, 6833], "20", 5466, 32798),
            ("lago-credit-note-tax-doc", [6833, 6833, 5750, 8500], "20", 5583, 33499),
            ("nothing", [], "20", 0, 0),
            ("a free line", [0], "20", 0, 0),
            ("a credit beside a charge", [9000, -3000], "20", 1200, 7200),
            ("more credit than charge", [1000, -3000], "20", -400, -2400),
            ("half a cent", [5], "10", 1, 6),
            ("half a cent of credit", [-5], "10", -1, -6),
        ],
    )
    def test_taxes_the_sum_and_rounds_once_per_rate(
        self, case: str, amounts: list[int], rate: str, tax: int, total: int
    ) -> None:
        totals = invoicing.assemble(lines(amounts, percent(rate)))
        assert (totals.subtotal, totals.tax_total, totals.total) == (sum(amounts), tax, total), case

    def test_shares_tax_among_lines_by_largest_remainder(self) -> None:
        totals = invoicing.assemble(lines([6833, 6833, 6833, 6833], percent("20")))
        assert [line.tax_amount for line in totals.lines] == [1367, 1367, 1366, 1366]

    def test_rounds_per_line_where_the_vendor_says_so(self) -> None:
        totals = invoicing.assemble(lines([6833, 6833, 6833, 6833], percent("20")), tax_rounding="line")
        assert [line.tax_amount for line in totals.lines] == [1367, 1367, 1367, 1367]
        assert totals.tax_total == 5468

    def test_sums_each_rate_on_its_own_lines(self) -> None:
        mixed = [Line(10000, (VAT_19,)), Line(5000, (VAT_7,)), Line(2000, (VAT_19, CITY)), Line(700)]
        totals = invoicing.assemble(mixed)
        assert totals.taxes == (TaxSum(VAT_19, 12000, 2280), TaxSum(VAT_7, 5000, 350), TaxSum(CITY, 2000, 48))
        assert [line.tax_amount for line in totals.lines] == [1900, 350, 380 + 48, 0]

    def test_a_credit_that_cancels_a_charge_keeps_its_tax(self) -> None:
        totals = invoicing.assemble(lines([100, -100], percent("20")))
        assert [line.tax_amount for line in totals.lines] == [20, -20]
        assert totals.total == 0

    def test_keeps_a_rate_of_zero_visible(self) -> None:
        assert invoicing.assemble(lines([100], percent("0"))).taxes == (TaxSum(percent("0"), 100, 0),)

    def test_refuses_two_rates_of_one_code(self) -> None:
        changed = replace(VAT_19, percentage=D(16))
        with pytest.raises(ValueError, match="de-19"):
            invoicing.assemble([Line(100, (VAT_19,)), Line(100, (changed,))])

    @given(LINES, DISCOUNTS, st.sampled_from(["document", "line"]))
    def test_every_total_is_the_sum_of_its_parts(
        self, some: list[Line], discounts: list[Discount], rounding: invoicing.TaxRounding
    ) -> None:
        totals = invoicing.assemble(some, discounts=discounts, tax_rounding=rounding)
        assert sum(line.amount for line in totals.lines) == totals.subtotal == sum(line.amount for line in some)
        assert sum(line.discount_amount for line in totals.lines) == totals.discount_total
        assert sum(discount.amount for discount in totals.discounts) == totals.discount_total
        assert sum(line.tax_amount for line in totals.lines) == totals.tax_total
        assert sum(tax.amount for tax in totals.taxes) == totals.tax_total
        assert totals.subtotal - totals.discount_total + totals.tax_total == totals.total

    @given(LINES, DISCOUNTS)
    def test_no_line_is_discounted_below_zero(self, some: list[Line], discounts: list[Discount]) -> None:
        for line in invoicing.assemble(some, discounts=discounts).lines:
            assert 0 <= line.discount_amount <= max(0, line.amount)

    @given(LINES)
    def test_a_line_is_never_a_cent_or_more_from_its_exact_tax(self, some: list[Line]) -> None:
        for line in invoicing.assemble(some).lines:
            for tax in line.taxes:
                assert abs(tax.amount - line.net * tax.rate.percentage / 100) <= 1


class TestDiscounts:
    @pytest.mark.parametrize(
        ("case", "amounts", "discounts", "per_line"),
        [
            ("polar-discount-allocate 1", [1000, 1000], [Discount("c", amount_off=1500)], [750, 750]),
            ("polar-discount-allocate 2", [300, 1200], [Discount("c", amount_off=750)], [150, 600]),
            ("polar-discount-allocate 3", [1000, 1000], [Discount("c", amount_off=2500)], [1000, 1000]),
            ("polar-discount-allocate 4", [100, 200], [Discount("c", amount_off=100)], [33, 67]),
            ("polar-discount-allocate, total", [100, 100], [Discount("c", percent_off=D("33.33"))], [34, 33]),
            ("lago-coupon-two-subs", [10000, 5000], [Discount("c", amount_off=10000)] * 2, [10000, 5000]),
            ("lago-coupon-once-larger", [4, 2], [Discount("c", amount_off=12)], [4, 2]),
            ("lago-coupon-percent-once", [200, 100], [Discount("c", percent_off=D(20))], [40, 20]),
            ("polar-seat-change-percent-discount", [5000], [Discount("c", percent_off=D(10))], [500]),
            ("credits take none", [1000, -400], [Discount("c", percent_off=D(50))], [500, 0]),
            ("all of it", [999, 1], [Discount("c", percent_off=D(100))], [999, 1]),
            ("nothing to discount", [0, -5], [Discount("c", amount_off=10)], [0, 0]),
        ],
    )
    def test_are_allocated_by_largest_remainder(
        self, case: str, amounts: list[int], discounts: list[Discount], per_line: list[int]
    ) -> None:
        totals = invoicing.assemble(lines(amounts), discounts=discounts)
        assert [line.discount_amount for line in totals.lines] == per_line, case

    def test_lago_cn_two_coupons_six_fees(self) -> None:
        fees = lines([99290, 299770, 3130, 6460, 3130, 1999], percent("10"))
        totals = invoicing.assemble(fees, discounts=[Discount("ten", amount_off=1000)] * 2)
        assert (totals.subtotal, totals.discount_total) == (413779, 2000)
        assert (totals.tax_total, totals.total) == (41178, 452957)

    def test_percentages_come_before_amounts_whatever_order_they_are_given_in(self) -> None:
        ten, half = Discount("ten", amount_off=1000), Discount("half", percent_off=D(50))
        totals = invoicing.assemble(lines([10000]), discounts=[ten, half])
        assert [(one.code, one.amount) for one in totals.discounts] == [("ten", 1000), ("half", 5000)]

    def test_a_discount_tells_how_much_of_it_was_spent(self) -> None:
        totals = invoicing.assemble(lines([4, 2]), discounts=[Discount("c", amount_off=12)])
        assert totals.discounts[0].amount == 6

    def test_leaves_lines_alone_that_take_none(self) -> None:
        some = [Line(1000), Line(1000, discountable=False)]
        totals = invoicing.assemble(some, discounts=[Discount("c", percent_off=D(100))])
        assert [line.discount_amount for line in totals.lines] == [1000, 0]

    @pytest.mark.parametrize(
        "terms",
        [
            {},
            {"percent_off": D(5), "amount_off": 5},
            {"percent_off": D(101)},
            {"percent_off": D(-1)},
            {"amount_off": -1},
        ],
    )
    def test_refuses_what_is_no_discount(self, terms: dict[str, Decimal | int]) -> None:
        with pytest.raises(ValueError, match="_off"):
            Discount("c", **terms)  # type: ignore[arg-type]


class TestDueDate:
    @pytest.mark.parametrize(
        ("issued", "terms", "due"),
        [
            (date(2025, 1, 1), 2, date(2025, 1, 3)),
            (date(2026, 1, 31), 30, date(2026, 3, 2)),
            (date(2024, 2, 28), 1, date(2024, 2, 29)),
            (date(2026, 5, 5), 0, date(2026, 5, 5)),
        ],
    )
    def test_is_issue_plus_terms(self, issued: date, terms: int, due: date) -> None:
        assert invoicing.due_date(issued, terms) == due

    @pytest.mark.parametrize("terms", [-1, 3651])
    def test_refuses_absurd_terms(self, terms: int) -> None:
        with pytest.raises(ValueError, match="net_terms_days"):
            invoicing.due_date(date(2026, 1, 1), terms)


class TestGatheringKey:
    KEY = GatheringKey(
        payer_id=UUID(int=1),
        entity_id=UUID(int=2),
        currency="EUR",
        collection_method="send_invoice",
        payment_method_id=None,
        net_terms_days=30,
        po_number="PO-1",
        tax_treatment="taxed",
        test_clock_id=None,
        instant=datetime(2026, 1, 1, tzinfo=UTC),
    )

    def test_equal_keys_gather_and_another_po_number_does_not(self) -> None:
        assert len({self.KEY, replace(self.KEY), replace(self.KEY, po_number="PO-2")}) == 2
