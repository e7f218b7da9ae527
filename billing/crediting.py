"""What a credit note comes to: the tax of what is given back, so that all notes of an invoice sum to it exactly.

The tax of a note is rounded once per rate, on the sum of its nets, and is never more than what is left of that rate's
tax on the invoice. The note that gives back the last of a rate's net takes all that is left of its tax.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from billing.invoicing import LineTax, TaxRate, TaxSum, TotalledLine
from gtm.shared.money import allocate, round_half_up

Settle = Literal["balance", "refund", "offset"]


@dataclass(frozen=True, slots=True)
class Left:
    """What is left to give back of a rate on an invoice: net amounts that carry it, and their tax (minor units)."""

    taxable: int
    tax: int


@dataclass(frozen=True, slots=True)
class Part:
    """How much of an invoice's line is given back: net of its discount and before tax, in minor units, 0 or more."""

    net: int
    rates: tuple[TaxRate, ...] = ()


@dataclass(frozen=True, slots=True)
class NoteTotals:
    """``total == subtotal + tax_total``; each is the sum of its parts on the lines, in the order they came in."""

    subtotal: int
    taxes: tuple[TaxSum, ...]
    lines: tuple[TotalledLine, ...]

    @property
    def tax_total(self) -> int:
        return sum(tax.amount for tax in self.taxes)

    @property
    def total(self) -> int:
        return self.subtotal + self.tax_total


@dataclass(frozen=True, slots=True)
class Settlement:
    """Where the money of a note goes; the three sum to its total."""

    offset: int = 0
    balance: int = 0
    refund: int = 0


def total(parts: Sequence[Part], left: Mapping[str, Left]) -> NoteTotals:
    """Total a note; ``left`` holds what each rate (by code) has left on the invoice."""
    shares = {rate: _shares(rate, parts, left) for rate in _rates_of(parts)}
    lines = tuple(
        TotalledLine(part.net, 0, tuple(LineTax(rate, shares[rate][position]) for rate in part.rates))
        for position, part in enumerate(parts)
    )
    taxes = tuple(TaxSum(rate, _net(rate, parts), sum(by_line)) for rate, by_line in shares.items())
    return NoteTotals(subtotal=sum(part.net for part in parts), taxes=taxes, lines=lines)


def tax_of(rate: TaxRate, net: int, left: Left) -> int:
    """The tax that a note over ``net`` gives back: by the rate, and all that is left with the last of the net."""
    if net >= left.taxable:
        return max(left.tax, 0)
    return max(min(round_half_up(net * Fraction(rate.percentage) / 100), left.tax), 0)


def fit(parts: Sequence[Part], left: Mapping[str, Left], gross: int) -> list[int]:
    """The nets, each at most its part's, whose note comes to ``gross`` or as little above it as can be.

    All of each where they come to less together. The nets shrink in proportion, by largest remainder.
    """
    nets = [part.net for part in parts]
    low, high = 0, sum(nets)
    if gross <= 0:
        return [0] * len(parts)
    while low < high:
        middle = (low + high) // 2
        if _gross(parts, allocate(middle, nets), left) >= gross:
            high = middle
        else:
            low = middle + 1
    return allocate(low, nets) if low else [0] * len(parts)


def within(parts: Sequence[Part], left: Mapping[str, Left], gross: int) -> list[int]:
    """The nets for which there is room on the invoice: no more than each rate has left, and ``gross`` in all.

    What has no room is cut off the later parts first.
    """
    room = {code: max(rate.taxable, 0) for code, rate in left.items()}
    nets = []
    for part in parts:
        net = min([part.net, *(room.get(rate.code, 0) for rate in part.rates)])
        room |= {rate.code: room.get(rate.code, 0) - net for rate in part.rates}
        nets.append(net)
    for position in reversed(range(len(nets))):
        if _gross(parts, nets, left) <= gross:
            break
        nets[position] = _largest(parts, nets, position, left, gross)
    return nets


def settle(total: int, *, open_amount: int, by: Settle, refundable: int = 0) -> Settlement:
    """What is open is offset first; the rest goes back by ``refund`` as far as there is money to, else to the balance.

    Raises ValueError for an offset of more than is open.
    """
    offset = min(total, max(open_amount, 0))
    rest = total - offset
    if by == "offset" and rest:
        raise ValueError(f"only {open_amount} is open")
    refund = min(rest, refundable) if by == "refund" else 0
    return Settlement(offset=offset, balance=rest - refund, refund=refund)


def released(used: int, *, net: int, credited: int, credited_before: int) -> int:
    """How much of a discount's ``used`` on a line of ``net`` is free again when ``credited`` of the net is given back.

    Worked out on all that was credited so far, so that a line given back in parts frees exactly what it used.
    """
    if net <= 0:
        return 0
    after, before = (
        round_half_up(Fraction(used * min(part, net), net)) for part in (credited_before + credited, credited_before)
    )
    return after - before


def _rates_of(parts: Sequence[Part]) -> list[TaxRate]:
    return list(dict.fromkeys(rate for part in parts for rate in part.rates))


def _net(rate: TaxRate, parts: Sequence[Part]) -> int:
    return sum(part.net for part in parts if rate in part.rates)


def _shares(rate: TaxRate, parts: Sequence[Part], left: Mapping[str, Left]) -> list[int]:
    """The rate's tax on each part; 0 where the part doesn't have the rate."""
    weights = [part.net if rate in part.rates else 0 for part in parts]
    whole = sum(weights)
    return allocate(tax_of(rate, whole, left[rate.code]), weights) if whole else [0] * len(parts)


def _gross(parts: Sequence[Part], nets: Sequence[int], left: Mapping[str, Left]) -> int:
    return total([Part(net, part.rates) for part, net in zip(parts, nets, strict=True)], left).total


def _largest(parts: Sequence[Part], nets: Sequence[int], position: int, left: Mapping[str, Left], gross: int) -> int:
    """The most that this part may be for all of them to come to ``gross`` or less."""
    low, high = 0, nets[position]
    while low < high:
        middle = (low + high + 1) // 2
        tried = [*nets[:position], middle, *nets[position + 1 :]]
        if _gross(parts, tried, left) <= gross:
            low = middle
        else:
            high = middle - 1
    return low
