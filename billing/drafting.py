"""From charges to draft invoices: which charges stand on one invoice, its lines, its taxes and its totals.

Everything here builds unsaved rows; ``billing.invoices`` writes them.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from operator import attrgetter

from billing import entities, invoicing, taxation
from billing.invoicing import GatheringKey, Line, Totals
from billing.models import (
    Charge,
    CollectionMethod,
    Customer,
    DiscountUse,
    Invoice,
    InvoiceLine,
    InvoiceTax,
    LegalEntity,
    LineKind,
)
from billing.queries import discounts
from billing.queries.discounts import Book
from billing.tax import TaxDecision
from billing.taxation import TaxBook
from gtm.shared import bulk, outbox, periods
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event, Vendor

DEFAULT_TERMS_DAYS = 30


class Unsound(Conflict):
    """A draft that may not be issued: its lines or taxes don't sum to it."""

    code = "draft_differs"

    def __init__(self) -> None:
        super().__init__("The lines or taxes of a draft don't sum to it.")


TOTALS = ("subtotal", "discount_total", "tax_total", "total", "tax_treatment")


@dataclass(frozen=True, slots=True)
class Context:
    """What a run reads once."""

    vendor: Vendor
    taxes: TaxBook
    default_entity: LegalEntity
    at: datetime

    def entity_of(self, payer: Customer) -> LegalEntity:
        return payer.legal_entity or self.default_entity

    def issue_date(self, entity: LegalEntity) -> date:
        return periods.local_date(self.at, entity.timezone)


@dataclass(slots=True)
class Draft:
    """An invoice with its parts, unsaved, and the charges that its lines are made of, in the same order."""

    invoice: Invoice
    charges: list[Charge]
    lines: list[InvoiceLine]
    taxes: list[InvoiceTax]
    uses: list[DiscountUse]

    @property
    def has_usage(self) -> bool:
        return any(line.kind == LineKind.USAGE for line in self.lines)


def context(*, vendor: Vendor, at: datetime) -> Context:
    return Context(vendor=vendor, taxes=TaxBook(), default_entity=entities.default(), at=at)


def gather(charges: Sequence[Charge], *, context: Context, book: Book | None = None) -> list[Draft]:
    """One draft for each gathering key. Raises PlaceUnknown where a payer's tax can't be decided.

    ``book``: the discounts of subscriptions that aren't written yet; of others they are read.
    """
    known = discounts.book(charges) if book is None else book
    keys: dict[object, GatheringKey] = {}
    grouped: dict[GatheringKey, list[Charge]] = defaultdict(list)
    for charge in charges:
        alike = (charge.payer_id, charge.subscription_id, charge.currency, charge.tax_class, charge.credits_line_id)
        if alike not in keys:
            keys[alike] = _key(charge, context)
        grouped[keys[alike]].append(charge)
    return [_draft(key, members, context, known) for key, members in grouped.items()]


def by_hand(
    charges: Sequence[Charge],
    *,
    context: Context,
    collection_method: str | None = None,
    net_terms_days: int | None = None,
    po_number: str | None = None,
) -> Draft:
    """One draft of charges that somebody wrote, on terms of its own where they are given, else the payer's.

    Raises PlaceUnknown, and Invalid where the lines are taxed in ways that don't fit one document.
    """
    keys = {_key(charge, context) for charge in charges}
    if len(keys) > 1:
        raise Invalid("These lines are taxed differently: make an invoice for each.", attr="lines")
    (key,) = keys
    method = collection_method or key.collection_method
    by_card = method == CollectionMethod.CHARGE_AUTOMATICALLY
    days = _terms(charges[0], method) if by_card or net_terms_days is None else net_terms_days
    po_number = key.po_number if po_number is None else po_number
    own = replace(key, collection_method=method, net_terms_days=days, po_number=po_number)
    return _draft(own, list(charges), context, discounts.book(charges))


def _key(charge: Charge, context: Context) -> GatheringKey:
    subscription, payer = charge.subscription, charge.payer
    entity = context.entity_of(payer)
    method = subscription.collection_method if subscription else payer.collection_method
    return GatheringKey(
        payer_id=payer.pk,
        entity_id=entity.pk,
        currency=charge.currency,
        collection_method=method,
        payment_method_id=subscription.payment_method_id if subscription else None,
        net_terms_days=_terms(charge, method),
        po_number=(subscription.po_number if subscription else "") or payer.po_number,
        tax_treatment=_decide(charge, context).treatment,
        test_clock_id=charge.test_clock_id,
        instant=context.at,
    )


def _terms(charge: Charge, method: str) -> int:
    """Days to pay: the subscription's, else the payer's, else 30; a card is charged at once."""
    if method == CollectionMethod.CHARGE_AUTOMATICALLY:
        return 0
    own = charge.subscription.net_terms_days if charge.subscription else None
    known = [days for days in (own, charge.payer.net_terms_days) if days is not None]
    return known[0] if known else DEFAULT_TERMS_DAYS


def _decide(charge: Charge, context: Context) -> TaxDecision:
    """A credit carries the tax of the line it gives back; anything else is taxed as things stand now."""
    if charge.credits_line_id is not None:
        assert charge.credits_line is not None
        return taxation.recalled(charge.credits_line.taxes)
    entity = context.entity_of(charge.payer)
    return context.taxes.decide(
        entity=entity, payer=charge.payer, tax_class=charge.tax_class, on=context.issue_date(entity)
    )


def stands_apart(draft: Draft, context: Context) -> bool:
    """Whether it only gives back what was taxed in another way than its payer is now: no invoice to come joins it."""
    if not all(charge.credits_line_id for charge in draft.charges):
        return False
    charge, payer = draft.charges[0], draft.invoice.customer
    entity = context.entity_of(payer)
    now = context.taxes.decide(entity=entity, payer=payer, tax_class=charge.tax_class, on=context.issue_date(entity))
    return now.treatment != draft.invoice.tax_treatment


def _draft(key: GatheringKey, charges: list[Charge], context: Context, book: Book) -> Draft:
    payer = charges[0].payer
    invoice = bulk.new(
        Invoice,
        legal_entity=context.entity_of(payer),
        customer=payer,
        currency=key.currency,
        collection_method=key.collection_method,
        payment_method_id=key.payment_method_id,
        net_terms_days=key.net_terms_days,
        po_number=key.po_number,
        test_clock_id=key.test_clock_id,
        gathered_at=context.at,
    )
    lines = [_line(invoice, position, charge) for position, charge in enumerate(charges, start=1)]
    draft = Draft(invoice=invoice, charges=charges, lines=lines, taxes=[], uses=[])
    total(draft, context=context, book=book)
    return draft


def _line(invoice: Invoice, position: int, charge: Charge) -> InvoiceLine:
    copied = dict(zip(_COPIED, _copied(charge), strict=True))
    return bulk.new(InvoiceLine, invoice=invoice, position=position, subscription_item_id=charge.item_id, **copied)


_COPIED = (
    "kind",
    "reason",
    "description",
    "subscription_id",
    "customer_id",
    "price_id",
    "meter_id",
    "quantity",
    "unit_amount",
    "amount",
    "period_start",
    "period_end",
    "credits_line_id",
    "explanation",
)
_copied = attrgetter(*_COPIED)


def total(draft: Draft, *, context: Context, book: Book) -> None:
    """Work out the discounts, taxes and totals of a draft from its charges, and set them on its rows."""
    decisions = [_decide(charge, context) for charge in draft.charges]
    shares = book.shares(draft.charges)
    totals = invoicing.assemble(
        [Line(charge.amount, decision.rates) for charge, decision in zip(draft.charges, decisions, strict=True)],
        discounts=[share.discount for share in shares],
        tax_rounding=context.vendor.tax_rounding,  # type: ignore[arg-type]  # the vendor's choices
    )
    for name in ("subtotal", "discount_total", "tax_total", "total"):
        setattr(draft.invoice, name, getattr(totals, name))
    draft.invoice.tax_treatment = decisions[0].treatment if decisions else ""
    _set_lines(draft, decisions, totals)
    draft.taxes = [_tax_row(draft.invoice, tax) for tax in totals.taxes]
    draft.uses = book.take(draft.charges, draft.lines, shares, totals)


def verify(draft: Draft) -> None:
    """Raise Unsound for a draft that doesn't add up."""
    invoice, lines = draft.invoice, draft.lines
    if (invoice.subtotal, invoice.discount_total, invoice.tax_total, invoice.tax_total) != (
        sum(line.amount for line in lines),
        sum(line.discount_amount for line in lines),
        sum(line.tax_amount for line in lines),
        sum(tax.amount for tax in draft.taxes),
    ):
        raise Unsound


def _set_lines(draft: Draft, decisions: Sequence[TaxDecision], totals: Totals) -> None:
    for line, charge, decision, part in zip(draft.lines, draft.charges, decisions, totals.lines, strict=True):
        line.quantity, line.amount, line.explanation = charge.quantity, charge.amount, charge.explanation
        line.discount_amount, line.tax_amount = part.discount_amount, part.tax_amount
        line.taxes = taxation.stored(decision, part)


def make_room(draft: Draft, *, vendor: Vendor) -> list[tuple[Charge, InvoiceLine]]:
    """Take credits off a draft until it isn't below zero, the largest first; return them with their lines.

    No invoice asks for less than nothing: what has no room on it is given back by credit note.
    """
    credits_on = [pair for pair in zip(draft.charges, draft.lines, strict=True) if pair[0].credits_line_id]
    taken = []
    for charge, line in sorted(credits_on, key=lambda pair: pair[0].amount):
        if draft.invoice.total >= 0:
            break
        draft.charges.remove(charge)
        draft.lines.remove(line)
        draft.taxes = recount(draft.invoice, draft.lines, vendor=vendor)
        taken.append((charge, line))
    return taken


def recount(invoice: Invoice, lines: Sequence[InvoiceLine], *, vendor: Vendor) -> list[InvoiceTax]:
    """Set taxes and totals once more after lines came or went: discounts and tax decisions stay as the lines hold them.

    Returns the new taxes (unsaved).
    """
    decisions = [taxation.recalled(line.taxes) for line in lines]
    nets = [
        Line(line.amount - line.discount_amount, decision.rates)
        for line, decision in zip(lines, decisions, strict=True)
    ]
    totals = invoicing.assemble(nets, tax_rounding=vendor.tax_rounding)  # type: ignore[arg-type]  # the vendor's choices
    for line, decision, part in zip(lines, decisions, totals.lines, strict=True):
        line.tax_amount, line.taxes = part.tax_amount, taxation.stored(decision, part)
    invoice.subtotal = sum(line.amount for line in lines)
    invoice.discount_total = sum(line.discount_amount for line in lines)
    invoice.tax_total = totals.tax_total
    invoice.total = totals.total
    return [_tax_row(invoice, tax) for tax in totals.taxes]


def line_of(invoice: Invoice, position: int, credit: Charge) -> InvoiceLine:
    """The line (unsaved) of a credit that is added to a written draft, with the tax of the line it gives back."""
    assert credit.credits_line is not None
    line = _line(invoice, position, credit)
    line.taxes = credit.credits_line.taxes
    return line


def _tax_row(invoice: Invoice, tax: invoicing.TaxSum) -> InvoiceTax:
    return bulk.new(
        InvoiceTax,
        invoice=invoice,
        rate=tax.rate.code,
        name=tax.rate.name,
        percentage=tax.rate.percentage,
        taxable=tax.taxable,
        amount=tax.amount,
    )


def fact(invoice: Invoice, kind: str, *, at: datetime, reason: str = "") -> Event:
    """The fact ``billing.invoice.<kind>``. It doesn't hold the number, which is taken later."""
    return outbox.fact(
        f"billing.invoice.{kind}",
        invoice,
        at=at,
        customer_id=invoice.customer_id,
        account_id=invoice.customer.account_id,
        data={"currency": invoice.currency, "total": invoice.total, "collection_method": invoice.collection_method},
        reason=reason,
    )
