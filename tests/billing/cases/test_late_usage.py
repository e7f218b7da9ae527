"""Cases about usage that is reported after its period was invoiced."""

from datetime import datetime
from decimal import Decimal

import pytest

from billing import usage
from billing.models import InvoiceLine, Price
from billing.usage import UsageInput
from tests.billing.cases.book import Case, case
from tests.billing.cases.payer import Payer
from tests.billing.lives import day_of, local

pytestmark = pytest.mark.django_db

NOON = "T12:12:00"


def report(payer: Payer, price: Price, events: list[tuple[str, int]], *, at: datetime) -> None:
    assert price.meter is not None
    told = [
        UsageInput(
            id=f"{at.date()}/{day}",
            name=price.meter.event_name,
            customer=payer.customer.public_id,
            timestamp=local(day + NOON),
            quantity=Decimal(quantity),
        )
        for day, quantity in events
    ]
    assert usage.record(events=told, at=at).accepted == len(told)


def late_lines(lines: list[InvoiceLine], instant: datetime) -> list[dict[str, object]]:
    """As the case names them; there a month is named by its first day, here by the bound that it shares."""
    used = [line for line in lines if line.kind == "usage" and line.invoice.finalized_at == instant]
    return [{"usage": line.amount, "period": f"{_day(line.period_start)}..{_day(line.period_end)}"} for line in used]


def _day(bound: datetime | None) -> str:
    assert bound is not None
    return day_of(bound, "UTC").replace("2013-07-31", "2013-08-01")


@case("kb-usage-late")
def test_stands_on_the_next_invoice_as_a_line_of_its_own(case: Case, unit: str) -> None:
    """The source's plan begins with a month of usage alone: here two subscriptions, whose invoices are one."""
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit)
    used = payer.metered("used", unit_amount=inputs["unit_price"])
    ends = [local(day) for day in ("2013-08-31", "2013-09-30", "2013-10-31")]
    payer.start(used, at=local("2013-07-31"))
    payer.start(payer.price("plan", inputs["plan_price"]), at=local("2013-08-01"), start_at=ends[0])
    for end, events in zip(ends, (inputs["usage_first"], inputs["late"], inputs["late2"]), strict=True):
        report(payer, used, events, at=end)
        payer.bill(end)
    assert [invoice.total for invoice in payer.invoices()] == expected["invoices"]
    assert late_lines(payer.lines(), ends[1]) == expected["lines_second"]
    assert late_lines(payer.lines(), ends[2]) == expected["lines_third"]
