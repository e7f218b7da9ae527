"""From lines to the totals of a document: discounts first, then tax on what is left, every part summing to its whole.

Tax is exclusive. By default it is rounded once per rate, on the document's sum, and its cents are shared out among the
lines by largest remainder, so that lines and totals agree and a credit note of the last line comes out even.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Literal
from uuid import UUID

from gtm.shared.money import allocate, apportion, round_half_up

TaxRounding = Literal["document", "line"]

MAX_NET_TERMS_DAYS = 3650


@dataclass(frozen=True, slots=True)
class TaxRate:
    """A rate as it stands on a document; `percentage` 19 means 19 %. It stays the same rate under another name."""

    code: str
    name: str = field(compare=False)
    percentage: Decimal


@dataclass(frozen=True, slots=True)
class Line:
    """What is charged, in minor units before discount and tax; a credit is negative and takes no discount."""

    amount: int
    tax_rates: tuple[TaxRate, ...] = ()
    discountable: bool = True


@dataclass(frozen=True, slots=True)
class Discount:
    """Either a percentage or an amount in minor units off the discountable lines together, or those at ``lines``."""

    code: str
    percent_off: Decimal | None = None
    amount_off: int | None = None
    lines: frozenset[int] | None = None

    def __post_init__(self) -> None:
        if (self.percent_off is None) == (self.amount_off is None):
            raise ValueError("a discount has either percent_off or amount_off")
        if self.percent_off is not None and not 0 <= self.percent_off <= 100:
            raise ValueError("percent_off must be 0 to 100")
        if self.amount_off is not None and self.amount_off < 0:
            raise ValueError("amount_off must not be negative")


@dataclass(frozen=True, slots=True)
class LineTax:
    """A line's share of the tax of one rate."""

    rate: TaxRate
    amount: int


@dataclass(frozen=True, slots=True)
class TotalledLine:
    """A line with its share of discount (0 or more) and of tax, in the order the lines came in."""

    amount: int
    discount_amount: int
    taxes: tuple[LineTax, ...]

    @property
    def net(self) -> int:
        return self.amount - self.discount_amount

    @property
    def tax_amount(self) -> int:
        return sum(tax.amount for tax in self.taxes)


@dataclass(frozen=True, slots=True)
class TaxSum:
    """The tax of one rate on the whole document, and the net amounts it was taken on."""

    rate: TaxRate
    taxable: int
    amount: int


@dataclass(frozen=True, slots=True)
class DiscountSum:
    """How much a discount took off, line by line; less than its amount where there was less to take it from."""

    code: str
    by_line: tuple[int, ...]

    @property
    def amount(self) -> int:
        return sum(self.by_line)


@dataclass(frozen=True, slots=True)
class Totals:
    """`subtotal - discount_total + tax_total == total`, and each is the sum of its parts on the lines."""

    subtotal: int
    discount_total: int
    tax_total: int
    total: int
    taxes: tuple[TaxSum, ...]
    discounts: tuple[DiscountSum, ...]
    lines: tuple[TotalledLine, ...]


@dataclass(frozen=True, slots=True)
class GatheringKey:
    """Charges with equal keys stand on one invoice."""

    payer_id: UUID
    entity_id: UUID
    currency: str
    collection_method: str
    payment_method_id: UUID | None
    net_terms_days: int
    po_number: str
    tax_treatment: str
    test_clock_id: UUID | None
    instant: datetime


def assemble(
    lines: Sequence[Line], *, discounts: Sequence[Discount] = (), tax_rounding: TaxRounding = "document"
) -> Totals:
    """Total a document in minor units of one currency.

    Percentages are taken off before amounts, each off what the one before left. Raises ValueError where two rates of
    one code differ.
    """
    discounted, discount_sums = _discount(lines, discounts)
    nets = [line.amount - off for line, off in zip(lines, discounted, strict=True)]
    shares = _tax(lines, nets, tax_rounding)
    totalled = tuple(
        TotalledLine(
            amount=line.amount,
            discount_amount=off,
            taxes=tuple(LineTax(rate, shares[rate][position]) for rate in line.tax_rates),
        )
        for position, (line, off) in enumerate(zip(lines, discounted, strict=True))
    )
    taxes = tuple(_tax_sum(rate, lines, nets, by_line) for rate, by_line in shares.items())
    subtotal, discount_total = sum(line.amount for line in lines), sum(discounted)
    tax_total = sum(tax.amount for tax in taxes)
    return Totals(
        subtotal=subtotal,
        discount_total=discount_total,
        tax_total=tax_total,
        total=subtotal - discount_total + tax_total,
        taxes=taxes,
        discounts=discount_sums,
        lines=totalled,
    )


def due_date(issue_date: date, net_terms_days: int) -> date:
    """The day an invoice is due: its issue date plus the terms. Raises ValueError for terms beyond ten years."""
    if not 0 <= net_terms_days <= MAX_NET_TERMS_DAYS:
        raise ValueError(f"net_terms_days: must be 0 to {MAX_NET_TERMS_DAYS}")
    return issue_date + timedelta(days=net_terms_days)


def _discount(lines: Sequence[Line], discounts: Sequence[Discount]) -> tuple[list[int], tuple[DiscountSum, ...]]:
    """What is taken off each line, and what each discount came to (in the order given)."""
    left = [line.amount if line.discountable and line.amount > 0 else 0 for line in lines]
    taken = [0] * len(lines)
    sums: dict[int, DiscountSum] = {}
    for position in sorted(range(len(discounts)), key=lambda index: discounts[index].percent_off is None):
        discount = discounts[position]
        parts = _parts_off(discount, left)
        left = [rest - part for rest, part in zip(left, parts, strict=True)]
        taken = [before + part for before, part in zip(taken, parts, strict=True)]
        sums[position] = DiscountSum(discount.code, tuple(parts))
    return taken, tuple(sums[position] for position in range(len(discounts)))


def _parts_off(discount: Discount, left: list[int]) -> list[int]:
    if discount.lines is not None:
        left = [rest if position in discount.lines else 0 for position, rest in enumerate(left)]
    whole = sum(left)
    if discount.percent_off is not None:
        amount = round_half_up(whole * Fraction(discount.percent_off) / 100)
    else:
        amount = min(discount.amount_off or 0, whole)
    return allocate(amount, left)


def _tax(lines: Sequence[Line], nets: list[int], rounding: TaxRounding) -> dict[TaxRate, list[int]]:
    """Each rate's tax on each line; 0 where the line doesn't have the rate."""
    return {rate: _shares(rate, lines, nets, rounding) for rate in _rates_of(lines)}


def _rates_of(lines: Iterable[Line]) -> list[TaxRate]:
    by_code: dict[str, TaxRate] = {}
    for rate in (rate for line in lines for rate in line.tax_rates):
        if by_code.setdefault(rate.code, rate) != rate:
            raise ValueError(f"two different tax rates have the code {rate.code!r}")
    return list(by_code.values())


def _shares(rate: TaxRate, lines: Sequence[Line], nets: list[int], rounding: TaxRounding) -> list[int]:
    numerator, denominator = rate.percentage.as_integer_ratio()
    per = denominator * 100
    exact = [net * numerator if rate in line.tax_rates else 0 for line, net in zip(lines, nets, strict=True)]
    if rounding == "line":
        return [round_half_up(Fraction(part, per)) for part in exact]
    return apportion(round_half_up(Fraction(sum(exact), per)), exact, per=per)


def _tax_sum(rate: TaxRate, lines: Sequence[Line], nets: list[int], by_line: list[int]) -> TaxSum:
    taxable = sum(net for line, net in zip(lines, nets, strict=True) if rate in line.tax_rates)
    return TaxSum(rate=rate, taxable=taxable, amount=sum(by_line))
