"""Within one run: a gateway that doesn't answer is left alone after a few calls, as each of them waits for long."""

from collections import Counter

ENOUGH = 3
Unanswered = Counter[str]
"""Calls in a row that a gateway hasn't answered, by its name."""


def is_away(unanswered: Unanswered, gateway: str) -> bool:
    """Whether what is left for this gateway had better wait for the next run."""
    return unanswered[gateway] >= ENOUGH


def note(unanswered: Unanswered, gateway: str, *, answered: bool) -> None:
    unanswered[gateway] = 0 if answered else unanswered[gateway] + 1
