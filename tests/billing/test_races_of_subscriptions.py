"""Two hundred rounds of each race that subscriptions have: changes, the bill run, and the last of a coupon."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise

import pytest

from billing import changes, coupons, discounts, runs
from billing.models import (
    Charge,
    Coupon,
    CreditNoteLine,
    Discount,
    Invoice,
    InvoiceLine,
    Price,
    Subscription,
    SubscriptionChange,
    SubscriptionItem,
)
from billing.selection import ItemTerms
from tests.billing.cases.payer import Payer
from tests.billing.lives import local
from tests.billing.oracle import cost
from tests.billing.racing import Call, Round, race

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 200
START = local("2024-01-01")
DAY = timedelta(days=1)


def test_the_last_redemption_of_a_coupon() -> None:
    """Twenty subscriptions of two payers, pair by pair, for coupons that can be taken once."""
    sides = [Payer.begin("day") for _side in range(2)]
    price = sides[0].price("plan", 1000)
    bought = [[payer.start(price, at=START, po_number=f"PO-{n}") for n in range(10)] for payer in sides]
    terms = {"amount_off": 100, "currency": "EUR", "max_redemptions": 1, "at": START}
    offered = [coupons.create(code=f"LAST-{n}", **terms) for n in range(ROUNDS)]
    redeem = partial(discounts.redeem, at=START)
    answers = race(
        [
            tuple(partial(redeem, coupon=coupon, subscription=side[n % 10]) for side in bought)
            for n, coupon in enumerate(offered)
        ]
    )
    assert {tuple(sorted(one)) for one in answers} == {("", "coupon_used_up")}
    assert Discount.objects.count() == ROUNDS
    assert set(Coupon.objects.values_list("times_redeemed", flat=True)) == {1}


def staggered(*, price: Price, payer: Payer) -> list[Subscription]:
    """Twenty subscriptions that begin a day after each other, so that each has its bounds to itself."""
    return [payer.start((price, 1), at=START + n * DAY, po_number=f"PO-{n}") for n in range(20)]


def to(subscription: Subscription, price: Price, quantity: int, *, at: datetime, now: bool) -> Call:
    terms = {"effective": "now" if now else "period_end", "invoicing": "next", "at": at}
    return lambda: changes.change(subscription=subscription, items=[ItemTerms(price, quantity)], **terms)


def tile(found: Sequence[Subscription]) -> None:
    """Each has one row that goes on, and every row before it ended where the next began."""
    for subscription in found:
        rows = list(SubscriptionItem.objects.filter(subscription=subscription).order_by("pk"))
        assert [row.ended_at is None for row in rows] == [*[False] * (len(rows) - 1), True]
        assert all(row.replaces == before and row.started_at == before.ended_at for before, row in pairwise(rows))


def asked(subscription: Subscription) -> int:
    """All that was billed and is going to be, less what was given back."""
    lines = InvoiceLine.objects.filter(subscription=subscription).exclude(invoice__status=Invoice.Status.VOID)
    notes = CreditNoteLine.objects.filter(invoice_line__in=lines)
    pending = Charge.objects.filter(subscription=subscription, status=Charge.Status.PENDING)
    billed, given_back, to_come = (sum(rows.values_list("amount", flat=True)) for rows in (lines, notes, pending))
    return billed - given_back + to_come


def owes_what_it_is(found: Sequence[Subscription], payer: Payer) -> None:
    """What was asked for each is what its time costs, to a minor unit for each row."""
    tile(found)
    for subscription in Subscription.objects.filter(pk__in=[one.pk for one in found]):
        rows = list(SubscriptionItem.objects.filter(subscription=subscription))
        exact = sum(cost(row, payer, until=subscription.current_period_end) for row in rows)
        assert abs(asked(subscription) - exact) <= len(rows)


@pytest.mark.slow
def test_two_changes() -> None:
    """Of the quantity; whichever comes second changes what the first one made. Two in five count at once."""
    payer = Payer.begin("day")
    price = payer.price("seat", 1000, model="per_unit", interval="quarter")
    found = staggered(price=price, payer=payer)
    rounds: list[Round] = []
    for n in range(ROUNDS):
        when = {"at": START + (21 + n // 20) * DAY, "now": n % 5 < 2}
        rounds.append(tuple(to(found[n % 20], price, 2 + n // 20 * 2 + side, **when) for side in range(2)))
    assert set(race(rounds)) == {("", "")}
    assert SubscriptionChange.objects.filter(kind="changed").count() == 2 * ROUNDS * 2 // 5
    owes_what_it_is(found, payer)


@pytest.mark.slow
def test_a_change_against_the_bill_run() -> None:
    """At the bound of a period, which is charged once whichever comes first. Two changes in five count at once."""
    payer = Payer.begin("day")
    price = payer.price("seat", 1000, model="per_unit", interval="week", interval_count=4)
    found = staggered(price=price, payer=payer)
    rounds: list[Round] = []
    for n in range(ROUNDS):
        at = START + (n % 20 + 28 * (1 + n // 20)) * DAY
        changed = to(found[n % 20], price, 2 + n // 20, at=at, now=n % 5 < 2)
        rounds.append((changed, partial(runs.bill_due, at=at, collect=False)))
    assert set(race(rounds)) == {("", "")}
    runs.bill_due(at=at)
    owes_what_it_is(found, payer)
