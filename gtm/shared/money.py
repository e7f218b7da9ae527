"""Money: integer minor units with an ISO currency; Decimal and Fraction only while computing.

There is one rounding (half away from zero) and one way of splitting (largest remainder) in all of Tandem, both here.
"""

import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

import moneyed
from babel import Locale, UnknownLocaleError
from babel.numbers import NumberPattern

_MAJOR = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
_BIGINT = 2**63
_NOT_MONEY = frozenset({"XTS", "XXX"})  # ISO's codes for "testing" and "no currency"
_FALLBACK_LOCALE = "en"
_LETTER_BESIDE_DIGIT = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")
_NO_BREAK_SPACE = "\u00a0"


def exponent(currency: str) -> int:
    """Decimal places of the currency's minor unit: USD 2, JPY 0, BHD 3. Raises ValueError for an unknown code."""
    found = None if currency in _NOT_MONEY else moneyed.CURRENCIES.get(currency)
    if found is None:
        raise ValueError(f"unknown currency {currency!r}")
    return len(str(found.sub_unit)) - 1


def is_currency(code: str) -> bool:
    """Whether amounts can be given in it."""
    try:
        exponent(code)
    except ValueError:
        return False
    return True


def round_half_up(value: Decimal | Fraction | int) -> int:
    """The nearest integer, halves away from zero (unlike Python's round, which goes to the even neighbour)."""
    exact = value if isinstance(value, Fraction) else Fraction(value)
    magnitude = (2 * abs(exact.numerator) + exact.denominator) // (2 * exact.denominator)
    return magnitude if exact >= 0 else -magnitude


def allocate(total: int, weights: Sequence[int | Decimal | Fraction]) -> list[int]:
    """Split `total` in proportion to `weights` by largest remainder; the parts sum to it exactly.

    Ties go to the earlier part, a weight of zero gets nothing, and a negative total mirrors the positive one.
    Raises ValueError for a negative weight, and where there is something to split and no weight to split it by.
    """
    exact = [Fraction(weight) for weight in weights]
    if any(weight < 0 for weight in exact):
        raise ValueError("weights must not be negative")
    whole = sum(exact, Fraction())
    if total == 0:
        return [0] * len(exact)
    if whole == 0:
        raise ValueError("nothing to allocate over: every weight is zero")
    return apportion(total, [total * weight / whole for weight in exact])


def apportion(total: int, exact: Sequence[Fraction | int], *, per: int = 1) -> list[int]:
    """Round each exact part down or up, so that all of them sum to `total`, which is their rounded sum.

    The largest remainders are rounded up, the earlier part first among equals. Parts may have either sign; they are
    given times `per`, so that whoever knows their common denominator can count in integers. Raises ValueError when
    `total` is not the sum of the parts rounded to an integer, one way or the other.
    """
    if total < 0:
        return [-part for part in apportion(-total, [-part for part in exact], per=per)]
    floors = [part // per for part in exact]
    missing = total - sum(floors)
    if not 0 <= missing <= len(floors):
        raise ValueError("the total is not the rounded sum of its parts")
    by_remainder = sorted(range(len(exact)), key=lambda index: (floors[index] * per - exact[index], index))
    for index in by_remainder[:missing]:
        floors[index] += 1
    return floors


def to_major(amount: int, currency: str) -> Decimal:
    """Minor units as a Decimal of major units with all its places: 1250 USD is 12.50."""
    return Decimal(amount).scaleb(-exponent(currency))


def parse_major(text: str, currency: str) -> int:
    """Minor units from a plain decimal such as "-12.50" (a point, no grouping, no symbol).

    Raises ValueError for anything else, for more places than the currency has, and beyond 64 bits.
    """
    stripped = text.strip()
    if not _MAJOR.fullmatch(stripped):
        raise ValueError(f"{text!r} is not an amount")
    minor = Fraction(stripped) * 10 ** exponent(currency)
    if minor.denominator != 1:
        raise ValueError(f"{currency} has {exponent(currency)} decimal places")
    if abs(minor) >= _BIGINT:
        raise ValueError(f"{text!r} is too large an amount")
    return int(minor)


def format_money(amount: int, currency: str, locale: str) -> str:
    """Minor units as the reader of `locale` writes money; an unknown locale reads English.

    The places shown are those of the minor unit, always: CLDR would drop them for some currencies (RSD, IQD), and
    what is printed has to add up. CLDR's space between a currency's letters and the digits is Babel's omission.
    """
    reader = _locale(locale)
    pattern = _pattern(str(reader), exponent(currency))
    return spaced(pattern.apply(to_major(amount, currency), reader, currency=currency, currency_digits=False))


def spaced(text: str) -> str:
    """An amount with a space between the letters of its currency and its digits."""
    return _LETTER_BESIDE_DIGIT.sub(_NO_BREAK_SPACE, text)


@lru_cache(maxsize=256)
def _locale(name: str) -> Locale:
    tag = name.replace("-", "_")
    for candidate in (tag, tag.partition("_")[0]):
        try:
            return Locale.parse(candidate)
        except (UnknownLocaleError, ValueError):
            continue
    return Locale.parse(_FALLBACK_LOCALE)


@lru_cache(maxsize=256)
def _pattern(locale: str, places: int) -> NumberPattern:
    standard: NumberPattern = Locale.parse(locale).currency_formats["standard"]
    return NumberPattern(
        pattern=standard.pattern,
        prefix=standard.prefix,
        suffix=standard.suffix,
        grouping=standard.grouping,
        int_prec=standard.int_prec,
        frac_prec=(places, places),
        exp_prec=standard.exp_prec,
        exp_plus=standard.exp_plus,
        number_pattern=standard.number_pattern,
    )
