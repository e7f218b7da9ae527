"""What is billed once: invoices made by hand, and one-time prices such as a set-up fee.

A line comes from a one-time price, from a unit amount, or from an amount. An invoice made by hand stays a draft until
somebody finalizes it; until then its lines can be replaced. No invoice asks for less than nothing: what is given back
is given back by credit note.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from billing import customers, drafting, invoices, parking, pricing, rating, settlement, wording
from billing.charges import describe
from billing.drafting import Draft
from billing.models import (
    Charge,
    Customer,
    Invoice,
    InvoiceLine,
    InvoiceTax,
    LineKind,
    LineReason,
    Price,
    Subscription,
)
from billing.price_terms import PriceTerms
from billing.selection import MAX_QUANTITY, ItemTerms, quantity_of
from billing.tax import STANDARD
from gtm.shared import bulk, db, money, outbox, saving, vendors
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import write

MAX_LINES = 500
MAX_AMOUNT = 10**15
_TERMS = ("collection_method", "net_terms_days", "po_number", "payment_method_id")


@dataclass(frozen=True, slots=True)
class LineTerms:
    """A line that somebody wrote: by exactly one of ``price`` (one-time), ``unit_amount`` and ``amount`` (minor units).

    ``description`` may be left out with a price, whose name it is then.
    """

    description: str = ""
    quantity: Decimal | int = 1
    price: Price | None = None
    unit_amount: Decimal | None = None
    amount: int | None = None
    tax_class: str = ""
    period_start: datetime | None = None
    period_end: datetime | None = None


@transaction.atomic
def create(
    *,
    customer: Customer,
    lines: Sequence[LineTerms],
    currency: str = "",
    collection_method: str | None = None,
    net_terms_days: int | None = None,
    po_number: str | None = None,
    finalize: bool = False,
    external_id: str | None = None,
    metadata: dict[str, Any] | None = None,
    invoice_id: uuid.UUID | None = None,
    at: datetime,
) -> Invoice:
    """Make an invoice by hand: a draft, or with ``finalize`` numbered at once; no card is charged here.

    Terms that aren't given are the customer's. ``invoice_id`` becomes its key: a second call with the same one returns
    what the first made. Raises Invalid with the field's name (``lines.N.amount``), and Conflict for a payer whose
    billing is held up.
    """
    customer = db.lock_one(customer)
    if invoice_id and (known := Invoice.objects.filter(pk=invoice_id).first()):
        return known
    _require_billable(customer, collection_method or customer.collection_method)
    currency = _currency(customer, currency, lines)
    draft = drafting.by_hand(
        _charges(customer, lines, currency, at=at),
        context=drafting.context(vendor=vendors.current(), at=at),
        collection_method=collection_method,
        net_terms_days=net_terms_days,
        po_number=po_number,
    )
    draft.invoice.id = invoice_id or draft.invoice.id
    customers.fix_currency(customer, currency, at=at)
    _insert(draft, external_id=external_id, metadata=metadata or {}, at=at)
    return invoices.finalize(invoice=draft.invoice, at=at) if finalize else draft.invoice


def _insert(draft: Draft, *, external_id: str | None, metadata: dict[str, Any], at: datetime) -> None:
    draft.invoice.save(force_insert=True)
    saving.change(draft.invoice, external_id=external_id, metadata=metadata)
    _write_parts(draft)
    outbox.publish_many([drafting.fact(draft.invoice, "created", at=at)])


@transaction.atomic
def change(*, invoice: Invoice, lines: Sequence[LineTerms] | None = None, at: datetime, **terms: Any) -> Invoice:
    """Replace the lines of a draft made by hand (all of them), or its terms, or both.

    Raises Conflict for any other invoice, and Invalid as ``create`` does.
    """
    invoice, _subscriptions = settlement.lock(invoice)
    _require_by_hand(invoice)
    noted = {name: terms.pop(name) for name in ("metadata", "external_id") if name in terms}
    if lines is None:
        lines = [_terms_of(line) for line in invoice.lines.select_related("price").order_by("position")]
    _require_billable(invoice.customer, terms.get("collection_method") or invoice.collection_method)
    draft = drafting.by_hand(
        _charges(invoice.customer, lines, invoice.currency, at=at),
        context=drafting.context(vendor=vendors.current(), at=at),
        **{name: getattr(invoice, name) for name in ("collection_method", "net_terms_days", "po_number")} | terms,
    )
    _drop_parts(invoice)
    changes = {name: getattr(draft.invoice, name) for name in (*drafting.TOTALS, *_TERMS)}
    write(invoice, **changes)
    saving.change(invoice, **noted)
    for line in draft.lines:
        line.invoice = invoice
    for tax in draft.taxes:
        tax.invoice = invoice
    _write_parts(draft)
    outbox.publish_many([drafting.fact(invoice, "changed", at=at)])
    return invoice


def is_by_hand(invoice: Invoice) -> bool:
    """Whether it is a draft that somebody wrote, and may be written again."""
    lines = InvoiceLine.objects.filter(invoice=invoice)
    return invoice.status == Invoice.Status.DRAFT and not lines.exclude(reason=LineReason.MANUAL).exists()


def _require_by_hand(invoice: Invoice) -> None:
    if not is_by_hand(invoice):
        raise Conflict("Only a draft that was made by hand can be changed.", code="invoice_not_editable")


def _require_billable(customer: Customer, collection_method: str) -> None:
    parking.require_billable(customer, attr="customer")
    customers.require_collection(customer, collection_method)


def _currency(customer: Customer, currency: str, lines: Sequence[LineTerms]) -> str:
    """The customer's; where it has none yet the one given, that of the first price, or the vendor's."""
    priced = [line.price.currency for line in lines if line.price is not None]
    found = currency or customer.currency or (priced[0] if priced else vendors.current().base_currency)
    if customer.currency and found != customer.currency:
        raise Invalid(f"This customer pays in {customer.currency}.", code="currency_differs", attr="currency")
    try:
        money.exponent(found)
    except ValueError as error:
        raise Invalid(f"There is no currency {found!r}.", attr="currency") from error
    return found


def _charges(customer: Customer, lines: Sequence[LineTerms], currency: str, *, at: datetime) -> list[Charge]:
    """A charge (unsaved) for each line. Raises Invalid."""
    if not 0 < len(lines) <= MAX_LINES:
        raise Invalid(f"An invoice has 1 to {MAX_LINES} lines.", attr="lines", code="required")
    return [_charge(customer, line, currency, f"lines.{position}", at=at) for position, line in enumerate(lines)]


def _charge(customer: Customer, line: LineTerms, currency: str, attr: str, *, at: datetime) -> Charge:
    _check(line, currency, attr)
    amount, explanation = _amount(line)
    if amount > MAX_AMOUNT:
        raise Invalid("That is too much for a line.", attr=f"{attr}.amount")
    return Charge(
        customer=customer,
        payer=customer,
        kind=LineKind.ONE_OFF,
        reason=LineReason.MANUAL,
        currency=currency,
        amount=amount,
        quantity=line.quantity,
        unit_amount=line.price.unit_amount if line.price else line.unit_amount,
        description=line.description or (describe(line.price) if line.price else ""),
        explanation=explanation,
        price=line.price,
        tax_class=line.tax_class or (line.price.tax_class if line.price else STANDARD),
        period_start=line.period_start,
        period_end=line.period_end,
        invoice_at=at,
        test_clock_id=customer.test_clock_id,
    )


def _check(line: LineTerms, currency: str, attr: str) -> None:
    given = [name for name in ("price", "unit_amount", "amount") if getattr(line, name) is not None]
    if len(given) != 1:
        raise Invalid("A line has one of price, unit_amount and amount.", code="required", attr=f"{attr}.amount")
    if not 0 <= Decimal(line.quantity) <= MAX_QUANTITY:
        raise Invalid(f"A quantity is 0 to {MAX_QUANTITY:f}.", attr=f"{attr}.quantity")
    if (line.amount or 0) < 0 or (line.unit_amount or 0) < 0:
        raise Invalid("What is given back is given back by credit note.", attr=f"{attr}.{given[0]}")
    if line.price is None and not line.description.strip():
        raise Invalid("Say what it is for.", code="required", attr=f"{attr}.description")
    if (line.period_start is None) != (line.period_end is None):
        raise Invalid("A period has a start and an end.", attr=f"{attr}.period_end")
    if line.period_start and line.period_end and line.period_end <= line.period_start:
        raise Invalid("A period ends after it starts.", attr=f"{attr}.period_end")
    if line.price is not None:
        _check_price(line.price, currency, attr)


def _check_price(price: Price, currency: str, attr: str) -> None:
    if price.interval != Price.Interval.ONE_TIME:
        raise Invalid(f"{price.code} recurs: it is bought by a subscription.", attr=f"{attr}.price")
    if price.currency != currency:
        detail = f"{price.code} is in {price.currency}, not in {currency}."
        raise Invalid(detail, code="currency_differs", attr=f"{attr}.price")


def _amount(line: LineTerms) -> tuple[int, list[dict[str, Any]]]:
    """What the line comes to in minor units, and why."""
    if line.price is not None:
        terms = rating.terms_of(line.price)
    elif line.unit_amount is not None:
        terms = PriceTerms(model="per_unit", unit_amount=Decimal(line.unit_amount))
    else:
        terms = PriceTerms(model="flat", unit_amount=Decimal(line.amount or 0))
    rated = pricing.rate(terms, Decimal(line.quantity))
    return rated.amount, wording.stored(rated.steps)


def _terms_of(line: InvoiceLine) -> LineTerms:
    """The line as it was written."""
    by_amount = line.price is None and line.unit_amount is None
    return LineTerms(
        description=line.description,
        quantity=line.quantity,
        price=line.price,
        unit_amount=None if line.price else line.unit_amount,
        amount=line.amount if by_amount else None,
        tax_class=_tax_class(line),
        period_start=line.period_start,
        period_end=line.period_end,
    )


def _tax_class(line: InvoiceLine) -> str:
    return Charge.objects.values_list("tax_class", flat=True).get(invoice_line=line)


def _write_parts(draft: Draft) -> None:
    for charge, line in zip(draft.charges, draft.lines, strict=True):
        charge.status, charge.invoice_line = Charge.Status.BILLED, line
    bulk.insert(InvoiceLine, draft.lines)
    bulk.insert(InvoiceTax, draft.taxes)
    bulk.insert(Charge, draft.charges)


def _drop_parts(invoice: Invoice) -> None:
    """The charges of the lines that go end as replaced."""
    old = Charge.objects.filter(invoice_line__invoice=invoice)
    old.update(status=Charge.Status.REPLACED, invoice_line=None)
    InvoiceTax.objects.filter(invoice=invoice).delete()
    InvoiceLine.objects.filter(invoice=invoice).delete()


def of_subscription(
    *,
    subscription: Subscription,
    items: Sequence[ItemTerms],
    invoice_at: datetime,
    reason: LineReason = LineReason.SUBSCRIPTION_START,
) -> list[Charge]:
    """The charges (unsaved) for the one-time prices that a subscription begins with, or that come with a change."""
    return [_of_item(subscription, item, invoice_at, reason) for item in items]


def _of_item(subscription: Subscription, item: ItemTerms, invoice_at: datetime, reason: LineReason) -> Charge:
    price, quantity = item.price, quantity_of(item)
    rated = pricing.rate(rating.terms_of(price), quantity)
    return Charge(
        customer=subscription.customer,
        payer=subscription.payer,
        subscription=subscription,
        kind=LineKind.ONE_OFF,
        reason=reason,
        currency=subscription.currency,
        amount=rated.amount,
        quantity=quantity,
        unit_amount=price.unit_amount,
        description=describe(price),
        explanation=wording.stored(rated.steps),
        price=price,
        tax_class=price.tax_class,
        invoice_at=invoice_at,
        test_clock_id=subscription.test_clock_id,
    )
