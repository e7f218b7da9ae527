"""What stands to a payer's credit: a ledger that is only ever added to, whose sum is never below zero.

The balance's row is locked after invoice and payment, before the number series. An amount and its entries are written
together, so that the sum of the entries is the amount at any time.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from billing.models import Allocation, BalanceEntry, Customer, CustomerBalance, Invoice
from gtm.shared import bulk, context, outbox
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event
from gtm.shared.templatetags import tandem

Kind = BalanceEntry.Kind
MOST = 10**17  # minor units: far from where the column ends
_LINKS = ("invoice", "credit_note", "payment", "refund")


class BalanceTooLow(Conflict):
    """More is asked for than stands to the customer's credit."""

    code = "balance_too_low"


@transaction.atomic
def add(*, customer: Customer, currency: str, kind: str, amount: int, at: datetime, **links: Any) -> BalanceEntry:
    """Move the balance by ``amount`` minor units: positive to the customer's credit, negative where it is used.

    ``links`` may name the ``invoice``, ``credit_note``, ``payment`` or ``refund`` it comes from, and a ``reason`` in
    somebody's own words, which no fact holds. Raises BalanceTooLow, with nothing written.
    """
    balance = _locked(customer, currency)
    if balance.amount + amount < 0:
        raise BalanceTooLow(f"Only {tandem.money(balance.amount, currency)} stand to the credit.", attr="amount")
    if balance.amount + amount > MOST:
        raise Invalid("So much can't stand to anybody's credit.", attr="amount")
    entry = _entry(balance, customer, kind=kind, amount=amount, at=at, **links)
    entry.save()
    balance.save(update_fields=["amount"])
    outbox.publish_many([_fact(entry, customer, at=at)])
    return entry


def adjust(*, customer: Customer, amount: int, reason: str, currency: str = "", at: datetime) -> BalanceEntry:
    """Give or take credit by hand, with a reason. Raises Invalid, and BalanceTooLow for more than there is."""
    currency = currency or customer.currency
    if amount == 0:
        raise Invalid("An adjustment moves something.", attr="amount")
    if not reason.strip():
        raise Invalid("Say why: the entry keeps it.", attr="reason")
    if currency != customer.currency:
        raise Invalid(f"This customer pays in {customer.currency}.", attr="currency")
    return add(customer=customer, currency=currency, kind=Kind.ADJUSTMENT, amount=amount, at=at, reason=reason)


def apply_all(*, invoices: Sequence[Invoice], at: datetime) -> None:
    """Pay drafts that are being finalized from their payers' balances, as far as those go, earlier invoices first.

    Sets ``balance_applied`` (unsaved) and writes everything else, in a constant number of queries; two where nobody has
    anything to their credit. In the transaction of the finalization, whose caller holds the invoices' locks.
    """
    asking = [invoice for invoice in invoices if invoice.total > 0]
    balances = _lock_all(asking) if asking else {}
    applied = [entry for invoice in asking if (entry := _apply(invoice, balances, at))]
    if not applied:
        return
    BalanceEntry.objects.bulk_create(applied)
    used = {(entry.customer_id, entry.currency) for entry in applied}
    CustomerBalance.objects.bulk_update([balances[key] for key in sorted(used, key=str)], ["amount"])
    Allocation.objects.bulk_create(_allocation(entry, at) for entry in applied)
    outbox.publish_many([_fact(entry, entry.customer, at=at) for entry in applied])


def give_back(*, invoice: Invoice, at: datetime) -> None:
    """Return what was applied to an invoice that is void now; sets ``balance_applied`` (unsaved)."""
    applied = Allocation.objects.filter(invoice=invoice, kind=Allocation.Kind.BALANCE, reversal=None)
    for allocation in applied.order_by("pk"):
        Allocation.objects.create(
            invoice=invoice,
            kind=Allocation.Kind.REVERSAL,
            reverses=allocation,
            amount=-allocation.amount,
            allocated_at=at,
        )
        _return(invoice, allocation.amount, at)
    invoice.balance_applied = 0


def _return(invoice: Invoice, amount: int, at: datetime) -> None:
    add(customer=invoice.customer, currency=invoice.currency, kind=Kind.RETURNED, amount=amount, at=at, invoice=invoice)


def _locked(customer: Customer, currency: str) -> CustomerBalance:
    """The balance's row under its lock, made where there is none yet."""
    theirs = CustomerBalance.objects.filter(customer=customer, currency=currency)
    found = theirs.select_for_update(of=("self",), no_key=True)
    if (balance := found.first()) is None:
        CustomerBalance.objects.bulk_create(
            [CustomerBalance(customer=customer, currency=currency)], ignore_conflicts=True
        )
        balance = found.get()
    return balance


def _lock_all(invoices: Iterable[Invoice]) -> dict[tuple[Any, str], CustomerBalance]:
    """The balances of their payers that hold anything, locked by id."""
    payers, currencies = {one.customer_id for one in invoices}, {one.currency for one in invoices}
    of_theirs = bulk.among("customer__pk", payers)
    held = CustomerBalance.objects.filter(of_theirs, currency__in=currencies, amount__gt=0).order_by("pk")
    locked = held.select_for_update(of=("self",), no_key=True)
    return {(balance.customer_id, balance.currency): balance for balance in locked}


def _apply(invoice: Invoice, balances: dict[tuple[Any, str], CustomerBalance], at: datetime) -> BalanceEntry | None:
    balance = balances.get((invoice.customer_id, invoice.currency))
    amount = min(balance.amount, invoice.total - invoice.balance_applied) if balance else 0
    if balance is None or amount <= 0:
        return None
    invoice.balance_applied += amount
    return _entry(balance, invoice.customer, kind=Kind.APPLIED, amount=-amount, at=at, invoice=invoice)


def _entry(
    balance: CustomerBalance, customer: Customer, *, kind: str, amount: int, at: datetime, **links: Any
) -> BalanceEntry:
    """The movement (unsaved), which is counted into the balance (unsaved too)."""
    balance.amount += amount
    return BalanceEntry(
        customer=customer,
        currency=balance.currency,
        kind=kind,
        amount=amount,
        balance_after=balance.amount,
        actor=context.actor(),
        test_clock_id=customer.test_clock_id,
        occurred_at=at,
        **links,
    )


def _allocation(entry: BalanceEntry, at: datetime) -> Allocation:
    return Allocation(invoice=entry.invoice, kind=Allocation.Kind.BALANCE, amount=-entry.amount, allocated_at=at)


def _fact(entry: BalanceEntry, customer: Customer, *, at: datetime) -> Event:
    links = {name: getattr(entry, name) for name in _LINKS if getattr(entry, f"{name}_id") is not None}
    return outbox.fact(
        "billing.balance.changed",
        entry,
        at=at,
        customer_id=customer.pk,
        account_id=customer.account_id,
        data={
            "kind": entry.kind,
            "amount": entry.amount,
            "currency": entry.currency,
            "balance": entry.balance_after,
            **{name: link.public_id for name, link in links.items()},
        },
    )
