"""What the bill run's benchmark bills: a catalogue made by the operations, and many customers written at once."""

from datetime import UTC, date, datetime
from decimal import Decimal

from django.db import connection, transaction

from billing import catalog, entities
from billing.models import Coupon, Customer, Discount, LegalEntity, Price, Subscription, SubscriptionItem
from gtm.shared import bulk, vendors

START = datetime(2026, 1, 1, tzinfo=UTC)
DUE = datetime(2026, 2, 1, tzinfo=UTC)
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
    customers = [_customer(number) for number in numbers]
    version, entity = prices[0].plan.current_version, LegalEntity.objects.get()
    period = {"current_period_start": START, "current_period_end": DUE}
    terms = {"plan_version": version, "currency": "EUR", "status": "active", "start_at": START, "next_bill_at": DUE}
    bought = [Subscription(customer=one, payer=one, mrr=10300, **terms, **period) for one in customers]
    items = [
        SubscriptionItem(
            subscription=one,
            price=price,
            quantity=6 if price.code == "seats" else 1,
            anchor_at=START,
            next_bill_at=DUE,
            billed_until=None if price.meter_id else DUE,
            **period,
        )
        for one in bought
        for price in prices
    ]
    discounts = [
        Discount(coupon=coupon, customer=one.customer, subscription=one, starts_at=START)
        for one in bought[::EVERY_TENTH]
    ]
    assert entity.is_default
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
            [price.meter_id, ROLL_UPS - 1, START],
        )
