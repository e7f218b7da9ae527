"""The language of routing rules: trees of ``all``, ``any``, ``not`` and ``{"field", "op", "value"}``. Pure, no eval.

Fields, operators and the types of values are a whitelist, checked when a rule is saved. At run time a comparison with
an unknown fact is neither true nor false: ``not`` keeps it unknown, and a rule matches only where its condition is
known to be true.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from crm.reasons import Reason
from gtm.shared.errors import Invalid

NUMBER, TEXT, NAMES, FLAG = "number", "text", "names", "flag"
FIELDS: Mapping[str, str] = {
    "employee_count": NUMBER,
    "arr": NUMBER,
    "expected_value": NUMBER,
    "company_revenue": NUMBER,
    "score": NUMBER,
    "industry": TEXT,
    "country": TEXT,
    "segment": TEXT,
    "motion": TEXT,
    "engagement": TEXT,
    "dead_zone": TEXT,
    "needs": NAMES,
    "target_list": FLAG,
    "personal": FLAG,
    "kind": TEXT,
    "source": TEXT,
}
MAX_NODES, MAX_DEPTH, MAX_VALUES, MAX_TEXT = 100, 10, 200, 200
ALWAYS: dict[str, Any] = {"all": []}

type_names = {NUMBER: "a whole number", TEXT: "a text", NAMES: "a text", FLAG: "true or false"}
Fact = int | str | bool | Collection[str] | None


def _folded(values: Collection[str]) -> set[str]:
    return {value.casefold() for value in values}


COMPARE: Mapping[str, Mapping[str, Callable[[Any, Any], bool]]] = {
    NUMBER: {
        "eq": lambda fact, value: fact == value,
        "ne": lambda fact, value: fact != value,
        "gt": lambda fact, value: fact > value,
        "gte": lambda fact, value: fact >= value,
        "lt": lambda fact, value: fact < value,
        "lte": lambda fact, value: fact <= value,
    },
    TEXT: {
        "eq": lambda fact, value: fact.casefold() == value.casefold(),
        "ne": lambda fact, value: fact.casefold() != value.casefold(),
        "in": lambda fact, values: fact.casefold() in _folded(values),
        "not_in": lambda fact, values: fact.casefold() not in _folded(values),
    },
    NAMES: {
        "contains": lambda fact, value: value.casefold() in _folded(fact),
        "contains_any": lambda fact, values: bool(_folded(fact) & _folded(values)),
        "contains_all": lambda fact, values: _folded(values) <= _folded(fact),
    },
    FLAG: {"eq": lambda fact, value: fact is value},
}
LIST_OPS = frozenset({"in", "not_in", "contains_any", "contains_all"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """``truth`` is None where it depends on an unknown fact; ``met`` are the comparisons that made it true."""

    truth: bool | None
    met: tuple[Reason, ...] = ()


# --- at save -----------------------------------------------------------------------------------
def validate(condition: object) -> None:
    """Raise Invalid (``attr`` "condition") with the place and the fault in words, unless the tree may be saved."""
    if _checked(condition, depth=1) > MAX_NODES:
        raise _refused(f"has more than {MAX_NODES} parts")


def _checked(node: object, *, depth: int) -> int:
    """Check a node and what is below it; the number of nodes."""
    if not isinstance(node, dict):
        raise _refused("has a part that is not an object")
    if depth > MAX_DEPTH:
        raise _refused(f"is nested more than {MAX_DEPTH} deep")
    if "field" in node:
        _check_comparison(node)
        return 1
    return 1 + sum(_checked(child, depth=depth + 1) for child in _children(node))


def _children(node: dict[str, Any]) -> list[Any]:
    [key] = node if len(node) == 1 else [""]
    if key == "not":
        return [node["not"]]
    if key not in {"all", "any"} or not isinstance(node[key], list):
        raise _refused('has a part that is none of {"all": […]}, {"any": […]}, {"not": …} and {"field", "op", "value"}')
    if key == "any" and not node["any"]:
        raise _refused('has an empty "any", which is never true')
    return list(node[key])


def _check_comparison(node: dict[str, Any]) -> None:
    if set(node) != {"field", "op", "value"}:
        raise _refused('has a comparison that does not consist of "field", "op" and "value"')
    field, op, value = node["field"], node["op"], node["value"]
    kind = FIELDS.get(field) if isinstance(field, str) else None
    if kind is None:
        raise _refused(f"compares {field!r}, which is not one of {', '.join(FIELDS)}")
    if op == "exists":
        kind = FLAG
    elif not isinstance(op, str) or op not in COMPARE[kind]:
        raise _refused(f"compares {field} by {op!r}, which is not one of {', '.join([*COMPARE[kind], 'exists'])}")
    _check_value(field, kind, op, value)


def _check_value(field: str, kind: str, op: str, value: object) -> None:
    if op in LIST_OPS:
        if not isinstance(value, list) or not 0 < len(value) <= MAX_VALUES:
            raise _refused(f"compares {field} with something that is not a list of 1 to {MAX_VALUES} texts")
        good = all(_is_of(TEXT, each) for each in value)
    else:
        good = _is_of(kind, value)
    if not good:
        raise _refused(f"compares {field} with {value!r}, which is not {type_names[kind]}")


def _is_of(kind: str, value: object) -> bool:
    if kind == NUMBER:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == FLAG:
        return isinstance(value, bool)
    return isinstance(value, str) and 0 < len(value) <= MAX_TEXT


def _refused(fault: str) -> Invalid:
    return Invalid(f"The condition {fault}.", code="invalid_condition", attr="condition")


# --- at run ------------------------------------------------------------------------------------
def evaluate(condition: Mapping[str, Any], facts: Mapping[str, Fact]) -> Verdict:
    """Whether a saved condition holds for ``facts``. A field that is not (or no longer) known here is an unknown
    fact.
    """
    if "not" in condition:
        truth = evaluate(condition["not"], facts).truth
        return Verdict(None if truth is None else not truth)
    if "all" in condition:
        parts = [evaluate(child, facts) for child in condition["all"]]
        return _joined(parts, decisive=False)
    if "any" in condition:
        parts = [evaluate(child, facts) for child in condition["any"]]
        return _joined(parts, decisive=True)
    return _compare(condition, facts)


def _joined(parts: list[Verdict], *, decisive: bool) -> Verdict:
    """Kleene's and (``decisive`` False) and or (True): one decisive part decides, else one unknown part leaves it
    open.
    """
    truths = [part.truth for part in parts]
    if decisive in truths:
        truth: bool | None = decisive
    else:
        truth = None if None in truths else not decisive
    met = tuple(reason for part in parts if part.truth for reason in part.met)
    return Verdict(truth, met if truth else ())


def _compare(node: Mapping[str, Any], facts: Mapping[str, Fact]) -> Verdict:
    field, op, value = node.get("field", ""), node.get("op"), node.get("value")
    fact, kind = facts.get(field), FIELDS.get(field, "")
    if op == "exists":
        truth = (fact not in (None, "") and fact != frozenset()) is value
        return Verdict(truth, (_met(field, fact, value),) if truth else ())
    compare = COMPARE.get(kind, {}).get(str(op))
    if compare is None or fact in (None, ""):
        return Verdict(None)
    truth = compare(fact, value)
    return Verdict(truth, (_met(field, fact, value),) if truth else ())


def _met(field: str, fact: Fact, value: object) -> Reason:
    return Reason("condition_met", field, _shown(fact), _shown(value))


def _shown(value: object) -> str | int | None:
    """A fact as a reason shows it: numbers as they are, sets and flags as words."""
    if value is None or isinstance(value, int | str):
        return str(value).lower() if isinstance(value, bool) else value
    assert isinstance(value, Collection)
    return ", ".join(sorted(map(str, value)))
