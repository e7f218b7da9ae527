"""What somebody asks for before the bill run has come: it begins where the subscription would stand by then."""

from datetime import UTC, datetime, timedelta

import pytest

from billing import catalog, pauses, runs, subscriptions
from billing.models import Charge, Invoice, PlanVersion, Price, Subscription
from billing.selection import ItemTerms
from gtm.shared.errors import Conflict
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
JAN_10 = datetime(2026, 1, 10, tzinfo=UTC)
FEB_1 = datetime(2026, 2, 1, tzinfo=UTC)
MAR_1 = datetime(2026, 3, 1, tzinfo=UTC)
LATE = FEB_1 + timedelta(minutes=5)  # no run has come to what was due on 1 February
Status = Subscription.Status


@pytest.fixture
def subscription() -> Subscription:
    """49.00 a month from 1 January, paid by card."""
    makers.legal_entity(timezone="UTC")
    return makers.subscribed(makers.customer(), plan=makers.published_plan())


def lite(subscription: Subscription) -> ItemTerms:
    """9.00 a month."""
    plan = makers.plan(code="lite", name="Lite")
    price = makers.price(plan=plan, code="lite-month", unit_amount=900)
    catalog.publish(plan=plan, at=JAN_1)
    return ItemTerms(price)


def billed() -> list[int]:
    return list(Invoice.objects.order_by("gathered_at").values_list("total", flat=True))


class TestCancellation:
    @pytest.mark.parametrize("when", ["now", "period_end"])
    def test_that_took_effect_is_not_put_off_by_another(self, subscription, when):
        subscriptions.cancel(subscription=subscription, at=JAN_10)
        with pytest.raises(Conflict):
            subscriptions.cancel(subscription=subscription, when=when, at=LATE)
        runs.bill_due(at=LATE)
        subscription.refresh_from_db()
        assert (subscription.status, subscription.ended_at, billed()) == (Status.CANCELED, FEB_1, [4900])

    def test_that_took_effect_is_not_undone(self, subscription):
        subscriptions.cancel(subscription=subscription, at=JAN_10)
        with pytest.raises(Conflict):
            subscriptions.undo_cancellation(subscription=subscription, at=FEB_1)

    def test_of_a_pause_that_took_effect_is_no_end_of_the_pause(self, subscription):
        pauses.pause(subscription=subscription, at=JAN_10)
        subscriptions.cancel(subscription=subscription, at=JAN_10)
        with pytest.raises(Conflict):
            pauses.resume(subscription=subscription, at=FEB_1)

    def test_bills_the_scheduled_change_before_it(self, subscription):
        subscriptions.change(subscription=subscription, items=[lite(subscription)], at=JAN_10)
        subscriptions.cancel(subscription=subscription, when="now", at=LATE)
        assert billed() == [4900, 900]

    def test_at_the_end_of_the_period_bills_what_was_due_at_once(self, subscription):
        subscriptions.cancel(subscription=subscription, at=LATE)
        subscription.refresh_from_db()
        assert (subscription.cancel_at, billed()) == (MAR_1, [4900, 4900])

    @pytest.mark.parametrize("policy", ["charge", "cancel", "pause"])
    def test_after_the_trial_costs_nothing(self, policy):
        makers.legal_entity(timezone="UTC")
        plan = makers.published_plan()
        PlanVersion.objects.filter(plan=plan).update(trial_end=policy)
        subscription = makers.subscribed(makers.customer(), plan=plan, trial_days=10)
        subscriptions.cancel(subscription=subscription, when="now", at=subscription.trial_end + timedelta(minutes=5))
        runs.bill_due(at=FEB_1)
        assert not Charge.objects.exists()


class TestWhatIsScheduled:
    def test_change_bills_what_was_due(self, subscription):
        subscriptions.change(subscription=subscription, items=[lite(subscription)], at=LATE)
        runs.bill_due(at=LATE)
        assert billed() == [4900, 4900]

    def test_pause_bills_what_was_due(self, subscription):
        pauses.pause(subscription=subscription, when="period_end", at=LATE)
        runs.bill_due(at=LATE)
        assert billed() == [4900, 4900]


class TestWhatWaitsForARenewal:
    """More seats are invoiced with the next renewal, which may never come as it stood."""

    @pytest.fixture
    def seats(self) -> Subscription:
        """2 seats at 10.00 a month, and from 10 January 5, which wait for February."""
        makers.legal_entity(timezone="UTC")
        plan = makers.plan()
        monthly = makers.price(plan=plan, model="per_unit", unit_amount=1000)
        makers.price(plan=plan, code="pro-year", interval="year", model="per_unit", unit_amount=10000)
        catalog.publish(plan=plan, at=JAN_1)
        made = makers.subscribed(makers.customer(), plan=plan, items=[ItemTerms(monthly, 2)])
        return subscriptions.change(subscription=made, items=[ItemTerms(monthly, 5)], at=JAN_10)

    def test_comes_with_a_change_that_is_invoiced_at_once(self, seats):
        yearly = ItemTerms(Price.objects.get(code="pro-year"), 5)
        subscriptions.change(subscription=seats, items=[yearly], at=JAN_10 + timedelta(days=10))
        assert not Charge.objects.filter(status="pending").exists()
        assert billed() == [2000, 50000 - 1419 + 1613]

    def test_comes_with_a_pause(self, seats):
        pauses.pause(subscription=seats, at=JAN_10 + timedelta(days=10))
        assert not Charge.objects.filter(status="pending").exists()
        assert billed() == [2000, 1774 - 1419]

    def test_comes_with_an_end(self, seats):
        subscriptions.cancel(subscription=seats, when="now", credit="prorate", at=JAN_10 + timedelta(days=10))
        assert not Charge.objects.filter(status="pending").exists()
        assert billed() == [2000, 1774 - 1419]
