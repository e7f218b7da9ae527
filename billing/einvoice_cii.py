"""An e-invoice as UN/CEFACT's Cross Industry Invoice: the XML inside a Factur-X (ZUGFeRD) PDF, profile EN 16931."""

from collections.abc import Iterable
from datetime import date

from billing.einvoice import DISCOUNT_CODE, Category, EInvoice, Line, Means, Party, TaxSum
from billing.xml_tree import Node, node, numeral, written

__all__ = ["GUIDELINE", "write"]

GUIDELINE = "urn:cen.eu:en16931:2017"
_NAMESPACES = {
    "rsm": "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
    "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    "udt": "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100",
    "qdt": "urn:un:unece:uncefact:data:standard:QualifiedDataType:100",
}
_DAY = "102"  # YYYYMMDD, of UNTDID 2379


def write(invoice: EInvoice) -> bytes:
    """The document as UTF-8."""
    tree = node(
        "rsm:CrossIndustryInvoice",
        node(
            "rsm:ExchangedDocumentContext",
            node("ram:GuidelineSpecifiedDocumentContextParameter", node("ram:ID", GUIDELINE)),
        ),
        node(
            "rsm:ExchangedDocument",
            node("ram:ID", invoice.number),
            node("ram:TypeCode", invoice.type_code),
            node("ram:IssueDateTime", _day(invoice.issue_date)),
            *(node("ram:IncludedNote", node("ram:Content", note)) for note in invoice.notes),
        ),
        node(
            "rsm:SupplyChainTradeTransaction",
            *(_line(line, invoice) for line in invoice.lines),
            _agreement(invoice),
            node("ram:ApplicableHeaderTradeDelivery", always=True),
            _settlement(invoice),
        ),
    )
    return written(tree, _NAMESPACES)


def _day(value: date | None, tag: str = "udt:DateTimeString") -> Node | None:
    return node(tag, f"{value:%Y%m%d}", format=_DAY) if value else None


# --- lines -------------------------------------------------------------------------------------
def _line(line: Line, invoice: EInvoice) -> Node | None:
    return node(
        "ram:IncludedSupplyChainTradeLineItem",
        node("ram:AssociatedDocumentLineDocument", node("ram:LineID", line.id)),
        node("ram:SpecifiedTradeProduct", node("ram:Name", line.name), node("ram:Description", line.description)),
        node(
            "ram:SpecifiedLineTradeAgreement",
            node(
                "ram:NetPriceProductTradePrice",
                node("ram:ChargeAmount", numeral(line.price)),
                node("ram:BasisQuantity", numeral(line.price_base), unitCode=line.unit),
            ),
        ),
        node(
            "ram:SpecifiedLineTradeDelivery",
            node("ram:BilledQuantity", numeral(line.quantity), unitCode=line.unit),
        ),
        node(
            "ram:SpecifiedLineTradeSettlement",
            _tax_of(line.category),
            _period(line.period),
            _allowance(line, invoice),
            node(
                "ram:SpecifiedTradeSettlementLineMonetarySummation",
                node("ram:LineTotalAmount", invoice.amount(line.net)),
            ),
        ),
    )


def _tax_of(category: Category) -> Node | None:
    return node(
        "ram:ApplicableTradeTax",
        node("ram:TypeCode", "VAT"),
        node("ram:CategoryCode", category.code),
        _percent(category),
    )


def _percent(category: Category) -> Node | None:
    return node("ram:RateApplicablePercent", numeral(category.percent)) if category.percent is not None else None


def _period(period: tuple[date, date] | None) -> Node | None:
    if period is None:
        return None
    start, end = period
    return node(
        "ram:BillingSpecifiedPeriod", node("ram:StartDateTime", _day(start)), node("ram:EndDateTime", _day(end))
    )


def _allowance(line: Line, invoice: EInvoice) -> Node | None:
    if not line.allowance:
        return None
    return node(
        "ram:SpecifiedTradeAllowanceCharge",
        node("ram:ChargeIndicator", node("udt:Indicator", "false")),
        node("ram:ActualAmount", invoice.amount(line.allowance)),
        node("ram:ReasonCode", DISCOUNT_CODE),
        node("ram:Reason", line.allowance_reason),
    )


# --- parties -----------------------------------------------------------------------------------
def _agreement(invoice: EInvoice) -> Node | None:
    return node(
        "ram:ApplicableHeaderTradeAgreement",
        node("ram:BuyerReference", invoice.order),
        _party("ram:SellerTradeParty", invoice.seller),
        _party("ram:BuyerTradeParty", invoice.buyer),
        node("ram:BuyerOrderReferencedDocument", node("ram:IssuerAssignedID", invoice.order)),
    )


def _party(tag: str, party: Party) -> Node | None:
    return node(
        tag,
        node("ram:ID", party.identifier),
        node("ram:Name", party.name),
        node("ram:SpecifiedLegalOrganization", node("ram:ID", party.registration)),
        node(
            "ram:PostalTradeAddress",
            node("ram:PostcodeCode", party.postal_code),
            node("ram:LineOne", party.line1),
            node("ram:LineTwo", party.line2),
            node("ram:CityName", party.city),
            node("ram:CountryID", party.country),
            node("ram:CountrySubDivisionName", party.region),
        ),
        node("ram:URIUniversalCommunication", node("ram:URIID", party.email, schemeID="EM")),
        *_registrations(party),
    )


def _registrations(party: Party) -> Iterable[Node | None]:
    for number, scheme in ((party.vat_id, "VA"), (party.tax_number, "FC")):
        yield node("ram:SpecifiedTaxRegistration", node("ram:ID", number, schemeID=scheme))


# --- money -------------------------------------------------------------------------------------
def _settlement(invoice: EInvoice) -> Node | None:
    return node(
        "ram:ApplicableHeaderTradeSettlement",
        node("ram:PaymentReference", invoice.number),
        node("ram:InvoiceCurrencyCode", invoice.currency),
        _means(invoice.means_code, invoice.means),
        *(_tax_sum(tax, invoice) for tax in invoice.taxes),
        _period(invoice.period),
        node(
            "ram:SpecifiedTradePaymentTerms",
            node("ram:Description", invoice.terms),
            node("ram:DueDateDateTime", _day(invoice.due_date)),
        ),
        _sums(invoice),
        _preceding(invoice.preceding),
    )


def _means(code: str, means: Means) -> Node | None:
    return node(
        "ram:SpecifiedTradeSettlementPaymentMeans",
        node("ram:TypeCode", code),
        node("ram:ApplicableTradeSettlementFinancialCard", node("ram:ID", means.card_last4)),
        *_account(means),
    )


def _account(means: Means) -> Iterable[Node | None]:
    if not means.iban or means.by_card:
        return
    yield node(
        "ram:PayeePartyCreditorFinancialAccount",
        node("ram:IBANID", means.iban),
        node("ram:AccountName", means.account_name),
    )
    yield node("ram:PayeeSpecifiedCreditorFinancialInstitution", node("ram:BICID", means.bic))


def _tax_sum(tax: TaxSum, invoice: EInvoice) -> Node | None:
    category = tax.category
    return node(
        "ram:ApplicableTradeTax",
        node("ram:CalculatedAmount", invoice.amount(tax.tax)),
        node("ram:TypeCode", "VAT"),
        node("ram:ExemptionReason", category.reason),
        node("ram:BasisAmount", invoice.amount(tax.taxable)),
        node("ram:CategoryCode", category.code),
        node("ram:ExemptionReasonCode", category.reason_code),
        _percent(category),
    )


def _sums(invoice: EInvoice) -> Node | None:
    amount = invoice.amount
    return node(
        "ram:SpecifiedTradeSettlementHeaderMonetarySummation",
        node("ram:LineTotalAmount", amount(invoice.net_total)),
        node("ram:TaxBasisTotalAmount", amount(invoice.net_total)),
        node("ram:TaxTotalAmount", amount(invoice.tax_total), currencyID=invoice.currency),
        node("ram:GrandTotalAmount", amount(invoice.total)),
        node("ram:TotalPrepaidAmount", amount(invoice.prepaid)),
        node("ram:DuePayableAmount", amount(invoice.due)),
    )


def _preceding(preceding: tuple[str, date | None] | None) -> Node | None:
    if preceding is None:
        return None
    number, issued = preceding
    return node(
        "ram:InvoiceReferencedDocument",
        node("ram:IssuerAssignedID", number),
        node("ram:FormattedIssueDateTime", _day(issued, "qdt:DateTimeString")),
    )
