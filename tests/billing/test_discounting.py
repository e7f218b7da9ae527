"""Which discount comes off which line, and that a fixed amount is spent once."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing import discounting, invoicing
from billing.discounting import Applied, Purse, Service
from billing.invoicing import Line

SUB, OTHER = UUID(int=1), UUID(int=2)
JAN, FEB, MAR = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3))
TEN_PERCENT = Applied(UUID(int=10), SUB, "TEN", JAN, percent_off=Decimal(10))
FIVE_OFF = Applied(UUID(int=11), SUB, "FIVE", JAN, amount_off=500)
ONCE = replace(FIVE_OFF, id=UUID(int=12), code="ONCE", once=True)


def service(amount: int, begins_at: datetime = JAN, *, subscription: UUID | None = SUB) -> Service:
    return Service(subscription, amount, begins_at, begins_at)


def taken(lines: list[Service], *discounts: Applied, used: dict[Purse, int] | None = None) -> list[int]:
    """What comes off each line."""
    shares = discounting.shares(lines, discounts, used=used or {})
    totals = invoicing.assemble([Line(line.amount) for line in lines], discounts=[share.discount for share in shares])
    return [line.discount_amount for line in totals.lines]


class TestShares:
    @pytest.mark.parametrize(
        ("case", "lines", "discounts", "off"),
        [
            ("a share of each line", [service(1000), service(3000)], [TEN_PERCENT], [100, 300]),
            (
                "of its subscription's alone",
                [service(1000), service(1000, subscription=OTHER)],
                [TEN_PERCENT],
                [100, 0],
            ),
            ("not of what has none", [service(1000, subscription=None)], [TEN_PERCENT], [0]),
            ("not of credits", [service(1000), service(-400)], [TEN_PERCENT], [100, 0]),
            ("percentages first", [service(1000)], [FIVE_OFF, TEN_PERCENT], [600]),
            ("an amount once a period", [service(1000), service(3000)], [FIVE_OFF], [125, 375]),
            ("and in each of two", [service(1000), service(3000, FEB)], [FIVE_OFF], [500, 500]),
            ("a single amount but once", [service(1000), service(3000, FEB)], [ONCE], [125, 375]),
            ("never below zero", [service(300), service(100, FEB)], [FIVE_OFF], [300, 100]),
            ("before its time", [service(1000)], [replace(TEN_PERCENT, starts_at=FEB)], [0]),
            ("in its time", [service(1000, FEB)], [replace(TEN_PERCENT, starts_at=FEB, ends_at=MAR)], [100]),
            ("after its time", [service(1000, MAR)], [replace(TEN_PERCENT, starts_at=FEB, ends_at=MAR)], [0]),
        ],
    )
    def test_come_off_what_they_are_for(
        self, case: str, lines: list[Service], discounts: list[Applied], off: list[int]
    ) -> None:
        assert taken(lines, *discounts) == off, case

    @pytest.mark.parametrize(
        ("case", "discount", "used", "off"),
        [
            ("polar-11556: once a period, not for each seat", FIVE_OFF, {(FIVE_OFF.id, JAN): 500}, 0),
            ("lago-coupon-partially-used", FIVE_OFF, {(FIVE_OFF.id, JAN): 200}, 300),
            ("another period's", FIVE_OFF, {(FIVE_OFF.id, FEB): 500}, 500),
            ("a single amount's rest carries over", ONCE, {(ONCE.id, None): 499}, 1),
            ("more than there was", ONCE, {(ONCE.id, None): 600}, 0),
        ],
    )
    def test_take_what_is_left(self, case: str, discount: Applied, used: dict[Purse, int], off: int) -> None:
        assert taken([service(1000)], discount, used=used) == [off], case

    @given(
        st.lists(st.tuples(st.integers(-(10**6), 10**6), st.sampled_from([JAN, FEB, MAR])), max_size=8),
        st.lists(st.sampled_from([TEN_PERCENT, FIVE_OFF, ONCE]), unique=True),
        st.integers(0, 700),
    )
    @settings(max_examples=50, deadline=None)
    def test_uses_sum_to_what_lines_lost_and_no_amount_is_passed(
        self, some: list[tuple[int, datetime]], discounts: list[Applied], before: int
    ) -> None:
        lines = [service(amount, begins_at) for amount, begins_at in some]
        used: dict[Purse, int] = {(FIVE_OFF.id, JAN): before, (ONCE.id, None): before}
        shares = discounting.shares(lines, discounts, used=used)
        totals = invoicing.assemble([Line(line.amount) for line in lines], discounts=[one.discount for one in shares])
        uses = discounting.uses(lines, zip(shares, totals.discounts, strict=True))
        for position, line in enumerate(totals.lines):
            assert line.discount_amount == sum(use.amount for use in uses if use.position == position)
        for purse in {use.purse for use in uses if use.purse[0] != TEN_PERCENT.id}:
            assert used.get(purse, 0) + sum(use.amount for use in uses if use.purse == purse) <= 500
