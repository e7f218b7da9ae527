"""An e-invoice as OASIS UBL 2.1: an Invoice or a CreditNote, which differ in a few names and in their order."""

from collections.abc import Iterable
from datetime import date

from billing.einvoice import DISCOUNT_CODE, Category, EInvoice, Line, Means, Party, TaxSum
from billing.xml_tree import Node, node, numeral, written

CUSTOMIZATION = "urn:cen.eu:en16931:2017"
_NAMESPACES = {
    "cac": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
    "cbc": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
}


def write(invoice: EInvoice) -> bytes:
    """The document as UTF-8."""
    root = "CreditNote" if invoice.is_credit_note else "Invoice"
    tree = node(
        root,
        *_head(invoice),
        *_references(invoice),
        node("cac:AccountingSupplierParty", _party(invoice.seller)),
        node("cac:AccountingCustomerParty", _party(invoice.buyer)),
        _means(invoice),
        node("cac:PaymentTerms", node("cbc:Note", invoice.terms)),
        node(
            "cac:TaxTotal",
            _amount("cbc:TaxAmount", invoice.tax_total, invoice),
            *(_tax_sum(tax, invoice) for tax in invoice.taxes),
        ),
        _sums(invoice),
        *(_line(line, invoice) for line in invoice.lines),
    )
    return written(tree, {"": f"urn:oasis:names:specification:ubl:schema:xsd:{root}-2", **_NAMESPACES})


def _amount(tag: str, minor: int, invoice: EInvoice) -> Node | None:
    return node(tag, invoice.amount(minor), currencyID=invoice.currency)


def _day(tag: str, value: date | None) -> Node | None:
    return node(tag, value.isoformat()) if value else None


# --- head --------------------------------------------------------------------------------------
def _head(invoice: EInvoice) -> Iterable[Node | None]:
    """A credit note's due date stands with its payment means instead."""
    yield node("cbc:CustomizationID", CUSTOMIZATION)
    yield node("cbc:ID", invoice.number)
    yield _day("cbc:IssueDate", invoice.issue_date)
    if invoice.is_credit_note:
        yield node("cbc:CreditNoteTypeCode", invoice.type_code)
    else:
        yield _day("cbc:DueDate", invoice.due_date)
        yield node("cbc:InvoiceTypeCode", invoice.type_code)
    yield from (node("cbc:Note", note) for note in invoice.notes)
    yield node("cbc:DocumentCurrencyCode", invoice.currency)
    yield node("cbc:BuyerReference", invoice.order)


def _references(invoice: EInvoice) -> Iterable[Node | None]:
    yield _period(invoice.period)
    yield node("cac:OrderReference", node("cbc:ID", invoice.order))
    if invoice.preceding is not None:
        number, issued = invoice.preceding
        document = node("cac:InvoiceDocumentReference", node("cbc:ID", number), _day("cbc:IssueDate", issued))
        yield node("cac:BillingReference", document)


def _period(period: tuple[date, date] | None) -> Node | None:
    if period is None:
        return None
    return node("cac:InvoicePeriod", _day("cbc:StartDate", period[0]), _day("cbc:EndDate", period[1]))


# --- parties -----------------------------------------------------------------------------------
def _party(party: Party) -> Node | None:
    return node(
        "cac:Party",
        node("cbc:EndpointID", party.email, schemeID="EM"),
        node("cac:PartyIdentification", node("cbc:ID", party.identifier)),
        node(
            "cac:PostalAddress",
            node("cbc:StreetName", party.line1),
            node("cbc:AdditionalStreetName", party.line2),
            node("cbc:CityName", party.city),
            node("cbc:PostalZone", party.postal_code),
            node("cbc:CountrySubentity", party.region),
            node("cac:Country", node("cbc:IdentificationCode", party.country)),
        ),
        _registration(party.vat_id, "VAT"),
        _registration(party.tax_number, "TAX"),
        node(
            "cac:PartyLegalEntity",
            node("cbc:RegistrationName", party.name),
            node("cbc:CompanyID", party.registration),
        ),
    )


def _registration(number: str, scheme: str) -> Node | None:
    if not number:
        return None
    return node("cac:PartyTaxScheme", node("cbc:CompanyID", number), node("cac:TaxScheme", node("cbc:ID", scheme)))


# --- money -------------------------------------------------------------------------------------
def _means(invoice: EInvoice) -> Node | None:
    means = invoice.means
    return node(
        "cac:PaymentMeans",
        node("cbc:PaymentMeansCode", invoice.means_code),
        _day("cbc:PaymentDueDate", invoice.due_date) if invoice.is_credit_note else None,
        node("cbc:PaymentID", invoice.number),
        _card(means),
        _account(means),
    )


def _card(means: Means) -> Node | None:
    if not means.card_last4:
        return None
    return node(
        "cac:CardAccount",
        node("cbc:PrimaryAccountNumberID", means.card_last4),
        node("cbc:NetworkID", means.card_brand or "card"),
    )


def _account(means: Means) -> Node | None:
    if not means.iban or means.by_card:
        return None
    return node(
        "cac:PayeeFinancialAccount",
        node("cbc:ID", means.iban),
        node("cbc:Name", means.account_name),
        node("cac:FinancialInstitutionBranch", node("cbc:ID", means.bic)),
    )


def _tax_sum(tax: TaxSum, invoice: EInvoice) -> Node | None:
    return node(
        "cac:TaxSubtotal",
        _amount("cbc:TaxableAmount", tax.taxable, invoice),
        _amount("cbc:TaxAmount", tax.tax, invoice),
        _category("cac:TaxCategory", tax.category, says_why=True),
    )


def _category(tag: str, category: Category, *, says_why: bool = False) -> Node | None:
    return node(
        tag,
        node("cbc:ID", category.code),
        node("cbc:Percent", numeral(category.percent)) if category.percent is not None else None,
        node("cbc:TaxExemptionReasonCode", category.reason_code) if says_why else None,
        node("cbc:TaxExemptionReason", category.reason) if says_why else None,
        node("cac:TaxScheme", node("cbc:ID", "VAT")),
    )


def _sums(invoice: EInvoice) -> Node | None:
    return node(
        "cac:LegalMonetaryTotal",
        _amount("cbc:LineExtensionAmount", invoice.net_total, invoice),
        _amount("cbc:TaxExclusiveAmount", invoice.net_total, invoice),
        _amount("cbc:TaxInclusiveAmount", invoice.total, invoice),
        _amount("cbc:PrepaidAmount", invoice.prepaid, invoice),
        _amount("cbc:PayableAmount", invoice.due, invoice),
    )


# --- lines -------------------------------------------------------------------------------------
def _line(line: Line, invoice: EInvoice) -> Node | None:
    name, quantity = (
        ("CreditNoteLine", "CreditedQuantity") if invoice.is_credit_note else ("InvoiceLine", "InvoicedQuantity")
    )
    return node(
        f"cac:{name}",
        node("cbc:ID", line.id),
        node(f"cbc:{quantity}", numeral(line.quantity), unitCode=line.unit),
        _amount("cbc:LineExtensionAmount", line.net, invoice),
        _period(line.period),
        _allowance(line, invoice),
        node(
            "cac:Item",
            node("cbc:Description", line.description),
            node("cbc:Name", line.name),
            _category("cac:ClassifiedTaxCategory", line.category),
        ),
        node(
            "cac:Price",
            node("cbc:PriceAmount", numeral(line.price), currencyID=invoice.currency),
            node("cbc:BaseQuantity", numeral(line.price_base), unitCode=line.unit),
        ),
    )


def _allowance(line: Line, invoice: EInvoice) -> Node | None:
    if not line.allowance:
        return None
    return node(
        "cac:AllowanceCharge",
        node("cbc:ChargeIndicator", "false"),
        node("cbc:AllowanceChargeReasonCode", DISCOUNT_CODE),
        node("cbc:AllowanceChargeReason", line.allowance_reason),
        _amount("cbc:Amount", line.allowance, invoice),
    )
