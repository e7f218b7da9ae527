"""Segments and motions: A18, A19, C5, what is unknown, what is stated, and the properties that hold for every
account.
"""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.motion import DeadZone, Facts, Override, Policy, Segment, Standing, decide
from crm.presets import BY_CODE

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


# --- presets, margins, freezes -----------------------------------------------------------------
def preset(code: str) -> Policy:
    terms = BY_CODE[code].terms
    segments = tuple(Segment(s["code"], s["motion"], s["engagement"], s["owner_role"]) for s in terms["segments"])
    zones = tuple(
        DeadZone(z["code"], z["lower"], z["upper"], terms["basis"], terms["currency"])
        for z in terms.get("dead_zones", ())
    )
    return Policy(
        version=1,
        segments=segments,
        employee_bounds=tuple(terms["employee_bounds"]),
        value_bounds=tuple(terms["value_bounds"]),
        basis=terms["basis"],
        dead_zones=zones,
    )


@pytest.mark.parametrize(
    ("code", "facts", "segment"),
    [
        ("arr_10k_50k", Facts(value=999_999), "smb"),
        ("arr_10k_50k", Facts(value=1_000_000), "mid_market"),
        ("arr_10k_50k", Facts(value=5_000_000), "enterprise"),
        ("employees_100_1000", Facts(99, 1_499_999), "smb"),
        ("employees_100_1000", Facts(99, 1_500_000), "mid_market"),
        ("employees_100_1000", Facts(1000, 0), "enterprise"),
        ("employees_100_1000", Facts(5, 10_000_000), "enterprise"),
        ("dead_zone_1k_10k", Facts(value=999_999, zone_values=(999_999,)), "self_service"),
        ("dead_zone_1k_10k", Facts(value=1_000_000, zone_values=(1_000_000,)), "inside_sales"),
    ],
)
def test_the_presets_have_the_bands_of_their_names(code: str, facts: Facts, segment: str) -> None:
    assert decide(facts, preset(code)).segment == segment


def test_two_dead_zones_each_with_its_own_currency() -> None:
    """S3-14: between inside sales and enterprise, too; stated needs and a person go before both."""
    zones = (
        DeadZone("low", 100_000, 1_000_000, "expected_value", "EUR"),
        DeadZone("high", 4_000_000, 6_000_000, "arr", "USD"),
    )
    policy = replace(ARR_ONLY, dead_zones=zones)
    low, high = Facts(value=5, zone_values=(100_000, 5)), Facts(value=5_000_000, zone_values=(None, 5_000_000))
    assert [decide(facts, policy).dead_zone for facts in (low, high)] == ["low", "high"]
    assert (decide(high, policy).segment, decide(high, policy).motion) == ("enterprise", "self_serve")
    assert decide(replace(low, needs=frozenset({"sso"})), policy).motion == "sales_led"
    by_hand = decide(low, policy, Override("sales_assisted", by="user:x", until="2027-01-01"))
    assert (by_hand.motion, by_hand.dead_zone, by_hand.reasons[0].code) == ("sales_assisted", "low", "override")


AT = datetime(2026, 11, 18, tzinfo=UTC)
ENTERPRISE = Standing(AT, "enterprise", same_bounds=True)


@pytest.mark.parametrize(
    ("value", "standing", "segment", "code"),
    [
        (4_999_999, ENTERPRISE, "enterprise", "within_margin"),
        (4_500_000, ENTERPRISE, "enterprise", "within_margin"),  # exactly the margin is within it
        (4_499_999, ENTERPRISE, "enterprise", "falling"),
        (4_499_999, replace(ENTERPRISE, falling_since=AT - timedelta(days=29, hours=23)), "enterprise", "falling"),
        (4_499_999, replace(ENTERPRISE, falling_since=AT - timedelta(days=30)), "mid_market", "fallen"),
        (950_000, replace(ENTERPRISE, falling_since=AT - timedelta(days=30)), "mid_market", "fallen"),
        (899_999, replace(ENTERPRISE, falling_since=AT - timedelta(days=30)), "smb", "fallen"),
        (4_499_999, replace(ENTERPRISE, same_bounds=False), "mid_market", "at_least"),
        (4_499_999, replace(ENTERPRISE, locked_until=date(2026, 11, 19)), "enterprise", "segment_locked"),
        (4_499_999, replace(ENTERPRISE, freezes_until=date(2027, 1, 1), frozen=True), "enterprise", "segment_frozen"),
        (5_000_000, Standing(AT, "smb", same_bounds=True), "enterprise", "at_least"),  # upgrades are immediate
        (5_000_000, Standing(AT, "smb", True, freezes_until=date(2027, 1, 1), frozen=True), "smb", "segment_frozen"),
        (0, Standing(AT, "gone", same_bounds=True), "smb", "below"),
    ],
)
def test_what_holds_a_segment(value: int, standing: Standing, segment: str, code: str) -> None:
    decision = decide(Facts(value=value), ARR_ONLY, standing=standing)
    assert decision.segment == segment
    assert code in {reason.code for reason in decision.reasons}
    assert (decision.falling_since is not None) is (code == "falling")


@given(st.lists(st.integers(0, 8_000_000), min_size=1, max_size=40))
def test_day_by_day_nobody_falls_without_having_been_low_for_the_days_of_the_margin(values: list[int]) -> None:
    order = [s.code for s in SEGMENTS]
    standing = Standing(AT, "", same_bounds=True)
    low_since: datetime | None = None
    for day, value in enumerate(values):
        standing = replace(standing, at=AT + timedelta(days=day))
        decision = decide(Facts(value=value), ARR_ONLY, standing=standing)
        now, before = order.index(decision.segment), order.index(standing.segment) if standing.segment else 0
        bound = 0 if before == 0 else ARR_ONLY.value_bounds[before - 1]
        low_since = (low_since or standing.at) if value * 100 < bound * 90 else None
        if now < before:
            assert low_since is not None
            assert standing.at - low_since >= timedelta(days=30)
            low_since = None
        assert now >= order.index(decide(Facts(value=value), ARR_ONLY).segment)
        standing = replace(standing, segment=decision.segment, falling_since=decision.falling_since)
