"""What makes a good pipeline: the buyer's steps in three phases, judged before and while deals run through it.

Pure. A ``Finding`` that is an error keeps a pipeline from taking deals; a warning is said and holds nobody up.
"""

import itertools
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

CONVERSATION, FUNDED_PROJECT, VENDOR_OF_CHOICE, CLOSED = (
    "conversation",
    "funded_project",
    "vendor_of_choice",
    "closed",
)
PHASES = (CONVERSATION, FUNDED_PROJECT, VENDOR_OF_CHOICE, CLOSED)
OPEN, WON, LOST = "open", "won", "lost"
OPEN_CATEGORIES = {CONVERSATION: "pipeline", FUNDED_PROJECT: "best_case", VENDOR_OF_CHOICE: "commit"}
SETTLED_CATEGORIES = {WON: "closed", LOST: "omitted"}  # what was lost must not be counted as booked
STAGES_PER_PHASE = 2
ALIKE = 0.6  # share of labels in common from which two pipelines are called near duplicates
SELLER_WORDS = (
    *(
        "sent",
        "send",
        "sending",
        "gave",
        "give",
        "demo",
        "demos",
        "demoed",
        "demonstrated",
        "presented",
        "presentation",
    ),
    *("pitched", "pitch", "called", "call", "emailed", "contacted", "quoted", "followed", "prospected", "prospecting"),
    *("qualified", "qualifying", "closing", "nurturing", "outreach", "booked", "scheduled"),
)
BUYER_LABELS = (
    "Understanding the offerings",
    "Building the business case",
    "Running an evaluation",
    "Comparing shortlisted vendors",
    "Negotiating price with the selected vendor",
    "Confirming deployment specifics",
    "Redlining documents",
)
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Step:
    """A stage as the validator sees it, in the order of the pipeline."""

    code: str
    label: str
    phase: str
    category: str
    type: str = OPEN
    is_redlining: bool = False
    skip_segments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """``code`` names the rule; ``subject`` the stage, phase, segment or pipeline it is about; ``detail`` the word."""

    code: str
    is_error: bool
    subject: str = ""
    detail: str = ""


def findings(steps: Sequence[Step]) -> list[Finding]:
    """All that is wrong or doubtful about a pipeline, errors first."""
    found = [*_ends(steps), *_order(steps), *_phases(steps), *_redlining(steps), *_sal(steps)]
    found += [*_skips(steps), *_labels(steps), *_categories(steps)]
    return sorted(found, key=lambda finding: not finding.is_error)


def _ends(steps: Sequence[Step]) -> Iterable[Finding]:
    won = sum(step.type == WON for step in steps)
    if won != 1:
        yield Finding("one_won", True)
    if not any(step.type == LOST for step in steps):
        yield Finding("no_lost", True)


def _order(steps: Sequence[Step]) -> Iterable[Finding]:
    """Phases follow each other, and what is closed comes last."""
    for before, after in itertools.pairwise(steps):
        if PHASES.index(after.phase) < PHASES.index(before.phase):
            yield Finding("phase_out_of_order", True, after.label)


def _phases(steps: Sequence[Step]) -> Iterable[Finding]:
    for phase in PHASES[:-1]:
        if sum(step.phase == phase for step in steps) < STAGES_PER_PHASE:
            yield Finding("too_few_stages", True, phase)


def _redlining(steps: Sequence[Step]) -> Iterable[Finding]:
    if not any(step.is_redlining and step.phase == VENDOR_OF_CHOICE for step in steps):
        yield Finding("no_redlining", True)
    for step in steps:
        if step.is_redlining and step.phase != VENDOR_OF_CHOICE:
            yield Finding("redlining_too_early", True, step.label)


def _sal(steps: Sequence[Step]) -> Iterable[Finding]:
    """The first stage is the sales accepted lead: every deal starts there, of whichever segment."""
    if steps and (steps[0].phase != CONVERSATION or steps[0].type != OPEN):
        yield Finding("first_is_not_sal", True, steps[0].label)
    if steps and steps[0].skip_segments:
        yield Finding("first_is_skipped", True, steps[0].label)


def _skips(steps: Sequence[Step]) -> Iterable[Finding]:
    """A segment that leaves out a whole phase loses sight of it; the closed stages are nobody's to leave out."""
    segments = sorted({segment for step in steps for segment in step.skip_segments})
    for segment in segments:
        for phase in PHASES:
            of_phase = [step for step in steps if step.phase == phase]
            if of_phase and all(segment in step.skip_segments for step in of_phase):
                yield Finding("phase_skipped", phase == CLOSED, phase, segment)


def _labels(steps: Sequence[Step]) -> Iterable[Finding]:
    for step in steps:
        if step.type == OPEN and (word := seller_word(step.label)):
            yield Finding("seller_verb", False, step.label, word)


def _categories(steps: Sequence[Step]) -> Iterable[Finding]:
    for step in steps:
        if step.category != usual_category(step.phase, step.type):
            yield Finding("unusual_category", False, step.label, step.category)


def usual_category(phase: str, kind: str) -> str:
    """How sure the deals of a stage are unless somebody says otherwise; empty where phase and type contradict."""
    return SETTLED_CATEGORIES.get(kind) or OPEN_CATEGORIES.get(phase, "")


def seller_word(label: str) -> str:
    """The word that tells what the seller does, where the label should tell what the buyer does; empty if none."""
    return next((word for word in _WORD.findall(label.casefold()) if word in SELLER_WORDS), "")


def near_duplicate(labels: Collection[str], others: Iterable[tuple[str, Collection[str]]]) -> Finding | None:
    """The first of ``others`` (name, labels of open stages) that is mostly the same set of stages."""
    own = {_plain(label) for label in labels}
    for name, theirs in others:
        other = {_plain(label) for label in theirs}
        if own and other and len(own & other) / min(len(own), len(other)) >= ALIKE:
            return Finding("near_duplicate", False, name)
    return None


def _plain(label: str) -> str:
    return " ".join(_WORD.findall(label.casefold()))
