"""What customers may use, how much is left, and why not."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing import catalog, consumption, entitlements, subscriptions, usage
from billing.catalog import EntitlementTerms
from billing.models import Customer, Feature, Grant, Meter, Plan, Subscription, UsageEvent
from billing.queries import EntitlementState, entitlements_of, limits_of
from gtm.shared.errors import Conflict, Invalid, NotFound
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
FEB_1 = datetime(2026, 2, 1, tzinfo=UTC)
MID_JANUARY = datetime(2026, 1, 15, 12, tzinfo=UTC)


@pytest.fixture
def acme() -> Customer:
    makers.legal_entity()
    return makers.customer(collection_method="send_invoice")


@pytest.fixture
def pro() -> Plan:
    return makers.published_plan()


def subscribe(customer: Customer, plan: Plan, *, at: datetime = JAN_1) -> Subscription:
    return subscriptions.create(customer=customer, plan=plan, at=at)


def use(customer: Customer, count: int, *, at: datetime = MID_JANUARY, prefix: str = "e") -> None:
    events = [makers.usage_event(customer, f"{prefix}{n}", timestamp=at) for n in range(count)]
    assert usage.record(events=events, at=at).accepted == count


def state(customer: Customer, *, at: datetime = MID_JANUARY, feature: str = "api_calls") -> EntitlementState:
    (found,) = entitlements_of(customer_id=customer.pk, at=at, feature=feature)
    return found


def grant(customer: Customer, feature: str = "api_calls", **fields: object) -> Grant:
    values = {"source": Grant.Source.MANUAL, "reset": "month"} | fields
    return Grant.objects.create(customer=customer, feature=Feature.objects.get(code=feature), **values)  # type: ignore[arg-type]


class TestLimits:
    def test_a_limit_counts_the_usage_of_its_billing_period(self, acme: Customer, pro: Plan) -> None:
        bought = subscribe(acme, pro)
        use(acme, 3)
        use(acme, 2, at=FEB_1 - timedelta(microseconds=1), prefix="last")
        use(acme, 4, at=FEB_1, prefix="next")

        found = state(acme)

        assert (found.granted, found.reason, found.limit, found.used, found.remaining) == (True, None, 1000, 5, 995)
        assert (found.period_start, found.resets_at) == (JAN_1, FEB_1)
        assert (found.source, found.subscription_id, found.unit) == ("plan", bought.pk, "API calls")

    def test_it_looks_at_the_period_of_the_instant(self, acme: Customer, pro: Plan) -> None:
        """Facts come late and renewals too: neither earlier nor later instants are judged by the current period."""
        bought = subscribe(acme, pro)
        use(acme, 4, at=FEB_1, prefix="next")

        assert state(acme, at=FEB_1 + timedelta(days=3)).used == 4
        Subscription.objects.filter(pk=bought.pk).update(
            current_period_start=FEB_1, current_period_end=datetime(2026, 3, 1, tzinfo=UTC)
        )
        assert state(acme, at=MID_JANUARY).resets_at == FEB_1

    def test_a_month_is_that_of_the_customers_calendar(self, pro: Plan) -> None:
        delhi = makers.customer(name="Delhi", timezone="Asia/Kolkata", country="IN")
        grant(delhi, limit=10)
        turn = datetime(2026, 1, 31, 18, 30, tzinfo=UTC)
        use(delhi, 1, at=turn - timedelta(seconds=1), prefix="old")
        use(delhi, 2, at=turn, prefix="new")

        assert (state(delhi, at=turn).period_start, state(delhi, at=turn).used) == (turn, 2)
        assert (state(delhi, at=turn - timedelta(seconds=1)).resets_at, state(delhi).used) == (turn, 1)

    def test_december_is_followed_by_january(self, acme: Customer, pro: Plan) -> None:
        grant(acme, limit=10)

        assert state(acme, at=datetime(2026, 12, 31, tzinfo=UTC)).resets_at == datetime(2027, 1, 1, tzinfo=UTC)

    def test_what_never_resets_counts_from_the_beginning(self, acme: Customer, pro: Plan) -> None:
        grant(acme, limit=10, reset="never")
        use(acme, 2, at=datetime(2024, 5, 1, tzinfo=UTC), prefix="old")
        use(acme, 1)

        assert (state(acme).used, state(acme).resets_at) == (3, None)

    def test_a_soft_limit_goes_on_and_a_hard_one_ends(self, acme: Customer, pro: Plan) -> None:
        soft = grant(acme, limit=2)
        use(acme, 3)

        assert (state(acme).granted, state(acme).remaining) == (True, 0)
        Grant.objects.filter(pk=soft.pk).update(hard=True)
        assert (state(acme).granted, state(acme).reason) == (False, "limit_reached")

    def test_a_limit_without_a_meter_is_known_but_not_counted(self, acme: Customer) -> None:
        makers.feature(code="seats", name="Seats", type="limit")
        grant(acme, "seats", limit=5)

        found = state(acme, feature="seats")
        assert (found.granted, found.limit, found.used, found.remaining) == (True, 5, None, None)


class TestCombinations:
    def test_limits_add_up(self, acme: Customer, pro: Plan) -> None:
        bought = subscribe(acme, pro)
        grant(acme, source="add_on", subscription=bought, limit=500, reset="billing_period")

        assert state(acme).limit == 1500

    def test_unlimited_wins(self, acme: Customer, pro: Plan) -> None:
        subscribe(acme, pro)
        grant(acme, limit=None)
        use(acme, 1)

        assert (state(acme).limit, state(acme).used, state(acme).remaining) == (None, 1, None)

    def test_an_override_replaces(self, acme: Customer, pro: Plan) -> None:
        bought = subscribe(acme, pro)
        grant(acme, source="contract", subscription=bought, limit=50, hard=True, reset="month")

        assert (state(acme).limit, state(acme).hard, state(acme).source) == (50, True, "contract")

    def test_a_switch_is_on_where_any_grant_is(self, acme: Customer) -> None:
        makers.feature(code="sso", name="SSO")
        grant(acme, "sso", granted=False)

        assert (state(acme, feature="sso").granted, state(acme, feature="sso").reason) == (False, "feature_not_in_plan")
        grant(acme, "sso", source="add_on")
        assert state(acme, feature="sso").granted

    def test_an_expired_grant_gives_nothing(self, acme: Customer, pro: Plan) -> None:
        grant(acme, limit=5, expires_at=MID_JANUARY)

        assert (state(acme).granted, state(acme).reason) == (False, "grant_expired")
        before = state(acme, at=MID_JANUARY - timedelta(seconds=1))
        assert (before.granted, before.access_until) == (True, MID_JANUARY)


class TestDenials:
    def test_it_says_that_nothing_was_bought(self, acme: Customer, pro: Plan) -> None:
        assert (state(acme).granted, state(acme).reason, state(acme).limit) == (False, "no_subscription", None)

    def test_it_says_that_the_plan_lacks_it(self, acme: Customer, pro: Plan) -> None:
        makers.feature(code="sso", name="SSO")
        subscribe(acme, pro)

        assert state(acme, feature="sso").reason == "feature_not_in_plan"

    @pytest.mark.parametrize("status", ["trialing", "active", "past_due"])
    def test_it_grants_while_the_subscription_lives(self, acme: Customer, pro: Plan, status: str) -> None:
        bought = subscribe(acme, pro)
        Subscription.objects.filter(pk=bought.pk).update(status=status)

        assert state(acme).granted

    @pytest.mark.parametrize("status", ["incomplete", "unpaid", "paused", "canceled"])
    def test_it_denies_otherwise_and_says_why(self, acme: Customer, pro: Plan, status: str) -> None:
        bought = subscribe(acme, pro)
        Subscription.objects.filter(pk=bought.pk).update(status=status, ended_at=JAN_1, next_bill_at=None)
        makers.feature(code="sso", name="SSO")

        assert (state(acme).granted, state(acme).reason) == (False, f"subscription_{status}")
        assert state(acme, feature="sso").reason == f"subscription_{status}"
        assert limits_of(customer_ids=[acme.pk], at=MID_JANUARY) == []

    def test_it_knows_until_when_after_a_cancellation(self, acme: Customer, pro: Plan) -> None:
        bought = subscribe(acme, pro)
        Subscription.objects.filter(pk=bought.pk).update(cancel_at=FEB_1)

        assert state(acme).access_until == FEB_1

    def test_it_refuses_an_unknown_feature(self, acme: Customer) -> None:
        with pytest.raises(NotFound):
            state(acme, feature="nonsense")


class TestSets:
    def test_all_that_is_granted_is_listed_by_code(self, acme: Customer, pro: Plan) -> None:
        makers.feature(code="a_switch", name="Switch")
        subscribe(acme, pro)
        grant(acme, "a_switch")

        assert [one.feature for one in entitlements_of(customer_id=acme.pk, at=MID_JANUARY)] == [
            "a_switch",
            "api_calls",
        ]

    def test_limits_of_many_customers_are_two_queries(self, acme: Customer, pro: Plan) -> None:
        customers = [makers.customer(name=f"C{n}", collection_method="send_invoice") for n in range(5)]
        for n, customer in enumerate(customers):
            subscribe(customer, pro)
            use(customer, n, prefix=f"{n}-")

        with CaptureQueriesContext(connection) as captured:
            found = limits_of(customer_ids=[customer.pk for customer in customers], at=MID_JANUARY)

        assert len(captured) == 2
        by_customer = {one.customer_id: one for one in found}
        assert [by_customer[customer.pk].used for customer in customers] == [0, 1, 2, 3, 4]
        assert {(one.limit, one.feature_code, one.meter_name, one.period_end) for one in found} == {
            (Decimal(1000), "api_calls", "API calls", FEB_1)
        }

    def test_an_unlimited_feature_is_no_limit(self, acme: Customer) -> None:
        subscribe(acme, makers.published_plan(limit=None))

        assert limits_of(customer_ids=[acme.pk], at=MID_JANUARY) == []


class TestRefresh:
    def test_it_rewrites_what_the_plan_gives(self, acme: Customer, pro: Plan) -> None:
        bought = subscribe(acme, pro)
        manual = grant(acme, limit=1, subscription=None)
        Grant.objects.filter(subscription=bought).update(limit=7)

        entitlements.refresh(subscription=bought, at=MID_JANUARY)
        entitlements.refresh(subscription=bought, at=MID_JANUARY)

        assert set(Grant.objects.values_list("source", "limit")) == {("plan", Decimal(1000)), ("manual", manual.limit)}

    def test_whoever_bought_keeps_what_was_bought(self, acme: Customer, pro: Plan) -> None:
        bought = subscribe(acme, pro)
        feature = Feature.objects.get(code="api_calls")
        catalog.set_entitlements(plan=pro, entitlements=[EntitlementTerms(feature=feature, limit=5)], at=MID_JANUARY)

        entitlements.refresh(subscription=bought, at=MID_JANUARY)

        assert state(acme).limit == 1000


class TestConsume:
    @pytest.fixture
    def hard(self, acme: Customer) -> Customer:
        """Five gigabytes, and three calls, each a month."""
        for code, meter in (
            (
                "gb",
                makers.meter(code="gb", event_name="stored", aggregation="sum", property="gb", filters={"hot": True}),
            ),
            ("calls", makers.meter(code="calls", event_name="call")),
        ):
            makers.feature(code=code, name=code, meter=meter)
            grant(acme, code, limit=5 if code == "gb" else 3, hard=True)
        return acme

    def take(self, customer: Customer, feature: str, quantity: str, event_id: str) -> consumption.Consumed:
        return consumption.consume(
            customer=customer, feature=feature, quantity=Decimal(quantity), id=event_id, at=MID_JANUARY
        )

    def test_it_takes_from_the_limit_and_then_refuses(self, hard: Customer) -> None:
        assert self.take(hard, "gb", "2.5", "a").state.remaining == Decimal("2.5")

        with pytest.raises(Conflict) as refusal:
            self.take(hard, "gb", "2.6", "b")

        assert refusal.value.code == "limit_reached"
        assert UsageEvent.objects.count() == 1
        last = self.take(hard, "gb", "2.5", "c").state
        assert (last.used, last.granted, last.reason) == (5, False, "limit_reached")

    def test_it_takes_once_for_each_id(self, hard: Customer) -> None:
        first, again = self.take(hard, "gb", "5", "a"), self.take(hard, "gb", "5", "a")

        assert (first.is_new, again.is_new, again.state.used) == (True, False, 5)

    @pytest.mark.parametrize(
        ("feature", "first", "second"), [("gb", "1", "2"), ("calls", "1", "2"), ("calls", "2", "1")]
    )
    def test_it_refuses_an_id_for_another_quantity(self, hard: Customer, feature: str, first: str, second: str) -> None:
        self.take(hard, feature, first, "a")

        with pytest.raises(Conflict) as refusal:
            self.take(hard, feature, second, "a")

        assert refusal.value.code == "id_reused"
        assert state(hard, feature=feature).used == int(first)

    def test_a_meter_that_counts_gets_an_event_for_each_unit(self, hard: Customer) -> None:
        assert self.take(hard, "calls", "2", "a").state.used == 2
        assert self.take(hard, "calls", "2", "a").state.used == 2
        with pytest.raises(Conflict):
            self.take(hard, "calls", "2", "b")

    @pytest.mark.parametrize("quantity", ["0", "-1", "1001", "1.5"])
    def test_it_refuses_quantities_that_cannot_be_counted(self, hard: Customer, quantity: str) -> None:
        with pytest.raises(Invalid):
            self.take(hard, "calls", quantity, "a")

    def test_a_soft_limit_refuses_nothing(self, hard: Customer) -> None:
        Grant.objects.update(hard=False)

        assert self.take(hard, "gb", "7", "a").state.remaining == 0

    def test_it_refuses_what_is_not_granted(self, hard: Customer) -> None:
        with pytest.raises(Conflict) as refusal:
            self.take(makers.customer(name="Zeta"), "gb", "1", "a")
        assert refusal.value.code == "no_subscription"

    def test_it_refuses_what_does_not_add_up(self, hard: Customer) -> None:
        peak = makers.meter(code="peak", event_name="peak", aggregation="max", property="n")
        makers.feature(code="peak", name="Peak", meter=peak)
        makers.feature(code="sso", name="SSO")

        for feature in ("peak", "sso"):
            with pytest.raises(Invalid):
                self.take(hard, feature, "1", "a")
        with pytest.raises(NotFound):
            self.take(hard, "nonsense", "1", "a")

    def test_the_meter_counts_it_and_nothing_else(self, hard: Customer) -> None:
        self.take(hard, "gb", "1", "a")

        assert UsageEvent.objects.get().properties == {"gb": 1.0, "hot": True}
        assert Meter.objects.count() == 2
