"""Bad input over the API: refused with the field named, nothing written, and within bounded time."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.db import connection

from gtm.shared.models import IdempotencyRecord
from tests.billing import api
from tests.billing.lives import Body, Life, local

pytestmark = pytest.mark.django_db

SECONDS = 5.0  # far above what a refusal takes, far below what a loop over a million periods would


SEATS = [{"price": "pro", "quantity": 2}]


class World:
    """A payer in EUR with an active subscription, whose first invoice of 49.00 is open; and things to name."""

    def __init__(self) -> None:
        self.life = Life.begin(local("2026-01-10"), collection_method="send_invoice")
        self.life.plan("pro", 4900)
        self.life.price("pro", "pro-year", interval="year", unit_amount="49000")
        self.life.price("pro", "pro-usd", currency="USD", unit_amount="5900")
        self.life.meter("calls")
        self.life.subscribe(items=[{"price": "pro"}])
        (self.invoice,) = self.life.issued()
        self.life.send("coupons", code="LAST", percent_off="10", duration="once", max_redemptions=1)
        self.life.send(f"subscriptions/{self.life.subscription}/discounts", coupon="LAST")

    @property
    def line(self) -> str:
        line: str = self.invoice["lines"][0]["id"]
        return line


@pytest.fixture
def world() -> World:
    return World()


def rows() -> dict[str, int]:
    """How many rows each table of ours holds, with one statement."""
    models = [model for model in apps.get_models() if model._meta.managed and model is not IdempotencyRecord]
    tables = sorted({model._meta.db_table for model in models} | {"billing_usageevent", "billing_usageeventkey"})
    counts = " UNION ALL ".join(f"SELECT '{table}', count(*) FROM {table}" for table in tables)  # noqa: S608 -- ours
    with connection.cursor() as cursor:
        cursor.execute(counts)
        return dict(cursor.fetchall())


Makes = Callable[[World], tuple[str, Body]]


def price(**terms: Any) -> Makes:
    body = {"plan": "pro", "code": "bad", "currency": "EUR", "interval": "month", "model": "per_unit"} | terms
    return lambda world: ("prices", body)


def tiers(*rows: tuple[int | None, str]) -> Makes:
    return price(model="graduated", tiers=[{"up_to": up_to, "unit_amount": amount} for up_to, amount in rows])


def subscription(**body: Any) -> Makes:
    return lambda world: ("subscriptions", {"customer": world.life.customer, "items": [{"price": "pro"}]} | body)


def verb(name: str, **body: Any) -> Makes:
    return lambda world: (f"subscriptions/{world.life.subscription}/{name}", body)


def coupon(**terms: Any) -> Makes:
    return lambda world: ("coupons", {"code": "BAD", "duration": "once"} | terms)


def payment(**body: Any) -> Makes:
    return lambda world: (f"invoices/{world.invoice['id']}/payment", body)


def clock(**body: Any) -> Makes:
    return lambda world: (f"test_clocks/{world.life.clock}/advance", body)


def note(amount: int, **body: Any) -> Makes:
    return lambda world: (
        "credit_notes",
        {"invoice": world.invoice["id"], "lines": [{"invoice_line": world.line, "amount": amount}]} | body,
    )


def by_hand(*, currency: str = "EUR", **line: Any) -> Makes:
    return lambda world: (
        "invoices",
        {"customer": world.life.customer, "currency": currency, "lines": [{"description": "Work"} | line]},
    )


def adjustment(**body: Any) -> Makes:
    return lambda world: ("balance_entries", {"customer": world.life.customer, "reason": "Goodwill."} | body)


REFUSED: dict[str, tuple[Makes, int, str]] = {  # status, field
    "tiers that overlap": (tiers((10, "5"), (10, "4"), (None, "3")), 400, "tiers"),
    "tiers in the wrong order": (tiers((20, "5"), (10, "4"), (None, "3")), 400, "tiers"),
    "tiers that end": (tiers((10, "5"), (20, "4")), 400, "tiers"),
    "tiers with a gap": (tiers((None, "5"), (20, "4"), (None, "3")), 400, "tiers"),
    "no tiers": (price(model="graduated"), 400, "tiers"),
    "a negative rate": (price(unit_amount="-1"), 400, "unit_amount"),
    "a negative rate of a tier": (tiers((None, "-1")), 400, "tiers.0.unit_amount"),
    "a negative minimum": (price(unit_amount="1", minimum_amount=-1), 400, "minimum_amount"),
    "negative included units": (price(unit_amount="1", included_units=-1), 400, "included_units"),
    "a million months an interval": (price(unit_amount="1", interval_count=1_000_000), 400, "interval_count"),
    "a meter that doesn't exist": (
        price(unit_amount="1", timing="in_arrears", meter="nothing"),
        400,
        "meter",
    ),
    "a negative quantity": (subscription(items=[{"price": "pro", "quantity": -1}]), 400, "items.0.quantity"),
    "a price in another currency": (subscription(items=[{"price": "pro-usd"}]), 400, "items.0.price"),
    "a start in the year 9999": (subscription(start_at="9999-12-31T00:00:00Z"), 400, "start_at"),
    "a start in the year 1": (subscription(start_at="0001-01-01T00:00:00Z"), 400, "start_at"),
    "a start hundreds of periods ago": (subscription(start_at="1970-01-01T00:00:00Z"), 400, "start_at"),
    "a trial of a million days": (subscription(trial_days=1_000_000), 400, "trial_days"),
    "an end in the year 9999": (verb("cancellation", when="9999-12-31T00:00:00Z"), 400, "when"),
    "an end in the past": (verb("cancellation", when="2026-01-09T00:00:00Z"), 400, "when"),
    "a change in the past": (verb("change", items=SEATS, effective="2026-01-09T00:00:00Z"), 400, "effective"),
    "a change in the year 9999": (verb("change", items=SEATS, effective="9999-12-31T00:00:00Z"), 400, "effective"),
    "a pause until the year 9999": (verb("pause", resume_at="9999-12-31T00:00:00Z"), 400, "resume_at"),
    "a coupon that is used up": (subscription(coupon="LAST"), 400, "coupon"),
    "a coupon of more than all": (coupon(percent_off="101"), 400, "percent_off"),
    "a coupon of a million periods": (
        coupon(percent_off="10", duration="repeating", duration_in_periods=1_000_000),
        400,
        "duration_in_periods",
    ),
    "a negative payment": (payment(amount=-100), 400, "amount"),
    "a payment of nothing": (payment(amount=0), 400, "amount"),
    "a payment in the year 9999": (payment(amount=100, paid_at="9999-12-31T00:00:00Z"), 400, "paid_at"),
    "a credit note above the invoice": (note(4901), 400, "lines.0.amount"),
    "a credit note over nothing": (note(0), 400, "lines.0.amount"),
    "a negative credit note": (note(-1), 400, "lines.0.amount"),
    "a credit note settled nowhere": (note(1, settle="somehow"), 400, "settle"),
    "an invoice by hand below zero": (by_hand(amount=-100), 400, "lines.0.amount"),
    "an invoice by hand with a negative quantity": (by_hand(unit_amount="100", quantity=-1), 400, "lines.0.quantity"),
    "an invoice by hand in another currency": (by_hand(amount=100, currency="USD"), 400, "currency"),
    "an invoice by hand for the year 9999": (
        by_hand(amount=100, period_start="2026-01-01T00:00:00Z", period_end="9999-12-31T00:00:00Z"),
        400,
        "lines.0.period_end",
    ),
    "an invoice by hand for a time that ends before it begins": (
        by_hand(amount=100, period_start="2026-02-01T00:00:00Z", period_end="2026-01-01T00:00:00Z"),
        400,
        "lines.0.period_end",
    ),
    "more from the balance than it holds": (adjustment(amount=-1), 409, "amount"),
    "credit in another currency": (adjustment(amount=100, currency="USD"), 400, "currency"),
    "credit of nothing": (adjustment(amount=0), 400, "amount"),
    "time that goes to the year 9999": (clock(frozen_time="9999-12-31T00:00:00Z"), 400, "frozen_time"),
    "time that goes on a million days": (clock(frozen_time="4763-11-27T00:00:00Z"), 400, "frozen_time"),
    "time that goes back": (clock(frozen_time="2026-01-09T00:00:00Z"), 409, "frozen_time"),
}


def test_is_refused_with_the_field_and_nothing_is_written(world: World) -> None:
    """One world for the whole table: it stays as it is."""
    before, wrong = rows(), {}
    for name, (makes, status, attr) in REFUSED.items():
        path, body = makes(world)
        began = time.monotonic()
        response = world.life.client.post(f"{api.BASE}/{path}", body, format="json")
        errors = response.json().get("errors", [])
        if (response.status_code, [one["attr"] for one in errors]) != (status, [attr]) or rows() != before:
            wrong[name] = (response.status_code, errors, rows().items() - before.items())
        assert time.monotonic() - began < SECONDS, name
    assert not wrong, "\n".join(f"{name}: {found}" for name, found in wrong.items())


def test_an_event_with_a_negative_quantity_is_rejected_alone(world: World) -> None:
    event = {"name": "calls", "customer": world.life.customer}
    before = rows()
    told = world.life.send("usage_events", events=[event | {"id": "bad", "quantity": -5}])
    assert (told["accepted"], [one["id"] for one in told["rejected"]]) == (0, ["bad"])
    assert rows() == before


def test_the_rows_of_every_table_are_counted() -> None:
    counted = rows()
    assert {"billing_invoice", "billing_usageevent", "shared_event", "crm_account"} <= set(counted)
    assert len(counted) > 60


def test_a_caller_is_told_one_problem_in_one_shape(world: World) -> None:
    response = world.life.client.post(f"{api.BASE}/subscriptions", {"customer": world.life.customer}, format="json")
    assert api.problem(response, status=400) == ("required", "plan")
