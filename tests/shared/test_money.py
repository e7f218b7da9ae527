from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtm.shared import money

WEIGHTS = st.lists(st.integers(0, 10**12) | st.decimals(0, 10**6, places=6), min_size=1, max_size=40)


class TestExponent:
    @pytest.mark.parametrize(
        ("currency", "places"),
        [("USD", 2), ("EUR", 2), ("JPY", 0), ("KRW", 0), ("BHD", 3), ("KWD", 3), ("CLF", 4), ("RSD", 2), ("IDR", 2)],
    )
    def test_is_that_of_iso_4217(self, currency: str, places: int) -> None:
        assert money.exponent(currency) == places

    @pytest.mark.parametrize("currency", ["", "usd", "US", "ZZZ", "XXX", "XTS", "DOLLAR"])
    def test_refuses_what_is_no_currency(self, currency: str) -> None:
        with pytest.raises(ValueError, match="unknown currency"):
            money.exponent(currency)


class TestRoundHalfUp:
    @pytest.mark.parametrize(
        ("value", "rounded"),
        [
            (Decimal("0.5"), 1),
            (Decimal("1.5"), 2),
            (Decimal("2.5"), 3),
            (Decimal("2.4999999999999999999999999999999"), 2),
            (Decimal("-0.5"), -1),
            (Decimal("-2.5"), -3),
            (Decimal("-0.49"), 0),
            (Fraction(1, 3), 0),
            (Fraction(-5, 2), -3),
            (7, 7),
            (Decimal("123456789012345678901234567890.5"), 123456789012345678901234567891),
        ],
    )
    def test_rounds_halves_away_from_zero(self, value: Decimal | Fraction | int, rounded: int) -> None:
        assert money.round_half_up(value) == rounded

    @given(st.fractions())
    def test_is_symmetric_and_never_more_than_half_away(self, value: Fraction) -> None:
        assert money.round_half_up(-value) == -money.round_half_up(value)
        assert abs(money.round_half_up(value) - value) <= Fraction(1, 2)


class TestAllocate:
    @pytest.mark.parametrize(
        ("total", "weights", "parts"),
        [
            (1500, [1000, 1000], [750, 750]),
            (750, [300, 1200], [150, 600]),
            (2500, [1000, 1000], [1250, 1250]),
            (100, [100, 200], [33, 67]),
            (100, [1, 1, 1], [34, 33, 33]),
            (-100, [1, 1, 1], [-34, -33, -33]),
            (5, [0, 3, 0], [0, 5, 0]),
            (2, [0, 1, 1, 1], [0, 1, 1, 0]),
            (0, [1, 2], [0, 0]),
            (0, [], []),
            (0, [0, 0], [0, 0]),
            (10, [Decimal("0.1"), Decimal("0.2")], [3, 7]),
        ],
    )
    def test_gives_the_leftover_to_the_largest_remainder(
        self, total: int, weights: list[int | Decimal | Fraction], parts: list[int]
    ) -> None:
        assert money.allocate(total, weights) == parts

    @pytest.mark.parametrize(("total", "weights"), [(1, []), (1, [0, 0]), (1, [2, -1]), (0, [-1])])
    def test_refuses_what_has_no_answer(self, total: int, weights: list[int | Decimal | Fraction]) -> None:
        with pytest.raises(ValueError, match="weight"):
            money.allocate(total, weights)

    @given(st.integers(-(10**15), 10**15), WEIGHTS)
    def test_sums_exactly_within_one_unit_of_the_exact_share(
        self, total: int, weights: list[int | Decimal | Fraction]
    ) -> None:
        whole = sum(Fraction(weight) for weight in weights)
        if whole == 0:
            return
        parts = money.allocate(total, weights)
        assert sum(parts) == total
        for part, weight in zip(parts, weights, strict=True):
            assert abs(part - total * Fraction(weight) / whole) < 1

    @given(st.integers(0, 10**9), WEIGHTS.filter(any))
    def test_mirrors_a_negative_total(self, total: int, weights: list[int | Decimal | Fraction]) -> None:
        assert money.allocate(-total, weights) == [-part for part in money.allocate(total, weights)]


class TestApportion:
    def test_keeps_parts_of_either_sign(self) -> None:
        assert money.apportion(0, [Fraction(20), Fraction(-20)]) == [20, -20]
        assert money.apportion(14, [Fraction(39, 2), Fraction(-6)]) == [20, -6]

    def test_refuses_a_total_that_is_not_the_rounded_sum(self) -> None:
        with pytest.raises(ValueError, match="rounded sum"):
            money.apportion(5, [Fraction(1), Fraction(1)])

    @given(st.lists(st.fractions(-1000, 1000), max_size=30))
    def test_sums_to_the_rounded_total_within_one_unit_each(self, exact: list[Fraction]) -> None:
        total = money.round_half_up(sum(exact, Fraction()))
        parts = money.apportion(total, exact)
        assert sum(parts) == total
        assert all(abs(part - share) <= 1 for part, share in zip(parts, exact, strict=True))


class TestMajor:
    @pytest.mark.parametrize(
        ("amount", "currency", "text"),
        [
            (1250, "USD", "12.50"),
            (-5, "USD", "-0.05"),
            (1250, "JPY", "1250"),
            (1250, "BHD", "1.250"),
            (0, "EUR", "0.00"),
        ],
    )
    def test_to_major_and_back(self, amount: int, currency: str, text: str) -> None:
        assert str(money.to_major(amount, currency)) == text
        assert money.parse_major(text, currency) == amount

    @pytest.mark.parametrize("text", ["12", "12.0", " 12.00 ", "12.000"])
    def test_parse_accepts_fewer_places_and_zeros(self, text: str) -> None:
        assert money.parse_major(text, "USD") == 1200

    @pytest.mark.parametrize(
        "text", ["", "1,000.00", "12.345", "1e5", "NaN", "Infinity", "12.", ".5", "$5", "+5", "١٢", "9" * 18, "9" * 40]
    )
    def test_parse_refuses_anything_else(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"amount|places"):
            money.parse_major(text, "USD")

    @given(st.integers(-(2**63) + 1, 2**63 - 1), st.sampled_from(["USD", "JPY", "BHD", "CLF"]))
    def test_parse_undoes_to_major_over_the_whole_range_of_a_column(self, amount: int, currency: str) -> None:
        text = str(money.to_major(amount, currency))
        if len(text.lstrip("-").partition(".")[0]) <= 18:
            assert money.parse_major(text, currency) == amount


class TestFormatMoney:
    @pytest.mark.parametrize(
        ("amount", "currency", "locale", "text"),
        [
            (123456, "USD", "en", "$1,234.56"),
            (-500, "USD", "en", "-$5.00"),
            (123456, "EUR", "de", "1.234,56\xa0€"),
            (123456, "EUR", "fr", "1\u202f234,56\xa0€"),
            (123456, "EUR", "de-AT", "€\xa01.234,56"),
            (123456, "IDR", "id", "Rp\xa01.234,56"),
            (1234, "JPY", "en", "¥1,234"),
            (1234, "BHD", "en", "BHD\xa01.234"),
            (1234, "RSD", "en", "RSD\xa012.34"),
            (123456, "USD", "xx-unknown", "$1,234.56"),
            (123456, "USD", "", "$1,234.56"),
            (123456, "USD", "../../etc", "$1,234.56"),
            (123456, "EUR", "de_XX", "1.234,56\xa0€"),
        ],
    )
    def test_writes_money_as_the_reader_does(self, amount: int, currency: str, locale: str, text: str) -> None:
        assert money.format_money(amount, currency, locale) == text

    def test_shows_every_place_of_a_large_amount(self) -> None:
        assert money.format_money(2**63 - 1, "USD", "en") == "$92,233,720,368,547,758.07"

    def test_refuses_an_unknown_currency(self) -> None:
        with pytest.raises(ValueError, match="unknown currency"):
            money.format_money(1, "ZZZ", "en")
