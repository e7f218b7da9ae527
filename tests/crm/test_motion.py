"""Segments and motions: A18, A19, C5, what is unknown, what is stated, and the properties that hold for every
account.
"""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.motion import Facts, Override, Policy, Segment, decide

SEGMENTS = (
    Segment("smb", "self_serve", "none"),
    Segment("mid_market", "sales_assisted", "on_trigger"),
    Segment("enterprise", "sales_led", "day_one"),
)
BOTH = Policy(
    version=7,
    segments=SEGMENTS,
    employee_bounds=(100, 1000),
    value_bounds=(1_000_000, 5_000_000),
    sales_led_needs=frozenset({"sso", "msa"}),
)
ARR_ONLY = replace(BOTH, employee_bounds=())
ACV_AND_EMPLOYEES = replace(BOTH, value_bounds=(1_500_000, 10_000_000), basis="acv")


@pytest.mark.parametrize(
    ("value", "segment", "motion"),
    [
        (0, "smb", "self_serve"),
        (999_999, "smb", "self_serve"),
        (1_000_000, "mid_market", "sales_assisted"),
        (4_999_999, "mid_market", "sales_assisted"),
        (5_000_000, "enterprise", "sales_led"),
    ],
)
def test_bands_by_revenue_include_their_lower_bound(value: int, segment: str, motion: str) -> None:
    """A18: 10K / 50K ARR at 0, 9,999.99, 10,000, 49,999.99 and 50,000."""
    decision = decide(Facts(value=value), ARR_ONLY)
    assert (decision.segment, decision.motion) == (segment, motion)


@pytest.mark.parametrize(
    ("employees", "segment"), [(99, "smb"), (100, "mid_market"), (999, "mid_market"), (1000, "enterprise")]
)
def test_bands_by_employees_include_their_lower_bound(employees: int, segment: str) -> None:
    """A19: 100 / 1000 employees, 15K / 100K."""
    assert decide(Facts(employee_count=employees), ACV_AND_EMPLOYEES).segment == segment


@pytest.mark.parametrize(
    ("combine", "employees", "value", "segment"),
    [
        ("max", 50, 5_000_000, "enterprise"),
        ("max", 2000, 0, "enterprise"),
        ("min", 2000, 0, "smb"),
        ("employees_first", 150, 5_000_000, "mid_market"),
        ("value_first", 150, 5_000_000, "enterprise"),
        ("value_first", 150, None, "mid_market"),
        ("min", None, 5_000_000, "enterprise"),
    ],
)
def test_the_combine_rule_decides_between_two_bands(
    combine: str, employees: int | None, value: int | None, segment: str
) -> None:
    assert decide(Facts(employees, value), replace(BOTH, combine=combine)).segment == segment


def test_the_reason_names_the_value_the_threshold_and_the_policy() -> None:
    decision = decide(Facts(250, 0), BOTH)
    employees, value, combined = decision.reasons
    assert (employees.code, employees.field, employees.value, employees.threshold) == (
        "at_least",
        "employee_count",
        250,
        100,
    )
    assert (value.code, value.field, value.value, value.threshold) == ("below", "arr", 0, 1_000_000)
    assert (combined.code, combined.value, combined.policy_version) == ("combine_max", "mid_market", 7)


def test_nothing_known_is_said_and_bothers_nobody() -> None:
    decision = decide(Facts(), BOTH)
    assert (decision.segment, decision.motion, decision.engagement) == ("smb", "self_serve", "none")
    assert [(r.code, r.field) for r in decision.reasons] == [("unknown", "employee_count"), ("unknown", "arr")]


def test_a_stated_need_makes_it_sales_led_whatever_the_size() -> None:
    decision = decide(Facts(employee_count=20, needs=frozenset({"sso", "volume_pricing"})), BOTH)
    assert (decision.segment, decision.motion, decision.engagement) == ("smb", "sales_led", "day_one")
    assert (decision.reasons[0].code, decision.reasons[0].value) == ("stated_need", "sso")


def test_a_need_that_the_policy_does_not_name_changes_nothing() -> None:
    assert decide(Facts(20, needs=frozenset({"volume_pricing"})), BOTH).motion == "self_serve"


def test_an_override_goes_before_everything() -> None:
    override = Override("self_serve", by="usr_x", until="2026-12-31")
    decision = decide(Facts(5000, needs=frozenset({"sso"})), BOTH, override)
    assert (decision.segment, decision.motion, decision.engagement) == ("enterprise", "self_serve", "none")
    assert decision.reasons[0].code == "override"


@given(
    st.none() | st.integers(0, 10_000),
    st.none() | st.integers(0, 20_000_000),
    st.frozensets(st.sampled_from(["sso", "msa", "other"])),
    st.sampled_from(["max", "min", "employees_first", "value_first"]),
)
def test_a_decision_is_repeatable_complete_and_explained(
    employees: int | None, value: int | None, needs: frozenset[str], combine: str
) -> None:
    policy, facts = replace(BOTH, combine=combine), Facts(employees, value, needs)
    decision = decide(facts, policy)
    assert decision == decide(facts, policy)
    assert decision.segment in {s.code for s in SEGMENTS}
    assert {r.field for r in decision.reasons} >= {"employee_count", "arr"}
    assert all(r.policy_version == policy.version for r in decision.reasons)


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.none() | st.integers(0, 20_000_000))
def test_a_larger_company_never_gets_a_smaller_segment(one: int, other: int, value: int | None) -> None:
    order = [s.code for s in SEGMENTS]
    low, high = (decide(Facts(n, value), BOTH).segment for n in sorted((one, other)))
    assert order.index(low) <= order.index(high)
