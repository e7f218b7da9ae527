"""What a pipeline is made of, as it is given to be written; and the one that is installed. Pure."""

from dataclasses import dataclass, field
from typing import Any

from crm import stages

OUR_ACTION, BUYER_CONFIRMATION = "our_action", "buyer_confirmation"
COMPETITION, NO_DECISION, NOT_QUALIFIED = "competition", "no_decision", "not_qualified"


@dataclass(frozen=True, slots=True)
class RequirementTerms:
    text: str
    kind: str = OUR_ACTION
    required: bool = True


@dataclass(frozen=True, slots=True)
class StageTerms:
    """A stage in the order of its pipeline. ``requirements`` None leaves those that there are."""

    code: str
    label: str
    phase: str
    category: str = ""
    type: str = stages.OPEN
    expected_days: int = 14
    is_redlining: bool = False
    skip_segments: tuple[str, ...] = ()
    advice: str = ""
    requirements: tuple[RequirementTerms, ...] | None = field(default=None, compare=False)

    def columns(self) -> dict[str, Any]:
        names = ("label", "phase", "type", "expected_days", "is_redlining", "advice")
        values = {name: getattr(self, name) for name in names}
        category = self.category or stages.usual_category(self.phase, self.type)
        return values | {"category": category, "skip_segments": list(self.skip_segments)}


def _buyer(text: str) -> RequirementTerms:
    return RequirementTerms(text, BUYER_CONFIRMATION)


INSTALLED_STAGES = (
    StageTerms(
        "understanding",
        stages.BUYER_LABELS[0],
        stages.CONVERSATION,
        expected_days=14,
        advice="Show value early: a return on investment of a company like theirs, and what waiting costs.",
        requirements=(
            RequirementTerms("Problem and today's way of working written down"),
            _buyer("The problem is worth solving within twelve months"),
            RequirementTerms("Budget, authority, need and timing asked about", required=False),
        ),
    ),
    StageTerms(
        "business_case",
        stages.BUYER_LABELS[1],
        stages.CONVERSATION,
        expected_days=21,
        skip_segments=("smb",),
        advice="Give them the numbers for their own case: a calculator, a reference call, a draft for their finance.",
        requirements=(
            RequirementTerms("Return on investment worked out with their figures"),
            _buyer("There is a budget line, or who gives one is named"),
        ),
    ),
    StageTerms(
        "evaluation",
        stages.BUYER_LABELS[2],
        stages.FUNDED_PROJECT,
        expected_days=21,
        advice="Prove the difference: their three use cases in a trial, with success criteria written down before.",
        requirements=(
            RequirementTerms("Success criteria of the evaluation agreed"),
            _buyer("We are on the long list, and who decides is known"),
        ),
    ),
    StageTerms(
        "shortlist",
        stages.BUYER_LABELS[3],
        stages.FUNDED_PROJECT,
        expected_days=14,
        skip_segments=("smb",),
        advice="Answer what the competitor can't: a comparison, a security paper, a reference who switched.",
        requirements=(_buyer("We are on the short list"), RequirementTerms("Who else is on it is known")),
    ),
    StageTerms(
        "price",
        stages.BUYER_LABELS[4],
        stages.VENDOR_OF_CHOICE,
        expected_days=14,
        advice="Give to get: a longer term or a reference for a better price. Bring in who signs.",
        requirements=(_buyer("We are the vendor of choice"), RequirementTerms("Quote made")),
    ),
    StageTerms(
        "deployment",
        stages.BUYER_LABELS[5],
        stages.VENDOR_OF_CHOICE,
        expected_days=14,
        skip_segments=("smb",),
        advice="Look at what holds up the papers: MSA, SLA, professional services, security questions.",
        requirements=(_buyer("Go-live date and who does what are agreed"),),
    ),
    StageTerms(
        "redlining",
        stages.BUYER_LABELS[6],
        stages.VENDOR_OF_CHOICE,
        expected_days=10,
        is_redlining=True,
        skip_segments=("smb",),
        advice="One list of open points, one meeting with both lawyers, a date for the signature.",
        requirements=(_buyer("All documents are agreed by their lawyers and procurement"),),
    ),
    StageTerms("won", "Won", stages.CLOSED, type=stages.WON),
    StageTerms("lost", "Lost", stages.CLOSED, type=stages.LOST),
)
INSTALLED_REASONS = (
    ("competitor_won", "Chose a competitor", COMPETITION),
    ("built_it_themselves", "Build it themselves", COMPETITION),
    ("stays_as_it_is", "Stays with what they have", NO_DECISION),
    ("no_budget", "Budget was cut", NO_DECISION),
    ("project_stopped", "Project was stopped", NO_DECISION),
    ("missing_requirement", "We lack something they must have", COMPETITION),
    ("no_fit", "Was no fit after all", NOT_QUALIFIED),
    ("no_power", "Nobody there could decide", NOT_QUALIFIED),
)
