"""Values of the founders' own fields: each of the kind that its definition says, or refused with its name. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from gtm.shared.errors import Invalid

MAX_TEXT, MAX_NUMBER = 500, 10**15
_LINK = re.compile(r"https?://[^\s]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Definition:
    """``kind``: text, number, yes_no, date, choice or link."""

    code: str
    label: str
    kind: str
    choices: tuple[str, ...] = ()
    required: bool = False


def merged(
    definitions: Sequence[Definition], values: Mapping[str, Any], held: Mapping[str, Any], *, whole: bool
) -> dict[str, Any]:
    """``held`` with ``values`` set; an empty value takes a field's value away. What is held of fields that are no
    longer in use stays. ``whole``: whether everything that is required must be said.

    Raises Invalid (``custom.CODE``) for an unknown field, a value of another kind, or a required one left empty.
    """
    known = {definition.code: definition for definition in definitions}
    if unknown := sorted(values.keys() - known.keys()):
        raise Invalid("There is no such field.", code="unknown_field", attr=f"custom.{unknown[0]}")
    found = dict(held)
    for code, value in values.items():
        found[code] = value_of(known[code], value)
    for definition in definitions:
        if definition.required and found.get(definition.code) is None and (whole or definition.code in values):
            raise Invalid(f"{definition.label} is required.", code="required", attr=f"custom.{definition.code}")
    return {code: value for code, value in found.items() if value is not None}


def value_of(definition: Definition, value: Any) -> Any:
    """The value in its form; None for an empty one. Raises Invalid."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        return _KINDS[definition.kind](definition, value)
    except ValueError as error:
        raise Invalid(f"{definition.label}: {error}", attr=f"custom.{definition.code}") from error


def _text(definition: Definition, value: Any) -> str:
    if not isinstance(value, str) or len(value.strip()) > MAX_TEXT or "\0" in value:
        raise ValueError(f"give a text of at most {MAX_TEXT} characters.")
    return value.strip()


def _number(definition: Definition, value: Any) -> int | float:
    if isinstance(value, str):
        value = float(value) if re.fullmatch(r"-?\d+\.\d+", value) else int(value) if value.isdecimal() else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_NUMBER:
        raise ValueError("give a number.")
    return int(value) if value == int(value) else value


def _yes_no(definition: Definition, value: Any) -> bool:
    words = {"true": True, "yes": True, "false": False, "no": False}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    if not isinstance(value, bool):
        raise ValueError("give true or false.")
    return value


def _date(definition: Definition, value: Any) -> str:
    try:
        return (value if isinstance(value, date) else date.fromisoformat(value)).isoformat()
    except (TypeError, ValueError) as error:
        raise ValueError("give a date such as 2026-01-31.") from error


def _choice(definition: Definition, value: Any) -> str:
    if value not in definition.choices:
        raise ValueError(f"one of {', '.join(definition.choices)}.")
    return str(value)


def _link(definition: Definition, value: Any) -> str:
    if not isinstance(value, str) or not _LINK.fullmatch(value.strip()) or len(value) > MAX_TEXT:
        raise ValueError("give an address that begins with http:// or https://.")
    return value.strip()


_KINDS = {"text": _text, "number": _number, "yes_no": _yes_no, "date": _date, "choice": _choice, "link": _link}
