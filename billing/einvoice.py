"""The semantic model of EN 16931: an invoice or a credit note as a machine reads it, before any syntax.

``build`` turns what a finalized document holds into that model, or says why the standard can't express it: a document
goes without its XML rather than with a wrong one. Terms of the standard are named in brackets (BT-131 is a line's net).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal

from gtm.shared.money import exponent, round_half_up, to_major

Kind = Literal["invoice", "credit_note"]
ONE = "C62"
DISCOUNT_CODE = "95"  # of UNTDID 5189
CARD, TRANSFER, SEPA_TRANSFER, UNDEFINED_MEANS = "48", "30", "58", "1"
_TYPE_CODES: dict[Kind, str] = {"invoice": "380", "credit_note": "381"}
_UNITS = {"week": "WEE", "month": "MON", "quarter": "QAN", "year": "ANN"}
_PLACES = 2  # the most that the standard allows an amount
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PREFIXED = re.compile(r"[A-Z]{2}[0-9A-Z+*.\- ]{2,}")


class NotExpressible(ValueError):
    """Why a document has no e-invoice: a code, and a sentence for the vendor's staff."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


# --- what a document holds ---------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class AppliedTax:
    """One tax of a line as it was decided: ``percentage`` 19 is 19 %; None where no rate applies. Minor units."""

    treatment: str
    percentage: Decimal | None = None
    amount: int = 0


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line in minor units before discount and tax, negative where it gives back; ``unit_amount`` is a rate."""

    position: int
    name: str
    quantity: Decimal
    amount: int
    taxes: tuple[AppliedTax, ...]
    unit_amount: Decimal | None = None
    discount_amount: int = 0
    discount_reason: str = ""
    explanation: tuple[str, ...] = ()
    period: tuple[date, date] | None = None
    interval: str = ""


@dataclass(frozen=True, slots=True)
class Trader:
    """Seller or buyer as the document keeps it."""

    name: str
    country: str
    line1: str = ""
    line2: str = ""
    city: str = ""
    postal_code: str = ""
    region: str = ""
    email: str = ""
    tax_ids: tuple[str, ...] = ()
    registration: str = ""


@dataclass(frozen=True, slots=True)
class Means:
    """How money moves: by a card whose last digits are known, or by transfer to an account."""

    by_card: bool = False
    card_last4: str = ""
    card_brand: str = ""
    iban: str = ""
    bic: str = ""
    account_name: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A finalized document: what it froze, and ``settled`` minor units that it says are paid already."""

    kind: Kind
    number: str
    issue_date: date
    currency: str
    seller: Trader
    buyer: Trader
    lines: tuple[SourceLine, ...]
    total: int
    tax_total: int
    settled: int = 0
    due_date: date | None = None
    terms: str = ""
    po_number: str = ""
    means: Means = field(default_factory=Means)
    preceding: tuple[str, date | None] | None = None
    notes: tuple[str, ...] = ()
    exemptions: dict[str, str] = field(default_factory=dict)
    """Treatment to the sentence that says why no tax was added."""


# --- the model ---------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Category:
    """How something is taxed [BT-151, BT-152]: ``percent`` None is for what isn't subject to VAT at all."""

    code: str
    percent: Decimal | None
    reason: str = ""
    reason_code: str = ""


@dataclass(frozen=True, slots=True)
class Party:
    """[BG-4, BG-7]; ``vat_id`` has its country's prefix, ``tax_number`` has none."""

    name: str
    country: str
    line1: str
    line2: str
    city: str
    postal_code: str
    region: str
    email: str
    vat_id: str
    tax_number: str
    registration: str
    identifier: str


@dataclass(frozen=True, slots=True)
class Line:
    """[BG-25]: ``net`` is ``price / price_base * quantity - allowance``, in the decimals of the currency."""

    id: str
    name: str
    description: str
    quantity: Decimal
    unit: str
    price: Decimal
    price_base: Decimal
    allowance: int
    allowance_reason: str
    net: int
    category: Category
    period: tuple[date, date] | None


@dataclass(frozen=True, slots=True)
class TaxSum:
    """[BG-23]: one category and rate of the whole document."""

    category: Category
    taxable: int
    tax: int


@dataclass(frozen=True, slots=True)
class EInvoice:
    """A document that the standard can express. Amounts are minor units of ``currency``."""

    type_code: str
    number: str
    issue_date: date
    due_date: date | None
    currency: str
    seller: Party
    buyer: Party
    lines: tuple[Line, ...]
    taxes: tuple[TaxSum, ...]
    net_total: int
    tax_total: int
    total: int
    prepaid: int
    due: int
    terms: str
    order: str
    means_code: str
    means: Means
    preceding: tuple[str, date | None] | None
    notes: tuple[str, ...]

    @property
    def is_credit_note(self) -> bool:
        return self.type_code == _TYPE_CODES["credit_note"]

    @property
    def period(self) -> tuple[date, date] | None:
        """From the first day to the last one that any line is for [BG-14]."""
        periods = [line.period for line in self.lines if line.period is not None]
        return (min(start for start, _end in periods), max(end for _start, end in periods)) if periods else None

    def amount(self, minor: int) -> str:
        """An amount as it is written: 12.50, and as few decimals as a third one allows."""
        places = exponent(self.currency)
        text = f"{to_major(minor, self.currency):f}"
        return text.removesuffix("0") if places > _PLACES else text


def build(source: Source) -> EInvoice:
    """The model of a document. Raises NotExpressible with the first reason found."""
    lines = tuple(_line(line, source) for line in source.lines)
    categories = [line.category for line in lines]
    _require_one_kind(categories)
    seller = _seller(source.seller, categories)
    buyer = _buyer(source.buyer, categories)
    net_total = sum(line.net for line in lines)
    taxes = _tax_sums(source.lines, lines)
    return EInvoice(
        type_code=_TYPE_CODES[source.kind],
        number=source.number,
        issue_date=source.issue_date,
        due_date=source.due_date,
        currency=source.currency,
        seller=seller,
        buyer=buyer,
        lines=lines,
        taxes=taxes,
        net_total=net_total,
        tax_total=source.tax_total,
        total=source.total,
        prepaid=source.settled,
        due=source.total - source.settled,
        terms=_text(source.terms),
        order=_text(source.po_number),
        means_code=_means_code(source),
        means=source.means,
        preceding=source.preceding,
        notes=tuple(_text(note) for note in source.notes),
    )


def require_seller(trader: Trader) -> None:
    """Raises NotExpressible for what a seller lacks to be named on an e-invoice with VAT."""
    _seller(trader, [Category("S", Decimal(1))])


# --- lines and their taxes ---------------------------------------------------------------------
def _line(line: SourceLine, source: Source) -> Line:
    """Prices are never negative in the standard: what is given back has a negative quantity."""
    sign = -1 if line.amount < 0 else 1
    quantity = sign * abs(line.quantity) or Decimal(sign)
    price, base = _price(line, quantity, source.currency)
    return Line(
        id=str(line.position),
        name=_text(line.name),
        description=_text("; ".join(line.explanation)),
        quantity=quantity,
        unit=_unit(line),
        price=price,
        price_base=base,
        allowance=line.discount_amount,
        allowance_reason=_text(line.discount_reason),
        net=line.amount - line.discount_amount,
        category=_category(line, source),
        period=line.period,
    )


def _price(line: SourceLine, quantity: Decimal, currency: str) -> tuple[Decimal, Decimal]:
    """The unit price where it makes the amount, else the amount as the price of so many units at once: exact."""
    rate = abs(line.unit_amount) if line.unit_amount is not None else None
    if rate is not None and round_half_up(rate * quantity) == line.amount:
        return rate.scaleb(-exponent(currency)), Decimal(1)
    return to_major(abs(line.amount), currency), abs(quantity)


def _unit(line: SourceLine) -> str:
    return _UNITS.get(line.interval, ONE) if abs(line.quantity) == 1 else ONE


def _category(line: SourceLine, source: Source) -> Category:
    if len(line.taxes) > 1:
        detail = f"Line {line.position} bears two taxes; EN 16931 knows one VAT rate a line."
        raise NotExpressible("two_taxes", detail)
    tax = line.taxes[0] if line.taxes else AppliedTax("none")
    code, reason_code = _CODES.get(tax.treatment, ("S", ""))
    if code == "S":
        percent = tax.percentage or Decimal()
        return Category("S" if percent else "Z", percent)
    reason = _text(source.exemptions.get(tax.treatment, ""))
    return Category(code, None if code == "O" else Decimal(), reason, reason_code)


# Software is a service. Sold to where the seller owes no tax, it is outside the scope of the seller's VAT (O); G is
# for goods that leave the Union, K for goods within it.
_CODES = {
    "reverse_charge": ("AE", "VATEX-EU-AE"),
    "exempt": ("E", ""),
    "outside": ("O", "VATEX-EU-O"),
    "none": ("O", "VATEX-EU-O"),
}


def _require_one_kind(categories: Sequence[Category]) -> None:
    codes = {category.code for category in categories}
    if "O" in codes and len(codes) > 1:
        detail = "Some lines are outside the scope of VAT and others aren't; EN 16931 wants two invoices of that."
        raise NotExpressible("mixed_scope", detail)


def _tax_sums(sources: Iterable[SourceLine], lines: Iterable[Line]) -> tuple[TaxSum, ...]:
    sums: dict[Category, tuple[int, int]] = {}
    for source, line in zip(sources, lines, strict=True):
        taxable, tax = sums.get(line.category, (0, 0))
        sums[line.category] = (taxable + line.net, tax + sum(part.amount for part in source.taxes))
    return tuple(TaxSum(category, taxable, tax) for category, (taxable, tax) in sums.items())


# --- parties -----------------------------------------------------------------------------------
def _seller(trader: Trader, categories: Sequence[Category]) -> Party:
    if not trader.country:
        raise NotExpressible("seller_country", "The legal entity has no country.")
    codes = {category.code for category in categories}
    vat_id, tax_number = _tax_ids(trader)
    if codes == {"O"}:  # what isn't subject to VAT must not name a VAT id
        identifier = "" if trader.registration else vat_id or tax_number
        if not (trader.registration or identifier):
            raise NotExpressible("seller_id", "The legal entity has neither a tax registration nor a register number.")
        return _party(trader, tax_number=tax_number if tax_number != identifier else "", identifier=identifier)
    if not (vat_id or ("AE" not in codes and tax_number)):
        raise NotExpressible("seller_vat_id", "The legal entity has no VAT id.")
    return _party(trader, vat_id=vat_id, tax_number=tax_number, identifier="" if vat_id else tax_number)


def _buyer(trader: Trader, categories: Sequence[Category]) -> Party:
    if not trader.country:
        raise NotExpressible("buyer_country", "The customer's country isn't known.")
    vat_id, _number = _tax_ids(trader)
    codes = {category.code for category in categories}
    if "AE" in codes and not vat_id:
        raise NotExpressible("buyer_vat_id", "Reverse charge needs the customer's VAT id.")
    return _party(trader, vat_id="" if codes == {"O"} else vat_id)


def _tax_ids(trader: Trader) -> tuple[str, str]:
    """The VAT id with its country's prefix, that of its own country first, and another tax number."""
    compact = [tax_id.replace(" ", "").upper() for tax_id in trader.tax_ids if tax_id.strip()]
    prefix = "EL" if trader.country == "GR" else trader.country
    own = [tax_id for tax_id in compact if tax_id.startswith(prefix) and _PREFIXED.fullmatch(tax_id)]
    others = [tax_id for tax_id in compact if tax_id not in own[:1] and not _PREFIXED.fullmatch(tax_id)]
    return next(iter(own), ""), next(iter(others), "")


def _party(trader: Trader, *, vat_id: str = "", tax_number: str = "", identifier: str = "") -> Party:
    return Party(
        name=_text(trader.name),
        country=trader.country,
        line1=_text(trader.line1),
        line2=_text(trader.line2),
        city=_text(trader.city),
        postal_code=_text(trader.postal_code),
        region=_text(trader.region),
        email=_text(trader.email),
        vat_id=_text(vat_id),
        tax_number=_text(tax_number),
        registration=_text(trader.registration),
        identifier=_text(identifier),
    )


# --- payment -----------------------------------------------------------------------------------
def _means_code(source: Source) -> str:
    if source.means.by_card:
        return CARD
    if not source.means.iban:
        return UNDEFINED_MEANS
    return SEPA_TRANSFER if source.currency == "EUR" else TRANSFER


def _text(text: str) -> str:
    """Without the characters that XML can't hold."""
    return _NOT_XML.sub("", text).strip()
