"""The language of rules: refused at save, unknown at run."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.conditions import FIELDS, evaluate, validate
from gtm.shared.errors import Invalid

OVER_100 = {"field": "employee_count", "op": "gt", "value": 100}
NEEDS = {"field": "needs", "op": "exists", "value": True}


@pytest.mark.parametrize(
    ("condition", "facts", "truth"),
    [
        (OVER_100, {"employee_count": 100}, False),
        (OVER_100, {"employee_count": 101}, True),
        (OVER_100, {}, None),
        ({"not": OVER_100}, {}, None),
        ({"not": OVER_100}, {"employee_count": 5}, True),
        ({"any": [OVER_100, NEEDS]}, {"needs": frozenset({"sso"})}, True),
        ({"any": [OVER_100, NEEDS]}, {"needs": frozenset()}, None),
        ({"all": [OVER_100, NEEDS]}, {"needs": frozenset()}, False),
        ({"all": []}, {}, True),
        ({"field": "industry", "op": "eq", "value": "Bank"}, {"industry": "bank"}, True),
        ({"field": "industry", "op": "eq", "value": "bank"}, {"industry": ""}, None),
        ({"field": "country", "op": "in", "value": ["DE", "AT"]}, {"country": "at"}, True),
        ({"field": "needs", "op": "contains_any", "value": ["SSO"]}, {"needs": frozenset({"sso", "po"})}, True),
        ({"field": "needs", "op": "contains_all", "value": ["sso", "msa"]}, {"needs": frozenset({"sso"})}, False),
        ({"field": "employee_count", "op": "exists", "value": False}, {}, True),
        ({"field": "target_list", "op": "eq", "value": True}, {"target_list": True}, True),
        ({"field": "no_longer_a_field", "op": "eq", "value": 1}, {"no_longer_a_field": 1}, None),
    ],
)
def test_a_condition_is_true_false_or_unknown(
    condition: dict[str, Any], facts: dict[str, Any], truth: bool | None
) -> None:
    assert evaluate(condition, facts).truth is truth


def test_what_made_it_true_is_named() -> None:
    verdict = evaluate({"any": [OVER_100, NEEDS]}, {"employee_count": 250, "needs": frozenset({"sso", "po"})})
    assert [(r.field, r.value, r.threshold) for r in verdict.met] == [
        ("employee_count", 250, 100),
        ("needs", "po, sso", "true"),
    ]


@pytest.mark.parametrize(
    "condition",
    [
        None,
        [],
        {},
        {"all": OVER_100},
        {"any": []},
        {"all": [], "any": [OVER_100]},
        {"field": "shoe_size", "op": "gt", "value": 42},
        {"field": "employee_count", "op": "matches", "value": ".*"},
        {"field": "employee_count", "op": "gt", "value": "100"},
        {"field": "employee_count", "op": "gt", "value": True},
        {"field": "employee_count", "op": "gt"},
        {"field": "country", "op": "in", "value": "DE"},
        {"field": "country", "op": "in", "value": []},
        {"field": "needs", "op": "exists", "value": "yes"},
        {"field": ["industry"], "op": "eq", "value": "bank"},
        {"any": [OVER_100] * 200},
        {"not": {"not": {"not": {"not": {"not": {"not": {"not": {"not": {"not": {"not": OVER_100}}}}}}}}}},
    ],
)
def test_a_condition_that_cannot_be_meant_is_refused_at_save(condition: object) -> None:
    with pytest.raises(Invalid) as refused:
        validate(condition)
    assert refused.value.attr == "condition"


leaves = st.fixed_dictionaries(
    {
        "field": st.sampled_from([*FIELDS, "nonsense"]) | st.text(),
        "op": st.sampled_from(["eq", "gt", "in", "exists", "contains_any"]) | st.integers(),
        "value": st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()),
    }
)
trees = st.recursive(
    leaves,
    lambda children: st.one_of(
        st.lists(children).map(lambda c: {"all": c}),
        st.lists(children).map(lambda c: {"any": c}),
        children.map(lambda c: {"not": c}),
        children,
    ),
)
some_facts = st.fixed_dictionaries(
    {},
    optional={
        "employee_count": st.none() | st.integers(),
        "industry": st.none() | st.text(),
        "needs": st.none() | st.frozensets(st.text()),
        "target_list": st.none() | st.booleans(),
    },
)


@given(trees, some_facts)
def test_whatever_may_be_saved_can_be_evaluated(tree: dict[str, Any], facts: dict[str, Any]) -> None:
    try:
        validate(tree)
    except Invalid:
        return
    assert evaluate(tree, facts) == evaluate(tree, facts)


@given(st.lists(st.sampled_from([OVER_100, NEEDS]), min_size=1), some_facts)
def test_de_morgan_holds_with_unknowns(parts: list[dict[str, Any]], facts: dict[str, Any]) -> None:
    negated = [{"not": part} for part in parts]
    assert evaluate({"not": {"all": parts}}, facts).truth is evaluate({"any": negated}, facts).truth
