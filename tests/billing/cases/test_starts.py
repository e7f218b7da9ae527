"""Cases about what a start costs: partial first periods, trials, and days in the customer's zone."""

from datetime import timedelta
from fractions import Fraction

import pytest

from billing.models import Subscription
from gtm.shared import periods
from tests.billing.cases.book import Case, case, elapsed, half_up
from tests.billing.cases.payer import Payer, amounts
from tests.billing.lives import day_of, local

pytestmark = pytest.mark.django_db


@case("lago-upg-cal-1", "lago-tz-week-denver", "lago-tz-week-halifax", "lago-tz-week-paris", "lago-tz-week-karachi")
def test_the_first_part_of_a_calendar_period_costs_its_days(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit, zone=inputs.get("customer_timezone") or inputs["timezone"], tax=inputs["tax_rate"])
    price = payer.price("plan", inputs["plan_price"], interval=inputs["interval"])
    payer.start(price, at=payer.moment(inputs["start"]), alignment=inputs["alignment"])
    (invoice,) = payer.invoices()
    assert invoice.subtotal == expected.get("invoice_net", expected.get("total"))
    (line,) = payer.lines()
    days = periods.days(periods.Period(line.period_start, line.period_end), payer.zone)
    assert Fraction(days, int(expected["days"].partition("/")[2])) == Fraction(expected["days"])


@case("lago-upg-cal-1")
def test_by_the_second_a_stub_costs_the_seconds_that_are_left(case: Case, unit: str) -> None:
    """At the very instant of the case, which is no midnight."""
    inputs = case["inputs"]
    payer = Payer.begin(unit)
    start = local(inputs["start"])
    payer.start(payer.price("plan", inputs["plan_price"]), at=start, alignment="calendar")
    share = elapsed(start, local("2024-04-01"), local("2024-03-01"), local("2024-04-01"))
    by_second = half_up(inputs["plan_price"] * share)
    assert payer.invoices()[0].subtotal == (case["expected"]["invoice_net"] if unit == "day" else by_second)


@case("om-second-proration")
def test_a_stub_in_the_second_and_in_the_day(case: Case, unit: str) -> None:
    """Stated in seconds; the days are those from the 21st, which counts whole, to the end of the month."""
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit)
    payer.start(payer.price("plan", inputs["plan_price"]), at=local(inputs["start"]), alignment="calendar")
    payer.bill(local(inputs["period_end"]))
    by_day = half_up(inputs["plan_price"] * Fraction(31 - 20, 31))
    assert [one.subtotal for one in payer.invoices()] == [
        expected["stub"] if unit == "second" else by_day,
        expected["next"],
    ]


@case("lago-trial-10")
def test_a_trial_is_followed_by_the_rest_of_the_calendar_month(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit, zone=inputs["customer_timezone"])
    price = payer.price("plan", inputs["plan_price"])
    start = payer.moment(inputs["start"])
    terms = {"trial_days": inputs["trial_days"], "alignment": inputs["alignment"]}
    subscription = payer.start(price, at=start, **terms)
    end = payer.moment(expected["billed_at"].rpartition(" ")[2])
    assert subscription.status == Subscription.Status.TRIALING
    assert subscription.trial_end == end
    payer.bill(end - timedelta(minutes=10))
    assert payer.invoices() == []
    payer.bill(end)
    assert [one.subtotal for one in payer.invoices()] == [expected["fee"]]


@case("lago-trial-10")
def test_by_the_second_the_day_on_which_a_trial_ends_is_cut(case: Case, unit: str) -> None:
    inputs = case["inputs"]
    payer = Payer.begin(unit)
    start = local(inputs["start"])
    payer.start(payer.price("plan", inputs["plan_price"]), at=start, trial_days=10, alignment="calendar")
    payer.bill(local("2024-03-15T12:12"))
    share = elapsed(local("2024-03-15T12:12"), local("2024-04-01"), local("2024-03-01"), local("2024-04-01"))
    by_second = half_up(inputs["plan_price"] * share)
    assert payer.invoices()[0].subtotal == (case["expected"]["fee"] if unit == "day" else by_second)


@case("lago-tz-kolkata", "lago-tz-bogota", "lago-tz-ann-kolkata")
def test_a_run_bills_when_the_customers_day_has_come_and_once(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit, zone=inputs["timezone"])
    start = payer.moment(inputs.get("start", "2023-02-01"))
    payer.start(payer.price("plan", 1000), at=start, alignment=inputs["alignment"])
    first = len(payer.invoices())
    counts = []
    for text in inputs["runs"]:
        payer.bill(local(text))
        counts.append(len(payer.invoices()) - first)
    assert counts == expected["invoices_after_run"]


@case("lago-leap-feb-calendar")
def test_an_invoice_names_the_month_ahead_and_the_month_of_usage(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit)
    price = payer.price("plan", inputs["plan_price"], interval=inputs["interval"])
    usage = payer.metered("usage", plan=price.plan, unit_amount=1)
    payer.start(price, usage, at=payer.moment(inputs["start"]), alignment=inputs["alignment"])
    payer.bill(local("2024-01-01"), local(inputs["run_at"]))
    invoice = payer.invoices()[-1]
    days = {
        line.price.code: f"{day_of(line.period_start, 'UTC')}..{day_of(line.period_end - timedelta(days=1), 'UTC')}"
        for line in invoice.lines.select_related("price")
    }
    assert days == {"plan": expected["plan_period"], "usage": expected["usage_period"]}
    assert (invoice.total, sorted(amounts(invoice))) == (expected["total"], [0, inputs["plan_price"]])
