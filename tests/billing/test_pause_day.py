"""The day of a pause: it is billed, and all that is used on it counts once, before, in and after the pause."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing import pauses
from billing.models import Charge, LateUsage, Subscription
from gtm.shared import db, periods, vendors
from tests.billing import makers
from tests.billing.metered import MeteredLife

pytestmark = pytest.mark.django_db
DAY = "2026-01-11"


def use(life: MeteredLife, first: int, last: int) -> None:
    """One unit in each of these hours of the day; some are known before their time, some after it."""
    life.report(*((f"hour-{hour}", f"{DAY}T{hour:02}:20", 1) for hour in range(first, last)))


def asked() -> list[tuple[int, int]]:
    """Hours and quantities of all usage that was charged for."""
    found = Charge.objects.filter(kind="usage").exclude(status="replaced")
    return [(int(one.quantity), one.amount) for one in found.order_by("period_start", "revision")]


@pytest.mark.parametrize("unit", ["day", "second"])
def test_each_hour_counts_once(unit: str) -> None:
    """Paused at 12:00 and at 17:00, resumed at 15:00 and at 18:00; by the second what is used in between is free."""
    vendors.change(proration_unit=unit)
    life = MeteredLife.begin_metered(model="per_unit", unit_amount=1)
    terms: list[tuple[int, Any]] = [(12, pauses.pause), (15, pauses.resume), (17, pauses.pause), (18, pauses.resume)]
    since = 0
    for hour, act in terms:
        use(life, since, since + 1)
        life.until(f"{DAY}T{hour:02}:00")
        use(life, since + 1, hour)
        act(subscription=Subscription.objects.get(), at=datetime(2026, 1, 11, hour, tzinfo=UTC))
        since = hour
    use(life, 18, 21)
    life.until("2026-01-12T00:00")
    use(life, 21, 24)
    life.report(("the day after", "2026-01-12T00:20", 5))
    life.until("2026-03-01T00:00")
    counted = sum(quantity for quantity, _amount in asked())
    assert counted == (24 + 5 if unit == "day" else 24 - 4 + 5)
    assert sum(amount for _quantity, amount in asked()) == counted
    assert sum(line["amount"] for line in life.lines()) == counted


def test_what_is_billed_before_the_day_is_over_is_looked_at_again_when_it_has_settled() -> None:
    now = db.now()
    makers.legal_entity(timezone="UTC")
    vendors.change(draft_grace_minutes=0)
    plan = makers.plan(code="metered")
    makers.price(plan=plan, model="per_unit", unit_amount=1, timing="in_arrears", meter=makers.meter())
    customer = makers.customer()
    subscription = makers.subscribed(customer, plan=plan, at=now - timedelta(days=9))
    makers.calls(customer, 2, at=now - timedelta(hours=1))
    pauses.pause(subscription=subscription, at=now)
    midnight = periods.start_of_day(periods.local_date(now, "UTC") + timedelta(days=1), "UTC")
    assert Charge.objects.get(kind="usage").period_end == midnight
    assert LateUsage.objects.latest("noted_at").noted_at == midnight + timedelta(hours=1)
