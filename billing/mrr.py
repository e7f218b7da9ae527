"""Monthly recurring revenue: what recurs, brought to a month. Usage, one-offs and tax don't count."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from billing import pricing
from billing.price_terms import PriceTerms
from gtm.shared.money import round_half_up
from gtm.shared.periods import Interval


@dataclass(frozen=True, slots=True)
class RecurringItem:
    """A recurring price without a meter, at its quantity."""

    terms: PriceTerms
    quantity: Decimal
    interval: Interval


def monthly(items: Iterable[RecurringItem], *, commitment: int = 0) -> int:
    """Minor units a month, rounded once; the monthly commitment where that is higher."""
    parts = (
        pricing.normalised_monthly(pricing.rate(item.terms, item.quantity).amount, item.interval) for item in items
    )
    return max(round_half_up(sum(parts, Fraction())), commitment)
