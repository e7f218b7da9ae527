"""The quantity of a usage line opens to days, hours and events that sum to it."""

from typing import Any

import pytest

from tests import world
from tests.billing.api import caller, problem
from tests.billing.metered import MeteredLife

pytestmark = pytest.mark.django_db


@pytest.fixture
def life() -> MeteredLife:
    """January is issued with 10 and 2.5 used; 5 more came late and stand on February's."""
    life = MeteredLife.begin_metered(model="per_unit", unit_amount=10)
    life.report(("a", "2026-01-10T00:10:00Z", 4), ("b", "2026-01-10T05:00:00Z", 6), ("c", "2026-01-31T23:59:00Z", 2.5))
    life.until("2026-02-01T02:00:00Z")
    life.report(("late", "2026-01-10T00:20:00Z", 5))
    life.until("2026-03-01T02:00:00Z")
    return life


def opened(life: MeteredLife, position: int = 0, query: str = "") -> Any:
    return life.get(path(life, position, query))


def path(life: MeteredLife, position: int = 0, query: str = "") -> str:
    invoices = [(invoice["id"], line["id"]) for invoice in life.invoices() for line in invoice["lines"]]
    return "invoices/{}/lines/{}/usage".format(*invoices[position]) + query


def test_by_day_by_hour_and_by_event_it_sums_to_what_was_used(life: MeteredLife) -> None:
    days, hours, events = (opened(life, query=f"?granularity={one}") for one in ("day", "hour", "event"))
    assert [(one["period_start"], one["quantity"]) for one in days["results"]] == [
        ("2026-01-10T00:00:00Z", 15),
        ("2026-01-31T00:00:00Z", 2.5),
    ]
    assert [one["quantity"] for one in hours["results"]] == [9, 6, 2.5]
    assert [(one["event"], one["quantity"]) for one in events["events"]] == [
        ("a", 4),
        ("late", 5),
        ("b", 6),
        ("c", 2.5),
    ]
    assert {one["total"] for one in (days, hours, events)} == {17.5}
    assert (days["meter"], days["aggregation"], days["period_end"]) == ("used", "sum", "2026-02-01T00:00:00Z")


def test_says_what_of_it_this_line_and_all_lines_billed(life: MeteredLife) -> None:
    first, late = opened(life, 0), opened(life, 1)
    assert (first["quantity"], late["quantity"]) == (12.5, 5)
    assert (first["billed"], first["total"]) == (late["billed"], late["total"]) == (17.5, 17.5)
    assert first["results"] == late["results"]
    life.report(("later", "2026-01-10T00:20:00Z", 1))
    assert (opened(life)["billed"], opened(life)["total"]) == (17.5, 18.5)


def test_an_hour_opens_to_its_events(life: MeteredLife) -> None:
    events = opened(life, query="?granularity=event&hour=2026-01-10T00:00:00Z")["events"]
    assert [one["event"] for one in events] == ["a", "late"]


def test_refuses_what_it_can_not_show(life: MeteredLife) -> None:
    api = caller()
    address = f"/api/v1/{path(life)}"
    assert problem(api.get(f"{address}?granularity=year"), status=400)[1] == "granularity"
    assert problem(api.get(f"{address}?hour=2027-01-01T00:00:00Z"), status=400)[1] == "hour"
    assert problem(api.get(f"{address}?month=1"), status=400)[1] == "month"
    assert problem(api.get(address.replace("il_", "inv_")), status=404)[0] == "not_found"
    assert caller(user=world.otto()).get(address).status_code == 404


def test_a_line_of_something_else_has_none() -> None:
    life = MeteredLife.begin_metered(model="per_unit", unit_amount=10)
    life.plan("flat", 4900)
    life.subscribe(plan="flat", interval="month")
    assert problem(caller().get(f"/api/v1/{path(life)}"), status=404)[0] == "not_found"
