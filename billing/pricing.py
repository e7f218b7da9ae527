"""What a quantity costs under the terms of a price, and why.

Everything is computed in exact decimals of minor units and rounded half up once, at the end of the line. Included
units come off first, the model prices the rest, and a minimum lifts the result. Each step of that is kept as data
(a code and numbers), so that whoever shows the line can say it in the reader's language.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from math import ceil
from typing import TypeAlias, TypeVar

from billing.price_terms import PriceTerms, PricingError, Tier, require_number, validate_terms
from gtm.shared.money import round_half_up
from gtm.shared.periods import Interval

__all__ = [
    "PriceTerms",
    "PricingError",
    "Rated",
    "Step",
    "Tier",
    "Transaction",
    "count_of",
    "normalised_monthly",
    "rate",
    "validate_terms",
]

Params = dict[str, str | int]
_Run: TypeAlias = tuple[Decimal, int]
# What was transacted, in minor units. A pair is the sum of so many that are alike: of one amount, or all of them free,
# or all of them within the same of the bounds that a transaction's fee has.
Transaction: TypeAlias = Decimal | _Run

_BIGINT = 2**63
_QUANTITY_DIGITS = 26
_EXACT = Context(prec=100)  # wide enough that no product or sum of columns is ever rounded
_PLACES = 48  # more than any product of a quantity, a rate and a percentage has
_FINEST = Decimal(1).scaleb(-_PLACES)
_ZERO = Decimal()

_Number = TypeVar("_Number", Decimal, int)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an explanation; decimals in `params` are plain decimal strings, rates and amounts in minor units."""

    code: str
    params: Params = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rated:
    """What a line comes to: `amount` in minor units, `exact` as it was before its one rounding, and the steps."""

    amount: int
    exact: Decimal
    steps: tuple[Step, ...]


def rate(terms: PriceTerms, quantity: Decimal, transactions: Sequence[Transaction] = ()) -> Rated:
    """Price `quantity` units under valid `terms`.

    `transactions` is for percentages with parts per transaction; they must sum to the quantity. Their order matters as
    far as something is free. Raises PricingError for a quantity that is negative, no number, or too much money for a
    column.
    """
    require_number(quantity, "quantity", digits=_QUANTITY_DIGITS)
    return _rate(terms, quantity, transactions) if transactions else _rate_sum(terms, quantity)


@lru_cache(maxsize=1024)
def _rate_sum(terms: PriceTerms, quantity: Decimal) -> Rated:
    """Many customers have the same plan, and most of them the same number of it."""
    return _rate(terms, quantity, ())


def _rate(terms: PriceTerms, quantity: Decimal, transactions: Sequence[Transaction]) -> Rated:
    with localcontext(_EXACT):
        exact, steps = _MODELS[terms.model](terms, quantity, transactions)
        if terms.minimum_amount is not None and exact < terms.minimum_amount:
            steps.append(Step("minimum", {"rated": _text(exact), "minimum_amount": _plain(terms.minimum_amount)}))
            exact = Decimal(terms.minimum_amount)
        exact = settled(exact)
    amount = round_half_up(exact)
    if amount >= _BIGINT:
        raise PricingError("quantity", "Comes to more money than an invoice can hold.")
    if amount != exact:
        steps.append(Step("rounding", {"exact": _text(exact), "amount": amount}))
    return Rated(amount=amount, exact=exact, steps=tuple(steps))


def settled(exact: Decimal) -> Decimal:
    """Without what 100 digits of a share that has no end leave behind: a half stays a half, and is rounded up."""
    places = exact.as_tuple().exponent
    return exact.quantize(_FINEST, context=_EXACT) if isinstance(places, int) and places < -_PLACES else exact


@lru_cache(maxsize=1024)
def normalised_monthly(amount: int, interval: Interval) -> Fraction:
    """What an amount per interval is per month, exactly: a twelfth of a year's, 52 twelfths of a week's."""
    months = {"week": Fraction(12, 52), "month": Fraction(1), "quarter": Fraction(3), "year": Fraction(12)}
    return amount / (months[interval.unit] * interval.count)


def _flat(terms: PriceTerms, quantity: Decimal, transactions: Sequence[Transaction]) -> tuple[Decimal, list[Step]]:
    amount = _given(terms.unit_amount, "unit_amount")
    return amount, [_step("flat", {"amount": amount})]


def _per_unit(terms: PriceTerms, quantity: Decimal, transactions: Sequence[Transaction]) -> tuple[Decimal, list[Step]]:
    charged, steps = _after_included(terms, quantity)
    unit_amount = _given(terms.unit_amount, "unit_amount")
    amount = charged * unit_amount
    numbers = {"quantity": charged, "unit_amount": unit_amount, "amount": amount}
    return _with_flat_amount(terms, amount, [*steps, _step("per_unit", numbers)])


def _package(terms: PriceTerms, quantity: Decimal, transactions: Sequence[Transaction]) -> tuple[Decimal, list[Step]]:
    charged, steps = _after_included(terms, quantity)
    size, unit_amount = _given(terms.package_size, "package_size"), _given(terms.unit_amount, "unit_amount")
    packages = ceil(Fraction(charged) / size)
    amount = packages * unit_amount
    numbers = _texts({"quantity": charged, "unit_amount": unit_amount, "amount": amount})
    step = Step("package", {"packages": packages, "package_size": size, **numbers})
    return _with_flat_amount(terms, amount, [*steps, step])


def _graduated(terms: PriceTerms, quantity: Decimal, transactions: Sequence[Transaction]) -> tuple[Decimal, list[Step]]:
    charged, steps = _after_included(terms, quantity)
    total, lower = _ZERO, _ZERO
    for tier in terms.tiers:
        reached = charged if tier.up_to is None else min(charged, Decimal(tier.up_to))
        amount = (reached - lower) * tier.unit_amount + tier.flat_amount
        steps.append(_tier_step("tier", tier, lower, reached - lower, amount))
        total, lower = total + amount, reached
        if reached == charged:
            return total, steps
    raise PricingError("tiers", "The last tier must be open-ended.")


def _volume(terms: PriceTerms, quantity: Decimal, transactions: Sequence[Transaction]) -> tuple[Decimal, list[Step]]:
    charged, steps = _after_included(terms, quantity)
    lower = _ZERO
    for tier in terms.tiers:
        if tier.up_to is None or charged <= tier.up_to:
            amount = charged * tier.unit_amount + tier.flat_amount
            return amount, [*steps, _tier_step("volume_tier", tier, lower, charged, amount)]
        lower = Decimal(tier.up_to)
    raise PricingError("tiers", "The last tier must be open-ended.")


def _percentage(
    terms: PriceTerms, quantity: Decimal, transactions: Sequence[Transaction]
) -> tuple[Decimal, list[Step]]:
    if terms.needs_transactions:
        amount, steps = _per_transaction(terms, quantity, transactions)
    else:
        charged, steps = _after_included(terms, quantity)
        amount = _percent_of(charged, terms)
        steps.append(_percentage_step(terms, charged, amount))
    return _with_flat_amount(terms, amount, steps)


def _per_transaction(
    terms: PriceTerms, quantity: Decimal, transactions: Sequence[Transaction]
) -> tuple[Decimal, list[Step]]:
    runs = [_run(transaction) for transaction in transactions]
    for total, _count in runs:
        require_number(total, "transactions", digits=_QUANTITY_DIGITS)
    if sum((total for total, _count in runs), _ZERO) != quantity:
        raise PricingError("transactions", "Must sum to the quantity.")
    charged = _charged_parts(terms, runs)
    fees = [_percent_of(total, terms) + count * (terms.fixed_amount or _ZERO) for total, count in charged]
    bounded = [_within_bounds(fee, terms, count) for fee, (_total, count) in zip(fees, charged, strict=True)]
    base, amount = sum((total for total, _count in charged), _ZERO), sum(bounded, _ZERO)
    compared = [(fee, after, count) for fee, after, (_total, count) in zip(fees, bounded, charged, strict=True)]
    counts: Params = {
        "count": count_of(runs),
        "free": count_of(runs) - count_of(charged),
        "raised": sum(count for fee, after, count in compared if after > fee),
        "capped": sum(count for fee, after, count in compared if after < fee),
        "fixed_amount": _text(terms.fixed_amount or _ZERO),
        "amount": _text(amount),
        **_bounds(terms),
    }
    free = quantity - base
    included = [_step("included", {"quantity": quantity, "included": free, "rest": base})] if free else []
    return amount, [*included, _percentage_step(terms, base, _percent_of(base, terms)), Step("transactions", counts)]


def count_of(transactions: Sequence[Transaction]) -> int:
    """How many transactions they are."""
    return sum(_run(transaction)[1] for transaction in transactions)


def _run(transaction: Transaction) -> _Run:
    return (transaction, 1) if isinstance(transaction, Decimal) else transaction


def _charged_parts(terms: PriceTerms, runs: Sequence[_Run]) -> list[_Run]:
    """What is charged of how many transactions; those that are free as a whole are left out.

    Free are the first `free_units` transactions, as far as `included_units` of money go; either alone has no other
    bound.
    """
    left, money = terms.free_transactions
    parts: list[_Run] = []
    for run in runs:
        for total, count in _apart(run, left, money):
            if left == 0 or money == 0:
                parts.append((total, count))
            elif money is not None and total > money:
                parts.append((total - money, count))
                money = _ZERO
            elif money is not None:
                money -= total
            left = None if left is None else max(left - count, 0)
    return parts


def _apart(run: _Run, left: int | None, money: Decimal | None) -> list[_Run]:
    """The run, or its transactions one by one where only some of them are free: then they are of one amount."""
    total, count = run
    is_free = (left is None or count <= left) and (money is None or total <= money)
    return [run] if is_free or left == 0 or money == 0 else [(total / count, 1)] * count


def _percent_of(base: Decimal, terms: PriceTerms) -> Decimal:
    return base * _given(terms.percentage, "percentage") / 100


def _within_bounds(fee: Decimal, terms: PriceTerms, count: int) -> Decimal:
    """The fee of so many transactions, which are all within the same bounds."""
    if terms.per_transaction_min is not None:
        fee = max(fee, count * terms.per_transaction_min)
    if terms.per_transaction_max is not None:
        fee = min(fee, count * terms.per_transaction_max)
    return fee


def _bounds(terms: PriceTerms) -> Params:
    """Between which amounts a transaction's fee is kept, where it is."""
    bounds = {"lowest": terms.per_transaction_min, "highest": terms.per_transaction_max}
    return {name: _text(bound) for name, bound in bounds.items() if bound is not None}


_Rater = Callable[[PriceTerms, Decimal, Sequence[Transaction]], tuple[Decimal, list[Step]]]

_MODELS: dict[str, _Rater] = {
    "flat": _flat,
    "per_unit": _per_unit,
    "graduated": _graduated,
    "volume": _volume,
    "package": _package,
    "percentage": _percentage,
}


def _after_included(terms: PriceTerms, quantity: Decimal) -> tuple[Decimal, list[Step]]:
    if not terms.included_units:
        return quantity, []
    rest = max(_ZERO, quantity - terms.included_units)
    numbers = {"quantity": quantity, "included": terms.included_units, "rest": rest}
    return rest, [_step("included", numbers)]


def _with_flat_amount(terms: PriceTerms, amount: Decimal, steps: list[Step]) -> tuple[Decimal, list[Step]]:
    if not terms.flat_amount:
        return amount, steps
    return amount + terms.flat_amount, [*steps, _step("flat_amount", {"amount": terms.flat_amount})]


def _tier_step(code: str, tier: Tier, lower: Decimal, units: Decimal, amount: Decimal) -> Step:
    numbers = {
        "above": lower,
        "quantity": units,
        "unit_amount": tier.unit_amount,
        "flat_amount": tier.flat_amount,
        "amount": amount,
    }
    if tier.up_to is not None:
        numbers["up_to"] = Decimal(tier.up_to)
    return _step(code, numbers)


def _percentage_step(terms: PriceTerms, base: Decimal, amount: Decimal) -> Step:
    return _step("percentage", {"base": base, "percentage": _given(terms.percentage, "percentage"), "amount": amount})


def _step(code: str, numbers: dict[str, Decimal]) -> Step:
    return Step(code, _texts(numbers))


def _texts(numbers: dict[str, Decimal]) -> Params:
    return {name: _text(number) for name, number in numbers.items()}


def _given(value: _Number | None, name: str) -> _Number:
    if value is None:
        raise PricingError(name, f"The terms have no {name}.")
    return value


def _plain(amount: Decimal | int) -> str | int:
    """Whole minor units stay an integer; the share of a minimum may have places."""
    return amount if isinstance(amount, int) else _text(amount)


def _text(number: Decimal) -> str:
    """A plain decimal without exponent and trailing zeros."""
    plain = format(number, "f")
    return plain.rstrip("0").rstrip(".") or "0" if "." in plain else plain
