"""What a merged account says: field by field, from the one that stays and the one that goes. Pure.

The one that stays has its way unless somebody picks otherwise, but what is empty never overwrites what is filled.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gtm.shared.errors import Invalid

OURS, THEIRS, BOTH = "survivor", "merged", "both"
PICKED = ("name", "employee_count", "industry", "country", "feedback_url", "external_id")
UNITED = ("needs", "blockers")  # lists: what either says
EITHER = ("target_list", "is_referenceable")  # flags: if either says so
KEYED = ("custom", "metadata")  # by key, each picked by itself as "custom.CODE"
TOGETHER = {"value_currency": ("expected_value", "company_revenue", "value_currency")}  # amounts with their currency
FIELDS = (*PICKED, *UNITED, *EITHER, *KEYED, *TOGETHER["value_currency"], "personal")
EMPTY: tuple[Any, ...] = (None, "", [], {})


@dataclass(frozen=True, slots=True)
class Line:
    """One field of both accounts, and what the merged one will say. ``taken``: survivor, merged or both."""

    field: str
    ours: Any
    theirs: Any
    taken: str
    value: Any

    @property
    def is_open(self) -> bool:
        """Whether both say something, and not the same: somebody may pick."""
        return self.taken != BOTH and self.ours not in EMPTY and self.theirs not in EMPTY and self.ours != self.theirs

    @property
    def is_dropped(self) -> bool:
        """Whether only one says something, and it is not taken: an amount of the currency that is not."""
        return self.value in EMPTY and (self.ours not in EMPTY or self.theirs not in EMPTY)


def lines(ours: Mapping[str, Any], theirs: Mapping[str, Any], picks: Mapping[str, str]) -> list[Line]:
    """All fields of two accounts' ``FIELDS``. Raises Invalid (``fields.NAME``) for a pick that there is none of."""
    found = [_picked(name, ours.get(name), theirs.get(name), picks) for name in PICKED]
    found += [_united(name, ours.get(name) or [], theirs.get(name) or []) for name in UNITED]
    found += [_either(name, bool(ours.get(name)), bool(theirs.get(name))) for name in EITHER]
    found += _amounts(ours, theirs, picks)
    for group in KEYED:
        mine, other = ours.get(group) or {}, theirs.get(group) or {}
        keys = dict.fromkeys((*mine, *other))
        found += [_picked(f"{group}.{key}", mine.get(key), other.get(key), picks) for key in keys]
    _refuse_unknown(picks, (line.field for line in found))
    return found


def values(found: Iterable[Line], *, ours_personal: bool, theirs_personal: bool) -> dict[str, Any]:
    """What to write onto the account that stays."""
    written: dict[str, Any] = {group: {} for group in KEYED} | {"personal": ours_personal and theirs_personal}
    for line in found:
        group, dot, key = line.field.partition(".")
        if dot:
            written[group][key] = line.value
        else:
            written[line.field] = line.value
    return written


def _picked(name: str, ours: Any, theirs: Any, picks: Mapping[str, str]) -> Line:
    first = picks.get(name, OURS)
    takes_theirs = theirs not in EMPTY and (first == THEIRS or ours in EMPTY)
    return Line(name, ours, theirs, THEIRS if takes_theirs else OURS, theirs if takes_theirs else ours)


def _amounts(ours: Mapping[str, Any], theirs: Mapping[str, Any], picks: Mapping[str, str]) -> list[Line]:
    """Amounts are of one currency: each is picked by itself where both sides' is the same or only one has any, else
    all together with it.
    """
    names = TOGETHER["value_currency"]
    if len({side.get("value_currency") for side in (ours, theirs)} - {None, ""}) < 2:
        return [_picked(name, ours.get(name), theirs.get(name), picks) for name in names]
    mine, other = ([side.get(name) for name in names] for side in (ours, theirs))
    takes_theirs = _picked("value_currency", mine[-1], other[-1], picks).taken == THEIRS
    taken, chosen = (THEIRS, other) if takes_theirs else (OURS, mine)
    return [Line(name, a, b, taken, value) for name, a, b, value in zip(names, mine, other, chosen, strict=True)]


def _united(name: str, ours: list[Any], theirs: list[Any]) -> Line:
    return Line(name, ours, theirs, BOTH, list(dict.fromkeys([*ours, *theirs])))


def _either(name: str, ours: bool, theirs: bool) -> Line:
    return Line(name, ours, theirs, BOTH, ours or theirs)


def _refuse_unknown(picks: Mapping[str, str], names: Iterable[str]) -> None:
    if unknown := sorted(picks.keys() - set(names)):
        raise Invalid("There is no such field to pick.", code="unknown_field", attr=f"fields.{unknown[0]}")
    if wrong := sorted(name for name, side in picks.items() if side not in (OURS, THEIRS)):
        raise Invalid(f"Pick {OURS} or {THEIRS}.", attr=f"fields.{wrong[0]}")
