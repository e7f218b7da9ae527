"""The business rules of EN 16931 that a document's figures can break, checked before it is written as XML.

The standard's own checks round a rate's tax to two decimals and allow one unit of the currency of difference, for taxes
that were rounded line by line; so do these.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction

from billing.einvoice import Category, EInvoice, Line, NotExpressible
from gtm.shared.money import exponent, round_half_up, to_major

_PLACES = 2


def require(invoice: EInvoice) -> EInvoice:
    """The same, if no rule is broken. Raises NotExpressible that names the rules."""
    broken = violations(invoice)
    if not broken:
        return invoice
    if "BR-DEC" in broken:
        detail = f"EN 16931 allows amounts two decimals, and this one needs all that {invoice.currency} has."
        raise NotExpressible("decimals", detail)
    raise NotExpressible("rules", f"It breaks rules of EN 16931: {', '.join(broken)}.")


def violations(invoice: EInvoice) -> list[str]:
    """The codes of the rules that the document breaks, in order, each once."""
    return list(dict.fromkeys(code for check in _CHECKS for code in check(invoice)))


def _parts(invoice: EInvoice) -> Iterator[str]:
    if not (invoice.number and invoice.lines):
        yield "BR-16" if invoice.number else "BR-02"
    if not (invoice.seller.name and invoice.buyer.name):
        yield "BR-07" if invoice.seller.name else "BR-06"
    if not (invoice.seller.identifier or invoice.seller.registration or invoice.seller.vat_id):
        yield "BR-CO-26"
    if any(not line.name for line in invoice.lines):
        yield "BR-25"
    if any(line.price < 0 for line in invoice.lines):
        yield "BR-27"


def _line_nets(invoice: EInvoice) -> Iterator[str]:
    if any(_priced(line, invoice) - line.allowance != line.net for line in invoice.lines):
        yield "BT-131"


def _priced(line: Line, invoice: EInvoice) -> int:
    exact = Fraction(line.price) * Fraction(line.quantity) / Fraction(line.price_base)
    return round_half_up(exact * 10 ** exponent(invoice.currency))


def _totals(invoice: EInvoice) -> Iterator[str]:
    if invoice.net_total != sum(line.net for line in invoice.lines):
        yield "BR-CO-10"
    if sum(part.taxable for part in invoice.taxes) != invoice.net_total:
        yield "BR-CO-13"
    if invoice.tax_total != sum(part.tax for part in invoice.taxes):
        yield "BR-CO-14"
    if invoice.total != invoice.net_total + invoice.tax_total:
        yield "BR-CO-15"
    if invoice.due != invoice.total - invoice.prepaid:
        yield "BR-CO-16"
    if invoice.due > 0 and not (invoice.due_date or invoice.terms):
        yield "BR-CO-25"


def _rates(invoice: EInvoice) -> Iterator[str]:
    for part in invoice.taxes:
        category = part.category
        if part.taxable != sum(line.net for line in invoice.lines if line.category == category):
            yield f"BR-{category.code}-08"
        if not _tax_fits(part.taxable, part.tax, category, invoice.currency):
            yield "BR-CO-17"
        if category.code in {"AE", "E", "O"} and not (category.reason or category.reason_code):
            yield f"BR-{category.code}-10"


def _tax_fits(taxable: int, tax: int, category: Category, currency: str) -> bool:
    expected = taxable * (category.percent or 0) / 100
    tolerance = 10 ** exponent(currency)
    return abs(tax - expected) <= tolerance if category.percent else tax == 0


def _decimals(invoice: EInvoice) -> Iterator[str]:
    amounts = [invoice.net_total, invoice.tax_total, invoice.total, invoice.prepaid, invoice.due]
    amounts += [part for line in invoice.lines for part in (line.net, line.allowance)]
    amounts += [part for tax in invoice.taxes for part in (tax.taxable, tax.tax)]
    if any(
        round(to_major(amount, invoice.currency), _PLACES) != to_major(amount, invoice.currency) for amount in amounts
    ):
        yield "BR-DEC"


_CHECKS: tuple[Callable[[EInvoice], Iterator[str]], ...] = (_parts, _line_nets, _totals, _rates, _decimals)
