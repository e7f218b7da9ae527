"""Cases about where periods begin and end, and what share of a whole one a part is."""

from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from billing import schedule
from gtm.shared import periods
from gtm.shared.money import round_half_up
from gtm.shared.periods import Anchor, Interval, Period, ProrationUnit
from tests.billing.cases.book import Case, case, elapsed
from tests.billing.lives import closing_of, day_of, local

NOON = "T12:12:00"
DAY = timedelta(days=1)


def anchored(day: str, unit: ProrationUnit, *, alignment: Any = "anniversary", zone: str = "UTC") -> Anchor:
    """Noon is as good as any time of the day under both units."""
    return Anchor(local(day if "T" in day else day + NOON, zone), zone, unit, alignment)


def dates(anchor: Anchor, interval: Interval, indexes: range) -> list[tuple[str, str]]:
    """The local days on which periods begin and, exclusively, end."""
    found = [periods.period(anchor, interval, k) for k in indexes]
    return [(day_of(one.start, anchor.timezone), day_of(one.end, anchor.timezone)) for one in found]


def between(start: str, end: str, zone: str = "UTC") -> Period:
    return Period(local(start, zone), local(end, zone))


def inclusive(text: str) -> tuple[str, str]:
    """``2024-01-31..2024-02-28`` with its last day, as [start, end)."""
    start, last = text.split("..")
    return start, (date.fromisoformat(last) + DAY).isoformat()


def exclusive(text: str) -> tuple[str, str]:
    start, end = text.split("..")
    return start, end


@case("lago-period-31", "lago-period-30-advance")
def test_a_month_counts_from_the_anchor_and_is_clamped(case: Case, unit: ProrationUnit) -> None:
    expected = [inclusive(text) for text in case["expected"]["periods"]]
    anchor = anchored(case["inputs"]["anchor"], unit)
    assert dates(anchor, Interval("month"), range(len(expected))) == expected
    ends = [end for _start, end in expected]
    assert case["expected"].get("billing_days", ends) == ends  # in arrears a period is billed on the day it ends


@case("lago-days-30", "lago-days-quarter-31")
def test_bills_on_the_anchors_day_or_the_last_of_the_month(case: Case, unit: ProrationUnit) -> None:
    interval = Interval(case["inputs"]["interval"])
    billed = {start for start, _end in dates(anchored(case["inputs"]["anchor"], unit), interval, range(1, 30))}
    months = {day[:7] for day in case["expected"]["billing_days"]}
    assert sorted(day for day in billed if day[:7] in months) == case["expected"]["billing_days"]


@case("lago-year-feb29")
def test_a_year_from_29_february_bills_once_in_a_common_year(case: Case, unit: ProrationUnit) -> None:
    starts = [day for day, _end in dates(anchored(case["inputs"]["anchor"], unit), Interval("year"), range(10))]
    in_2023 = [day for day in starts if day.startswith("2023")]
    assert (in_2023, len(in_2023)) == ([case["expected"]["billing_day_2023"]], case["expected"]["invoices"])


@case("polar-anchor-31")
def test_the_31st_is_remembered_through_february(case: Case, unit: ProrationUnit) -> None:
    found = dates(anchored(case["inputs"]["anchor"], unit), Interval("month"), range(3))
    assert [start for start, _end in found] == case["expected"]["period_starts"]
    assert [end for _start, end in found] == case["expected"]["period_ends"]


@case("stripe-anchor-31")
def test_the_31st_in_common_and_leap_years(case: Case, unit: ProrationUnit) -> None:
    for year, february in ((2023, "Feb 28"), (2024, "Feb 29")):
        anchor = anchored(datetime.strptime(f"{case['inputs']['anchor']} {year}", "%b %d %Y").date().isoformat(), unit)
        found = [date.fromisoformat(end) for _start, end in dates(anchor, Interval("month"), range(3))]
        expected = [february if "/" in day else day for day in case["expected"]["billing_days"]]
        assert [f"{day:%b} {day.day}" for day in found] == expected


@case("flex-next-date-year")
def test_29_february_comes_back_in_leap_years(case: Case, unit: ProrationUnit) -> None:
    for (start, years), following in zip(case["inputs"]["cases"], case["expected"]["next"], strict=True):
        assert dates(anchored(start, unit), Interval("year"), range(years, years + 1))[0][0] == following


@case("om-anchor-31")
def test_what_joins_a_grid_late_has_a_stub_up_to_its_next_bound(case: Case, unit: ProrationUnit) -> None:
    """Such an item stands on the grid of the subscription that it joins: the front of its period is cut."""
    anchor, joined = anchored(case["inputs"]["anchor"], unit), local(case["inputs"]["start"])
    first = periods.period_at(anchor, Interval(case["inputs"]["interval"]), joined)
    whole = dates(anchor, Interval(case["inputs"]["interval"]), range(first.index, first.index + 3))
    stub = (day_of(joined, "UTC"), whole[0][1])
    assert [stub, *whole[1:]] == [exclusive(text) for text in case["expected"]["periods"]]


_ANCHORS = {  # the bound before the start of each, on the grid that its anchor makes
    "anchor 15": ("2024-03-15", Interval("month")),
    "anchor 2024-04-01": ("2024-01-01", Interval("quarter")),
    "anchor 2024-07-01": ("2024-01-01", Interval("quarter", 2)),
}


@case("flex-anchor-after-start")
def test_the_first_bound_after_a_start_is_the_anchors(case: Case, unit: ProrationUnit) -> None:
    for (start, _interval, named), following in zip(case["inputs"]["cases"], case["expected"]["next"], strict=True):
        day, interval = _ANCHORS[named]
        found = periods.period_at(anchored(day, unit), interval, local(start + NOON))
        assert day_of(found.end, "UTC") == following


@case("flex-dst-days")
def test_days_are_local_whatever_the_clocks_do(case: Case, unit: ProrationUnit) -> None:
    for (start, end, zone), days in zip(case["inputs"]["ranges"], case["expected"]["days"], strict=True):
        part = between(start, end, zone)
        seconds = int(part.end.timestamp() - part.start.timestamp())
        expected = days if unit == "day" else seconds
        assert periods.length(part, unit=unit, timezone=zone) == expected


@case("kb-proration-ratios")
def test_a_part_of_a_month_is_its_share_of_that_month(case: Case, unit: ProrationUnit) -> None:
    """The third number is the day of the cycle on whose grid the month stands."""
    for (start, end, cycle_day), ratio in zip(case["inputs"]["cases"], case["expected"]["ratios"], strict=True):
        anchor = Anchor(local(f"2010-01-{cycle_day:02}"), "UTC", unit)
        whole = periods.period_at(anchor, Interval("month"), local(start))
        assert periods.share(between(start, end), whole, unit=unit, timezone="UTC") == Fraction(ratio)
    start, end, _cycle_day = case["expected"]["two_cycles"]
    item = schedule.opening(
        anchor=Anchor(local(start), "UTC", unit), interval=Interval("month"), in_arrears=False, start_at=local(start)
    )
    assert schedule.periods_begun(item, local(end)) == 2


@case("kb-annual-ratios")
def test_a_part_of_a_year_is_its_share_of_that_year(case: Case, unit: ProrationUnit) -> None:
    start, end = (local(case["inputs"][name]) for name in ("start", "end"))
    grid = Anchor(local(f"2009-{case['inputs']['cycle']}"), "UTC", unit)
    shares = []
    while start < end:
        whole = periods.period_at(grid, Interval("year"), start)
        part = Period(start, min(end, whole.end))
        shares.append(periods.share(part, whole, unit=unit, timezone="UTC"))
        start = part.end
    assert sorted(shares) == sorted(Fraction(text) for text in case["expected"]["cycles"].split(" + "))
    joined = local("2011-01-31")
    whole = periods.period_at(Anchor(local("2009-01-15"), "UTC", unit), Interval("year"), joined)
    leading = periods.share(Period(joined, whole.end), whole, unit=unit, timezone="UTC")
    assert leading == Fraction(case["expected"]["leading"])


@case("kb-bcd-change", "kb-bcd31")
def test_a_stub_before_a_bound_costs_its_share_of_the_whole_period(case: Case, unit: ProrationUnit) -> None:
    """The days of the source's cycle are those of a grid that begins on the 7th, and on the 31st."""
    first, *later = case["expected"]["lines"]
    stub = between(*exclusive(first["period"]))
    cycle_day = case["inputs"].get("new_bcd") or case["inputs"]["bcd"]
    anchor = Anchor(local(f"2010-01-{cycle_day:02}"), "UTC", unit)
    whole = periods.period_at(anchor, Interval("month"), stub.start)
    assert whole.end == stub.end
    share = periods.share(stub, whole, unit=unit, timezone="UTC")
    assert share == elapsed(stub.start, stub.end, whole.start, whole.end)
    assert round_half_up(case["inputs"]["plan_price"] * share) == first["amount"]
    following = range(whole.index + 1, whole.index + 1 + len(later))
    assert dates(anchor, Interval("month"), following) == [exclusive(line["period"]) for line in later]
    assert all(line["amount"] == case["inputs"]["second_plan_price"] for line in later)


@case("kb-dst-usage")
def test_usage_belongs_to_the_local_month(case: Case, unit: ProrationUnit) -> None:
    zone = case["inputs"]["timezone"]
    months = dict(zip(("march", "april", "may"), range(2, 5), strict=True))
    for reference in case["inputs"]["reference_dates"]:  # made in summer time or not
        made = local(reference + "T00:00", zone) - DAY * 365
        anchor = Anchor(local("2023-01-01", zone), zone, unit, "calendar")
        assert made < anchor.at
        for month, index in months.items():
            period = periods.period(anchor, Interval("month"), index)
            inside = [text for text in case["inputs"]["events"] if local(text, zone) in period]
            assert len(inside) == case["expected"]["quantities"][month]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Karachi", "America/Santiago"])
def test_the_days_of_the_book_end_at_midnight(zone: str) -> None:
    assert closing_of(local("2024-09-07T13:00", zone), zone).timestamp() >= local("2024-09-08", zone).timestamp()
