"""Cases about coupons: what they take off, off which lines, and what is left of them.

The fees of a case are usage at a minor unit each, so that every month can cost what the case says.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from billing import coupons
from billing.models import Coupon, Discount, Invoice, Price, Subscription
from tests.billing.cases.book import Case, case
from tests.billing.cases.payer import MADE, Payer
from tests.billing.lives import local

pytestmark = pytest.mark.django_db
MONTHS = [f"2026-{month:02}" for month in range(1, 7)]


def coupon(code: str, *, amount: int | None = None, percent: str = "", **terms: Any) -> Coupon:
    worth = {"percent_off": Decimal(percent.rstrip("%"))} if percent else {"amount_off": amount, "currency": "EUR"}
    return coupons.create(at=MADE, code=code, **worth | terms)


def start(payer: Payer, fees: Sequence[Price], *given: Coupon) -> Subscription:
    return payer.start(*fees, at=local(f"{MONTHS[0]}-01"), coupons=given)


def month(payer: Payer, index: int, fees: Sequence[Price], costs: Sequence[int]) -> Invoice:
    """The invoice of the month, in which so much was used of each."""
    payer.cost(fees, costs, at=local(f"{MONTHS[index]}-15"))
    payer.bill(local(f"{MONTHS[index + 1]}-01"))
    return payer.invoices()[-1]


def off(invoice: Invoice) -> list[int]:
    return [line.discount_amount for line in invoice.lines.order_by("subscription_item")]


@case("lago-coupon-once-larger", "lago-coupon-partially-used", "lago-coupon-percent-once")
def test_once(case: Case, unit: str) -> None:
    """What was used of a coupon before the case begins is used by a month of that cost."""
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit)
    terms = inputs["coupon"]
    given = coupon("ONCE", amount=terms.get("amount"), percent=terms.get("applied_rate", ""), duration="once")
    fees = payer.fees("fee", len(inputs["fees"]))
    start(payer, fees, given)
    before = terms.get("used", 0)
    if before:
        month(payer, 0, fees, [before, 0])
    found = month(payer, 1 if before else 0, fees, inputs["fees"])
    assert (found.discount_total, off(found)) == (expected["credit"], expected["per_fee"])
    assert (Discount.objects.get().ended_at is not None) == expected["terminated"]
    if not expected["terminated"]:  # the rest of it comes off the next month
        following = month(payer, 2, fees, inputs["fees"])
        assert following.discount_total == terms["amount"] - expected["credit"]


@case("lago-coupon-recurring-3")
def test_so_many_periods(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    terms = inputs["coupon"]
    payer = Payer.begin(unit)
    given = coupon("THREE", amount=terms["amount"], duration="repeating", duration_in_periods=terms["duration"])
    fees = payer.fees("fee", len(inputs["fees"]))
    start(payer, fees, given)
    assert month(payer, 0, fees, inputs["fees"]).discount_total == expected["credit"]
    assert (Discount.objects.get().ended_at is not None) == expected["terminated"]
    later = [month(payer, index, fees, inputs["fees"]).discount_total for index in range(1, 5)]
    assert [amount for amount in later if amount] == [terms["amount"]] * expected["remaining"]


@case("lago-coupon-two-subs")
def test_two_coupons_never_take_more_than_there_is(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit, tax=inputs["tax_rate"])
    fees = payer.fees("fee", len(inputs["fees"]))
    start(payer, fees, *[coupon(f"C{n}", amount=amount) for n, amount in enumerate(inputs["coupons"])])
    found = month(payer, 0, fees, inputs["fees"])
    assert off(found) == expected["coupon_per_fee"]
    assert [line.tax_amount for line in found.lines.all()] == expected["tax"]
    assert found.total == 0


@case("lago-cn-two-coupons-six-fees")
def test_two_coupons_on_six_fees(case: Case, unit: str) -> None:
    """The source keeps decimals of each share; here they are whole, each the next to it for each of the coupons."""
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit, tax=inputs["tax_rate"])
    fees = payer.fees("fee", len(inputs["fees"]))
    start(payer, fees, *[coupon(f"C{n}", amount=amount) for n, amount in enumerate(inputs["coupons"])])
    found = month(payer, 0, fees, inputs["fees"])
    assert (found.subtotal, found.discount_total) == (expected["fees_amount"], expected["coupons"])
    assert (found.tax_total, found.total) == (expected["tax"], expected["total"])
    for share, precise in zip(off(found), expected["precise_coupons"], strict=True):
        assert abs(share - Decimal(precise)) < len(inputs["coupons"])


@case("polar-discount-allocate")
def test_an_amount_is_shared_by_largest_remainder(case: Case, unit: str) -> None:
    """A share of the total is taken once and shared too, where the source takes it off each line by itself."""
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit)
    rate, percent_fees = inputs["percent"]
    lives = [(coupon(f"C{n}", amount=amount), fees) for n, (amount, fees) in enumerate(inputs["cases"])]
    lives.append((coupon("PERCENT", percent=rate), percent_fees))
    found = []
    for given, costs in lives:
        fees = payer.fees(given.code.lower(), len(costs))
        subscription = start(payer, fees, given)
        payer.cost(fees, costs, at=local("2026-01-15"))
        found.append(subscription)
    payer.bill(local("2026-02-01"))
    (invoice,) = payer.invoices()
    lines = {subscription.pk: [] for subscription in found}
    for line in invoice.lines.order_by("subscription_item"):
        lines[line.subscription_id].append(line.discount_amount)
    *fixed, percent = lines.values()
    assert fixed == expected["fixed"]
    assert sum(percent) == expected["percent_on_total"]
