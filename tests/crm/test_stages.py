"""What the validator says of pipelines. Pure."""

from dataclasses import replace

import pytest

from crm import stages
from crm.pipeline_terms import INSTALLED_STAGES, StageTerms
from crm.stages import Step


def step(terms: StageTerms) -> Step:
    names = ("code", "label", "phase", "type", "is_redlining", "skip_segments")
    return Step(
        category=stages.usual_category(terms.phase, terms.type), **{name: getattr(terms, name) for name in names}
    )


INSTALLED = [step(terms) for terms in INSTALLED_STAGES]


def codes(steps: list[Step], *, errors: bool | None = None) -> set[str]:
    return {f.code for f in stages.findings(steps) if errors is None or f.is_error is errors}


def without(*gone: str) -> list[Step]:
    return [one for one in INSTALLED if one.code not in gone]


def changed(code: str, **values: object) -> list[Step]:
    return [replace(one, **values) if one.code == code else one for one in INSTALLED]  # type: ignore[arg-type]


def test_the_installed_pipeline_names_the_buyers_steps_and_is_free_of_findings() -> None:
    assert stages.findings(INSTALLED) == []
    assert tuple(one.label for one in INSTALLED if one.type == "open") == stages.BUYER_LABELS


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (without("won"), {"one_won"}),
        ([*INSTALLED, replace(INSTALLED[-2], code="won2")], {"one_won"}),
        (without("lost"), {"no_lost"}),
        (without("understanding"), {"too_few_stages", "first_is_skipped"}),
        (without("evaluation"), {"too_few_stages", "phase_skipped"} - {"phase_skipped"}),
        (without("redlining"), {"no_redlining"}),
        (changed("redlining", is_redlining=False), {"no_redlining"}),
        (changed("evaluation", is_redlining=True), {"redlining_too_early"}),
        (changed("understanding", skip_segments=("smb",)), {"first_is_skipped"}),
        (
            changed("understanding", phase="funded_project"),
            {"phase_out_of_order", "first_is_not_sal", "too_few_stages"},
        ),
        (changed("won", skip_segments=("smb",)), set()),
        ([], {"one_won", "no_lost", "too_few_stages", "no_redlining"}),
    ],
)
def test_errors_keep_a_pipeline_from_taking_deals(steps: list[Step], expected: set[str]) -> None:
    assert codes(steps, errors=True) == expected


def test_a_phase_that_a_segment_leaves_out_altogether_is_said() -> None:
    assert codes(changed("evaluation", skip_segments=("smb",))) == {"phase_skipped"}


@pytest.mark.parametrize(
    ("label", "word"),
    [
        ("Quote sent", "sent"),
        ("Demo done", "demo"),
        ("Gave a presentation", "gave"),
        ("PRESENTED", "presented"),
        ("Running an evaluation", ""),
        ("Democratic vote of the board", ""),
        *((label, "") for label in stages.BUYER_LABELS),
    ],
)
def test_a_stage_that_tells_what_the_seller_does_is_warned_of(label: str, word: str) -> None:
    assert stages.seller_word(label) == word
    found = codes(changed("evaluation", label=label))
    assert found == ({"seller_verb"} if word else set())


def test_a_pipeline_that_is_nearly_another_one_is_warned_of() -> None:
    own = set(stages.BUYER_LABELS)
    mid = [*stages.BUYER_LABELS[:5], "Procurement approves"]
    found = stages.near_duplicate(mid, [("Partners", ["Signing up", "First deal"]), ("Sales", own)])
    assert found is not None
    assert (found.code, found.subject, found.is_error) == ("near_duplicate", "Sales", False)
    assert stages.near_duplicate(["Signing up", "First deal"], [("Sales", own)]) is None
