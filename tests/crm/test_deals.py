"""What decides about deals: gaps, dates, risks, history. Pure; A15, A16, A17 and A45 of the requirements."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm import deals
from crm.deals import Criterion, Deal, Look, Stage

AT = datetime(2026, 3, 20, 12, tzinfo=UTC)
PATH = (
    Stage("0", "Understanding", 0, "conversation", "pipeline", criteria=(Criterion("ours", "our_action", "Written"),)),
    Stage(
        "1",
        "Evaluating",
        1,
        "funded_project",
        "best_case",
        criteria=(
            Criterion("theirs", "buyer_confirmation", "Long list"),
            Criterion("bant", "our_action", "BANT", required=False),
        ),
    ),
    Stage("2", "Agreeing price", 2, "vendor_of_choice", "commit", skip_segments=("smb",)),
    Stage("3", "Redlining", 3, "vendor_of_choice", "commit", is_redlining=True, skip_segments=("smb",)),
    Stage("4", "Won", 4, "closed", "closed", "won"),
    Stage("5", "Lost", 5, "closed", "closed", "lost"),
)
WHOLE = Deal(amount=100, close_date_basis="budget_line", next_step="Call", next_step_at=AT)


def lacks(deal: Deal, source: int, target: int, *, confirmed: tuple[str, ...] = (), reason: str = "") -> list[str]:
    found = deals.gaps(
        deal=deal,
        path=PATH,
        source=PATH[source],
        target=PATH[target],
        category=PATH[target].category,
        source_category=PATH[source].category,
        confirmed=confirmed,
        reason=reason,
    )
    return [gap.attr for gap in found]


@pytest.mark.parametrize(
    ("deal", "source", "target", "expected"),
    [
        (Deal(), 0, 0, ["next_step", "next_step_at"]),
        (WHOLE, 0, 0, []),
        (Deal(), 0, 1, ["amount", "close_date_basis", "next_step", "next_step_at", "confirmations.ours"]),
        (WHOLE, 0, 2, ["confirmations.ours", "confirmations.theirs"]),
        (replace(WHOLE, close_date_basis="compelling_event"), 1, 1, ["compelling_event"]),
        (WHOLE, 2, 1, ["reason"]),
        (Deal(), 1, 5, ["lost_reason"]),
        (Deal(lost_reason="x", lost_category="competition"), 1, 5, ["competitor"]),
        (Deal(lost_reason="x", lost_category="no_decision"), 1, 5, []),
        (Deal(), 2, 4, ["amount"]),
        (WHOLE, 5, 1, ["reason"]),
        (replace(WHOLE, amount=0), 1, 1, []),
    ],
)
def test_a_move_is_told_all_that_it_lacks_at_once(deal: Deal, source: int, target: int, expected: list[str]) -> None:
    assert lacks(deal, source, target) == expected


def test_confirmed_criteria_and_those_of_stages_that_a_segment_leaves_out_are_not_asked_for() -> None:
    path = (PATH[0], replace(PATH[1], skip_segments=("smb",)), *PATH[2:])
    assert deals.open_criteria("smb", path, PATH[0], PATH[2], {"ours"}) == []
    assert [c.id for c in deals.open_criteria("mid", path, PATH[0], PATH[2], {"ours"})] == ["theirs"]
    assert lacks(WHOLE, 2, 1, reason="They asked for more time") == []


@pytest.mark.parametrize(
    ("before", "after", "start", "expected"),
    [
        (date(2026, 3, 31), date(2026, 4, 15), 1, (True, True)),  # A15
        (date(2026, 2, 1), date(2026, 3, 31), 1, (True, False)),  # A16
        (date(2026, 4, 15), date(2026, 3, 31), 1, (False, False)),
        (date(2026, 3, 31), date(2026, 4, 15), 3, (True, False)),  # a fiscal quarter from March to May
        (date(2026, 12, 31), date(2027, 1, 1), 1, (True, True)),
    ],
)
def test_a_later_close_date_is_a_push_and_out_of_its_quarter_a_slip(
    before: date, after: date, start: int, expected: tuple[bool, bool]
) -> None:
    found = deals.shift(before, after, fiscal_year_start=start)
    assert (found.is_push, found.is_slip) == expected


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.integers(1, 12))
@settings(max_examples=50, deadline=None)
def test_quarters_of_any_fiscal_year_tile(day: date, start: int) -> None:
    first, last = deals.quarter(day, fiscal_year_start=start)
    assert first <= day <= last
    assert (first.month - start) % 3 == 0
    assert deals.quarter(last + timedelta(days=1), fiscal_year_start=start)[0] == last + timedelta(days=1)


def test_a_step_back_is_one_by_stage_and_by_category() -> None:
    assert deals.is_backward(PATH[2], PATH[1], "commit", "best_case")  # A17
    assert deals.is_backward(PATH[2], PATH[2], "commit", "best_case")
    assert not deals.is_backward(PATH[1], PATH[2], "best_case", "commit")
    assert not deals.is_backward(PATH[2], PATH[5], "commit", "closed")
    assert deals.is_backward(PATH[5], PATH[1], "closed", "best_case")


@pytest.mark.parametrize(
    ("source", "target", "present", "is_overridden", "expected"),
    [
        (0, 1, "commit", True, "commit"),
        (0, 1, "commit", False, "best_case"),
        (0, 2, "best_case", True, "commit"),
        (2, 1, "commit", True, "best_case"),
        (1, 4, "commit", True, "closed"),
        (5, 1, "omitted", True, "best_case"),
    ],
)
def test_a_persons_better_judgement_goes_along_on_the_way_forward(
    source: int, target: int, present: str, is_overridden: bool, expected: str
) -> None:
    assert deals.category_after(PATH[source], PATH[target], present, is_overridden=is_overridden) == expected


def look(**values: Any) -> Look:
    said: dict[str, Any] = {
        "category": "commit",
        "close_date": date(2026, 3, 31),
        "close_date_basis": "budget_line",
        "stage": PATH[2],
        "path": PATH,
        "segment": "enterprise",
        "is_enterprise": True,
        "days_in_stage": 1,
    }
    return Look(**said | values)


@pytest.mark.parametrize(
    ("seen", "today", "expected"),
    [
        (look(), date(2026, 3, 26), True),  # A45: five days to the end of the quarter, "Agreeing price"
        (look(), date(2026, 3, 20), False),
        (look(close_date=date(2026, 3, 27)), date(2026, 3, 20), True),  # a week to go
        (look(close_date=date(2026, 4, 30)), date(2026, 3, 26), False),
        (look(stage=PATH[3]), date(2026, 3, 26), False),
        (look(category="best_case"), date(2026, 3, 26), False),
        (look(segment="smb"), date(2026, 3, 26), False),
    ],
)
def test_a_committed_deal_that_nobody_redlines_a_week_before_is_at_risk(
    seen: Look, today: date, expected: bool
) -> None:
    assert deals.commit_risk(seen, today=today, fiscal_year_start=1) is expected


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (look(), []),
        (look(category="pipeline", stage=PATH[0], close_date=date(2026, 6, 10)), ["close_date_too_soon"]),
        (look(category="pipeline", stage=PATH[0], close_date=date(2026, 6, 30)), []),
        (look(category="pipeline", stage=PATH[0], close_date=date(2026, 6, 10), is_enterprise=False), []),
        (look(close_date_basis="", stage=PATH[3]), ["close_date_without_basis"]),
        (look(stage=PATH[3], close_date=date(2026, 3, 1)), ["close_date_passed"]),
        (
            look(next_step_at=AT - timedelta(1), unresponsive_since=date(2026, 2, 1), push_count=3, days_in_stage=40),
            ["next_step_overdue", "unresponsive", "pushed_often", "stuck"],
        ),
        (look(stage=PATH[4], close_date=date(2020, 1, 1)), []),
    ],
)
def test_what_somebody_should_look_at_is_said(seen: Look, expected: list[str]) -> None:
    assert deals.warnings(seen, at=AT, today=AT.date(), fiscal_year_start=1) == expected


@pytest.mark.parametrize(
    ("days", "expected"), [(0, "fresh"), (14, "fresh"), (15, "old"), (21, "old"), (22, "very_old")]
)
def test_a_card_ages_past_the_expected_days(days: int, expected: str) -> None:
    assert deals.age(days, 14) == expected


def test_a_slow_deal_is_diagnosed_by_where_it_stands() -> None:
    def found(phase: str, days: int, pushes: int = 0) -> str:
        return deals.diagnosis(phase=phase, days=days, expected=14, push_count=pushes)

    assert (found("conversation", 20), found("funded_project", 20)) == ("persuasion", "differentiation")
    assert (found("vendor_of_choice", 1, 1), found("vendor_of_choice", 1)) == ("papers", "")


def test_a_promise_of_the_roadmap_is_good_for_eighteen_months() -> None:
    assert deals.roadmap_is_usual(date(2026, 1, 15), date(2027, 7, 15))
    assert not deals.roadmap_is_usual(date(2026, 1, 15), date(2027, 7, 16))


def test_days_in_a_stage_add_up_over_its_stays() -> None:
    day = timedelta(days=1)
    found = deals.stays([("a", AT), ("b", AT + 3 * day), ("a", AT + 5 * day)])
    assert deals.days_by_stage(found, AT + 9 * day) == {"a": 7, "b": 2}
    assert found[-1].days(AT + 9 * day) == 4


def test_a_loss_is_dated_one_way() -> None:
    aimed, today = date(2026, 6, 30), date(2026, 3, 20)
    assert deals.closed_on(policy="learned", close_date=aimed, today=today) == today
    assert deals.closed_on(policy="target", close_date=aimed, today=today) == aimed
    assert deals.likely_close(today, PATH, segment="smb") == today + timedelta(days=28)
