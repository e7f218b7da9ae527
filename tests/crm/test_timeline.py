"""The words of the timeline: every fact that an account or a customer has is told in words, or left out on purpose."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from crm.queries.story import LEFT_OUT
from crm.timeline import TEXTS

CODE = [one for app in ("billing", "crm") for one in sorted(Path(app).rglob("*.py")) if "migrations" not in one.parts]
TREES = {path: ast.parse(path.read_text()) for path in CODE}
OTHERS = {  # facts about what is no account's
    *("acceptance_terms", "bulk_edit", "coupon", "custom_field", "dunning_policy", "feature", "gateways", "hand_over"),
    *("holiday_calendar", "import", "lead_form", "leave", "legal_entity", "logging_address", "loss_reason"),
    *("mail_template", "meter", "pipeline", "plan", "policy", "policy_run", "pool", "price", "queue", "reject_reason"),
    *("role_scope", "routing_run", "ruleset", "sla_policy", "stage", "target_list", "tasks", "tax_rate", "team"),
    "working_hours",
}


def literals() -> Iterator[str]:
    """Names of facts in one piece."""
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def built() -> Iterator[str]:
    """Names that a function builds of its argument ``kind`` (or ``what``), from those who call it."""
    for path, tree in TREES.items():
        for made in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            names = [arg.arg for arg in made.args.args]
            for text in (node for node in ast.walk(made) if isinstance(node, ast.JoinedStr) and len(node.values) == 2):
                prefix, hole = text.values
                if not (isinstance(prefix, ast.Constant) and isinstance(hole, ast.FormattedValue)):
                    continue
                if isinstance(hole.value, ast.Name) and hole.value.id in names:
                    place = names.index(hole.value.id)
                    yield from (f"{prefix.value}{kind}" for kind in _kinds(path, made.name, place))


def _kinds(path: Path, name: str, place: int) -> Iterator[str]:
    for other, tree in TREES.items():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and len(node.args) > place):
            own = other == path and isinstance(call.func, ast.Name) and call.func.id == name
            theirs = isinstance(call.func, ast.Attribute) and ast.unparse(call.func) == f"{path.stem}.{name}"
            if own or theirs:
                yield from (
                    node.value
                    for node in ast.walk(call.args[place])
                    if isinstance(node, ast.Constant) and isinstance(node.value, str)
                )


def is_of_an_account(name: str) -> bool:
    app, _dot, rest = name.partition(".")
    noun = rest.partition(".")[0]
    is_name = bool(re.fullmatch(r"[a-z_]+\.[a-z_]+\.[a-z_]*[a-z]", name))
    return is_name and app in ("billing", "crm") and noun not in OTHERS


FACTS = sorted({name for name in (*literals(), *built()) if is_of_an_account(name)})


def test_every_fact_of_an_account_has_words_or_is_left_out() -> None:
    assert {"crm.sla.warned", "billing.subscription.canceled", "billing.refund.created"} <= {*FACTS, *TEXTS}
    assert len(FACTS) > 120
    assert [name for name in FACTS if name not in TEXTS and name not in LEFT_OUT] == []


@pytest.mark.parametrize("name", ["billing.usage.recorded", "billing.invoice.created"])
def test_what_is_left_out_needs_no_words(name: str) -> None:
    assert name in LEFT_OUT
    assert name not in TEXTS
