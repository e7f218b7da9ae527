"""A payer whose life is played by operations, at the instants that a case states."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from billing import cancellation, catalog, payments, runs, subscriptions, usage
from billing.models import Customer, Invoice, InvoiceLine, Meter, Plan, Price, Subscription
from billing.subscriptions import ItemTerms
from billing.usage import UsageInput
from gtm.shared import vendors
from tests.billing import makers
from tests.billing.lives import closing_of, local, opening_of

MADE = local("2000-01-01")  # before any case
Ordered = Price | tuple[Price, int]


@dataclass
class Payer:
    """Invoiced on terms, so that money moves when the case says so: ``pay``."""

    customer: Customer
    unit: str
    zone: str

    @classmethod
    def begin(cls, unit: str, *, zone: str = "UTC", tax: str = "", entity_zone: str = "", **vendor: Any) -> "Payer":
        """``tax`` is the percentage that the payer's country takes, such as ``"25%"``; drafts don't wait."""
        vendors.change(**{"proration_unit": unit, "draft_grace_minutes": 0} | vendor)
        makers.legal_entity(timezone=entity_zone or zone)
        if Decimal(tax.rstrip("%") or 0):
            rate = {"percentage": Decimal(tax.rstrip("%")), "country": "FR", "valid_from": MADE.date()}
            catalog.create_tax_rate(at=MADE, code="vat", name="VAT", **rate)
        terms = {"currency": "EUR", "country": "FR", "collection_method": "send_invoice"}
        return cls(makers.customer(at=MADE, timezone=zone, **terms), unit, zone)

    def price(self, code: str, amount: int | str | None = None, *, plan: Plan | None = None, **terms: Any) -> Price:
        """A flat monthly price in advance unless told otherwise, of a plan of its own unless one is given."""
        plan = plan or makers.plan(at=MADE, code=code, name=code.title())
        rate = {} if amount is None else {"unit_amount": Decimal(amount)}
        return makers.price(plan=plan, at=MADE, code=code, **{"unit_amount": None, "currency": "EUR"} | rate | terms)

    def metered(self, code: str, *, plan: Plan | None = None, **terms: Any) -> Price:
        """A price of what its own meter sums, in arrears."""
        sums = {"name": code, "event_name": code, "aggregation": Meter.Aggregation.SUM, "unit": code}
        meter = makers.meter(at=MADE, code=code, **sums)
        defaults = {"model": "per_unit", "timing": "in_arrears", "meter": meter}
        return self.price(code, plan=plan, **defaults | terms)

    def fees(self, code: str, count: int) -> list[Price]:
        """Metered prices of one plan at a minor unit each: what is used of one is what it costs."""
        first = self.metered(f"{code}-0", unit_amount=1)
        return [first, *[self.metered(f"{code}-{n}", plan=first.plan, unit_amount=1) for n in range(1, count)]]

    def cost(self, prices: Sequence[Price], fees: Sequence[int], *, at: datetime) -> None:
        """Use so much of each of them."""
        for price, fee in zip(prices, fees, strict=True):
            self.use(price, fee, at=at)

    # --- what happens --------------------------------------------------------------------------
    def start(self, *ordered: Ordered, at: datetime, **terms: Any) -> Subscription:
        return subscriptions.create(customer=self.customer, items=items_of(ordered), at=at, **terms)

    def cancel(self, subscription: Subscription, *, at: datetime, **terms: Any) -> Subscription:
        return cancellation.cancel(subscription=subscription, at=at, **{"when": "now"} | terms)

    def bill(self, *instants: datetime) -> None:
        """A bill run at each of them; nobody is parked."""
        for at in instants:
            assert not runs.bill_due(at=at).parked

    def pay(self, *, at: datetime) -> None:
        """Settle all that is open."""
        unpaid = list(Invoice.objects.filter(customer=self.customer, status=Invoice.Status.OPEN).order_by("pk"))
        due = sum(invoice.amount_due for invoice in unpaid)
        if due:
            payments.record_manual(
                customer=self.customer, invoices=unpaid, method="cheque", amount=due, paid_at=at, at=at
            )

    def use(self, price: Price, quantity: int | str, *, at: datetime) -> None:
        assert price.meter is not None
        told = {"id": f"{price.meter.code}-{at.isoformat()}-{quantity}", "quantity": Decimal(quantity), "timestamp": at}
        event = UsageInput(customer=self.customer.public_id, name=price.meter.event_name, **told)
        assert usage.record(events=[event], at=at).accepted == 1

    # --- when ----------------------------------------------------------------------------------
    def moment(self, text: str) -> datetime:
        """A stated instant; by the second, the local midnight that begins its day."""
        stated = local(text, self.zone)
        return stated if self.unit == "day" else opening_of(stated, self.zone)

    def last(self, text: str) -> datetime:
        """A stated instant whose day is billed; by the second, the local midnight that ends its day."""
        stated = local(text, self.zone)
        return stated if self.unit == "day" else closing_of(stated, self.zone)

    # --- what came of it -----------------------------------------------------------------------
    def invoices(self) -> list[Invoice]:
        """Those that were issued, in the order of their numbers."""
        found = Invoice.objects.filter(customer=self.customer, finalized_at__isnull=False)
        return list(found.exclude(status=Invoice.Status.VOID).order_by("finalized_at", "number"))

    def lines(self) -> list[InvoiceLine]:
        """Those of all issued invoices."""
        found = InvoiceLine.objects.filter(invoice__in=self.invoices()).select_related("price")
        return list(found.order_by("invoice__finalized_at", "invoice__number", "position"))


def items_of(ordered: Sequence[Ordered]) -> list[ItemTerms]:
    return [ItemTerms(*(one if isinstance(one, tuple) else (one,))) for one in ordered]


def amounts(invoice: Invoice) -> list[int]:
    return list(invoice.lines.order_by("position").values_list("amount", flat=True))


def totals(invoice: Invoice) -> dict[str, int]:
    """As the cases name them."""
    return {"net": invoice.subtotal - invoice.discount_total, "tax": invoice.tax_total, "total": invoice.total}
