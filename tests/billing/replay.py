"""The books once from the facts alone, and once as the tables keep them."""

from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

from billing.models import CustomerBalance, Invoice, Subscription
from gtm.shared.models import Event

Account = tuple[UUID, str]  # a customer and a currency


@dataclass
class Books:
    """Minor units: what stands to a payer's credit, what is open on its invoices, and what each subscription earns."""

    credit: Counter[Account] = field(default_factory=Counter)
    owed: Counter[Account] = field(default_factory=Counter)
    mrr: Counter[UUID] = field(default_factory=Counter)

    def without_zeros(self) -> tuple[dict[Account, int], dict[Account, int], dict[UUID, int]]:
        return tuple({k: v for k, v in sums.items() if v} for sums in (self.credit, self.owed, self.mrr))  # type: ignore[return-value]


_OWED = {  # what a fact adds to what is owed: the name of its amount, and the sign
    "billing.invoice.finalized": ("total", 1),
    "billing.invoice.voided": ("total", -1),
    "billing.payment.succeeded": ("amount", -1),
    "billing.credit_note.issued": ("offset_amount", -1),
    "billing.invoice.reopened": ("amount", 1),
    "billing.payment.reinstated": ("amount", -1),
}
_BETWEEN = ("overpayment", "applied", "returned", "reinstated")  # movements between the balance and invoices


def replayed() -> Books:
    """Every fact in its order, from the Event rows alone."""
    books = Books()
    for kind, thing, customer, data in Event.objects.order_by("position").values_list(
        "type", "object_id", "customer_id", "data"
    ):
        if kind in _OWED:
            name, sign = _OWED[kind]
            books.owed[customer, data["currency"]] += sign * data[name]
        elif kind == "billing.balance.changed":
            books.credit[customer, data["currency"]] += data["amount"]
            books.owed[customer, data["currency"]] += data["amount"] if data["kind"] in _BETWEEN else 0
        elif kind.startswith("billing.subscription."):
            books.mrr[thing] = data["mrr"]
    return books


def kept() -> Books:
    """The same from the rows that hold them."""
    books = Books()
    for balance in CustomerBalance.objects.all():
        books.credit[balance.customer_id, balance.currency] += balance.amount
    for invoice in Invoice.objects.filter(finalized_at__isnull=False):
        books.owed[invoice.customer_id, invoice.currency] += invoice.amount_due
    for subscription in Subscription.objects.all():
        books.mrr[subscription.pk] = subscription.mrr
    return books


def agrees() -> None:
    """Facts and tables tell of the same money."""
    assert replayed().without_zeros() == kept().without_zeros()
