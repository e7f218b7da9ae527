"""Cases about what an end gives back: unused days of what was paid ahead, with their tax, as credit or as a refund."""

import pytest

from billing.models import CreditNote, CustomerBalance, Invoice, Refund
from tests.billing.cases.book import Case, case
from tests.billing.cases.payer import Payer, amounts, totals
from tests.billing.lives import day_of, local

pytestmark = pytest.mark.django_db


def note(payer: Payer) -> CreditNote:
    """The only one."""
    return CreditNote.objects.get(customer=payer.customer)


def summed(found: CreditNote) -> dict[str, int]:
    return {"net": found.subtotal, "tax": found.tax_total, "total": found.total}


def balance(payer: Payer) -> int:
    return sum(CustomerBalance.objects.filter(customer=payer.customer).values_list("amount", flat=True))


@case("lago-term-adv-credit")
def test_the_credit_pays_part_of_the_closing_invoice(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit, tax=inputs["tax_rate"])
    price = payer.price("plan", inputs["plan_price"])
    usage = payer.metered("usage", plan=price.plan, unit_amount=inputs["usage"]["unit_price"])
    start = payer.moment(inputs["start"])
    subscription = payer.start(price, usage, at=start, alignment=inputs["alignment"])
    assert totals(payer.invoices()[0]) == expected["first_invoice"]
    payer.pay(at=start)
    payer.use(usage, inputs["usage"]["units"], at=local("2025-02-15T10:00"))
    payer.cancel(subscription, at=payer.last(inputs["terminate_at"]), credit="prorate")
    assert summed(note(payer)) == expected["credit_note"]
    final, stated = payer.invoices()[-1], expected["final_invoice"]
    assert (final.subtotal, final.tax_total) == (stated["net"], stated["tax"])
    assert (final.balance_applied, final.amount_due) == (stated["credit_notes_applied"], stated["total"])
    assert balance(payer) == expected["credit_balance"]


@case("lago-term-adv-sameday-leapfeb")
def test_an_end_on_the_day_of_the_start_costs_that_day(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit, tax=inputs["tax_rate"])
    start = payer.moment(inputs["start"])
    subscription = payer.start(payer.price("plan", inputs["plan_price"]), at=start)
    payer.pay(at=start)
    payer.cancel(subscription, at=payer.last(inputs["terminate_at"]), credit="prorate")
    assert note(payer).total == expected["credit_note"] == balance(payer)
    assert sum(one.total for one in payer.invoices()[1:]) == expected["final_total"]


@case("lago-cn-round-1", "lago-cn-round-2")
def test_net_and_tax_of_the_note_are_rounded_by_themselves(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit, tax=inputs["tax_rate"])
    start = payer.moment(inputs["start"])
    price = payer.price("plan", inputs["plan_price"])
    subscription = payer.start(price, at=start, alignment=inputs["alignment"])
    if "invoice" in expected:
        assert totals(payer.invoices()[0]) == expected["invoice"]
    payer.pay(at=start)
    payer.cancel(subscription, at=payer.last(inputs["terminate_at"]), credit="prorate")
    stated = expected["credit_note"]
    assert {name: amount for name, amount in summed(note(payer)).items() if name in stated} == {
        name: stated[name] for name in ("net", "tax", "total")
    }


@pytest.mark.parametrize("credit", ["prorate", "refund"])
@case("kb-early-cancel-refund")
def test_unused_time_goes_to_the_balance_or_back(case: Case, unit: str, credit: str) -> None:
    """The source doesn't bill the day of the end, so that its end on the 10th is one on the 9th here."""
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit)
    start = local("2013-07-31")
    assert start.day == inputs["bcd"]
    subscription = payer.start(payer.price("plan", inputs["plan_price"]), at=start)
    payer.bill(local("2013-08-31"))
    payer.pay(at=local("2013-08-31"))
    unused_from = local(inputs["cancel_at"])
    last_day = unused_from if unit == "second" else unused_from.replace(day=unused_from.day - 1)
    payer.cancel(subscription, at=last_day, credit=credit)
    found = note(payer)
    assert -found.total == expected["repair"]
    assert day_of(found.lines.get().period_start, "UTC") == inputs["cancel_at"]
    assert [one.amount_due for one in payer.invoices()] == [0, 0]
    if credit == "prorate":
        assert balance(payer) == expected["credit"]
    else:
        assert [one.amount for one in Refund.objects.filter(customer=payer.customer)] == [inputs["refund"]]
        assert set(expected["after_refund"].values()) == {balance(payer)}


@case("lago-spending-min-termination")
def test_a_minimum_of_usage_shrinks_with_the_days(case: Case, unit: str) -> None:
    """Usage and what lifts it to the minimum stand on one line here, which says both."""
    inputs, expected = case["inputs"], case["expected"]
    grace = {"draft_grace_minutes": 3 * 24 * 60}
    payer = Payer.begin(unit, tax=inputs["tax_rate"], **grace)
    price = payer.price("plan", inputs["plan_price"])
    terms = {"unit_amount": inputs["metric"]["unit_price"], "minimum_amount": inputs["metric"]["minimum"]}
    usage = payer.metered("usage", plan=price.plan, **terms)
    start, end = payer.moment(inputs["start"]), payer.last(inputs["terminate_at"])
    subscription = payer.start(price, usage, at=start, alignment="calendar")
    assert payer.invoices()[0].total == expected["first_invoice_total"]
    payer.bill(local("2023-02-01"), local("2023-02-04"))
    payer.pay(at=local("2023-02-04"))
    payer.use(usage, inputs["metric"]["units"], at=local("2023-02-10T10:00"))
    payer.cancel(subscription, at=end, credit="prorate")
    assert summed(note(payer)) == expected["credit_note"]
    draft = Invoice.objects.get(customer=payer.customer, status=Invoice.Status.DRAFT)
    payer.bill(local("2023-03-01"))
    final, stated = payer.invoices()[-1], expected["final"]
    assert (final.pk, amounts(final)) == (draft.pk, [expected["usage"] + expected["true_up"]])
    assert (final.subtotal, final.tax_total) == (stated["net"], stated["tax"])
    assert final.tax_total == expected["usage_tax"] + expected["true_up_tax"]
    assert (final.balance_applied, final.amount_due) == (stated["credit_note"], stated["total"])
    said = {step["code"]: step for step in final.lines.get().explanation}
    assert int(said["minimum"]["rated"]) == expected["usage"]
