"""What the documents share: parties, dates, money with its sign, taxes, notices, and the frame around a page."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, Protocol

from babel.dates import get_timezone_name
from django.utils.translation import gettext as _

from billing import wording
from billing.models import Customer, PaymentMethod
from billing.tax import EU_COUNTRIES
from gtm.shared import countries
from gtm.shared.models import Vendor
from gtm.shared.periods import zone
from gtm.shared.templatetags.tandem import day_text, money, percent, period, reader_locale

Data = dict[str, Any]
LETTER_COUNTRIES = frozenset({"US", "CA", "MX", "PH", "CL", "CO", "VE"})
POSTAL_CODE_LAST = frozenset(
    {"AU", "BR", "CA", "GB", "ID", "IE", "IN", "JP", "KR", "MY", "NZ", "PK", "SG", "TH", "US", "VN"}
)
VAT_PREFIXES = EU_COUNTRIES | {"EL", "XI", "GB"}
TEST = "TEST"


class Tax(Protocol):
    """Tax of one rate on a document; ``percentage`` 19 is 19 %, amounts are minor units."""

    name: str
    percentage: Any
    taxable: int
    amount: int


def frame(
    *, title: str, number: str, issued: date, seller: Data, buyer: Data, vendor: Vendor, watermark: str = ""
) -> Data:
    """Head and foot of a document, its parties and its paper, which is the one of the seller's country."""
    locale = reader_locale()
    return {
        "language": locale.language,
        "paper": "us-letter" if place(seller) in LETTER_COUNTRIES else "a4",
        "accent": vendor.accent,
        "watermark": watermark,
        "title": title,
        "number": number,
        "issued": [issued.year, issued.month, issued.day],
        "seller": seller_block(seller),
        "buyer": buyer_block(buyer),
        "footer": _footer(seller),
        "words": {"from": _("From"), "to": _("Bill to"), "page": _("Page {page} of {pages}")},
    }


# --- parties -----------------------------------------------------------------------------------
def place(party: Data) -> str:
    """The country of a party as a document keeps it; empty where it isn't known."""
    return str((party.get("address") or {}).get("country") or party.get("country") or "")


def seller_block(seller: Data) -> Data:
    contact = [seller["email"]] if seller.get("email") else []
    return {"name": seller["name"], "lines": _address(seller), "details": [*_registrations(seller), *contact]}


def _registrations(seller: Data) -> list[str]:
    ids = [tax_id_text(one) for one in seller.get("tax_ids", [])]
    register = seller.get("registration_number")
    return [*ids, *([_("Register %(number)s") % {"number": register}] if register else [])]


def buyer_block(buyer: Data) -> Data:
    tax_id = [tax_id_text(buyer["tax_id"])] if buyer.get("tax_id") else []
    return {"name": buyer["name"], "lines": _address(buyer), "details": tax_id}


def tax_id_text(tax_id: str) -> str:
    """A VAT id of the Union, which has its country's letters, or some other number of a taxpayer."""
    is_vat_id = tax_id[:2].upper() in VAT_PREFIXES and any(letter.isdigit() for letter in tax_id)
    return (_("VAT ID %(id)s") if is_vat_id else _("Tax ID %(id)s")) % {"id": tax_id}


def _address(party: Data) -> list[str]:
    """An address in lines, as its country writes the town, the country in words at its end."""
    address, code = party.get("address") or {}, place(party)
    lines = [address.get("line1"), address.get("line2"), _town(address, code), countries.name(code) if code else ""]
    return [line for line in lines if line]


def _town(address: Data, code: str) -> str:
    postal_code, city, state = (address.get(name) or "" for name in ("postal_code", "city", "state"))
    if code in POSTAL_CODE_LAST:
        return " ".join(filter(None, [", ".join(filter(None, [city, state])), postal_code]))
    return ", ".join(filter(None, [" ".join(filter(None, [postal_code, city])), state]))


def _footer(seller: Data) -> list[str]:
    return [seller["name"], *_registrations(seller), *([seller["email"]] if seller.get("email") else [])]


# --- figures -----------------------------------------------------------------------------------
def signed(amount: int, currency: str) -> str:
    """Money as it is printed: with a minus sign, which is as wide as a plus, where keyboards have a hyphen."""
    return money(amount, currency).replace("-", "−")


def sum_row(label: str, amount: int, currency: str, *, strong: bool = False) -> Data:
    return {"label": label, "amount": signed(amount, currency), "strong": strong}


def tax_rows(taxes: Iterable[Tax], currency: str) -> list[Data]:
    """One row for each rate, with the net amounts that it was taken on."""
    rows = []
    for tax in taxes:
        values = {"name": tax.name, "rate": percent(tax.percentage / 100, 3), "net": money(tax.taxable, currency)}
        rows.append(sum_row(_("%(name)s %(rate)s on %(net)s") % values, tax.amount, currency))
    return rows


# --- times -------------------------------------------------------------------------------------
def period_text(start: datetime, end: datetime, timezone: str) -> str:
    """A service period by its first and its last day, with the name of the zone whose days they are."""
    values = {"days": period(start, end, tz=timezone), "zone": zone_name(timezone)}
    return _("%(days)s (%(zone)s)") % values


def zone_of(customer: Customer, payer_id: object, buyer: Data) -> str:
    """Whose days a period has: the payer's as they were when the document was issued, or another customer's."""
    kept: str | None = buyer.get("timezone") if customer.pk == payer_id else None
    return kept or customer.timezone


def zone_name(timezone: str) -> str:
    """Central European Time for Europe/Berlin, in the reader's language and whatever the season; UTC for UTC."""
    name = str(get_timezone_name(zone(timezone), locale=reader_locale()))
    return timezone.rpartition("/")[2].replace("_", " ") if "UTC" in name or "GMT" in name else name


def as_of(at: datetime, timezone: str) -> str:
    return _("As of %(day)s") % {"day": day_text(at, timezone)}


# --- notices -----------------------------------------------------------------------------------
def untaxed_reasons() -> dict[str, str]:
    """Why no tax was added, by the treatment that was decided."""
    return {
        "reverse_charge": _("Reverse charge: the recipient accounts for the tax."),
        "exempt": _("Exempt from tax."),
        "outside": _("Not taxable in the seller's country: the place of supply is the customer's."),
        "none": _("No tax is charged."),
    }


def tax_notes(lines_taxes: Iterable[Iterable[Data]]) -> list[Data]:
    """What has to be said where no tax was added; nothing where the vendor charges none at all."""
    treatments = {tax["treatment"] for taxes in lines_taxes for tax in taxes}
    found = [text for code, text in untaxed_reasons().items() if code in treatments and code != "none"]
    return [section("", found)] if found else []


def section(title: str, lines: list[str], facts: list[list[str]] | None = None) -> Data:
    return {"title": title, "lines": lines, "facts": facts or []}


def explanation(steps: Iterable[Data], currency: str) -> list[str]:
    return wording.explain(steps, currency)


def for_other(customer: Customer, payer_id: object) -> list[str]:
    """Whose usage it is, where that isn't who pays."""
    return [] if customer.pk == payer_id else [_("For %(customer)s") % {"customer": customer.name}]


def method_text(method: PaymentMethod | None, kind: str, reference: str = "") -> str:
    """Visa •••• 4242, or what sort of payment it was and what it was marked with."""
    if method is not None:
        return str(method)
    words = {
        "card": _("Card"),
        "bank_transfer": _("Bank transfer"),
        "transfer": _("Bank transfer"),
        "cheque": _("Cheque"),
        "check": _("Cheque"),
        "cash": _("Cash"),
    }.get(kind, kind.replace("_", " ").capitalize())
    return f"{words}, {reference}" if reference else words
