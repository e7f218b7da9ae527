"""Parts of metered periods: what was removed and added again, and periods whose clock has changed."""

from datetime import UTC, datetime, timedelta

import pytest

from billing import changes, customers, runs, subscriptions, usage
from billing.models import Charge, InvoiceLine
from billing.selection import ItemTerms
from gtm.shared import vendors
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
JAN_11, JAN_21 = JAN_1 + timedelta(days=10), JAN_1 + timedelta(days=20)
FEB_1, FEB_5 = JAN_1 + timedelta(days=31), JAN_1 + timedelta(days=35)


def test_what_was_removed_and_added_again_is_rated_late_as_it_was_at_first() -> None:
    """310 units are included in January; in each of its parts as many as it has days for."""
    makers.legal_entity(timezone="UTC")
    vendors.change(draft_grace_minutes=0)
    plan, customer = makers.plan(), makers.customer(collection_method="send_invoice")
    calls = {"model": "per_unit", "unit_amount": 1, "included_units": 310, "timing": "in_arrears"}
    seat = ItemTerms(makers.price(plan=plan, code="seat"))
    both = [seat, ItemTerms(makers.price(plan=plan, code="calls", meter=makers.meter(), **calls))]
    one = subscriptions.create(customer=customer, items=both, at=JAN_1)
    makers.calls(customer, 50, at=JAN_1 + timedelta(days=3))
    changes.change(subscription=one, items=[seat], effective="now", invoicing="now", at=JAN_11)
    changes.change(subscription=one, items=both, effective="now", invoicing="now", at=JAN_21)
    makers.calls(customer, 200, at=JAN_1 + timedelta(days=25))
    runs.bill_due(at=FEB_1)
    billed = Charge.objects.filter(kind="usage").order_by("period_start", "revision").values_list("quantity", "amount")
    assert list(billed.all()) == [(50, 0), (200, 90)]
    usage.record(events=[makers.usage_event(customer, "late", timestamp=JAN_1 + timedelta(days=26))], at=FEB_5)
    runs.bill_due(at=FEB_5)
    assert list(billed.all()) == [(50, 0), (200, 90), (1, 1)]


@pytest.mark.parametrize("unit", ["day", "second"])
@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles"])
def test_after_a_move_periods_go_on_without_gap_and_cost_the_same(unit: str, zone: str) -> None:
    """A changed zone applies from the next period."""
    vendors.change(proration_unit=unit)
    makers.legal_entity(timezone="UTC")
    customer = makers.customer(collection_method="send_invoice", timezone="Europe/Berlin")
    start = datetime(2026, 1, 31, 10, 30, tzinfo=UTC)
    makers.subscribed(customer, plan=makers.published_plan(at=JAN_1), at=start, minimum_amount=5000)
    end = InvoiceLine.objects.get().period_end
    customers.change(customer=customer, timezone=zone, at=start + timedelta(days=15))
    for month in (3, 4, 5):
        runs.bill_due(at=datetime(2026, month, 2, tzinfo=UTC))
    lines = list(InvoiceLine.objects.filter(kind="recurring").order_by("period_start"))
    assert lines[0].period_end == end
    assert [one.period_end for one in lines[:-1]] == [one.period_start for one in lines[1:]]
    assert [one.amount for one in lines] == [4900] * 4
    missing = InvoiceLine.objects.filter(kind="minimum").order_by("period_start")
    assert [(one.amount, one.period_start) for one in missing] == [(100, one.period_start) for one in lines[:-1]]
