"""What settles invoices: the rows that are locked for it, the allocations, and what follows when nothing is left."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from billing import balances, dunning_cases, invoice_outcomes
from billing.models import Allocation, BalanceEntry, Customer, Invoice, InvoiceLine, Payment, Subscription
from gtm.shared import db, outbox
from gtm.shared.models import Event, write

Status, PaymentStatus = Invoice.Status, Invoice.PaymentStatus
OWED = (Status.OPEN, Status.UNCOLLECTIBLE)


def lock(invoice: Invoice) -> tuple[Invoice, list[Subscription]]:
    """The invoice under its lock, after those of its payer and subscriptions, as the order of locks has it."""
    subscriptions = lock_subscriptions([invoice])
    return db.lock_one(invoice), subscriptions


def lock_all(invoices: Iterable[Invoice]) -> tuple[list[Invoice], list[Subscription]]:
    """Many invoices under their locks, by id, after those of their payers and subscriptions."""
    wanted = list(invoices)
    subscriptions = lock_subscriptions(wanted)
    return db.lock(Invoice, {invoice.pk for invoice in wanted}), subscriptions


def lock_subscriptions(invoices: Sequence[Invoice]) -> list[Subscription]:
    """The subscriptions that have lines on the invoices, locked by id; nothing of theirs is read beside.

    The payers first: who holds one subscription of a payer and needs another that shares an invoice with it must not
    meet somebody who locks the two of them in their order.
    """
    db.lock(Customer, {invoice.customer_id for invoice in invoices})
    concerned = InvoiceLine.objects.filter(invoice__in=invoices).values("subscription")
    found = Subscription.objects.filter(pk__in=concerned).order_by("pk")
    return list(found.select_for_update(of=("self",), no_key=True))


def open_amount(invoice: Invoice) -> int:
    """Minor units that are still asked for: 0 for a draft, which asks for nothing yet."""
    return invoice.amount_due if invoice.status in OWED else 0


def owed_by(*, customer: Customer, currency: str) -> QuerySet[Invoice]:
    """The payer's open invoices that no charge is under way for, the oldest first."""
    theirs = Invoice.objects.filter(customer=customer, currency=currency, status=Status.OPEN)
    return theirs.exclude(attempt_shares__live=True).order_by("due_date", "issue_date", "id")


def paid_by_transfer(payment: Payment) -> list[Invoice]:
    """What a transfer that has come in is for: the invoices whose number the payer wrote, then the oldest."""
    owed = owed_by(customer=payment.customer, currency=payment.currency)
    memo = _squeezed(payment.reference)
    return sorted(
        owed.filter(legal_entity=payment.legal_entity_id),
        key=lambda invoice: not (invoice.number and _squeezed(invoice.number) in memo),
    )


def _squeezed(text: str) -> str:
    """A number as a bank may have passed it on: without spaces and signs."""
    return "".join(filter(str.isalnum, text)).upper()


def add(invoice: Invoice, *, kind: str, amount: int, at: datetime, **links: Any) -> Allocation:
    """Append what settles part of an invoice; the caller writes the invoice."""
    return Allocation.objects.create(invoice=invoice, kind=kind, amount=amount, allocated_at=at, **links)


def save(invoice: Invoice, subscriptions: Iterable[Subscription], *fields: str, at: datetime) -> None:
    """Write the sums named, and where nothing is left to pay, that it is paid: what waited for it begins."""
    changes = {name: getattr(invoice, name) for name in fields}
    if invoice.status in OWED and invoice.amount_due <= 0:
        mark_paid(invoice, subscriptions, at=at, **changes)
    else:
        write(invoice, **changes)


def mark_paid(invoice: Invoice, subscriptions: Iterable[Subscription], *, at: datetime, **changes: Any) -> None:
    write(
        invoice,
        **changes,
        status=Status.PAID,
        payment_status=PaymentStatus.PAID,
        paid_at=at,
        next_payment_attempt=None,
    )
    outbox.publish(
        "billing.invoice.paid",
        invoice,
        at=at,
        customer_id=invoice.customer_id,
        account_id=invoice.customer.account_id,
        data={"currency": invoice.currency, "total": invoice.total},
    )
    invoice_outcomes.on_paid(subscriptions, invoice=invoice, at=at)
    dunning_cases.on_settled(invoice=invoice, at=at)


def allocate(
    payment: Payment,
    invoices: Sequence[Invoice],
    subscriptions: Sequence[Subscription],
    *,
    amount: int | None = None,
    kind: str = BalanceEntry.Kind.OVERPAYMENT,
    at: datetime,
) -> None:
    """Append what settles each invoice in its order; where nothing is left to pay, it is paid.

    All of the payment, or ``amount`` of it. What is too much stands to the payer's credit, as ``kind``.
    """
    amount = payment.amount if amount is None else amount
    shares = _shares(invoices, amount)
    Allocation.objects.bulk_create(
        Allocation(invoice=invoice, kind=Allocation.Kind.PAYMENT, payment=payment, amount=part, allocated_at=at)
        for invoice, part in shares
    )
    for invoice, part in shares:
        invoice.amount_paid += part
        save(invoice, on(invoice, subscriptions, alone=len(shares) == 1), "amount_paid", at=at)
    if rest := amount - sum(part for _invoice, part in shares):
        balances.add(
            customer=payment.customer, currency=payment.currency, kind=kind, amount=rest, at=at, payment=payment
        )


def _shares(invoices: Sequence[Invoice], amount: int) -> list[tuple[Invoice, int]]:
    """The amount over the invoices in their order, as far as it goes."""
    shares = []
    for invoice in invoices:
        part = min(amount, open_amount(invoice))
        amount -= part
        if part:
            shares.append((invoice, part))
    return shares


def on(invoice: Invoice, subscriptions: Sequence[Subscription], *, alone: bool = False) -> Sequence[Subscription]:
    """Those of the subscriptions that have lines on this invoice: all, where no other one is settled with it."""
    if alone:
        return subscriptions
    concerned = set(invoice.lines.values_list("subscription_id", flat=True))
    return [one for one in subscriptions if one.pk in concerned]


def fact(payment: Payment, kind: str, *settled: Invoice, at: datetime, amount: int | None = None) -> Event:
    """The fact ``billing.payment.<kind>``, which is the caller's to write; ``amount``: what moved, if not all of it."""
    return outbox.fact(
        f"billing.payment.{kind}",
        payment,
        at=at,
        customer_id=payment.customer_id,
        account_id=payment.customer.account_id,
        data={
            "amount": payment.amount if amount is None else amount,
            "currency": payment.currency,
            "method": payment.method,
            "attempt": payment.attempt,
            "failure_code": payment.failure_code,
            "invoices": [invoice.public_id for invoice in settled],
        },
    )
