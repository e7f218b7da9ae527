"""What a check says: a state, a sentence, and what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass

OK, WARNING, ERROR = "ok", "warning", "error"
_WORST_LAST = (OK, WARNING, ERROR)


@dataclass(frozen=True, slots=True)
class Finding:
    """``state`` is ok, warning or error; whatever is not ok has a ``remedy``."""

    name: str
    state: str
    sentence: str
    remedy: str = ""


def ok(name: str, sentence: str) -> Finding:
    return Finding(name, OK, sentence)


def warning(name: str, sentence: str, remedy: str) -> Finding:
    return Finding(name, WARNING, sentence, remedy)


def error(name: str, sentence: str, remedy: str) -> Finding:
    return Finding(name, ERROR, sentence, remedy)


def worst(findings: Iterable[Finding]) -> str:
    """The worst state among them; ok where there are none."""
    return max((finding.state for finding in findings), key=_WORST_LAST.index, default=OK)
