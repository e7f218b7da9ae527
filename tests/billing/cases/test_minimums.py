"""Cases about a minimum commitment: what is missing to it stands on the last invoice of the period, before coupons."""

from fractions import Fraction

import pytest

from billing import changes, coupons
from billing.models import InvoiceLine, LineKind
from tests.billing.cases.book import Case, case, half_up
from tests.billing.cases.payer import MADE, Payer, items_of
from tests.billing.lives import day_of, local

pytestmark = pytest.mark.django_db


def true_ups(payer: Payer) -> list[InvoiceLine]:
    return [line for line in payer.lines() if line.kind == LineKind.MINIMUM]


@case("lago-mincommit-year-cal")
def test_a_cut_period_has_its_share_of_the_commitment(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit)
    price = payer.price("plan", inputs["plan_price"], interval=inputs["interval"], timing="in_arrears")
    terms = {"alignment": inputs["alignment"], "minimum_amount": inputs["minimum_commitment"]}
    payer.start(price, at=payer.moment(inputs["start"]), **terms)
    payer.bill(local(inputs["billed_at"]))
    (found,) = true_ups(payer)
    assert found.amount == expected["true_up"]
    days = Fraction(expected["days"])
    plan, committed = (half_up(inputs[name] * days) for name in ("plan_price", "minimum_commitment"))
    assert (found.amount, payer.invoices()[0].subtotal) == (committed - plan, committed)


@case("lago-mincommit-usage-ann", "lago-mincommit-usage-quarter")
def test_usage_counts_and_a_coupon_does_not(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    interval = inputs.get("interval", "month")
    payer = Payer.begin(unit)
    price = payer.price("plan", inputs["plan_price"], interval=interval, timing="in_arrears")
    fees = [
        payer.metered(f"fee-{n}", plan=price.plan, unit_amount=1, interval=interval)
        for n in range(len(inputs["usage"]))
    ]
    given = []
    if "coupon" in inputs:
        terms = {"amount_off": inputs["coupon"], "currency": "EUR", "duration": "forever"}
        given.append(coupons.create(at=MADE, code="ALL", **terms))
    start = payer.moment(inputs["start"])
    terms = {"alignment": inputs["alignment"], "minimum_amount": inputs["minimum_commitment"], "coupons": given}
    subscription = payer.start(price, *fees, at=start, **terms)
    payer.cost(fees, inputs["usage"], at=local("2024-03-20"))
    first, second = subscription.current_period_end, local("2024-07-01" if interval == "quarter" else "2024-04-28")
    payer.bill(first)
    payer.use(fees[0], inputs.get("second_period_recurring_usage", 1000), at=first)
    payer.bill(second if unit == "day" or interval == "quarter" else second.replace(hour=0))
    assert [line.amount for line in true_ups(payer)] == [expected["true_up_period_1"], expected["true_up_period_2"]]


@case("lago-mincommit-downgrade")
def test_a_downgrade_at_the_end_of_the_period_owes_all_of_it(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit)
    price = payer.price("plan", inputs["plan_price"], timing="in_arrears")
    smaller = payer.price("smaller", inputs["plan_price"] // 2, timing="in_arrears")
    terms = {"alignment": inputs["alignment"], "minimum_amount": inputs["minimum_commitment"]}
    subscription = payer.start(price, at=local(inputs["start"]), **terms)
    payer.bill(local("2024-04-01"), local("2024-05-01"))
    at = local(inputs["downgrade_requested"])
    changes.change(subscription=subscription, plan=smaller.plan, items=items_of([smaller]), at=at)
    payer.bill(local(inputs["run_at"]))
    assert [one.total for one in payer.invoices()] == [
        expected[f"{month}_total"] for month in ("march", "april", "may")
    ]
    plan, true_up = payer.invoices()[-1].lines.order_by("position")
    assert (plan.amount, true_up.amount) == (expected["may_plan"], expected["may_true_up"])
    start, last = expected["may_period"].split("..")
    for line in (plan, true_up):
        assert day_of(line.period_start, "UTC") == start
        assert line.period_end == local(last).replace(month=6, day=1)
