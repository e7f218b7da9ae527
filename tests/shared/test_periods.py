"""The period policy: tables of month ends, leap years and clock changes, then properties over any anchor and zone."""

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtm.shared import periods
from gtm.shared.periods import Alignment, Anchor, Interval, IntervalUnit, Period, ProrationUnit

ZONES = [
    "UTC",
    "America/New_York",
    "America/Santiago",
    "America/Havana",
    "America/St_Johns",
    "Europe/Berlin",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Kolkata",
    "Asia/Gaza",
    "Asia/Tokyo",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
]
MONTH = Interval("month")
QUARTER = Interval("quarter")
YEAR = Interval("year")
WEEK = Interval("week")

INTERVALS = st.builds(Interval, st.sampled_from(["week", "month", "quarter", "year"]), st.integers(1, 24))
ANCHORS = st.builds(
    Anchor,
    at=st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
    timezone=st.sampled_from(ZONES),
    unit=st.sampled_from(["day", "second"]),
    alignment=st.sampled_from(["anniversary", "calendar"]),
)
INDEXES = st.integers(0, 200)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def local(text: str, zone: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def start_dates(anchor: Anchor, interval: Interval, indexes: list[int]) -> list[str]:
    starts = [periods.period(anchor, interval, k).start for k in indexes]
    return [periods.local_date(start, anchor.timezone).isoformat() for start in starts]


class TestPeriod:
    @pytest.mark.parametrize(
        ("anchor", "interval", "indexes", "starts"),
        [
            (
                "2026-01-31",
                MONTH,
                [0, 1, 2, 3, 4],
                ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"],
            ),
            ("2024-01-31", MONTH, [0, 1, 2, 3], ["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"]),
            ("2024-01-30", MONTH, [1, 2, 3, 4], ["2024-02-29", "2024-03-30", "2024-04-30", "2024-05-30"]),
            (
                "2022-04-30",
                MONTH,
                [9, 10, 11, 22, 23],
                ["2023-01-30", "2023-02-28", "2023-03-30", "2024-02-29", "2024-03-30"],
            ),
            ("2022-12-31", QUARTER, [1, 2, 3, 4], ["2023-03-31", "2023-06-30", "2023-09-30", "2023-12-31"]),
            ("2023-11-30", QUARTER, [1, 2, 5], ["2024-02-29", "2024-05-30", "2025-02-28"]),
            ("2024-02-29", YEAR, [1, 2, 3, 4], ["2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]),
            ("2023-02-28", YEAR, [1, 2], ["2024-02-28", "2025-02-28"]),
            ("2096-02-29", YEAR, [4, 8], ["2100-02-28", "2104-02-29"]),
            ("2024-08-31", Interval("month", 6), [1, 2], ["2025-02-28", "2025-08-31"]),
            ("2024-02-29", Interval("year", 2), [1, 2], ["2026-02-28", "2028-02-29"]),
            ("2024-02-26", WEEK, [1, 2], ["2024-03-04", "2024-03-11"]),
            ("2024-02-26", Interval("week", 2), [1, 26], ["2024-03-11", "2025-02-24"]),
        ],
    )
    @pytest.mark.parametrize("zone", ZONES)
    @pytest.mark.parametrize("unit", ["day", "second"])
    def test_counts_from_the_anchor_and_clamps_last(
        self, anchor: str, interval: Interval, indexes: list[int], starts: list[str], zone: str, unit: ProrationUnit
    ) -> None:
        found = Anchor(at=local(f"{anchor}T12:12:00", zone), timezone=zone, unit=unit)
        assert start_dates(found, interval, indexes) == starts

    def test_in_days_starts_at_its_instant_and_then_at_local_midnights(self) -> None:
        anchor = Anchor(at=utc("2024-03-05T12:12:00Z"), timezone="America/New_York")
        first, second = (periods.period(anchor, MONTH, k) for k in (0, 1))
        assert first == Period(start=utc("2024-03-05T12:12:00Z"), end=utc("2024-04-05T04:00:00Z"), index=0)
        assert second == Period(start=utc("2024-04-05T04:00:00Z"), end=utc("2024-05-05T04:00:00Z"), index=1)

    def test_in_seconds_keeps_the_local_clock_time_across_a_clock_change(self) -> None:
        anchor = Anchor(at=utc("2024-03-05T12:12:34.000567Z"), timezone="America/New_York", unit="second")
        starts = [periods.period(anchor, MONTH, k).start for k in (0, 1)]
        assert starts == [utc("2024-03-05T12:12:34.000567Z"), utc("2024-04-05T11:12:34.000567Z")]

    def test_the_day_is_that_of_the_customers_zone(self) -> None:
        anchor = Anchor(at=utc("2024-01-30T20:00:00Z"), timezone="Asia/Tokyo")
        assert periods.period(anchor, MONTH, 0).end == utc("2024-02-28T15:00:00Z")  # 29 February there

    @pytest.mark.parametrize(
        ("zone", "anchor", "interval", "index", "start"),
        [
            ("America/Santiago", "2023-08-03", MONTH, 1, "2023-09-03T04:00:00+00:00"),  # midnight did not exist
            ("Asia/Beirut", "2024-02-25", Interval("week", 5), 1, "2024-03-30T22:00:00+00:00"),
            ("America/Havana", "2024-10-03", MONTH, 1, "2024-11-03T04:00:00+00:00"),  # midnight came twice
            ("Africa/Cairo", "2024-03-26", MONTH, 1, "2024-04-25T22:00:00+00:00"),
            ("Pacific/Apia", "2011-11-30", MONTH, 1, "2011-12-30T10:00:00+00:00"),  # 30 December 2011 did not exist
            ("America/St_Johns", "2006-09-29", MONTH, 1, "2006-10-29T02:30:00+00:00"),
            ("Australia/Lord_Howe", "2024-09-06", MONTH, 1, "2024-10-05T13:30:00+00:00"),
            ("Asia/Kolkata", "2023-02-02", MONTH, 1, "2023-03-01T18:30:00+00:00"),
        ],
    )
    def test_a_missing_or_repeated_midnight_is_the_first_instant_of_the_day(
        self, zone: str, anchor: str, interval: Interval, index: int, start: str
    ) -> None:
        found = Anchor(at=local(f"{anchor}T15:00:00", zone), timezone=zone)
        assert periods.period(found, interval, index).start == datetime.fromisoformat(start)

    @pytest.mark.parametrize(
        ("unit", "clock", "start"),
        [
            ("second", "02:30:00", "2024-03-10T07:00:00+00:00"),  # 02:30 was skipped: 03:00
            ("second", "02:30:00.250000", "2024-03-10T07:00:00+00:00"),
            ("day", "02:30:00", "2024-03-10T05:00:00+00:00"),
        ],
    )
    def test_a_skipped_clock_time_is_the_end_of_the_gap(self, unit: ProrationUnit, clock: str, start: str) -> None:
        anchor = Anchor(at=local(f"2024-02-10T{clock}", "America/New_York"), timezone="America/New_York", unit=unit)
        assert periods.period(anchor, MONTH, 1).start == datetime.fromisoformat(start)

    @pytest.mark.parametrize(
        ("start", "interval", "bounds"),
        [
            ("2024-03-05", MONTH, ["2024-03-05", "2024-04-01", "2024-05-01"]),
            ("2024-03-01", MONTH, ["2024-03-01", "2024-04-01", "2024-05-01"]),
            ("2024-05-20", QUARTER, ["2024-05-20", "2024-07-01", "2024-10-01"]),
            ("2022-02-01", YEAR, ["2022-02-01", "2023-01-01", "2024-01-01"]),
            ("2023-06-16", WEEK, ["2023-06-16", "2023-06-19", "2023-06-26"]),
            ("2024-03-05", Interval("month", 2), ["2024-03-05", "2024-04-01", "2024-06-01"]),
            ("2024-04-01", Interval("month", 2), ["2024-04-01", "2024-06-01", "2024-08-01"]),
            ("2024-12-31", MONTH, ["2024-12-31", "2025-01-01", "2025-02-01"]),
        ],
    )
    @pytest.mark.parametrize("zone", ZONES)
    def test_calendar_alignment_begins_with_a_stub(
        self, start: str, interval: Interval, bounds: list[str], zone: str
    ) -> None:
        anchor = Anchor(at=local(f"{start}T12:12:00", zone), timezone=zone, alignment="calendar")
        assert start_dates(anchor, interval, [0, 1, 2]) == bounds

    def test_calendar_alignment_in_seconds_is_a_stub_unless_it_starts_at_the_very_bound(self) -> None:
        late = Anchor(at=utc("2024-04-01T10:00:00Z"), timezone="UTC", unit="second", alignment="calendar")
        prompt = Anchor(at=utc("2024-04-01T00:00:00Z"), timezone="UTC", unit="second", alignment="calendar")
        two_months = Interval("month", 2)
        assert periods.period(late, two_months, 0).end == utc("2024-05-01T00:00:00Z")
        assert periods.period(prompt, two_months, 0).end == utc("2024-06-01T00:00:00Z")

    @given(ANCHORS, INTERVALS, INDEXES)
    def test_periods_tile(self, anchor: Anchor, interval: Interval, k: int) -> None:
        run = [periods.period(anchor, interval, index) for index in range(k, k + 4)]
        assert all(one.end == following.start for one, following in pairwise(run))
        assert all(one.start < one.end for one in run)
        assert [one.index for one in run] == list(range(k, k + 4))
        assert all(bound.tzinfo is UTC for one in run for bound in (one.start, one.end))

    @given(ANCHORS, INTERVALS)
    def test_the_first_period_starts_at_the_anchors_instant(self, anchor: Anchor, interval: Interval) -> None:
        assert periods.period(anchor, interval, 0).start == anchor.at

    @given(ANCHORS, INTERVALS, st.integers(1, 200))
    def test_bounds_are_local_midnights_or_keep_the_clock_time(
        self, anchor: Anchor, interval: Interval, k: int
    ) -> None:
        start = periods.period(anchor, interval, k).start
        if anchor.unit == "day" or anchor.alignment == "calendar":
            day = periods.local_date(start + timedelta(hours=1), anchor.timezone)
            assert start == periods.start_of_day(day, anchor.timezone)
        else:
            here = ZoneInfo(anchor.timezone)
            wanted, found = anchor.at.astimezone(here).time(), start.astimezone(here)
            skipped = found.utcoffset() != (start - timedelta(seconds=1)).astimezone(here).utcoffset()
            assert found.time() == wanted or skipped


class TestPeriodAt:
    @pytest.mark.parametrize(
        ("instant", "index"),
        [
            ("2024-01-31T15:00:00Z", 0),
            ("2024-02-28T23:59:59.999999Z", 0),
            ("2024-02-29T00:00:00Z", 1),
            ("2024-03-30T23:59:59Z", 1),
            ("2024-03-31T00:00:00Z", 2),
            ("2034-02-28T00:00:00Z", 121),
        ],
    )
    def test_holds_its_start_and_not_its_end(self, instant: str, index: int) -> None:
        anchor = Anchor(at=utc("2024-01-31T15:00:00Z"), timezone="UTC")
        assert periods.period_at(anchor, MONTH, utc(instant)).index == index

    @given(ANCHORS, INTERVALS, st.timedeltas(timedelta(), timedelta(days=40_000)))
    def test_finds_the_one_that_holds_the_instant(self, anchor: Anchor, interval: Interval, later: timedelta) -> None:
        instant = anchor.at + later
        found = periods.period_at(anchor, interval, instant)
        assert instant in found
        assert found == periods.period(anchor, interval, found.index)

    @given(ANCHORS, INTERVALS, INDEXES)
    def test_finds_a_period_by_its_start_and_its_last_microsecond(
        self, anchor: Anchor, interval: Interval, k: int
    ) -> None:
        wanted = periods.period(anchor, interval, k)
        assert periods.period_at(anchor, interval, wanted.start) == wanted
        assert periods.period_at(anchor, interval, wanted.end - timedelta(microseconds=1)) == wanted

    def test_refuses_an_instant_before_the_anchor(self) -> None:
        anchor = Anchor(at=utc("2024-01-31T15:00:00Z"), timezone="UTC")
        with pytest.raises(ValueError, match=r"^instant: lies before"):
            periods.period_at(anchor, MONTH, utc("2024-01-31T14:59:59Z"))


class TestLimits:
    @pytest.mark.parametrize("count", [0, -1, 121])
    def test_refuses_a_count_out_of_range(self, count: int) -> None:
        with pytest.raises(ValueError, match=r"^count:"):
            Interval("month", count)

    def test_refuses_an_unknown_unit_alignment_or_zone(self) -> None:
        at = utc("2024-01-01T00:00:00Z")
        with pytest.raises(ValueError, match=r"^unit:"):
            Interval("day")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"^unit:"):
            Anchor(at=at, timezone="UTC", unit="hour")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"^alignment:"):
            Anchor(at=at, timezone="UTC", alignment="lunar")  # type: ignore[arg-type]

    @pytest.mark.parametrize("timezone", ["", "Mars/Base", "America", "/etc/passwd", "../UTC", "UTC\0", "x" * 5000])
    def test_refuses_what_is_no_zone(self, timezone: str) -> None:
        with pytest.raises(ValueError, match=r"^timezone: unknown zone"):
            Anchor(at=utc("2024-01-01T00:00:00Z"), timezone=timezone)

    @pytest.mark.parametrize(
        "at", [datetime(2024, 1, 1), datetime(1969, 1, 1, tzinfo=UTC), datetime(9001, 1, 1, tzinfo=UTC)]
    )
    def test_refuses_a_naive_or_absurd_anchor(self, at: datetime) -> None:
        with pytest.raises(ValueError, match=r"^at:"):
            Anchor(at=at, timezone="UTC")

    @pytest.mark.parametrize("unit", ["week", "month", "year"])
    @pytest.mark.parametrize("k", [-1, 400_000, 500_001, 10**12])
    def test_refuses_an_index_below_zero_or_beyond_the_last_year(self, unit: IntervalUnit, k: int) -> None:
        anchor = Anchor(at=utc("2024-01-01T00:00:00Z"), timezone="UTC")
        with pytest.raises(ValueError, match=r"^index:"):
            periods.period(anchor, Interval(unit, 7), k)

    def test_refuses_an_instant_after_the_last_year_at_once(self) -> None:
        anchor = Anchor(at=utc("2024-01-01T00:00:00Z"), timezone="UTC")
        with pytest.raises(ValueError, match=r"^instant:"):
            periods.period_at(anchor, WEEK, datetime(9999, 1, 1, tzinfo=UTC))

    def test_works_up_to_the_edges_of_its_range(self) -> None:
        earliest = Anchor(at=datetime(1970, 1, 1, tzinfo=UTC), timezone="America/New_York", alignment="calendar")
        assert periods.whole_period(earliest, Interval("year", 120), 0).start.year == 1850
        latest = Anchor(at=datetime(8999, 12, 31, tzinfo=UTC), timezone="Pacific/Apia")
        assert periods.period(latest, YEAR, 0).end.year == 9000

    def test_a_period_never_ends_before_it_starts(self) -> None:
        with pytest.raises(ValueError, match=r"^end:"):
            Period(start=utc("2024-01-02T00:00:00Z"), end=utc("2024-01-01T00:00:00Z"))


def between(start: str, end: str, zone: str = "UTC") -> Period:
    return Period(start=local(start, zone), end=local(end, zone))


class TestShare:
    @pytest.mark.parametrize(
        ("start", "end", "zone", "count"),
        [
            ("2024-03-09", "2024-03-11", "America/New_York", 2),
            ("2024-11-02", "2024-11-04", "America/New_York", 2),
            ("2024-04-06", "2024-04-08", "Australia/Sydney", 2),
            ("2024-05-01T08:00", "2024-05-01T17:00", "Europe/Berlin", 0),
            ("2024-02-01", "2024-03-01", "UTC", 29),
            ("2023-09-02", "2023-09-04", "America/Santiago", 2),
        ],
    )
    def test_counts_calendar_days_across_clock_changes(self, start: str, end: str, zone: str, count: int) -> None:
        assert periods.days(between(start, end, zone), zone) == count

    @pytest.mark.parametrize(
        ("part", "whole", "expected"),
        [
            (("2024-03-05T12:12", "2024-04-01"), ("2024-03-01", "2024-04-01"), Fraction(27, 31)),
            (("2024-03-12T12:12", "2024-04-05"), ("2024-03-05", "2024-04-05"), Fraction(24, 31)),
            (("2012-02-01", "2012-02-15"), ("2012-02-01", "2012-03-01"), Fraction(14, 29)),
            (("2024-09-05", "2025-02-18"), ("2024-02-18", "2025-02-18"), Fraction(166, 366)),
            (("2024-05-20T10:00", "2024-06-21"), ("2024-04-01", "2024-07-01"), Fraction(32, 91)),
        ],
    )
    def test_is_days_of_the_part_over_days_of_the_whole(
        self, part: tuple[str, str], whole: tuple[str, str], expected: Fraction
    ) -> None:
        assert periods.share(between(*part), between(*whole), unit="day", timezone="UTC") == expected

    def test_in_seconds_is_exact(self) -> None:
        stub, january = between("2024-01-21T21:55:18", "2024-02-01"), between("2024-01-01", "2024-02-01")
        found = periods.share(stub, january, unit="second", timezone="UTC")
        assert found == Fraction(871_482, 2_678_400)
        assert round(2000 * found) == 651

    def test_refuses_a_whole_without_length(self) -> None:
        nothing = between("2024-05-01T08:00", "2024-05-01T17:00")
        with pytest.raises(ValueError, match=r"^whole:"):
            periods.share(nothing, nothing, unit="day", timezone="UTC")

    @given(ANCHORS, INTERVALS, INDEXES)
    def test_a_whole_period_is_all_of_itself(self, anchor: Anchor, interval: Interval, k: int) -> None:
        part, whole = periods.period(anchor, interval, k), periods.whole_period(anchor, interval, k)
        found = periods.share(part, whole, unit=anchor.unit, timezone=anchor.timezone)
        if k == 0 and anchor.alignment == "calendar":
            assert 0 <= found <= 1
        else:
            assert found == 1

    @given(ANCHORS, INTERVALS, INDEXES, st.fractions(0, 1))
    def test_parts_of_a_period_add_up_to_it(self, anchor: Anchor, interval: Interval, k: int, where: Fraction) -> None:
        full = periods.period(anchor, interval, k)
        cut = full.start + (full.end - full.start) * float(where)
        parts = [Period(start=full.start, end=cut), Period(start=cut, end=full.end)]
        lengths = [periods.length(part, unit=anchor.unit, timezone=anchor.timezone) for part in parts]
        assert sum(lengths) == periods.length(full, unit=anchor.unit, timezone=anchor.timezone)


class TestWholePeriod:
    @pytest.mark.parametrize(
        ("start", "interval", "alignment", "unit", "expected"),
        [
            ("2024-03-05T12:12", MONTH, "calendar", "day", "2024-03-01"),
            ("2024-03-05T12:12", MONTH, "calendar", "second", "2024-03-01"),
            ("2024-05-20T10:00", QUARTER, "calendar", "day", "2024-04-01"),
            ("2024-03-05T12:12", Interval("month", 2), "calendar", "day", "2024-02-01"),
            ("2024-03-05T12:12", MONTH, "anniversary", "day", "2024-03-05"),
            ("2024-03-05T12:12", MONTH, "anniversary", "second", "2024-03-05T12:12"),
        ],
    )
    def test_undoes_the_cut_at_the_front(
        self, start: str, interval: Interval, alignment: Alignment, unit: ProrationUnit, expected: str
    ) -> None:
        anchor = Anchor(at=local(start, "Asia/Tokyo"), timezone="Asia/Tokyo", unit=unit, alignment=alignment)
        assert periods.whole_period(anchor, interval, 0).start == local(expected, "Asia/Tokyo")

    def test_later_periods_are_whole_already(self) -> None:
        anchor = Anchor(at=utc("2024-01-31T15:00:00Z"), timezone="UTC", alignment="calendar")
        assert periods.whole_period(anchor, MONTH, 3) == periods.period(anchor, MONTH, 3)


class TestInTimezone:
    def test_keeps_the_local_date_so_that_the_31st_stays_the_31st(self) -> None:
        anchor = Anchor(at=utc("2024-01-31T23:30:00Z"), timezone="UTC")
        moved = periods.in_timezone(anchor, "Asia/Tokyo")
        assert periods.local_date(periods.period(moved, MONTH, 2).start, "Asia/Tokyo") == date(2024, 3, 31)
        assert moved.unit == anchor.unit


class TestDays:
    @pytest.mark.parametrize(
        ("start", "days", "zone", "end"),
        [
            ("2024-03-05T12:12:00Z", 10, "UTC", "2024-03-15T12:12:00Z"),
            ("2024-03-09T17:00:00Z", 1, "America/New_York", "2024-03-10T16:00:00Z"),  # noon to noon, 23 hours
            ("2024-03-22T18:12:00Z", 10, "Asia/Tokyo", "2024-04-01T18:12:00Z"),
            ("2024-03-09T07:30:00Z", 1, "America/New_York", "2024-03-10T07:00:00Z"),  # 02:30 does not exist
            ("2024-11-03T06:30:00Z", 0, "America/New_York", "2024-11-03T06:30:00Z"),  # the second 01:30 stays it
        ],
    )
    def test_a_trial_ends_at_the_same_local_clock_time(self, start: str, days: int, zone: str, end: str) -> None:
        assert periods.trial_end(utc(start), days, zone) == utc(end)

    def test_a_trial_has_no_negative_length(self) -> None:
        with pytest.raises(ValueError, match=r"^days:"):
            periods.trial_end(utc("2024-03-05T12:12:00Z"), -1, "UTC")

    def test_add_days_goes_back_too_and_is_bounded(self) -> None:
        assert periods.add_days(utc("2024-03-05T12:12:00Z"), -3, "UTC") == utc("2024-03-02T12:12:00Z")
        with pytest.raises(ValueError, match=r"^days:"):
            periods.add_days(utc("2024-03-05T12:12:00Z"), 10**9, "UTC")

    def test_local_date_needs_an_aware_instant(self) -> None:
        assert periods.local_date(utc("2024-03-01T02:00:00Z"), "America/Bogota") == date(2024, 2, 29)
        with pytest.raises(ValueError, match=r"^instant:"):
            periods.local_date(datetime(2024, 1, 1), "UTC")
