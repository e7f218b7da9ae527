"""Calendar billing in a zone without summer time, and in one while its clocks change, by the API alone."""

from fractions import Fraction
from itertools import pairwise

import pytest

from tests.billing.cases.book import elapsed, half_up
from tests.billing.lives import Life, lines_of, local

pytestmark = pytest.mark.django_db

LIVES = [  # zone, the month that it begins in the midst of, the two that follow, unit
    ("Asia/Karachi", "2025-03", ["2025-04-01", "2025-05-01"], "day"),
    ("Asia/Karachi", "2025-03", ["2025-04-01", "2025-05-01"], "second"),
    ("America/Santiago", "2025-03", ["2025-04-01", "2025-05-01"], "second"),  # 6 April has 25 hours
    ("America/Santiago", "2025-08", ["2025-09-01", "2025-10-01"], "day"),  # 7 September has no midnight
    ("America/Santiago", "2025-08", ["2025-09-01", "2025-10-01"], "second"),
]


@pytest.mark.parametrize(("zone", "month", "following", "unit"), LIVES)
def test_every_month_begins_at_its_local_midnight(zone: str, month: str, following: list[str], unit: str) -> None:
    start = local(f"{month}-16T09:30", zone)
    life = Life.begin(start, zone=zone, unit=unit)
    life.plan("pro", 3100)
    life.meter("calls")
    life.price("pro", "calls", model="per_unit", unit_amount="2", timing="in_arrears", meter="calls")
    life.subscribe(plan="pro", alignment="calendar")
    for bound in following:  # one call at the very bound belongs to the new month, ten in its last second do too
        life.use("calls", 1, at=local(bound, zone))
        life.use("calls", 10, at=local(bound.replace("-01", "-30") + "T23:59:59", zone))
    life.go(local(following[-1] + "T12:00", zone))

    issued = life.issued()
    assert [one["issue_date"] for one in issued] == [f"{month}-16", *following]
    recurring, usage = (
        [line for one in issued for line in one["lines"] if line["kind"] == kind] for kind in ("recurring", "usage")
    )
    assert [local(line["period_start"]) for line in recurring] == [start, *[local(bound, zone) for bound in following]]
    for lines in (recurring, usage):
        assert all(before["period_end"] == after["period_start"] for before, after in pairwise(lines))
    assert [(line["quantity"], line["amount"]) for line in usage] == [(0, 0), (11, 22)]

    left = elapsed(start, local(following[0], zone), local(f"{month}-01", zone), local(following[0], zone))
    stub = half_up(3100 * (Fraction(16, 31) if unit == "day" else left))
    assert [line["amount"] for line in recurring] == [stub, 3100, 3100]
    share = "16 of 31 days" if unit == "day" else "1,348,200 of 2,678,400 seconds"
    assert lines_of(issued[0], "explanation") == [(f"Fixed price of €31.00\n{share} of €31.00",)]
    assert {one["status"] for one in issued} == {"paid"}
    assert life.facts().count("billing.subscription.renewed") == 2
    life.bills_nothing_more()
