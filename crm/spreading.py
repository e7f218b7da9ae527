"""How a book is spread over several people. Pure: no database, no clock."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

K = TypeVar("K")
R = TypeVar("R")


def spread(weights: Iterable[tuple[K, int]], receivers: Sequence[R]) -> dict[K, R]:
    """Who gets what: everybody as many as the others, give or take one, and of the weight as even as that allows.

    The heaviest are dealt out first, always to who has the fewest, of those to who carries least; ties go by the order
    of ``receivers``. The same input gives the same result.
    """
    held = {position: [0, 0] for position in range(len(receivers))}
    dealt = {}
    for key, weight in sorted(weights, key=lambda pair: -pair[1]):
        lightest = min(held, key=lambda position: (*held[position], position))
        held[lightest][0] += 1
        held[lightest][1] += weight
        dealt[key] = receivers[lightest]
    return dealt
