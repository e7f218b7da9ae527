from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm import business_hours

MONDAY = date(2026, 11, 23)


@pytest.mark.parametrize(
    ("start", "hours", "due"),
    [
        ((2026, 11, 20, 17, 30), 4, (2026, 11, 24, 12, 30)),  # A43: Friday evening, Monday is a holiday
        ((2026, 11, 19, 9, 0), 4, (2026, 11, 19, 13, 0)),
        ((2026, 11, 19, 14, 0), 4, (2026, 11, 19, 18, 0)),  # falls on closing time: still that day
        ((2026, 11, 19, 14, 1), 4, (2026, 11, 20, 9, 1)),
        ((2026, 11, 21, 12, 0), 1, (2026, 11, 24, 10, 0)),  # on a Saturday
        ((2026, 11, 19, 3, 0), 20, (2026, 11, 24, 11, 0)),
    ],
)
def test_only_working_hours_count(start: tuple[int, ...], hours: int, due: tuple[int, ...]) -> None:
    zone = ZoneInfo("Europe/Berlin")
    found = business_hours.add(
        start=datetime(*start, tzinfo=zone).astimezone(UTC),  # type: ignore[misc]
        hours=hours,
        zone="Europe/Berlin",
        holidays={MONDAY},
    )
    assert found == datetime(*due, tzinfo=zone)  # type: ignore[misc]


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),
    st.integers(1, 60),
    st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
def test_a_deadline_lies_in_working_hours_and_never_early(start: datetime, hours: int, zone: str) -> None:
    due = business_hours.add(start=start, hours=hours, zone=zone)
    local = due.astimezone(ZoneInfo(zone))
    assert due - start >= timedelta(hours=hours)
    assert local.weekday() < 5
    assert 9 * 60 < local.hour * 60 + local.minute <= 18 * 60 or (local.hour, local.minute) == (9, 0)
