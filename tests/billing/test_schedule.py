"""The walk of an item through its periods: every period once, in order, and never one that ends before it begins."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import schedule
from billing.schedule import ItemState
from gtm.shared.periods import Anchor, Interval

MONTH = Interval("month")
JAN_31 = datetime(2026, 1, 31, 10, tzinfo=UTC)
ZONES = ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Pacific/Chatham", "America/Santiago"]


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def item(
    *, at: datetime = JAN_31, in_arrears: bool = False, start_at: datetime | None = None, **anchor: str
) -> ItemState:
    made = Anchor(at, **{"timezone": "UTC"} | anchor)  # type: ignore[arg-type]
    return schedule.opening(anchor=made, interval=MONTH, in_arrears=in_arrears, start_at=start_at or at)


class TestInAdvance:
    def test_is_due_at_the_start_of_each_period(self):
        dues, after = schedule.walk(item(), until=day("2026-03-31"))
        assert [(due.period.index, due.at) for due in dues] == [
            (0, JAN_31),
            (1, day("2026-02-28")),
            (2, day("2026-03-31")),
        ]
        assert after.billed_until == day("2026-04-30")
        assert schedule.next_bill_at(after, ends_at=None) == day("2026-04-30")

    def test_a_second_walk_finds_nothing(self):
        _, after = schedule.walk(item(), until=day("2026-03-31"))
        assert schedule.walk(after, until=day("2026-03-31")) == ([], after)

    def test_is_not_due_before_it_starts(self):
        assert schedule.walk(item(), until=JAN_31 - timedelta(seconds=1))[0] == []

    def test_bills_no_period_that_would_begin_when_it_ends(self):
        dues, after = schedule.walk(item(), until=day("2027-01-01"), ends_at=day("2026-02-28"))
        assert [due.period.index for due in dues] == [0]
        assert schedule.next_bill_at(after, ends_at=day("2026-02-28")) is None

    def test_goes_through_a_bounded_number_of_periods_at_a_time(self):
        dues, after = schedule.walk(item(), until=day("2099-01-01"))
        assert len(dues) == schedule.MAX_PERIODS
        rest, _ = schedule.walk(after, until=day("2099-01-01"))
        assert rest[0].period.index == schedule.MAX_PERIODS


class TestInArrears:
    def test_is_due_at_the_end_of_each_period(self):
        dues, after = schedule.walk(item(in_arrears=True), until=day("2026-03-31"))
        assert [(due.period.index, due.at) for due in dues] == [(0, day("2026-02-28")), (1, day("2026-03-31"))]
        assert after.index == 2
        assert after.billed_until == day("2026-03-31")

    def test_is_cut_where_it_ends(self):
        end = day("2026-03-10")
        dues, after = schedule.walk(item(in_arrears=True), until=day("2027-01-01"), ends_at=end)
        assert [(due.period.end, due.cut) for due in dues] == [(day("2026-02-28"), False), (end, True)]
        assert schedule.next_bill_at(after, ends_at=end) is None

    def test_is_whole_where_it_ends_with_its_period(self):
        end = day("2026-02-28")
        dues, after = schedule.walk(item(in_arrears=True), until=day("2027-01-01"), ends_at=end)
        assert [(due.period.end, due.cut) for due in dues] == [(end, False)]
        assert schedule.next_bill_at(after, ends_at=end) is None


class TestWithoutRenewing:
    """Something else happens at that instant, before the next period begins."""

    FEB_28 = day("2026-02-28")

    def test_closes_what_ends_and_begins_nothing(self):
        closed, after = schedule.walk(item(in_arrears=True), until=self.FEB_28, renewing=False)
        assert [due.period.end for due in closed] == [self.FEB_28]
        assert after.start == self.FEB_28
        begun, after = schedule.walk(item(), until=self.FEB_28, renewing=False)
        assert [due.period.index for due in begun] == [0]
        assert (after.index, after.end) == (0, self.FEB_28)

    def test_leaves_a_trial_that_ends_then(self):
        tried = item(start_at=day("2026-01-17"))
        assert schedule.walk(tried, until=JAN_31, renewing=False) == ([], tried)


def test_what_is_not_to_be_billed_in_arrears_is_passed_over():
    """The rest of a period that a change leaves without a charge."""
    rest = replace(item(in_arrears=True), start=day("2026-02-10"), billed_until=day("2026-02-28"))
    assert schedule.next_bill_at(rest, ends_at=None) == day("2026-02-28")
    assert schedule.next_bill_at(rest, ends_at=day("2026-02-20")) is None
    dues, _ = schedule.walk(rest, until=day("2026-03-31"))
    assert [due.period.start for due in dues] == [day("2026-02-28")]


class TestTrial:
    """A window before the anchor."""

    START = day("2026-01-17")

    def test_bills_nothing_for_the_trial(self):
        dues, after = schedule.walk(item(start_at=self.START), until=JAN_31)
        assert [(due.period.start, due.at) for due in dues] == [(JAN_31, JAN_31)]
        assert after.index == 0

    def test_is_due_when_it_ends(self):
        assert schedule.next_bill_at(item(start_at=self.START), ends_at=None) == JAN_31

    def test_usage_in_it_is_free(self):
        dues, _ = schedule.walk(item(start_at=self.START, in_arrears=True), until=day("2026-02-28"))
        assert [due.period.start for due in dues] == [JAN_31]

    def test_costs_nothing_when_it_is_canceled(self):
        assert schedule.walk(item(start_at=self.START), until=day("2027-01-01"), ends_at=JAN_31)[0] == []


class TestTimezone:
    def test_a_new_zone_counts_from_the_next_period(self):
        moved = replace(item(), timezone="America/New_York")
        dues, after = schedule.walk(moved, until=day("2026-03-15"))
        assert [due.period.start for due in dues] == [JAN_31, day("2026-02-28")]
        assert after.end == day("2026-03-31") + timedelta(hours=4)
        assert after.anchor.timezone == "America/New_York"


@given(
    start=st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC)),
    zones=st.lists(st.sampled_from(ZONES), min_size=1, max_size=6),
    unit=st.sampled_from(["day", "second"]),
    alignment=st.sampled_from(["anniversary", "calendar"]),
    in_arrears=st.booleans(),
    interval=st.builds(Interval, st.sampled_from(["week", "month", "quarter", "year"]), st.integers(1, 5)),
)
def test_periods_tile_whatever_zone_the_customer_moves_to(start, zones, unit, alignment, in_arrears, interval):
    anchor = Anchor(start, zones[0], unit, alignment)
    state = schedule.opening(anchor=anchor, interval=interval, in_arrears=in_arrears, start_at=start)
    found = []
    for zone in zones:
        due = schedule.next_bill_at(state, ends_at=None)
        assert due is not None
        dues, state = schedule.walk(replace(state, timezone=zone), until=due)
        found += dues
    assert found[0].period.start == start if found else True
    assert all(before.period.end == after.period.start for before, after in pairwise(found))
    assert all(before.period.index + 1 == after.period.index for before, after in pairwise(found))


def test_a_subscription_is_due_at_the_earliest_of_all():
    early, late = day("2026-02-01"), day("2026-03-01")
    assert schedule.next_due([late, None, early]) == early
    assert schedule.next_due([None]) is None


@pytest.mark.parametrize(("at", "count"), [("2026-01-30", 0), ("2026-02-01", 1), ("2026-02-28", 2), ("2027-01-31", 13)])
def test_counts_the_periods_that_have_begun(at, count):
    assert schedule.periods_begun(item(), day(at)) == count
