"""Pausing and resuming: what is billed until then, given back for the time after it, and billed from then on."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import Sum
from django.utils import translation

from billing import parking, pauses, runs, subscriptions
from billing.models import Charge, CustomerBalance, Invoice, Price, Subscription, SubscriptionChange
from billing.queries import entitlements
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event
from tests.billing import makers
from tests.billing.api import BASE, caller, problem

JAN_11 = datetime(2026, 1, 11, 12, tzinfo=UTC)
JAN_20 = datetime(2026, 1, 20, 9, tzinfo=UTC)
FEB_1 = datetime(2026, 2, 1, tzinfo=UTC)


def day(number: int, month: int = 2) -> datetime:
    return datetime(2026, month, number, tzinfo=UTC)


@pytest.fixture
def subscription() -> Subscription:
    """49.00 a month from 1 January, paid by card."""
    makers.legal_entity(timezone="UTC")
    return makers.subscribed(makers.customer(), plan=makers.published_plan())


def balance_of(subscription: Subscription) -> int:
    return CustomerBalance.objects.filter(customer=subscription.payer).aggregate(of=Sum("amount"))["of"] or 0


def granted(subscription: Subscription, at: datetime) -> bool:
    return entitlements.entitlements_of(customer_id=subscription.customer_id, at=at)[0].granted


@pytest.mark.django_db
class TestPause:
    def test_unused_days_go_to_the_balance_and_nothing_is_billed_meanwhile(self, subscription: Subscription) -> None:
        pauses.pause(subscription=subscription, at=JAN_11)
        subscription.refresh_from_db()
        assert (subscription.status, subscription.paused_at, subscription.mrr) == ("paused", JAN_11, 0)
        assert subscription.next_bill_at is None
        assert balance_of(subscription) == 3161  # 20 of 31 days of 49.00: the 11th is billed
        runs.bill_due(at=day(1, 5))
        assert Invoice.objects.count() == 1

    def test_it_goes_on_from_a_new_anchor_and_uses_the_balance(self, subscription: Subscription) -> None:
        pauses.pause(subscription=subscription, at=JAN_11)
        pauses.resume(subscription=subscription, at=JAN_20)
        subscription.refresh_from_db()
        assert (subscription.status, subscription.mrr) == ("active", 4900)
        assert (subscription.current_period_start, subscription.current_period_end) == (JAN_20, day(20))
        invoice = Invoice.objects.latest("gathered_at")
        assert (invoice.total, invoice.balance_applied, invoice.status) == (4900, 3161, "paid")
        runs.bill_due(at=day(20))
        assert Invoice.objects.count() == 3

    def test_the_day_of_the_pause_is_not_billed_twice(self, subscription: Subscription) -> None:
        pauses.pause(subscription=subscription, at=JAN_11)
        pauses.resume(subscription=subscription, at=JAN_11 + timedelta(hours=3))
        assert Invoice.objects.count() == 1
        runs.bill_due(at=datetime(2026, 1, 12, tzinfo=UTC))
        line = Invoice.objects.latest("gathered_at").lines.get()
        assert (line.period_start, line.amount) == (datetime(2026, 1, 12, tzinfo=UTC), 4900)

    def test_an_end_after_it_gives_nothing_back_again(self, subscription: Subscription) -> None:
        pauses.pause(subscription=subscription, at=JAN_11)
        subscriptions.cancel(subscription=subscription, when="now", credit="prorate", at=JAN_20)
        assert balance_of(subscription) == 3161

    def test_nor_does_an_end_on_the_day_it_was_resumed(self, subscription: Subscription) -> None:
        pauses.pause(subscription=subscription, at=JAN_11)
        pauses.resume(subscription=subscription, at=JAN_11 + timedelta(hours=3))
        at = JAN_11 + timedelta(hours=4)
        subscriptions.cancel(subscription=subscription, when="now", credit="prorate", at=at)
        assert balance_of(subscription) == 3161

    def test_at_the_end_of_the_period_nothing_is_given_back(self, subscription: Subscription) -> None:
        pauses.pause(subscription=subscription, when="period_end", at=JAN_11)
        subscription.refresh_from_db()
        assert (subscription.status, subscription.pause_at, subscription.next_bill_at) == ("active", FEB_1, FEB_1)
        runs.bill_due(at=FEB_1 + timedelta(days=3))
        subscription.refresh_from_db()
        assert (subscription.status, subscription.paused_at, subscription.pause_at) == ("paused", FEB_1, None)
        assert Invoice.objects.count() == 1
        assert balance_of(subscription) == 0

    def test_a_pause_ahead_is_dropped(self, subscription: Subscription) -> None:
        pauses.pause(subscription=subscription, when="period_end", at=JAN_11)
        pauses.resume(subscription=subscription, at=JAN_20)
        runs.bill_due(at=FEB_1)
        subscription.refresh_from_db()
        assert (subscription.status, subscription.pause_mode) == ("active", "")
        assert Invoice.objects.count() == 2

    def test_it_goes_on_by_itself(self, subscription: Subscription) -> None:
        pauses.pause(subscription=subscription, resume_at=day(10), at=JAN_11)
        runs.bill_due(at=day(12))
        subscription.refresh_from_db()
        assert (subscription.status, subscription.current_period_start) == ("active", day(10))
        assert subscription.resume_at is None
        assert Invoice.objects.latest("gathered_at").lines.get().period_end == day(10, 3)

    def test_one_late_run_takes_it_through_pause_and_resume(self, subscription: Subscription) -> None:
        pauses.pause(subscription=subscription, when="period_end", resume_at=day(10), at=JAN_11)
        runs.bill_due(at=day(12))
        subscription.refresh_from_db()
        assert (subscription.status, subscription.current_period_start) == ("active", day(10))
        kinds = SubscriptionChange.objects.order_by("recorded_at", "pk").values_list("kind", flat=True)
        assert list(kinds)[-3:] == ["pause_scheduled", "paused", "resumed"]

    @pytest.mark.parametrize(("mode", "keeps"), [("no_access", False), ("keep_access", True)])
    def test_access_is_as_was_asked_for(self, subscription: Subscription, mode: str, keeps: bool) -> None:
        pauses.pause(subscription=subscription, mode=mode, at=JAN_11)
        assert granted(subscription, JAN_20) is keeps
        pauses.resume(subscription=subscription, at=JAN_20)
        assert granted(subscription, JAN_20)

    def test_usage_until_the_pause_is_billed_and_none_of_it(self) -> None:
        makers.legal_entity(timezone="UTC")
        plan = makers.published_plan()
        meter = plan.current_version.entitlements.get().feature.meter
        makers.price(
            plan=plan, code="calls", model="per_unit", unit_amount=100, meter=meter, timing=Price.Timing.IN_ARREARS
        )
        subscription = makers.subscribed(makers.customer(), plan=plan)
        makers.calls(subscription.customer, 7, at=datetime(2026, 1, 5, tzinfo=UTC))
        pauses.pause(subscription=subscription, mode="keep_access", at=JAN_11)
        makers.calls(subscription.customer, 5, at=JAN_20)
        assert Charge.objects.get(kind="usage").quantity == 7
        pauses.resume(subscription=subscription, at=FEB_1)
        makers.calls(subscription.customer, 3, at=day(4))
        runs.bill_due(at=day(1, 3))
        assert [charge.quantity for charge in Charge.objects.filter(kind="usage").order_by("period_start")] == [7, 3]

    def test_a_trial_that_ended_in_a_pause_begins_when_it_is_resumed(self) -> None:
        makers.legal_entity(timezone="UTC")
        plan = makers.published_plan(trial_days=10, trial_end="pause")
        subscription = makers.subscribed(makers.customer(), plan=plan)
        runs.bill_due(at=JAN_11)
        subscription.refresh_from_db()
        assert subscription.status == "paused"
        pauses.resume(subscription=subscription, at=JAN_20)
        subscription.refresh_from_db()
        assert (subscription.status, subscription.current_period_start) == ("active", JAN_20)
        assert Invoice.objects.get().total == 4900

    def test_facts_tell_of_it(self, subscription: Subscription) -> None:
        pauses.pause(subscription=subscription, reason="On holiday with Ann", at=JAN_11)
        pauses.resume(subscription=subscription, at=JAN_20)
        told = Event.objects.filter(type__in=["billing.subscription.paused", "billing.subscription.resumed"])
        assert [fact.data["mrr"] for fact in told.order_by("position")] == [0, 4900]
        assert {fact.reason for fact in told} == {"requested_by_api"}

    def test_ended_while_paused(self, subscription: Subscription) -> None:
        pauses.pause(subscription=subscription, resume_at=day(10), at=JAN_11)
        subscriptions.cancel(subscription=subscription, when="now", credit="refund", at=JAN_20)
        runs.bill_due(at=day(12))
        subscription.refresh_from_db()
        assert (subscription.status, balance_of(subscription)) == ("canceled", 3161)


@pytest.mark.django_db
class TestRefusals:
    @pytest.mark.parametrize(
        ("asked", "attr"),
        [
            ({"mode": "half"}, "mode"),
            ({"when": "tomorrow"}, "from"),
            ({"when": datetime(2025, 12, 1, tzinfo=UTC)}, "from"),
            ({"when": datetime(9999, 1, 1, tzinfo=UTC)}, "from"),
            ({"resume_at": JAN_11}, "resume_at"),
            ({"resume_at": datetime(9999, 1, 1, tzinfo=UTC)}, "resume_at"),
        ],
    )
    def test_bad_input_names_its_field(self, subscription: Subscription, asked: dict[str, Any], attr: str) -> None:
        with pytest.raises(Invalid) as refusal:
            pauses.pause(subscription=subscription, at=JAN_11, **asked)
        assert refusal.value.attr == attr

    def test_only_what_runs_can_be_paused_and_only_what_is_paused_resumed(self, subscription: Subscription) -> None:
        with pytest.raises(Conflict, match="isn't paused"):
            pauses.resume(subscription=subscription, at=JAN_11)
        pauses.pause(subscription=subscription, at=JAN_11)
        with pytest.raises(Conflict, match="can't be paused"):
            pauses.pause(subscription=subscription, at=JAN_20)

    def test_not_beyond_its_end(self, subscription: Subscription) -> None:
        subscriptions.cancel(subscription=subscription, at=JAN_11)
        with pytest.raises(Conflict, match="ends before"):
            pauses.pause(subscription=subscription, when="period_end", at=JAN_11)

    def test_without_a_card_it_stays_paused(self, subscription: Subscription) -> None:
        pauses.pause(subscription=subscription, at=JAN_11)
        subscription.payer.payment_methods.update(is_default=False)
        with pytest.raises(Conflict, match="payment method"):
            pauses.resume(subscription=subscription, at=JAN_20)

    def test_while_billing_is_held_up_it_stays_paused(self, subscription: Subscription) -> None:
        pauses.pause(subscription=subscription, at=JAN_11)
        parking.park(customer=subscription.payer, error=Invalid("The place is unknown."), at=JAN_11)
        with pytest.raises(Conflict, match="held up: The place is unknown") as refusal:
            pauses.resume(subscription=subscription, at=JAN_20)
        assert refusal.value.code == "payer_parked"
        subscription.refresh_from_db()
        assert subscription.status == "paused"

    def test_refused_in_the_readers_language(self, subscription: Subscription) -> None:
        with translation.override("de"), pytest.raises(Conflict, match="Es ist weder pausiert"):
            pauses.resume(subscription=subscription, at=JAN_11)

    def test_by_itself_it_stays_paused_where_its_meter_is_taken(self) -> None:
        makers.legal_entity(timezone="UTC")
        plan = makers.published_plan()
        meter = plan.current_version.entitlements.get().feature.meter
        makers.price(plan=plan, code="calls", model="per_unit", unit_amount=100, meter=meter, timing="in_arrears")
        customer = makers.customer()
        subscription = makers.subscribed(customer, plan=plan)
        pauses.pause(subscription=subscription, resume_at=day(10), at=JAN_11)
        makers.subscribed(customer, plan=plan, at=JAN_20)
        runs.bill_due(at=day(12))
        subscription.refresh_from_db()
        assert (subscription.status, subscription.resume_at) == ("paused", None)
        assert Event.objects.get(type="billing.subscription.resume_refused").reason == "meter_in_use"


@pytest.mark.django_db
class TestApi:
    def test_pause_and_resume(self, subscription: Subscription) -> None:
        client, address = caller(), f"{BASE}/subscriptions/{subscription.public_id}"
        body = client.post(f"{address}/pause", {"mode": "keep_access", "from": "period_end"}, format="json").json()
        assert (body["pause_mode"], body["status"]) == ("keep_access", "active")
        assert body["pause_at"] == body["current_period_end"]
        body = client.post(f"{address}/resume", {}, format="json").json()
        assert (body["pause_at"], body["pause_mode"]) == (None, "")

    @pytest.mark.parametrize(("body", "attr"), [({"from": "9999"}, "from"), ({"mode": "x"}, "mode")])
    def test_bad_input_names_its_field(self, subscription: Subscription, body: dict[str, str], attr: str) -> None:
        address = f"{BASE}/subscriptions/{subscription.public_id}/pause"
        assert problem(caller().post(address, body, format="json"), status=400)[1] == attr

    def test_what_is_not_paused_is_a_conflict(self, subscription: Subscription) -> None:
        address = f"{BASE}/subscriptions/{subscription.public_id}/resume"
        assert problem(caller().post(address, {}, format="json"), status=409)[0] == "not_paused"
