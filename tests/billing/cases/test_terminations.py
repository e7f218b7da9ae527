"""Cases about the end of a subscription: which day is the last that is billed, and what the closing invoice says."""

from datetime import timedelta
from fractions import Fraction

import pytest

from billing import invoices
from billing.models import Invoice, Subscription
from tests.billing.cases.book import Case, case, elapsed, half_up
from tests.billing.cases.payer import Payer, amounts, totals
from tests.billing.lives import local

pytestmark = pytest.mark.django_db


@case("lago-term-quarter-calendar", "lago-term-tax-3days")
def test_the_day_of_termination_is_billed(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit, tax=inputs.get("tax_rate", ""))
    price = payer.price("plan", inputs["plan_price"], interval=inputs.get("interval", "month"), timing="in_arrears")
    subscription = payer.start(price, at=payer.moment(inputs["start"]), alignment="calendar")
    payer.cancel(subscription, at=payer.last(inputs["terminate_at"]))
    (invoice,) = payer.invoices()
    assert expected.get("fee", invoice.subtotal) == invoice.subtotal
    assert expected.get("total", invoice.total) == invoice.total
    assert half_up(inputs["plan_price"] * Fraction(expected["days"])) == invoice.subtotal


@case("lago-term-quarter-calendar")
def test_by_the_second_a_termination_is_billed_to_its_instant(case: Case, unit: str) -> None:
    inputs = case["inputs"]
    payer = Payer.begin(unit)
    price = payer.price("plan", inputs["plan_price"], interval="quarter", timing="in_arrears")
    start, end = local(inputs["start"]), local(inputs["terminate_at"])
    subscription = payer.start(price, at=start, alignment="calendar")
    payer.cancel(subscription, at=end)
    by_second = half_up(inputs["plan_price"] * elapsed(start, end, local("2024-04-01"), local("2024-07-01")))
    assert payer.invoices()[0].subtotal == (case["expected"]["fee"] if unit == "day" else by_second)


@case("lago-term-arrears")
def test_usage_and_the_plan_in_arrears_close_together(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]["final_invoice"]
    payer = Payer.begin(unit, tax=inputs["tax_rate"])
    price = payer.price("plan", inputs["plan_price"], timing="in_arrears")
    usage = payer.metered("usage", plan=price.plan, unit_amount=inputs["usage"]["unit_price"])
    subscription = payer.start(price, usage, at=payer.moment(inputs["start"]), alignment=inputs["alignment"])
    payer.use(usage, inputs["usage"]["units"], at=local("2025-02-15T10:00"))
    payer.cancel(subscription, at=payer.last(inputs["terminate_at"]))
    (invoice,) = payer.invoices()
    assert {line.price.code: line.amount for line in payer.lines()} == {
        "plan": expected["plan_fee"],
        "usage": expected["usage_fee"],
    }
    assert totals(invoice) == {name: expected[name] for name in ("net", "tax", "total")}
    assert invoice.credit_notes.count() == case["expected"]["credit_notes"]


@case("lago-end-bogota")
def test_days_are_those_of_the_customers_zone(case: Case, unit: str) -> None:
    """The seller issues in the same zone, as the source issues in the customer's."""
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit, zone=inputs["customer_timezone"])
    price = payer.price("plan", inputs["plan_price"], timing="in_arrears")
    end = payer.last(inputs["end"])
    subscription = payer.start(price, at=payer.moment(inputs["start"]))
    payer.cancel(subscription, when=end, at=payer.moment(inputs["start"]))
    payer.bill(end)
    (invoice,) = payer.invoices()
    assert invoice.total == expected["total"] == half_up(inputs["plan_price"] * Fraction(expected["days"]))
    if unit == "day":  # by the second the day is over when the subscription ends
        assert invoice.issue_date.isoformat() == expected["issuing_date"]


@case("lago-end-on-billing-day", "lago-end-on-billing-day-advance")
def test_an_end_on_the_billing_day_is_the_end_of_a_whole_period(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit, zone=inputs["customer_timezone"])
    price = payer.price("plan", inputs["plan_price"], timing=inputs["billing"])
    start = payer.moment(inputs["start"])
    subscription = payer.start(price, at=start, alignment=inputs["alignment"])
    payer.cancel(subscription, when="period_end", at=start)
    payer.bill(local(inputs["end"]))
    subscription.refresh_from_db()
    assert subscription.status == Subscription.Status.CANCELED
    issued = payer.invoices()
    assert [one.total for one in issued] == [inputs["plan_price"]]
    if inputs["billing"] == "in_arrears":
        assert (len(issued), issued[0].total) == (expected["invoices"], expected["total"])
        assert issued[0].issue_date.isoformat() == expected["issuing_date"]
    else:  # where the source issues one over 0 there is nothing to invoice
        assert sum(one.total for one in issued[1:]) == expected["final_total"]
        assert sum(one.credit_notes.count() for one in issued) == expected["credit_notes"]


@case("lago-end-after-calendar-run")
def test_a_termination_just_after_the_run_bills_one_day_more(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit, zone=inputs["customer_timezone"])
    price = payer.price("plan", inputs["plan_price"], timing="in_arrears")
    subscription = payer.start(price, at=payer.moment(inputs["start"]), alignment=inputs["alignment"])
    payer.bill(local("2023-09-01", payer.zone), local("2023-10-01", payer.zone))
    payer.cancel(subscription, at=payer.last(inputs["terminate_at"]))
    _august, september, october = payer.invoices()
    assert (september.total, october.total) == (expected["periodic_total"], expected["termination_total"])


@case("lago-term-grace")
def test_a_draft_in_its_grace_comes_to_the_same_when_it_is_rated_again(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    grace = timedelta(days=inputs["grace_days"])
    payer = Payer.begin(unit, tax=inputs["tax_rate"], draft_grace_minutes=grace // timedelta(minutes=1))
    price = payer.price("plan", inputs["plan_price"], timing="in_arrears")
    usage = payer.metered("usage", plan=price.plan, unit_amount=1)
    subscription = payer.start(price, usage, at=payer.moment(inputs["start"]), alignment="calendar")
    end = payer.last(inputs["terminate_at"])
    payer.cancel(subscription, at=end)
    draft = Invoice.objects.get()
    assert (draft.status, totals(draft)) == (Invoice.Status.DRAFT, {k: expected[k] for k in ("net", "tax", "total")})
    invoices.finalize(invoice=draft, at=end + grace / 2)
    (issued,) = payer.invoices()
    assert totals(issued) == totals(draft)
    assert issued.subtotal == half_up(inputs["plan_price"] * Fraction(expected["days"]))


@case("kb-usage-blocks")
def test_blocks_are_charged_whole_to_the_end(case: Case, unit: str) -> None:
    inputs = case["inputs"]
    payer = Payer.begin(unit)
    blocks = payer.metered("blocks", unit_amount=inputs["block_price"], model="package", package_size=inputs["block"])
    (start, first_end), (_start, end) = (text.split("..") for text in inputs["periods"])
    subscription = payer.start(blocks, at=payer.moment(start))
    for quantity, day in zip(inputs["usage"], ("2012-04-15T10:00", "2012-05-15T10:00"), strict=True):
        payer.use(blocks, quantity, at=local(day))
    payer.bill(local(first_end))
    payer.cancel(subscription, at=local(end))
    assert [amounts(one) for one in payer.invoices()] == [[amount] for amount in case["expected"]["amounts"]]


@case("kb-dst-cancel")
def test_an_end_on_the_bound_after_the_clocks_changed_credits_nothing(case: Case, unit: str) -> None:
    inputs = case["inputs"]
    payer = Payer.begin(unit, zone=inputs["timezone"])
    start = payer.moment(inputs["start"])
    subscription = payer.start(payer.price("plan", 1000), at=start, alignment="calendar")
    bound = local(inputs["cancel_local_date"], payer.zone)
    payer.cancel(subscription, when=bound, at=start)
    payer.bill(bound)
    assert [one.total for one in payer.invoices()] == [1000] * case["expected"]["invoices"]
    assert case["expected"]["repair"] is None
    assert not payer.invoices()[0].credit_notes.exists()
