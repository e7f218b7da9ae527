"""What is billed and what is given back when a closed period is rated again: the arithmetic."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import lateness
from billing.lateness import Billed, Difference, Given


def line(amount: int, *, discount: int = 0, credited: int = 0) -> Billed:
    return Billed(amount, amount - discount, amount - discount - credited)


class TestGiveBack:
    @pytest.mark.parametrize(
        ("amount", "lines", "given"),
        [
            (50, [line(100)], [Given(50, 50)]),
            (80, [line(50), line(100)], [Given(50, 50), Given(30, 30)]),
            (80, [line(50)], [Given(50, 50)]),
            (50, [line(100, discount=20)], [Given(50, 40)]),
            (50, [line(100, credited=70)], [Given(30, 30)]),
            (50, [line(100, discount=20, credited=64)], [Given(20, 16)]),
            (50, [line(100, discount=100)], [Given(50, 0)]),
            (50, [line(100, credited=100)], [Given(0, 0)]),
            (50, [], []),
        ],
    )
    def test_newest_first_and_never_more_than_is_left(
        self, amount: int, lines: list[Billed], given: list[Given]
    ) -> None:
        assert lateness.give_back(amount, lines) == given

    @given(
        amount=st.integers(1, 10**6),
        lines=st.lists(
            st.tuples(st.integers(1, 10**6), st.fractions(0, 1), st.fractions(0, 1)).map(
                lambda one: line(
                    one[0],
                    discount=int(one[0] * one[1]),
                    credited=int((one[0] - int(one[0] * one[1])) * one[2]),
                )
            ),
            max_size=4,
        ),
    )
    def test_bounds(self, amount: int, lines: list[Billed]) -> None:
        found = lateness.give_back(amount, lines)
        assert sum(part.amount for part in found) <= amount
        assert all(0 <= part.net <= one.creditable for part, one in zip(found, lines, strict=True))
        assert all(0 <= part.amount <= max(one.amount, 0) for part, one in zip(found, lines, strict=True))


class TestShared:
    def test_by_what_is_given_of_each(self) -> None:
        parts = [Given(50, 50), Given(30, 30)]
        assert lateness.shared(Decimal(-8), parts) == [Decimal(-5), Decimal(-3)]
        assert sum(lateness.shared(Decimal("-0.000001"), parts)) == Decimal("-0.000001")

    def test_a_credit_for_more_units_is_one(self) -> None:
        assert lateness.shared(Decimal(10), [Given(50, 50)]) == [Decimal(-1)]

    def test_nothing_given_is_of_nothing(self) -> None:
        assert lateness.shared(Decimal(-8), [Given(0, 0)]) == [0]


def test_a_difference_is_one_in_either() -> None:
    assert not Difference(Decimal("0.000"), 0)
    assert Difference(Decimal(0), 1)
    assert Difference(Decimal(1), 0)
