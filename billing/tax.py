"""Whether a line is taxed, at which rates, and on what evidence. Nothing is taxed at 0 because something is unknown."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal

from stdnum.eu import vat
from stdnum.exceptions import ValidationError

from billing.invoicing import TaxRate
from gtm.shared.errors import Invalid

Treatment = Literal["taxed", "reverse_charge", "exempt", "outside", "none", "unknown_place"]
TaxExempt = Literal["none", "reverse", "exempt"]
Reason = Literal[
    "customer_exempt",
    "customer_reverse_charge",
    "customer_rates",
    "vendor_charges_no_tax",
    "place_unknown",
    "region_unknown",
    "eu_vat_id_abroad",
    "rate_of_place",
    "standard_rate_of_place",
    "no_rate_for_place",
]

STANDARD = "standard"

# Northern Ireland (XI) counts as the Union for goods only, and software is a service.
EU_COUNTRIES = frozenset(code.upper() for code in vat.MEMBER_STATES) - {"XI"}


@dataclass(frozen=True, slots=True)
class PlacedRate:
    """A rate of a country, or of a region in it, for a class of goods, valid on [valid_from, valid_to)."""

    code: str
    name: str
    percentage: Decimal
    country: str
    valid_from: date
    region: str = ""
    tax_class: str = STANDARD
    valid_to: date | None = None

    def is_valid(self, on: date) -> bool:
        return self.valid_from <= on and (self.valid_to is None or on < self.valid_to)


@dataclass(frozen=True, slots=True)
class Seller:
    """Where the legal entity is established: ISO 3166 alpha-2."""

    country: str


@dataclass(frozen=True, slots=True)
class Buyer:
    """The payer as far as tax goes; an empty country is an unknown place."""

    country: str = ""
    region: str = ""
    tax_id: str = ""
    tax_exempt: TaxExempt = "none"
    tax_rates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TaxDecision:
    """The rates to apply, how the supply is treated, why, and the facts it was decided on.

    With `unknown_place` nothing may be billed: the customer is parked until its place is known.
    """

    rates: tuple[TaxRate, ...]
    treatment: Treatment
    reason: Reason
    evidence: dict[str, str] = field(default_factory=dict)

    @property
    def may_bill(self) -> bool:
        return self.treatment != "unknown_place"


def decide(seller: Seller, buyer: Buyer, tax_class: str, rates: Sequence[PlacedRate], on: date) -> TaxDecision:
    """Decide the tax of one line on a date, from all rates the vendor has.

    What the vendor says about the customer goes first (exempt, reverse charge, rates of its own), then reverse charge
    for an EU VAT id abroad, then the rate of the buyer's place. Raises Invalid where one of the customer's own rates
    isn't valid on that date.
    """
    valid = [rate for rate in rates if rate.is_valid(on)]
    vat_id = eu_vat_id(buyer.tax_id, country=buyer.country)
    treatment, reason, chosen = _decide(seller, buyer, tax_class, valid, on, vat_id)
    evidence = {
        "country": buyer.country.upper(),
        "region": buyer.region,
        "tax_id": vat_id or buyer.tax_id,
        "tax_class": tax_class,
        "date": on.isoformat(),
    }
    return TaxDecision(
        rates=tuple(TaxRate(rate.code, rate.name, rate.percentage) for rate in chosen),
        treatment=treatment,
        reason=reason,
        evidence={name: value for name, value in evidence.items() if value},
    )


def eu_vat_id(text: str, *, country: str) -> str | None:
    """The compact VAT id of an EU country, with its prefix; None unless it is one of `country` with a right checksum.

    The prefix may be missing. Whether the number is registered can only be asked online.
    """
    code = country.upper()
    if not text.strip() or code not in EU_COUNTRIES:
        return None
    prefix = "EL" if code == "GR" else code
    for candidate in (text, prefix + text):
        try:
            number = str(vat.validate(candidate))
        except ValidationError:
            continue
        if number[:2] in {prefix, code}:
            return prefix + number[2:]
    return None


_Choice = tuple[Treatment, Reason, list[PlacedRate]]


def _decide(
    seller: Seller, buyer: Buyer, tax_class: str, valid: list[PlacedRate], on: date, vat_id: str | None
) -> _Choice:
    if buyer.tax_exempt == "exempt":
        return "exempt", "customer_exempt", []
    if buyer.tax_exempt == "reverse":
        return "reverse_charge", "customer_reverse_charge", []
    if buyer.tax_rates:
        return "taxed", "customer_rates", _own_rates(buyer, valid, on)
    if not valid:
        return "none", "vendor_charges_no_tax", []
    if not buyer.country:
        return "unknown_place", "place_unknown", []
    if vat_id and seller.country and seller.country.upper() != buyer.country.upper():
        return "reverse_charge", "eu_vat_id_abroad", []
    return _by_place(buyer, tax_class, valid)


def _own_rates(buyer: Buyer, valid: list[PlacedRate], on: date) -> list[PlacedRate]:
    by_code = {rate.code: rate for rate in valid}
    missing = [code for code in buyer.tax_rates if code not in by_code]
    if missing:
        detail = f"The customer's tax rate {missing[0]} isn't valid on {on.isoformat()}."
        raise Invalid(detail, code="tax_rate_not_valid", attr="tax_rates")
    return [by_code[code] for code in dict.fromkeys(buyer.tax_rates)]


def _by_place(buyer: Buyer, tax_class: str, valid: list[PlacedRate]) -> _Choice:
    of_country = [rate for rate in valid if rate.country.upper() == buyer.country.upper()]
    of_class, reason = _of_class(of_country, tax_class)
    regional = [rate for rate in of_class if rate.region and rate.region.casefold() == buyer.region.casefold()]
    nationwide = [rate for rate in of_class if not rate.region]
    if regional or nationwide:
        return "taxed", reason, [_newest(regional or nationwide)]
    if of_class and not buyer.region:
        return "unknown_place", "region_unknown", []
    return "outside", "no_rate_for_place", []


def _of_class(rates: list[PlacedRate], tax_class: str) -> tuple[list[PlacedRate], Reason]:
    """The rates of the class; the standard ones where the country has none for it, so that it isn't taxed at 0."""
    exact = [rate for rate in rates if rate.tax_class == tax_class]
    if exact:
        return exact, "rate_of_place"
    return [rate for rate in rates if rate.tax_class == STANDARD], "standard_rate_of_place"


def _newest(rates: list[PlacedRate]) -> PlacedRate:
    return max(rates, key=lambda rate: (rate.valid_from, rate.code))
