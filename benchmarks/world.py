"""What the bill run's benchmark bills: a catalogue made by the operations, and many customers written at once."""

import zlib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.db import connection, transaction

from billing import catalog, entities
from billing.models import Coupon, Customer, Discount, PlanVersion, Price, Subscription, SubscriptionItem
from gtm.shared import bulk, periods, vendors
from gtm.shared.periods import Anchor, Interval

START = datetime(2025, 12, 1, tzinfo=UTC)
FIRST_DAY = START + timedelta(hours=1)
JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
DUE = datetime(2026, 2, 1, tzinfo=UTC)
MRR = 4900 + 6 * 900
ROLL_UPS = 60  # hours with usage, for each customer
EVERY_TENTH = 10
_BATCH = 5_000
_WRITTEN_BY_THE_RUN = "shared_event, shared_pendingfact"


def seed(subscriptions: int) -> None:
    """Subscriptions due on 1 February: two prices in advance, one for January's usage, tax, a coupon on every tenth."""
    with transaction.atomic():
        prices, coupon = _catalogue()
        for first in range(0, subscriptions, _BATCH):
            _subscribe(range(first, min(first + _BATCH, subscriptions)), prices, coupon)
        _use(prices[-1])
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {_WRITTEN_BY_THE_RUN} CASCADE")
        cursor.execute("VACUUM (FREEZE, ANALYZE)")


def _catalogue() -> tuple[list[Price], Coupon]:
    vendors.change(name="Vendor", draft_grace_minutes=0)
    entities.create(
        at=START,
        code="main",
        name="Vendor GmbH",
        country="DE",
        timezone="Europe/Berlin",
        address={"line1": "Hauptstr. 1", "postal_code": "10115", "city": "Berlin", "country": "DE"},
        tax_ids=["DE136695976"],
    )
    vat = {"name": "USt.", "percentage": Decimal(19), "country": "DE", "valid_from": date(2020, 1, 1)}
    catalog.create_tax_rate(at=START, code="de-standard", **vat)
    meter = catalog.create_meter(at=START, code="calls", name="API calls", event_name="api.call", aggregation="sum")
    plan = catalog.create_plan(at=START, code="pro", name="Pro")
    tiers = [
        {"up_to": 1000, "unit_amount": "2", "flat_amount": "0"},
        {"up_to": 10000, "unit_amount": "1.5", "flat_amount": "0"},
        {"up_to": None, "unit_amount": "0.8", "flat_amount": "0"},
    ]
    terms = [
        {"code": "base", "model": "flat", "unit_amount": 4900},
        {"code": "seats", "name": "Seats", "model": "per_unit", "unit_amount": 900},
        {"code": "calls", "model": "graduated", "tiers": tiers, "meter": meter, "timing": "in_arrears"},
    ]
    prices = [
        catalog.create_price(plan=plan, at=START, currency="EUR", **{"interval": "month", **one}) for one in terms
    ]
    catalog.publish(plan=plan, at=START)
    catalog.seal(plan_version=plan.current_version, at=START)
    coupon = Coupon.objects.create(code="TENTH", percent_off=10, duration="forever")
    return prices, coupon


def _subscribe(numbers: range, prices: list[Price], coupon: Coupon) -> None:
    """Subscriptions that began in the course of 1 December, each at a moment of its own, and stand in January."""
    customers = [_customer(number) for number in numbers]
    bought = [_subscription(customer, prices[0].plan.current_version) for customer in customers]
    items = [_item(one, price) for one in bought for price in prices]
    discounts = [
        Discount(coupon=coupon, customer=one.customer, subscription=one, starts_at=one.start_at)
        for one in bought[::EVERY_TENTH]
    ]
    for discount in discounts:
        discount.subscription.mrr = MRR * 9 // 10
    for model, rows in (
        (Customer, customers),
        (Subscription, bought),
        (SubscriptionItem, items),
        (Discount, discounts),
    ):
        bulk.insert(model, rows)


def _customer(number: int) -> Customer:
    return Customer(
        name=f"Customer {number}",
        email=f"billing@customer-{number}.example",
        currency="EUR",
        country="DE",
        timezone="Europe/Berlin" if number % 2 else "UTC",
        billing_address={"line1": f"Weg {number}", "postal_code": "20095", "city": "Hamburg", "country": "DE"},
        external_id=f"c{number}",
    )


def _subscription(customer: Customer, version: PlanVersion) -> Subscription:
    start_at = FIRST_DAY + timedelta(seconds=zlib.crc32(customer.name.encode()) % 70_000)
    january = periods.period(Anchor(start_at, customer.timezone), Interval("month"), 1)
    return Subscription(
        customer=customer,
        payer=customer,
        plan_version=version,
        currency="EUR",
        status="active",
        mrr=MRR,
        start_at=start_at,
        current_period_start=january.start,
        current_period_end=january.end,
        next_bill_at=january.end,
    )


def _item(subscription: Subscription, price: Price) -> SubscriptionItem:
    start, end = subscription.current_period_start, subscription.current_period_end
    return SubscriptionItem(
        subscription=subscription,
        price=price,
        quantity=6 if price.code == "seats" else 1,
        anchor_at=subscription.start_at,
        timezone=subscription.customer.timezone,
        period_index=1,
        current_period_start=start,
        current_period_end=end,
        billed_until=start if price.meter_id else end,
        next_bill_at=end,
    )


def _use(price: Price) -> None:
    """Usage of January, written hour after hour as it comes in."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO billing_usagerollup
                (customer_id, meter_id, hour, subscription_id, count, sum, max, latest, latest_at)
            SELECT c.id, %s, hour, '00000000-0000-0000-0000-000000000000', 3, 40 + n, 20, 20, hour
            FROM generate_series(0, %s) AS n
            CROSS JOIN LATERAL (SELECT %s::timestamptz + n * interval '12 hours') AS at (hour)
            CROSS JOIN billing_customer c
            ORDER BY hour, c.id""",
            [price.meter_id, ROLL_UPS - 1, JANUARY],
        )
