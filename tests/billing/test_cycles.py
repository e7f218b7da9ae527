"""The billing periods of a subscription through changes of its items: they tile, and the longest interval leads."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing import cycles
from billing.cycles import Cycles, Span
from gtm.shared.periods import Anchor, Interval, Period

MONTH, YEAR = Interval("month"), Interval("year")


def day(month: int, day: int, year: int = 2026) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


def item(since: datetime, interval: Interval, until: datetime | None = None, anchor: datetime | None = None) -> Span:
    return Span(since, until, Anchor(anchor or since, "UTC"), interval)


def of(*items: Span) -> Cycles:
    found = cycles.of_items(items, start_at=min(one.since for one in items))
    assert found is not None
    return found


MONTHLY = of(item(day(1, 15), MONTH))
LONGER = of(item(day(1, 15), MONTH, until=day(3, 20)), item(day(3, 20), YEAR))
BESIDE = of(item(day(1, 15), MONTH), item(day(3, 1), YEAR, until=day(6, 1)))
TRIAL = of(item(day(1, 1), MONTH, anchor=day(1, 15)))
MORE_SEATS = of(item(day(1, 15), MONTH, until=day(3, 20)), item(day(3, 20), MONTH, anchor=day(1, 15)))


class TestAt:
    @pytest.mark.parametrize(
        ("known", "instant", "start", "end", "index"),
        [
            (MONTHLY, day(1, 15), day(1, 15), day(2, 15), 0),
            (MONTHLY, day(4, 14), day(3, 15), day(4, 15), 2),
            (LONGER, day(3, 19), day(3, 15), day(3, 20), 2),
            (LONGER, day(3, 20), day(3, 20), day(3, 20, 2027), 0),
            (BESIDE, day(2, 20), day(2, 15), day(3, 1), 1),
            (BESIDE, day(3, 20), day(3, 1), day(6, 1), 0),
            (BESIDE, day(6, 2), day(6, 1), day(6, 15), 4),
            (TRIAL, day(1, 3), day(1, 1), day(1, 15), 0),
            (TRIAL, day(1, 20), day(1, 15), day(2, 15), 0),
            (MORE_SEATS, day(3, 21), day(3, 15), day(4, 15), 2),
        ],
    )
    def test_is_the_leading_item_s(
        self, known: Cycles, instant: datetime, start: datetime, end: datetime, index: int
    ) -> None:
        assert known.at(instant) == Period(start, end, index)

    def test_goes_on_after_the_last_item_ended(self) -> None:
        ended = of(item(day(1, 15), MONTH, until=day(2, 1)))
        assert ended.at(day(2, 20)) == Period(day(2, 15), day(3, 15), 1)

    def test_the_whole_period_knows_no_cuts(self) -> None:
        assert LONGER.era(day(3, 19)).whole(2) == Period(day(3, 15), day(4, 15), 2)

    @given(
        st.lists(
            st.tuples(st.integers(0, 300), st.integers(1, 200), st.sampled_from([MONTH, YEAR, Interval("week", 2)])),
            min_size=1,
            max_size=5,
        )
    )
    @settings(max_examples=50, deadline=None)
    def test_periods_tile_through_all_eras(self, some: list[tuple[int, int, Interval]]) -> None:
        first = day(1, 1)
        items = [
            item(first + timedelta(days=begin), interval, until=first + timedelta(days=begin + length))
            for begin, length, interval in some
        ]
        known = of(*items)
        period = known.at(known.start_at)
        for _turn in range(40):
            assert period.start < period.end
            following = known.at(period.end)
            assert following.start == period.end
            assert known.at(period.end - timedelta(microseconds=1)) == period
            period = following


class TestEndOf:
    @pytest.mark.parametrize(
        ("known", "count", "after", "end"),
        [
            (MONTHLY, 1, day(1, 15), day(2, 15)),
            (MONTHLY, 3, day(1, 15), day(4, 15)),
            (MONTHLY, 3, day(2, 15), day(5, 15)),
            (MONTHLY, 3, day(1, 20), day(5, 15)),
            (TRIAL, 2, day(1, 1), day(3, 15)),
            (LONGER, 1, day(4, 1), day(3, 20, 2028)),
        ],
    )
    def test_counts_periods_that_start_from_then_on(
        self, known: Cycles, count: int, after: datetime, end: datetime
    ) -> None:
        assert known.end_of(count, after=after) == end

    def test_refuses_what_lies_absurdly_far_ahead(self) -> None:
        with pytest.raises(ValueError, match="9000"):
            LONGER.end_of(8000, after=day(4, 1))
