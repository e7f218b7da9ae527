"""What makes a lead qualified: the acceptance form, and what a segment asks of it. Pure.

Qualified is a path to a funded project within a time (12 months, less for small companies), a good fit, and a
compelling event or a pain. Power is not needed where the person commits to connect us with it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

MAX_MONTHS, MAX_WORDS = 120, 1000


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked of leads of a segment; ``trial_plan`` is the code of a plan whose free trial is worth offering."""

    within_months: int = 12
    needs_pain: bool = False
    needs_power: bool = True
    trial_plan: str = ""


INSTALLED = {"": Terms(), "smb": Terms(within_months=3, needs_pain=True, needs_power=False)}


@dataclass(frozen=True, slots=True)
class Answers:
    """What the acceptance form was told. ``months_to_project``: until a funded project, 0 for this month."""

    months_to_project: int | None = None
    good_fit: bool = False
    compelling_event: str = ""
    pain: str = ""
    has_power: bool = False
    connects_with_power: bool = False

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> "Answers":
        """From a form or the API: unknown names are left out, words trimmed."""
        known: dict[str, Any] = {name: said[name] for name in cls.__dataclass_fields__ if said.get(name) is not None}
        known |= {name: known[name].strip() for name in ("compelling_event", "pain") if name in known}
        return cls(**known)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why it is not qualified yet, at the field that says so."""

    attr: str
    detail: str


def problems(answers: Answers, terms: Terms) -> list[Problem]:
    """Everything that keeps the lead from being accepted; nothing when it is qualified."""
    return [*_timing(answers, terms), *_fit(answers), *_reason_to_buy(answers, terms), *_power(answers, terms)]


def _timing(answers: Answers, terms: Terms) -> list[Problem]:
    months = answers.months_to_project
    if months is None:
        return [Problem("months_to_project", "Say in how many months there can be a funded project.")]
    if not 0 <= months <= terms.within_months:
        return [
            Problem("months_to_project", f"A funded project has to be possible within {terms.within_months} months.")
        ]
    return []


def _fit(answers: Answers) -> list[Problem]:
    return [] if answers.good_fit else [Problem("good_fit", "It has to be a good fit.")]


def _reason_to_buy(answers: Answers, terms: Terms) -> list[Problem]:
    found = [
        Problem(name, f"At most {MAX_WORDS} characters.")
        for name in ("compelling_event", "pain")
        if len(getattr(answers, name)) > MAX_WORDS
    ]
    if terms.needs_pain and not answers.pain:
        found.append(Problem("pain", "Name the pain: in this segment an event alone is not enough."))
    elif not (answers.compelling_event or answers.pain):
        found.append(Problem("compelling_event", "Name a compelling event, or the pain."))
    return found


def _power(answers: Answers, terms: Terms) -> list[Problem]:
    if not terms.needs_power or answers.has_power or answers.connects_with_power:
        return []
    return [Problem("has_power", "The person needs the power to buy, or to commit to connect us with it.")]
