"""Upgrade or downgrade, and which new item takes over from which old one."""

from decimal import Decimal

import pytest

from billing import comparison
from billing.comparison import Line, Pair
from billing.mrr import RecurringItem
from billing.price_terms import PriceTerms
from gtm.shared.periods import Interval

D = Decimal
MONTH, QUARTER, YEAR = Interval("month"), Interval("quarter"), Interval("year")


def line(
    price: str, quantity: int = 1, *, interval: Interval = MONTH, meter: str | None = None, in_arrears: bool = False
) -> Line[str]:
    return Line(price, meter, interval, in_arrears or meter is not None, D(quantity))


def recurring(amount: int, interval: Interval = MONTH, quantity: int = 1) -> RecurringItem:
    return RecurringItem(PriceTerms(model="per_unit", unit_amount=D(amount)), D(quantity), interval)


def pairs(old: list[Line[str]], new: list[Line[str]]) -> list[tuple[str | None, str | None]]:
    found = comparison.match(old, new)
    return [(pair.old.price if pair.old else None, pair.new.price if pair.new else None) for pair in found]


class TestMatch:
    def test_the_same_price_first(self):
        assert pairs([line("a"), line("b")], [line("b"), line("a", 3)]) == [("b", "b"), ("a", "a")]

    def test_the_same_meter_then(self):
        old = [line("a-base"), line("a-calls", meter="calls"), line("a-mails", meter="mails")]
        new = [line("b-mails", meter="mails"), line("b-calls", meter="calls"), line("b-base")]
        assert pairs(old, new) == [("a-mails", "b-mails"), ("a-calls", "b-calls"), ("a-base", "b-base")]

    def test_the_same_rhythm_before_another(self):
        old = [line("a-month"), line("a-year", interval=YEAR)]
        new = [line("b-year", interval=YEAR), line("b-month")]
        assert pairs(old, new) == [("a-year", "b-year"), ("a-month", "b-month")]
        assert pairs([line("a")], [line("b", interval=YEAR)]) == [("a", "b")]

    def test_what_is_left_goes_or_is_new(self):
        old = [line("base"), line("extra"), line("calls", meter="calls")]
        new = [line("base"), line("mails", meter="mails")]
        assert pairs(old, new) == [("base", "base"), ("extra", None), ("calls", None), (None, "mails")]


class TestEffective:
    @pytest.mark.parametrize(
        ("old", "new", "expected"),
        [
            ((1000, MONTH), (1500, MONTH), "now"),
            ((1500, MONTH), (1000, MONTH), "period_end"),
            ((1000, MONTH), (1000, MONTH), "now"),
            ((10000, MONTH), (100, YEAR), "now"),  # a longer interval, whatever it costs
            ((100, YEAR), (10000, MONTH), "period_end"),
            ((12000, YEAR), (13000, YEAR), "now"),
            ((1000, MONTH), (2990, QUARTER), "now"),
        ],
    )
    def test_follows_the_interval_and_then_the_price(self, old, new, expected):
        matched = [Pair(line("a", interval=old[1]), line("b", interval=new[1]))]
        assert comparison.effective(matched, old=[recurring(*old)], new=[recurring(*new)]) == expected

    def test_compares_all_items_together(self):
        old = [recurring(1000), recurring(12000, YEAR)]
        assert comparison.effective([], old=old, new=[recurring(1999)]) == "period_end"
        assert comparison.effective([], old=old, new=[recurring(1000), recurring(1000)]) == "now"

    def test_usage_has_no_interval_of_its_own(self):
        matched = [Pair(line("a", meter="calls"), line("b", meter="calls", interval=YEAR))]
        assert comparison.effective(matched, old=[recurring(2)], new=[recurring(1)]) == "period_end"


class TestInvoicing:
    def test_quantities_wait_for_the_next_invoice(self):
        assert comparison.invoicing(comparison.match([line("a", 5)], [line("a", 8)])) == "next"

    def test_everything_else_is_invoiced_at_once(self):
        assert comparison.invoicing(comparison.match([line("a")], [line("b")])) == "now"
        assert comparison.invoicing(comparison.match([line("a")], [line("a", 2), line("b")])) == "now"
