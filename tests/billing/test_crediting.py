"""The arithmetic of credit notes: tax per rate, what is left, and notes that sum to their invoice to the cent."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing import crediting, invoicing
from billing.crediting import Left, Part, Settlement
from billing.invoicing import Line, TaxRate

VAT_20 = TaxRate("vat-20", "VAT", Decimal("20"))
STATE, CITY = TaxRate("state", "State tax", Decimal("7.25")), TaxRate("city", "City tax", Decimal("1.125"))
RATES = [(), (VAT_20,), (STATE,), (STATE, CITY)]


def left_of(lines: list[Line]) -> dict[str, Left]:
    return {tax.rate.code: Left(tax.taxable, tax.amount) for tax in invoicing.assemble(lines).taxes}


def less(left: dict[str, Left], note: crediting.NoteTotals) -> dict[str, Left]:
    taken = {tax.rate.code: tax for tax in note.taxes}
    return {
        code: Left(rate.taxable - taken[code].taxable, rate.tax - taken[code].amount) if code in taken else rate
        for code, rate in left.items()
    }


class TestTotal:
    @pytest.mark.parametrize(
        ("case", "items", "percentage", "credited", "totals"),
        [
            ("lago-cn-round-1", [20000], "25", [19333], [24166]),
            ("lago-cn-round-2", [16000], "25", [15467], [19334]),
            ("lago-cn-partial", [76900], "20", [72686, 4214], [87223, 5057]),
            (
                "lago-cn-four-items-parts",
                [6833, 6833, 6833, 6833],
                "20",
                [6833, 6833, 6833, 1367, 2233, 3233],
                [8200, 8200, 8200, 1640, 2680, 3878],
            ),
            ("lago-credit-note-tax-doc", [6833, 6833, 5750, 8500], "20", [6833, 6833, 5750, 8500], None),
            ("lago-void-with-credit", [1000], "20", [1000], [1200]),
        ],
    )
    def test_notes_sum_to_the_invoice(self, case, items, percentage, credited, totals):
        rate = TaxRate("vat", "VAT", Decimal(percentage))
        lines = [Line(item, (rate,)) for item in items]
        left, notes = left_of(lines), []
        for net in credited:
            notes.append(crediting.total([Part(net, (rate,))], left))
            left = less(left, notes[-1])
        if totals:
            assert [note.total for note in notes] == totals, case
        if sum(credited) == sum(items):
            assert sum(note.total for note in notes) == invoicing.assemble(lines).total, case

    def test_a_note_shares_its_tax_among_its_lines(self):
        lines = [Line(6833, (VAT_20,))] * 4
        note = crediting.total([Part(6833, (VAT_20,))] * 3, left_of(lines))
        assert [line.tax_amount for line in note.lines] == [1367, 1367, 1366]
        assert (note.subtotal, note.tax_total, note.total) == (20499, 4100, 24599)

    def test_each_rate_by_itself(self):
        lines = [Line(10000, (STATE, CITY)), Line(5000)]
        note = crediting.total([Part(4000, (STATE, CITY)), Part(5000)], left_of(lines))
        assert [(tax.rate.code, tax.taxable, tax.amount) for tax in note.taxes] == [
            ("state", 4000, 290),
            ("city", 4000, 45),
        ]
        assert note.total == 9335

    @settings(max_examples=50, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(1, 10**6), st.sampled_from(RATES)), min_size=1, max_size=6),
        st.lists(st.tuples(st.integers(0, 5), st.integers(1, 10**6)), max_size=8),
    )
    def test_any_sequence_of_notes_is_at_most_the_invoice_and_all_of_them_exactly_it(self, items, credited):
        lines = [Line(amount, rates) for amount, rates in items]
        whole, left, open_nets, given_back = (
            invoicing.assemble(lines),
            left_of(lines),
            [line.amount for line in lines],
            0,
        )
        for position, asked in [*credited, *((index, 10**6) for index in range(len(lines)))]:
            index = position % len(lines)
            net = min(asked, open_nets[index])
            note = crediting.total([Part(net, lines[index].tax_rates)], left)
            left, given_back = less(left, note), given_back + note.total
            open_nets[index] -= net
            assert 0 <= given_back <= whole.total
        assert given_back == whole.total


class TestFit:
    def test_comes_to_the_open_amount(self):
        left = {"vat-20": Left(10000, 2000)}
        assert crediting.fit([Part(5000, (VAT_20,))], left, 1200) == [1000]
        assert crediting.fit([Part(3000, (VAT_20,)), Part(1000, (VAT_20,))], left, 2400) == [1500, 500]

    def test_takes_all_where_that_is_less_and_nothing_where_nothing_is_open(self):
        left = {"vat-20": Left(10000, 2000)}
        assert crediting.fit([Part(500, (VAT_20,))], left, 1200) == [500]
        assert crediting.fit([Part(500, (VAT_20,))], left, 0) == [0]
        assert crediting.fit([], {}, 100) == []

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.integers(0, 10**5), min_size=1, max_size=4), st.integers(1, 10**5))
    def test_leaves_nothing_open_and_passes_it_by_a_cent_or_two_at_most(self, nets, gross):
        left = {"vat-20": Left(10**6, 2 * 10**5)}
        parts = [Part(net, (VAT_20,)) for net in nets]
        fitted = crediting.fit(parts, left, gross)
        assert all(net <= part.net for net, part in zip(fitted, parts, strict=True))
        total = crediting.total([Part(net, (VAT_20,)) for net in fitted], left).total
        if crediting.total(parts, left).total >= gross:
            assert gross <= total <= gross + 1
        else:
            assert fitted == nets


class TestWithin:
    def test_a_rate_has_no_more_than_credits_on_the_invoice_left_of_it(self):
        lines = [Line(10000, (VAT_20,)), Line(-3000, (VAT_20,)), Line(5000)]
        totals = invoicing.assemble(lines)
        parts = [Part(10000, (VAT_20,)), Part(5000)]
        assert crediting.within(parts, left_of(lines), totals.total) == [7000, 5000]

    def test_the_whole_is_no_more_than_is_left_of_the_invoice(self):
        left = {"vat-20": Left(10000, 2000)}
        assert crediting.within([Part(10000, (VAT_20,))], left, 1200) == [1000]
        assert crediting.within([Part(600), Part(600)], {}, 1000) == [600, 400]


class TestSettle:
    @pytest.mark.parametrize(
        ("total", "is_open", "by", "refundable", "money"),
        [
            (1000, 0, "balance", 0, Settlement(balance=1000)),
            (1000, 1000, "offset", 0, Settlement(offset=1000)),
            (1000, 400, "balance", 0, Settlement(offset=400, balance=600)),
            (1000, 400, "refund", 500, Settlement(offset=400, refund=500, balance=100)),
            (1000, 5000, "refund", 500, Settlement(offset=1000)),
        ],
    )
    def test_offsets_what_is_open_first(self, total, is_open, by, refundable, money):
        assert crediting.settle(total, open_amount=is_open, by=by, refundable=refundable) == money

    def test_an_offset_of_more_than_is_open_is_refused(self):
        with pytest.raises(ValueError, match="only 400"):
            crediting.settle(1000, open_amount=400, by="offset")


class TestReleased:
    @settings(max_examples=50, deadline=None)
    @given(st.integers(0, 10**6), st.integers(1, 10**6), st.lists(st.integers(1, 10**6), max_size=5))
    def test_a_line_given_back_in_parts_frees_exactly_what_it_used(self, used, net, asked):
        before = freed = 0
        for part in [*asked, net]:
            part = min(part, net - before)
            freed += crediting.released(used, net=net, credited=part, credited_before=before)
            before += part
        assert freed == used
