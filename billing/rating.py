"""From the price in its table to the terms that pure code rates."""

from decimal import Decimal
from typing import Any

from billing.models import Price
from billing.price_terms import PriceTerms, Tier

_ZERO = Decimal()


def terms_of(price: Price) -> PriceTerms:
    """The arithmetic of a price, by which ``pricing.rate`` computes a line; kept with the row, once that is written."""
    known: PriceTerms | None = price.__dict__.get("_terms")
    if known is None:
        known = _terms(price)
        if not price._state.adding:
            price.__dict__["_terms"] = known
    return known


def _terms(price: Price) -> PriceTerms:
    return PriceTerms(
        model=price.model,  # type: ignore[arg-type]  # the column's choices are the model's literals
        unit_amount=price.unit_amount,
        flat_amount=price.flat_amount,
        tiers=tuple(tier_of(row) for row in price.tiers),
        package_size=price.package_size,
        included_units=price.included_units,
        minimum_amount=price.minimum_amount,
        percentage=price.percentage,
        fixed_amount=price.fixed_amount,
        free_units=price.free_units,
        per_transaction_min=price.per_transaction_min,
        per_transaction_max=price.per_transaction_max,
    )


def tier_of(row: dict[str, Any]) -> Tier:
    """A tier from its column: ``{"up_to": int | null, "unit_amount": "12.5", "flat_amount": "0"}``, rates as text."""
    return Tier(
        up_to=row["up_to"],
        unit_amount=Decimal(row.get("unit_amount") or _ZERO),
        flat_amount=Decimal(row.get("flat_amount") or _ZERO),
    )
