"""Invoices: gathered from charges as drafts, numbered and frozen by finalization.

The number is taken last in the transaction that finalizes, many at once, so that numbers have no gap and nobody waits
long for one.
"""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.utils.translation import gettext as _

from billing import (
    balances,
    customers,
    discounts,
    drafting,
    entities,
    invoicing,
    late_hours,
    numbering,
    settlement,
    standing,
    true_ups,
)
from billing import charges as charging
from billing import credits as giving_back
from billing import drafts as written
from billing.drafting import Context, Draft
from billing.models import (
    Charge,
    CollectionMethod,
    Customer,
    DiscountUse,
    Invoice,
    InvoiceLine,
    InvoiceTax,
    LineKind,
    LineReason,
    Subscription,
    SubscriptionChange,
)
from billing.queries import discounts as discounted
from billing.voiding import void, write_off
from gtm.shared import bulk, outbox, vendors
from gtm.shared.errors import Conflict
from gtm.shared.models import Vendor, write

__all__ = [
    "bill",
    "bill_pending",
    "finalize",
    "finalize_all",
    "request_link",
    "set_po_number",
    "void",
    "write_off",
]

Status, PaymentStatus = Invoice.Status, Invoice.PaymentStatus
_FINALIZED = (
    "number",
    "status",
    "payment_status",
    "issue_date",
    "due_date",
    "finalize_at",
    "finalized_at",
    "balance_applied",
    "paid_at",
    "next_payment_attempt",
    "seller",
    "buyer",
    "version",
    "updated_at",
)
_RATED_LINE = ("quantity", "amount", "explanation", "discount_amount", "tax_amount", "taxes")


def bill_pending(
    *,
    payers: Sequence[Customer],
    subscriptions: Sequence[Subscription],
    context: Context,
    fresh: Sequence[Charge] = (),
    wait: bool = True,
) -> list[Invoice]:
    """Put all that payers owe by now on invoices, and finalize those that need not wait for stragglers' usage.

    ``fresh`` charges are not written yet, and are afterwards. In the caller's transaction, which holds the locks of the
    payers and of the subscriptions. Raises PlaceUnknown where tax can't be decided.
    """
    owed = _without_moot(charging.pending(payers=payers, by=context.at, fresh=fresh))
    book = discounted.book(owed)
    drafts = _with_room(drafting.gather(owed, context=context, book=book), context)
    grace = timedelta(minutes=context.vendor.draft_grace_minutes) if wait else timedelta()
    waiting = [draft for draft in drafts if grace and draft.has_usage]
    due = [draft for draft in drafts if not (grace and draft.has_usage)]
    ready, nothing = _worth_a_document(due, context)
    for draft in (*waiting, *ready):
        drafting.verify(draft)
    _watch(due, context)
    _write_drafts(waiting, finalize_at=context.at + grace, at=context.at)
    _write_parts(ready)
    _write_charges([*waiting, *ready], fresh, waived=[charge for draft in nothing for charge in draft.charges])
    discounts.settle(book, at=context.at)
    _let_begin(nothing, subscriptions, context)
    _issue(ready, subscriptions, context)
    _number([draft.invoice for draft in ready])
    bulk.insert(Invoice, [draft.invoice for draft in ready])
    return [draft.invoice for draft in (*waiting, *ready)]


def bill(subscription: Subscription, *, vendor: Vendor, at: datetime) -> list[Invoice]:
    """The same for one subscription, with all that its payer owes by now."""
    context = drafting.context(vendor=vendor, at=at)
    return bill_pending(payers=[subscription.payer], subscriptions=[subscription], context=context)


def _without_moot(owed: Sequence[Charge]) -> list[Charge]:
    """Without what a subscription was to pay once at a start that never came; that ends waived."""
    first = [one for one in owed if one.kind == LineKind.ONE_OFF and one.reason == LineReason.SUBSCRIPTION_START]
    moot = [charge.pk for charge in first if _never_came(charge)]
    if moot:
        Charge.objects.filter(pk__in=moot).update(status=Charge.Status.WAIVED)
    return [charge for charge in owed if charge.pk not in moot]


def _never_came(charge: Charge) -> bool:
    ended_at = charge.subscription.ended_at if charge.subscription else None
    return ended_at is not None and ended_at <= charge.invoice_at


def _with_room(drafts: Sequence[Draft], context: Context) -> list[Draft]:
    """The drafts without the credits that they have no room for: those go to the balance, which pays next."""
    taken = [charge for draft in drafts for charge, _line in drafting.make_room(draft, vendor=context.vendor)]
    if taken:
        giving_back.settle_without_room(charges=taken, origin=SubscriptionChange.Origin.SYSTEM, at=context.at)
    return [draft for draft in drafts if draft.lines]


def _worth_a_document(drafts: Sequence[Draft], context: Context) -> tuple[list[Draft], list[Draft]]:
    """The drafts, and apart from them those whose lines are all 0, where the vendor makes no invoice of such."""
    if context.vendor.issue_zero_invoices:
        return list(drafts), []
    worth = [any(line.amount for line in draft.lines) for draft in drafts]
    return list(itertools.compress(drafts, worth)), list(itertools.compress(drafts, (not one for one in worth)))


def _write_drafts(drafts: Sequence[Draft], *, finalize_at: datetime, at: datetime) -> None:
    """Those that wait until their grace for stragglers is over."""
    for draft in drafts:
        draft.invoice.finalize_at = finalize_at
    bulk.insert(Invoice, [draft.invoice for draft in drafts])
    _write_parts(drafts)
    outbox.publish_many(drafting.fact(draft.invoice, "created", at=at) for draft in drafts)


def _write_parts(drafts: Sequence[Draft]) -> None:
    """Lines, taxes and what discounts took. Those of an invoice written final come before it: nothing can be added."""
    bulk.insert(InvoiceLine, [line for draft in drafts for line in draft.lines])
    bulk.insert(InvoiceTax, [tax for draft in drafts for tax in draft.taxes])
    bulk.insert(DiscountUse, [use for draft in drafts for use in draft.uses])


def _write_charges(drafts: Sequence[Draft], fresh: Sequence[Charge], *, waived: Sequence[Charge]) -> None:
    """Bind the charges to their lines, and write those that are new."""
    billed = [pair for draft in drafts for pair in zip(draft.charges, draft.lines, strict=True)]
    for charge, line in billed:
        charge.status, charge.invoice_line_id = Charge.Status.BILLED, line.pk  # the line itself would keep both alive
    for charge in waived:
        charge.status = Charge.Status.WAIVED
    ended = [*(charge for charge, _line in billed), *waived]
    bulk.update(Charge, [charge for charge in ended if not charge._state.adding], ["status", "invoice_line"])
    bulk.insert(Charge, fresh)


@transaction.atomic
def finalize(*, invoice: Invoice, at: datetime) -> Invoice:
    """Number and freeze a draft: open, or paid where nothing is owed. Raises Conflict for anything but a draft."""
    invoice, subscriptions = settlement.lock(invoice)
    if invoice.status != Status.DRAFT:
        raise Conflict("Only a draft can be finalized.", code="invoice_not_draft")
    finalize_all(
        invoices=[invoice],
        subscriptions=subscriptions,
        context=drafting.context(vendor=vendors.current(), at=at),
        nothing_too=True,
    )
    return invoice


@transaction.atomic
def set_po_number(*, invoice: Invoice, po_number: str, at: datetime) -> Invoice:
    """Set the PO number of a draft; of an issued invoice, which doesn't change, that of its payer's next ones.

    Raises Conflict (``po_number_agreed``) for an issued one whose subscription has a number of its own, and for one
    that is void.
    """
    invoice, subscriptions = settlement.lock(invoice)
    if invoice.status == Status.DRAFT:
        if invoice.po_number != po_number:
            write(invoice, po_number=po_number)
            outbox.publish_many([drafting.fact(invoice, "changed", at=at)])
        return invoice
    if invoice.status == Status.VOID:
        raise Conflict(_("This invoice is void."), code="invoice_is_void")
    if any(subscription.po_number for subscription in subscriptions):
        detail = _("A PO number is agreed for this subscription. Ask us to change it.")
        raise Conflict(detail, code="po_number_agreed", attr="po_number")
    customers.change(customer=invoice.customer, po_number=po_number, at=at)
    return invoice


@transaction.atomic
def request_link(*, invoice: Invoice, at: datetime) -> None:
    """Somebody has an expired link: its payer is sent another. Nothing is sent of what is void or was never issued."""
    if invoice.status not in {Status.DRAFT, Status.VOID}:
        outbox.publish_many([drafting.fact(invoice, "link_requested", at=at)])


def finalize_all(
    *, invoices: Sequence[Invoice], subscriptions: Sequence[Subscription], context: Context, nothing_too: bool = False
) -> None:
    """Number and freeze drafts whose locks the caller holds, with those of the subscriptions on them.

    Usage is rated again first: what arrived since the period closed is billed with it. Where the vendor makes no
    invoice of lines that are all 0, such drafts are dropped, unless ``nothing_too`` says that they are asked for.
    """
    if not invoices:
        return
    drafts = _drafts(invoices)
    _rate_again(drafts, context)
    _watch(drafts, context)
    _take_off(drafts, context)
    worth, nothing = (drafts, []) if nothing_too else _worth_a_document(drafts, context)
    _let_begin(nothing, subscriptions, context)
    _drop(nothing, context)
    final = [draft.invoice for draft in worth]
    for invoice in final:
        invoice.touch()
    _issue(worth, subscriptions, context)
    _number(final)
    bulk.update(Invoice, final, _FINALIZED)


def _take_off(drafts: Sequence[Draft], context: Context) -> None:
    """Take the credits off drafts that have no room for them any more, now that their usage is known."""
    taken = []
    for draft in drafts:
        if without := drafting.make_room(draft, vendor=context.vendor):
            written.take_off(draft=draft, taken=without)
            taken += [charge for charge, _line in without]
    if taken:
        giving_back.settle_without_room(charges=taken, origin=SubscriptionChange.Origin.SYSTEM, at=context.at)


def _watch(drafts: Sequence[Draft], context: Context) -> None:
    """Have usage rated once more that is final before its stragglers have settled."""
    late_hours.watch(
        charge
        for draft in drafts
        for charge in draft.charges
        if charge.kind == LineKind.USAGE
        and charge.reason != LineReason.LATE_USAGE
        and (draft.invoice.gathered_at >= context.at or late_hours.is_unsettled(charge, at=context.at))
    )


def _drop(drafts: Sequence[Draft], context: Context) -> None:
    if drafts:
        outbox.publish_many(drafting.fact(draft.invoice, "dropped", at=context.at) for draft in drafts)
        written.waive(drafts)


def _issue(drafts: Sequence[Draft], subscriptions: Sequence[Subscription], context: Context) -> None:
    """Decide all but the number, tell of it, and let begin what was waiting for it."""
    final = [draft.invoice for draft in drafts]
    balances.apply_all(invoices=final, at=context.at)
    for invoice in final:
        _settle_terms(invoice, context)
    paid = [invoice for invoice in final if invoice.status == Status.PAID]
    finalized = [drafting.fact(invoice, "finalized", at=context.at) for invoice in final]
    outbox.publish_many([*finalized, *(drafting.fact(invoice, "paid", at=context.at) for invoice in paid)])
    _let_begin(drafts, subscriptions, context)


def _settle_terms(invoice: Invoice, context: Context) -> None:
    """Dates, parties and what is to happen next; everything but the number."""
    entity, at = invoice.legal_entity, context.at
    issue_date = context.issue_date(entity)
    if entity.closed_through is not None and issue_date <= entity.closed_through:
        raise Conflict(f"The books are closed through {entity.closed_through}.", code="period_closed")
    by_card = invoice.collection_method == CollectionMethod.CHARGE_AUTOMATICALLY
    nothing_owed = invoice.total == invoice.balance_applied
    invoice.issue_date = issue_date
    invoice.due_date = invoicing.due_date(issue_date, invoice.net_terms_days)
    invoice.finalize_at, invoice.finalized_at = None, at
    invoice.seller, invoice.buyer = entities.as_seller(entity), entities.as_buyer(invoice.customer)
    invoice.status = Status.PAID if nothing_owed else Status.OPEN
    invoice.payment_status = PaymentStatus.PAID if nothing_owed else PaymentStatus.NONE
    invoice.paid_at = at if nothing_owed else None
    invoice.next_payment_attempt = at if by_card and not nothing_owed else None


def _let_begin(drafts: Sequence[Draft], subscriptions: Sequence[Subscription], context: Context) -> None:
    """Subscriptions that don't wait for a card begin with their first invoice."""
    waiting = {one.pk for one in subscriptions if one.status == Subscription.Status.INCOMPLETE}
    untried = [draft for draft in drafts if draft.invoice.next_payment_attempt is None]
    if begin := waiting.intersection(line.subscription_id for draft in untried for line in draft.lines):
        for subscription in standing.loaded().filter(pk__in=begin).order_by("pk"):
            standing.activate(subscription, at=context.at)


def _number(invoices: Sequence[Invoice]) -> None:
    """Take the numbers, a block for each series: all that follows before the commit is to write the invoices."""
    series = defaultdict(list)
    for invoice in invoices:
        assert invoice.issue_date is not None
        series[invoice.legal_entity_id, invoice.issue_date.year, invoice.test_clock_id].append(invoice)
    for (_entity, year, clock_id), members in sorted(series.items(), key=str):
        numbers = numbering.take(
            entity=members[0].legal_entity, kind="invoice", year=year, test_clock_id=clock_id, count=len(members)
        )
        for invoice, number in zip(members, numbers, strict=True):
            invoice.number = number


def _rate_again(drafts: Sequence[Draft], context: Context) -> None:
    """Bring the usage lines of drafts that waited up to date, with their discounts, taxes and totals."""
    waited = [draft for draft in drafts if draft.invoice.gathered_at < context.at]
    charges = [charge for draft in waited for charge in draft.charges]
    changed = {charge.pk: charge for charge in charging.rate_again(charges, vendor=context.vendor)}
    late = [draft for draft in waited if any(charge.pk in changed for charge in draft.charges)]
    again = [charge for draft in late for charge in draft.charges]
    book = discounted.book(again, besides=[line for draft in late for line in draft.lines])
    for draft in late:
        drafting.total(draft, context=context, book=book)
    _write_again(late, list(changed.values()))
    discounts.settle(book, at=context.at)
    true_ups.settle_again(charges=list(changed.values()), at=context.at)


def _drafts(invoices: Sequence[Invoice]) -> list[Draft]:
    """Written drafts with their charges and lines, two queries for all of them."""
    lines = InvoiceLine.objects.filter(invoice__in=invoices).order_by("invoice_id", "position")
    by_invoice = {key: list(rows) for key, rows in itertools.groupby(lines, key=lambda line: line.invoice_id)}
    related = (
        "item__price__plan",
        "item__price__meter",
        "subscription",
        "payer__legal_entity",
        "credits_line__invoice",
    )
    found = Charge.objects.filter(invoice_line__invoice__in=invoices).select_related(*related)
    by_line = {charge.invoice_line_id: charge for charge in found}
    return [
        Draft(invoice=invoice, charges=[by_line[line.pk] for line in rows], lines=rows, taxes=[], uses=[])
        for invoice in invoices
        for rows in [by_invoice.get(invoice.pk, [])]
    ]


def _write_again(drafts: Sequence[Draft], changed: Sequence[Charge]) -> None:
    if not drafts:
        return
    InvoiceTax.objects.filter(invoice__in=[draft.invoice for draft in drafts]).delete()
    bulk.insert(InvoiceTax, [tax for draft in drafts for tax in draft.taxes])
    lines = [line for draft in drafts for line in draft.lines]
    DiscountUse.objects.filter(invoice_line__in=lines, amount__gt=0).delete()
    bulk.insert(DiscountUse, [use for draft in drafts for use in draft.uses])
    bulk.update(InvoiceLine, lines, _RATED_LINE)
    bulk.update(Charge, changed, ["quantity", "amount", "explanation"])
    bulk.update(Invoice, [draft.invoice for draft in drafts], drafting.TOTALS)
