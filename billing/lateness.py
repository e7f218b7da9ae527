"""What is billed and what is given back when a closed period is rated again.

Amounts are in minor units before discount and tax. More is a further line. Less is given back of the lines that billed
the period, the newest first, and of each no more than is still creditable on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from gtm.shared.money import allocate, round_half_up

_PLACES = 6  # of quantities


@dataclass(frozen=True, slots=True)
class Difference:
    """What a period is now beyond what was billed for it; either may be negative."""

    quantity: Decimal
    amount: int

    def __bool__(self) -> bool:
        return bool(self.quantity or self.amount)


@dataclass(frozen=True, slots=True)
class Billed:
    """A line as it stands: its amount before and its net after discount, and what of the net is still creditable."""

    amount: int
    net: int
    creditable: int

    @property
    def left(self) -> int:
        """What of the amount can still be given back. A discount of the whole leaves nothing to pay back."""
        return round_half_up(Fraction(self.creditable * self.amount, self.net)) if self.net else self.amount


@dataclass(frozen=True, slots=True)
class Given:
    """What is given back of a line: of its amount, and of its net."""

    amount: int
    net: int


def give_back(amount: int, lines: Sequence[Billed]) -> list[Given]:
    """Share ``amount`` (above 0) out among the lines, in their order, as far as they have something left."""
    given = []
    for line in lines:
        part = min(amount, max(line.left, 0))
        net = round_half_up(Fraction(part * line.net, line.amount)) if line.amount else 0
        given.append(Given(part, min(net, line.creditable)))
        amount -= part
    return given


def shared(quantity: Decimal, given: Sequence[Given]) -> list[Decimal]:
    """The quantity that each part of what is given back stands for, below 0: a credit has a positive price.

    Where less money is for more units (the price of a whole volume fell), each part is one credit.
    """
    if quantity >= 0:
        return [Decimal(-1) for _part in given]
    weights = [part.amount for part in given]
    parts = allocate(int(-quantity.scaleb(_PLACES)), weights) if any(weights) else [0 for _part in given]
    return [-Decimal(part).scaleb(-_PLACES) for part in parts]
