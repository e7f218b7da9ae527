"""Which upgrades are large: what they add a year, and how far they jump. Sales is told of them; nobody is held up."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from gtm.shared.money import round_half_up

Cause = Literal["delta_arr", "tier_jump"]


@dataclass(frozen=True, slots=True)
class Tier:
    """A plan among those that are sold: its ``place`` in the shop's order, and whether sales helps to sell it."""

    plan: str
    place: int
    assisted: bool


def delta_arr(*, before: Fraction, after: Fraction) -> int:
    """Minor units that list prices of ``after`` a month bring more in a year than those of ``before``."""
    return 12 * round_half_up(after - before)


def in_base(amount: int, *, rate: Decimal | None, places: int) -> int | None:
    """An amount in the base currency; None where no rate is known.

    ``rate``: units of the amount's currency for one of the base; ``places`` its currency has more than the base.
    """
    if rate is None:
        return None
    return round_half_up(Fraction(amount) / Fraction(rate) / Fraction(10) ** places)


def cause(*, added: int | None, threshold: int, old: Tier, new: Tier) -> Cause | None:
    """Why an upgrade is large; None for one that isn't. ``added`` and ``threshold`` are a year's, in one currency.

    A jump leaves out a plan in the shop's order, or comes to one that sales helps to sell.
    """
    if added is not None and added >= threshold:
        return "delta_arr"
    jumps = new.place - old.place > 1 or (new.assisted and not old.assisted and new.place > old.place)
    return "tier_jump" if jumps and new.plan != old.plan else None
