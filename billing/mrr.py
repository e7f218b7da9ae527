"""Monthly recurring revenue: what recurs, brought to a month. Usage, one-offs and tax don't count."""

from collections.abc import Iterable, Sequence
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


@dataclass(frozen=True, slots=True)
class RecurringDiscount:
    """What comes off for longer than once: a share in percent, or an amount in each billing period."""

    percent_off: Decimal | None = None
    amount_off: int | None = None


def monthly(
    items: Iterable[RecurringItem],
    *,
    discounts: Iterable[RecurringDiscount] = (),
    commitment: int = 0,
    per: Interval | None = None,
) -> int:
    """Minor units a month, net of discounts and rounded once; the commitment where that is higher.

    ``per``: the billing period of the subscription, in which fixed amounts come off and which the commitment is for.
    """
    parts = (
        pricing.normalised_monthly(pricing.rate(item.terms, item.quantity).amount, item.interval) for item in items
    )
    net = _discounted(sum(parts, Fraction()), list(discounts), per)
    return max(round_half_up(net), round_half_up(_per_month(commitment, per)))


def _discounted(gross: Fraction, discounts: Sequence[RecurringDiscount], per: Interval | None) -> Fraction:
    """Percentages first, then amounts, never below zero."""
    net = gross
    for discount in discounts:
        net -= net * Fraction(discount.percent_off or 0) / 100
    return max(Fraction(), net - sum(_per_month(discount.amount_off or 0, per) for discount in discounts))


def _per_month(amount: int, per: Interval | None) -> Fraction:
    return pricing.normalised_monthly(amount, per) if per is not None else Fraction()
