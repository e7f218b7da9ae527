"""The tax of many charges at once: rates are read once, and each payer and class of goods is decided once."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from billing import invoicing, tax
from billing.invoicing import TotalledLine
from billing.models import Customer, LegalEntity, TaxRate
from billing.tax import Buyer, PlacedRate, Seller, TaxDecision
from gtm.shared.errors import Invalid


class PlaceUnknown(Invalid):
    """The buyer's place decides its tax and isn't known: nothing may be billed until it is."""

    code = "tax_place_unknown"

    def __init__(self, payer: Customer, reason: str) -> None:
        wanted = "region" if reason == "region_unknown" else "country"
        super().__init__(f"The {wanted} of {payer.public_id} is needed to tax its invoices.", attr=wanted)


class TaxBook:
    """All rates the vendor has, and what was decided by them."""

    def __init__(self) -> None:
        self._rates = [_placed(rate) for rate in TaxRate.objects.all()]
        self._decided: dict[tuple[object, ...], TaxDecision] = {}

    def decide(self, *, entity: LegalEntity, payer: Customer, tax_class: str, on: date) -> TaxDecision:
        """How ``entity`` taxes goods of that class for ``payer`` on a day.

        Raises PlaceUnknown, and Invalid for outdated own rates.
        """
        seller, buyer = Seller(entity.country), _buyer(payer)
        key = (seller, buyer, tax_class, on)
        decision = self._decided.get(key)
        if decision is None:
            decision = self._decided[key] = tax.decide(seller, buyer, tax_class, self._rates, on)
        if not decision.may_bill:
            raise PlaceUnknown(payer, decision.reason)
        return decision


def _placed(rate: TaxRate) -> PlacedRate:
    return PlacedRate(
        code=rate.code,
        name=rate.name,
        percentage=rate.percentage,
        country=rate.country,
        region=rate.region,
        tax_class=rate.tax_class,
        valid_from=rate.valid_from,
        valid_to=rate.valid_to,
    )


def _buyer(payer: Customer) -> Buyer:
    return Buyer(
        country=payer.place,
        region=str(payer.billing_address.get("state") or ""),
        tax_id=payer.tax_id,
        tax_exempt=payer.tax_exempt,  # type: ignore[arg-type]  # the column's choices
        tax_rates=tuple(payer.tax_rates),
    )


def recalled(entries: Sequence[dict[str, Any]]) -> TaxDecision:
    """The decision that a line keeps (see ``stored``): what is given back of it is taxed as it was."""
    rates = tuple(
        invoicing.TaxRate(entry["rate"], entry["name"], Decimal(entry["percentage"]))
        for entry in entries
        if entry["rate"]
    )
    if not entries:
        return TaxDecision(rates=(), treatment="none", reason="vendor_charges_no_tax")
    why = entries[0]
    return TaxDecision(rates=rates, treatment=why["treatment"], reason=why["reason"], evidence=why["evidence"])


def stored(decision: TaxDecision, line: TotalledLine) -> list[dict[str, Any]]:
    """The decision as a line keeps it: one entry for each rate, one without a rate where none applies."""
    why = {"treatment": decision.treatment, "reason": decision.reason, "evidence": decision.evidence}
    if not line.taxes:
        return [{"rate": None, "amount": 0, **why}]
    return [
        {
            "rate": share.rate.code,
            "name": share.rate.name,
            "percentage": str(share.rate.percentage),
            "amount": share.amount,
            **why,
        }
        for share in line.taxes
    ]
