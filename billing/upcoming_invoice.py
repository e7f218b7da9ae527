"""The next invoice of a payer: its day and what it will say as far as is known now, by the code that will make it.

It is made in a transaction that is rolled back. A page that only shows it doesn't wait for locks: while somebody bills
the payer, nothing is known.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db import OperationalError, connection

from billing import drafting, invoices, standing, turns
from billing.change_preview import Sum, line_of, sum_of, undone
from billing.models import Customer, Invoice, InvoiceLine, Subscription
from gtm.shared import vendors
from gtm.shared.errors import DomainError

MOST_STEPS = 6  # instants at which nothing is invoiced
PATIENCE = "250ms"


@dataclass(frozen=True, slots=True)
class UpcomingInvoice:
    """``from_balance`` (minor units) is what the payer's credit pays of ``sums``; ``has_usage``: it may grow yet."""

    at: datetime
    currency: str
    sums: Sum
    from_balance: int
    has_usage: bool

    @property
    def amount_due(self) -> int:
        return max(self.sums.total - self.from_balance, 0)


def of_payer(payer: Customer) -> UpcomingInvoice | None:
    """The next invoice; None where none is known to come, or it can't be told just now."""
    try:
        return undone(lambda: _next(payer))
    except (OperationalError, DomainError):
        return None


def _next(payer: Customer) -> UpcomingInvoice | None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{PATIENCE}'")
    vendor = vendors.current()
    for _step in range(MOST_STEPS):
        running = list(standing.loaded().filter(payer=payer, next_bill_at__isnull=False).order_by("pk"))
        if not running:
            return None
        at = min(one.next_bill_at for one in running if one.next_bill_at is not None)
        due = [one for one in running if one.next_bill_at == at]
        made = turns.take(subscriptions=due, until=at, vendor=vendor)
        context = drafting.context(vendor=vendor, at=at)
        found = invoices.bill_pending(payers=[payer], subscriptions=due, fresh=made, context=context)
        if found:
            return _shown(found, due, at)
    return None


def _shown(found: list[Invoice], due: list[Subscription], at: datetime) -> UpcomingInvoice:
    rows = InvoiceLine.objects.filter(invoice__in=found).select_related("price").order_by("invoice", "position")
    lines = [line_of(line) for line in rows]
    return UpcomingInvoice(
        at=at,
        currency=found[0].currency,
        sums=sum_of(lines),
        from_balance=sum(invoice.balance_applied for invoice in found),
        has_usage=any(item.price.meter_id is not None for one in due for item in one.items.all()),
    )
