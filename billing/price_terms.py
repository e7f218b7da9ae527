"""The terms of a price: what a catalogue may hold, so that rating never meets terms it can't rate."""

from dataclasses import dataclass, fields
from decimal import Context, Decimal, localcontext
from typing import Literal

from gtm.shared.errors import Invalid

Model = Literal["flat", "per_unit", "graduated", "volume", "package", "percentage"]
Timing = Literal["in_advance", "in_arrears"]

MAX_PLACES = 12
MAX_DIGITS = 18  # before the point, as the columns hold them
MAX_TIERS = 100
_BIGINT = 2**63
_EXACT = Context(prec=100)
_ZERO = Decimal()


class PricingError(Invalid):
    """Terms that make no price, or a quantity that they can't rate; `field` names the offending input."""

    code = "invalid_price"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message, attr=field)
        self.field = field


@dataclass(frozen=True, slots=True)
class Tier:
    """Units up to and including `up_to` (None: all further ones), at rates in minor units."""

    up_to: Decimal | int | None
    unit_amount: Decimal = _ZERO
    flat_amount: Decimal = _ZERO


@dataclass(frozen=True, slots=True)
class PriceTerms:
    """The arithmetic of a price. Amounts are rates in minor units; for `package`, `unit_amount` is that of a package.

    For `percentage` the quantity is money in minor units: `included_units` of it and the first `free_units`
    transactions are free, whichever ends first where both are given.
    """

    model: Model
    unit_amount: Decimal | None = None
    flat_amount: Decimal | None = None
    tiers: tuple[Tier, ...] = ()
    package_size: int | None = None
    included_units: Decimal = _ZERO
    minimum_amount: Decimal | int | None = None
    percentage: Decimal | None = None
    fixed_amount: Decimal | None = None
    free_units: Decimal | None = None
    per_transaction_min: Decimal | None = None
    per_transaction_max: Decimal | None = None

    @property
    def needs_transactions(self) -> bool:
        """Whether the sum of the transactions isn't enough, and `rate` wants each of them."""
        parts = (self.fixed_amount, self.free_units, self.per_transaction_min, self.per_transaction_max)
        return any(part is not None for part in parts)

    @property
    def free_transactions(self) -> tuple[int | None, Decimal | None]:
        """How many of the first transactions are free, and as far as how much money; None has no such bound."""
        if self.free_units is None:
            return None, self.included_units
        return int(self.free_units), self.included_units or None

    @property
    def bounded_transactions(self) -> tuple[Decimal | None, Decimal | None]:
        """Up to what amount a transaction is raised to the minimum, and from what amount on it is capped."""
        if not self.percentage:
            return None, None
        with localcontext(_EXACT):
            low, high = (
                None if bound is None else (bound - (self.fixed_amount or _ZERO)) * 100 / self.percentage
                for bound in (self.per_transaction_min, self.per_transaction_max)
            )
        return low, high


def validate_terms(terms: PriceTerms, *, metered: bool, timing: Timing = "in_arrears", one_time: bool = False) -> None:
    """Raise PricingError, naming the field, unless `terms` make a price that can be rated.

    `metered` says whether a meter gives the quantity; otherwise it is the item's.
    """
    if terms.model not in _REQUIRED:
        raise PricingError("model", f"There is no model {terms.model!r}.")
    _check_fields(terms)
    for name in _RATES:
        if (value := getattr(terms, name)) is not None:
            require_number(value, name)
    _check_whole_numbers(terms)
    _check_percentage(terms)
    if terms.model in ("graduated", "volume"):
        _check_tiers(terms.tiers)
    _check_meter(terms, metered=metered, timing=timing, one_time=one_time)


_RATES = (
    "unit_amount",
    "flat_amount",
    "included_units",
    "percentage",
    "fixed_amount",
    "free_units",
    "per_transaction_min",
    "per_transaction_max",
)
_COMMON = frozenset({"model", "minimum_amount"})
_OF_UNITS = _COMMON | {"included_units"}
_PER_TRANSACTION = frozenset({"fixed_amount", "free_units", "per_transaction_min", "per_transaction_max"})
_REQUIRED: dict[str, str] = {
    "flat": "unit_amount",
    "per_unit": "unit_amount",
    "graduated": "tiers",
    "volume": "tiers",
    "package": "unit_amount",
    "percentage": "percentage",
}
_ALLOWED: dict[str, frozenset[str]] = {
    "flat": _COMMON | {"unit_amount"},
    "per_unit": _OF_UNITS | {"unit_amount", "flat_amount"},
    "graduated": _OF_UNITS | {"tiers"},
    "volume": _OF_UNITS | {"tiers"},
    "package": _OF_UNITS | {"unit_amount", "flat_amount", "package_size"},
    "percentage": _OF_UNITS | {"percentage", "flat_amount"} | _PER_TRANSACTION,
}


def _check_fields(terms: PriceTerms) -> None:
    """A missing field, or one that the model would silently ignore, is a misunderstanding about money."""
    required, allowed = _REQUIRED[terms.model], _ALLOWED[terms.model]
    if getattr(terms, required) in (None, ()):
        raise PricingError(required, f"A {terms.model} price needs {required}.")
    if terms.model == "package" and terms.package_size is None:
        raise PricingError("package_size", "A package price needs package_size.")
    for name in (item.name for item in fields(terms)):
        if name not in allowed and getattr(terms, name) not in (None, (), _ZERO):
            raise PricingError(name, f"A {terms.model} price has no {name}.")


def require_number(value: Decimal, name: str, *, digits: int = MAX_DIGITS) -> None:
    """Raise PricingError unless `value` is 0 or more and fits a column of so many digits and 12 places."""
    if not value.is_finite() or value < 0:
        raise PricingError(name, "Must be a number of 0 or more.")
    if value.adjusted() >= digits:
        raise PricingError(name, f"Has more than {digits} digits before the point.")
    exponent = value.normalize(_EXACT).as_tuple().exponent
    if isinstance(exponent, int) and -exponent > MAX_PLACES:
        raise PricingError(name, f"Has more than {MAX_PLACES} decimal places.")


def _check_whole_numbers(terms: PriceTerms) -> None:
    if terms.package_size is not None and not 1 <= terms.package_size < _BIGINT:
        raise PricingError("package_size", "Must be 1 or more.")
    if terms.minimum_amount is not None and not 0 <= terms.minimum_amount < _BIGINT:
        raise PricingError("minimum_amount", "Must be 0 or more.")
    if terms.free_units is not None and terms.free_units != terms.free_units.to_integral_value():
        raise PricingError("free_units", "Counts transactions: must be a whole number.")


def _check_percentage(terms: PriceTerms) -> None:
    if terms.percentage is not None and terms.percentage > 100:
        raise PricingError("percentage", "Must be at most 100.")
    low, high = terms.per_transaction_min, terms.per_transaction_max
    if low is not None and high is not None and low > high:
        raise PricingError("per_transaction_max", "Must not be below per_transaction_min.")


def _check_tiers(tiers: tuple[Tier, ...]) -> None:
    if len(tiers) > MAX_TIERS:
        raise PricingError("tiers", f"A price has at most {MAX_TIERS} tiers.")
    if tiers[-1].up_to is not None:
        raise PricingError("tiers", "The last tier must be open-ended: its up_to is null.")
    lower = _ZERO
    for position, tier in enumerate(tiers, start=1):
        require_number(tier.unit_amount, "tiers")
        require_number(tier.flat_amount, "tiers")
        if tier.up_to is None:
            if position < len(tiers):
                raise PricingError("tiers", "Only the last tier may be open-ended.")
            return
        upper = Decimal(tier.up_to)
        require_number(upper, "tiers")
        if upper <= lower:
            raise PricingError("tiers", f"Tiers must rise: tier {position} ends at or below {lower}.")
        lower = upper


def _check_meter(terms: PriceTerms, *, metered: bool, timing: Timing, one_time: bool) -> None:
    if terms.model == "percentage" and not metered:
        raise PricingError("meter", "A percentage price needs a meter.")
    if not metered:
        return
    if terms.model == "flat":
        raise PricingError("meter", "A flat price costs the same whatever is used, so it has no meter.")
    if timing != "in_arrears":
        raise PricingError("timing", "Usage is known afterwards: a price with a meter is in arrears.")
    if one_time:
        raise PricingError("interval", "A price with a meter needs a recurring interval.")
