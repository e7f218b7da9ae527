"""What a plan would come to: the invoices of the months ahead for a guess of its use, by the engine that bills.

A customer that doesn't exist lives through the months on a test clock of its own, in a transaction that is rolled back:
nothing is written, no number is taken, nobody is told.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any, NamedTuple

import msgspec
from django.db import connection, transaction

from billing import clock as billing_clock
from billing import customers, metering, rating, selection, subscriptions, wording
from billing.models import (
    Coupon,
    Customer,
    Invoice,
    InvoiceLine,
    Meter,
    PlanVersion,
    Price,
    SubscriptionChange,
    UsageRollup,
    UsageValue,
)
from billing.taxation import PlaceUnknown
from gtm.shared import bulk, periods, vendors
from gtm.shared.errors import Conflict, DomainError, Invalid
from gtm.shared.models import TestClock
from gtm.shared.money import allocate
from gtm.shared.periods import Anchor, Interval, Period

MAX_MONTHS = 36
MAX_USE = 10**12
MAX_DISTINCT = 10_000
MAX_TRANSACTIONS = 1000
_MONTH = Interval("month")
_GRACE = timedelta(days=1)  # in which the drafts of the last month are finalized
_NONE = uuid.UUID(metering.NO_SUBSCRIPTION)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Who would buy what, and use how much of each meter in a month. ``quantity`` is that of what isn't metered.

    A price that looks at each transaction has ``transactions`` of one amount a month.
    """

    plan_version: PlanVersion
    interval: str
    quantity: int
    currency: str
    country: str
    months: int
    use: Mapping[Meter, Decimal]
    coupon: Coupon | None = None
    transactions: int = 30


@dataclass(frozen=True, slots=True)
class SimulatedLine:
    """What a line would say; amounts in minor units, before discount and tax."""

    description: str
    explanation: str
    amount: int
    discount_amount: int


@dataclass(frozen=True, slots=True)
class SimulatedInvoice:
    """An invoice to come; ``subtotal - discount_total + tax_total == total``, in minor units."""

    issue_date: date
    currency: str
    lines: tuple[SimulatedLine, ...]
    subtotal: int
    discount_total: int
    tax_total: int
    total: int


class Sum(NamedTuple):
    """What is issued in a month or a year, in minor units."""

    period: date | int
    total: int


@dataclass(frozen=True, slots=True)
class Simulation:
    """The invoices in the order of their dates, and what they come to by month and by year."""

    currency: str
    invoices: tuple[SimulatedInvoice, ...]

    @property
    def total(self) -> int:
        return sum(invoice.total for invoice in self.invoices)

    @property
    def by_month(self) -> list[Sum]:
        """By the first day of each month in which something is issued."""
        months = groupby(self.invoices, key=lambda invoice: invoice.issue_date.replace(day=1))
        return [Sum(month, sum(invoice.total for invoice in members)) for month, members in months]

    @property
    def by_year(self) -> list[Sum]:
        years = groupby(self.invoices, key=lambda invoice: invoice.issue_date.year)
        return [Sum(year, sum(invoice.total for invoice in members)) for year, members in years]


def simulate(scenario: Scenario, *, at: datetime) -> Simulation:
    """Live through the months from ``at`` on. Raises Invalid and Conflict with the field's name, as a purchase does."""
    _check(scenario)
    with transaction.atomic():
        customer = _customer(scenario, at)
        try:
            ends = _live(scenario, customer, at)
        except PlaceUnknown as unknown:
            raise Invalid(_unnamed(unknown.detail, customer), code=unknown.code, attr=unknown.attr) from unknown
        found = _invoices(customer, ends)
        transaction.set_rollback(True)
    return Simulation(scenario.currency, found)


def _check(scenario: Scenario) -> None:
    if not 1 <= scenario.months <= MAX_MONTHS:
        raise Invalid(f"Simulate 1 to {MAX_MONTHS} months.", attr="months")
    if not 0 <= scenario.quantity <= selection.MAX_QUANTITY:
        raise Invalid(f"A quantity is 0 to {selection.MAX_QUANTITY:f}.", attr="quantity")
    if not 1 <= scenario.transactions <= MAX_TRANSACTIONS:
        raise Invalid(f"Simulate 1 to {MAX_TRANSACTIONS:,} transactions a month.", attr="transactions")
    for meter, used in scenario.use.items():
        most = MAX_DISTINCT if meter.aggregation == Meter.Aggregation.UNIQUE else MAX_USE
        if not 0 <= used <= most:
            raise Invalid(f"Use of {meter.name} in a month is 0 to {most}.", attr="use")
        if meter.aggregation in _WHOLE and used != used.to_integral_value():
            raise Invalid(f"{meter.name} is counted: use a whole number.", attr="use")


_WHOLE = (Meter.Aggregation.COUNT, Meter.Aggregation.UNIQUE)


def _customer(scenario: Scenario, at: datetime) -> Customer:
    clock = TestClock.objects.create(name="Simulation", frozen_time=at)
    return customers.create(
        name="Simulation",
        currency=scenario.currency,
        country=scenario.country,
        timezone=vendors.current().reporting_zone,
        test_clock=clock,
        at=at,
    )


def _live(scenario: Scenario, customer: Customer, at: datetime) -> datetime:
    """Buy, use and be billed; returns the instant at which the last month is over."""
    version, currency = scenario.plan_version, scenario.currency
    items = selection.default_items(
        plan_version=version, interval=scenario.interval, currency=currency, quantity=scenario.quantity
    )
    subscriptions.on_invoice(
        customer=customer,
        plan_version=version,
        interval=scenario.interval,
        items=items,
        coupons=[scenario.coupon] if scenario.coupon else [],
        origin=SubscriptionChange.Origin.SYSTEM,
        at=at,
    )
    anchor = Anchor(at, customer.timezone)
    _use(scenario, customer, anchor)
    ends = periods.period(anchor, _MONTH, scenario.months - 1).end
    _bill(customer, ends)
    return ends


def _use(scenario: Scenario, customer: Customer, anchor: Anchor) -> None:
    """Write the use of each month, evenly over its days, as ingest would have added it up."""
    rollups, values, events = [], [], []
    singly = {price.meter for price in scenario.plan_version.prices.select_related("meter") if _looks_at_each(price)}
    for k in range(scenario.months):
        month = periods.period(anchor, _MONTH, k)
        hours = _hours(month, customer.timezone)
        for meter, used in scenario.use.items():
            values += _distinct(customer, meter, hours[0], used)
            rollups += _daily(customer, meter, hours, used)
            if meter in singly:
                events += _events(customer, meter, hours, used, scenario.transactions)
    bulk.insert(UsageRollup, rollups)
    bulk.insert(UsageValue, values)
    with connection.cursor() as cursor:
        cursor.execute(_INSERT_EVENTS, [msgspec.json.encode(events).decode()])


def _looks_at_each(price: Price) -> bool:
    return price.meter is not None and rating.terms_of(price).needs_transactions


def _events(
    customer: Customer, meter: Meter, hours: Sequence[datetime], used: Decimal, count: int
) -> list[dict[str, Any]]:
    """So many events that the meter counts, of equal amounts that sum to what is used."""
    parts = [Decimal(part).scaleb(-6) for part in allocate(int(used.scaleb(6)), [1] * count)]
    counted = {name: values[0] for name, values in meter.filters.items()}
    return [
        {
            "event_id": f"simulation-{uuid.uuid4()}",
            "customer_id": customer.pk,
            "name": meter.event_name,
            "timestamp": hours[number % len(hours)] + timedelta(seconds=number),
            "quantity": part,
            "properties": counted | ({meter.property: float(part)} if meter.property else {}),
        }
        for number, part in enumerate(parts)
    ]


_INSERT_EVENTS = """
INSERT INTO billing_usageevent (event_id, customer_id, name, timestamp, quantity, properties)
SELECT * FROM json_to_recordset(%s::json) AS row
    (event_id varchar, customer_id uuid, name varchar, timestamp timestamptz, quantity numeric, properties jsonb)"""


def _hours(month: Period, timezone: str) -> list[datetime]:
    """One whole hour on each day of the month but its first, which is cut where it begins."""
    days = [periods.add_days(month.start, n, timezone) for n in range(1, periods.days(month, timezone))]
    return [day.replace(minute=0, second=0, microsecond=0) for day in days]


def _daily(customer: Customer, meter: Meter, hours: Sequence[datetime], used: Decimal) -> list[UsageRollup]:
    counts = allocate(int(used), [1] * len(hours))
    sums = [part.scaleb(-6) for part in map(Decimal, allocate(int(used.scaleb(6)), [1] * len(hours)))]
    return [
        UsageRollup(
            customer_id=customer.pk,
            meter_id=meter.pk,
            hour=hour,
            subscription_id=_NONE,
            count=count,
            sum=part,
            max=used,
            latest=used,
            latest_at=hour,
        )
        for hour, count, part in zip(hours, counts, sums, strict=True)
    ]


def _distinct(customer: Customer, meter: Meter, hour: datetime, used: Decimal) -> list[UsageValue]:
    if meter.aggregation != Meter.Aggregation.UNIQUE:
        return []
    key: dict[str, Any] = {"customer_id": customer.pk, "meter_id": meter.pk, "hour": hour}
    return [UsageValue(**key, subscription_id=_NONE, value=str(number)) for number in range(int(used))]


def _bill(customer: Customer, ends: datetime) -> None:
    """Do what is due on the clock, instant by instant, until then."""
    clock = customer.test_clock
    assert clock is not None
    while (due := billing_clock.next_bill(clock=clock)) is not None and due <= ends + _GRACE:
        billing_clock.bill_due(clock=clock, at=due)
        customer.refresh_from_db()
        if customer.parked_at is not None:
            raise _held_up(customer)


def _held_up(customer: Customer) -> DomainError:
    detail = _unnamed(customer.parked_reason, customer)
    if not customer.country:
        return Invalid(detail, code=PlaceUnknown.code, attr="country")
    return Conflict(detail, code="simulation_parked")


def _unnamed(detail: str, customer: Customer) -> str:
    """The same, not naming somebody who will never have been."""
    return detail.replace(customer.public_id, "the simulated customer")


def _invoices(customer: Customer, ends: datetime) -> tuple[SimulatedInvoice, ...]:
    invoices = Invoice.objects.filter(customer=customer, gathered_at__lte=ends).prefetch_related("lines")
    return tuple(_simulated(invoice) for invoice in invoices.order_by("gathered_at", "pk"))


def _simulated(invoice: Invoice) -> SimulatedInvoice:
    lines = sorted(invoice.lines.all(), key=lambda line: line.position)
    return SimulatedInvoice(
        issue_date=invoice.issue_date or invoice.gathered_at.date(),
        currency=invoice.currency,
        lines=tuple(_line(line, invoice.currency) for line in lines),
        subtotal=invoice.subtotal,
        discount_total=invoice.discount_total,
        tax_total=invoice.tax_total,
        total=invoice.total,
    )


def _line(line: InvoiceLine, currency: str) -> SimulatedLine:
    explanation = "\n".join(wording.explain(line.explanation, currency))
    return SimulatedLine(line.description, explanation, line.amount, line.discount_amount)
