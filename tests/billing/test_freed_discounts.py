"""What discounts took of time that isn't used is free again: once, whatever stops the time and in whatever order."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Q, Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import changes, pauses, runs, subscriptions
from billing.models import DiscountUse, Plan, Subscription
from gtm.shared.errors import DomainError
from tests.billing import makers
from tests.billing.test_random_lives import undone
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
WHOLE: list[dict[str, Any]] = [
    {"percent_off": Decimal(100), "duration": "forever"},
    {"amount_off": 20_000, "currency": "USD"},
    {"amount_off": 6000, "currency": "USD", "duration": "forever"},
]


def begin(**coupon: Any) -> Subscription:
    """49.00 a month from 1 January, and nothing to pay for it."""
    makers.legal_entity(timezone="UTC")
    plan = makers.published_plan()
    return makers.subscribed(makers.customer(), plan=plan, coupons=[makers.coupon(**coupon)])


def used_and_freed() -> list[tuple[int, int]]:
    """By line and discount."""
    rows = DiscountUse.objects.values("invoice_line", "discount").annotate(
        used=Sum("amount", filter=Q(amount__gt=0)), freed=-Sum("amount", filter=Q(amount__lt=0), default=0)
    )
    return [(row["used"], row["freed"]) for row in rows.order_by("invoice_line")]


def test_an_end_after_a_pause_frees_nothing_again() -> None:
    subscription = begin(amount_off=20_000, currency="USD")
    pauses.pause(subscription=subscription, at=JAN_1 + timedelta(days=1, hours=12))
    assert used_and_freed() == [(4900, 4584)]  # 29 of 31 days
    subscriptions.cancel(subscription=subscription, when="now", credit="prorate", at=JAN_1 + timedelta(days=3))
    assert used_and_freed() == [(4900, 4584)]


Step = Callable[[Subscription, random.Random, datetime], object]


def _change(subscription: Subscription, chance: random.Random, at: datetime) -> None:
    plan = chance.choice(list(Plan.objects.all()))
    changes.change(subscription=subscription, plan=plan, effective="now", prorate=chance.random() < 0.8, at=at)


STEPS: list[Step] = [
    lambda one, _chance, at: pauses.pause(subscription=one, at=at),
    lambda one, _chance, at: pauses.pause(subscription=one, when=at + timedelta(days=5), at=at),
    lambda one, _chance, at: pauses.resume(subscription=one, at=at),
    lambda _one, _chance, at: runs.bill_due(at=at),
    _change,
    _change,
]


@given(seed=st.integers(0, 2**32), terms=st.sampled_from(WHOLE), steps=st.integers(2, 6))
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
def test_never_more_is_freed_than_was_used(seed: int, terms: dict[str, Any], steps: int) -> None:
    with undone():
        subscription, chance, at = begin(**terms), random.Random(seed), JAN_1  # noqa: S311 -- no secret
        makers.price(plan=makers.plan(code="bigger", published=False), code="bigger", unit_amount=5900)
        for _step in range(steps):
            at += timedelta(hours=chance.randrange(1, 24 * 12))
            try:
                with undone(keep=True):
                    chance.choice(STEPS)(subscription, chance, at)
            except DomainError:
                continue
        subscription.refresh_from_db()
        if subscription.status not in Subscription.ENDED:
            subscriptions.cancel(subscription=subscription, when="now", credit="prorate", at=at + timedelta(days=2))
        for used, freed in used_and_freed():
            assert 0 <= freed <= used
