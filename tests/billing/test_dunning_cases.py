"""Dunning as payers live through it: each state at its day, for cards and for bills on terms."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing import customers, dunning_policies, dunning_runs, payments, queries, runs, subscriptions, voiding
from billing.models import Customer, DunningCase, DunningStep, Invoice, Plan, Subscription
from gtm.shared.models import Event
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
FEB_1 = JAN_1.replace(month=2)
NOON = timedelta(hours=12)
FUNDS, STOLEN = "pm_card_chargeDeclinedInsufficientFunds", "pm_card_chargeDeclinedStolenCard"


@pytest.fixture
def plan() -> Plan:
    makers.legal_entity()
    return makers.published_plan()


def failing(plan: Plan, token: str = FUNDS, **fields: object) -> Subscription:
    """Paid in January, with a card that fails on 1 February."""
    subscription = makers.subscribed(makers.customer(**fields), plan=plan)  # type: ignore[arg-type]
    makers.card(subscription.payer, token, at=JAN_1 + timedelta(days=3))
    runs.bill_due(at=FEB_1)
    subscription.refresh_from_db()
    return subscription


def on_terms(plan: Plan, **fields: object) -> Subscription:
    customer = makers.customer(collection_method="send_invoice", net_terms_days=30, **fields)  # type: ignore[arg-type]
    return subscriptions.create(customer=customer, plan=plan, at=JAN_1)


def go(subscription: Subscription, *days: int, since: datetime = FEB_1) -> None:
    for day in days:
        dunning_runs.run_due(at=since + timedelta(days=day))
    subscription.refresh_from_db()


def case_of(subscription: Subscription) -> DunningCase:
    return DunningCase.objects.get(payer=subscription.payer)


def told(payer: Customer) -> list[str]:
    facts = Event.objects.filter(type__startswith="billing.dunning.", customer_id=payer.pk).order_by("pk")
    return [fact.type.rpartition(".")[2] for fact in facts]


def may_use(subscription: Subscription, at: datetime) -> bool:
    (state,) = queries.entitlements_of(customer_id=subscription.customer_id, at=at)
    return state.granted


def steps(subscription: Subscription) -> Sequence[tuple[str, int, str]]:
    return list(
        DunningStep.objects.filter(case__payer=subscription.payer).order_by("pk").values_list("kind", "day", "outcome")
    )


class TestCards:
    def test_a_soft_decline_is_tried_on_its_days_and_canceled_in_the_end(self, plan: Plan) -> None:
        subscription = failing(plan)
        invoice = Invoice.objects.get(status="open")
        assert subscription.status == "past_due"
        assert invoice.next_payment_attempt == FEB_1 + timedelta(days=1)
        for day in range(1, 15):
            go(subscription, day)
            assert may_use(subscription, FEB_1 + timedelta(days=day)) is (day < 7)
            assert subscription.status == ("past_due" if day < 14 else "canceled")
        assert steps(subscription) == [
            ("retry", 1, "insufficient_funds"),
            ("retry", 3, "insufficient_funds"),
            ("retry", 7, "insufficient_funds"),
            ("end_access", 7, ""),
            ("retry", 14, "insufficient_funds"),
            ("final", 14, "cancel"),
        ]
        assert told(subscription.payer) == ["opened", "access_ended", "exhausted"]
        case = case_of(subscription)
        assert (case.status, case.next_action_at) == ("exhausted", None)
        invoice.refresh_from_db()
        assert (invoice.status, invoice.payment_attempts.count()) == ("open", 5)
        go(subscription, 15, 16, 60)
        assert invoice.payment_attempts.count() == 5

    def test_a_hard_decline_is_not_tried_again_until_there_is_another_card(self, plan: Plan) -> None:
        subscription = failing(plan, STOLEN)
        invoice = Invoice.objects.get(status="open")
        assert invoice.next_payment_attempt is None
        go(subscription, 1, 3, 7)
        assert invoice.payment_attempts.count() == 1
        assert not may_use(subscription, FEB_1 + timedelta(days=8))
        makers.card(subscription.payer, at=FEB_1 + timedelta(days=8))
        go(subscription, 8)
        assert subscription.status == "active"
        assert may_use(subscription, FEB_1 + timedelta(days=8))
        assert case_of(subscription).status == "recovered"
        assert told(subscription.payer) == ["opened", "access_ended", "recovered"]

    def test_another_card_is_tried_at_once_and_what_fails_again_goes_on_as_planned(self, plan: Plan) -> None:
        subscription = failing(plan)
        go(subscription, 1)
        makers.card(subscription.payer, FUNDS, at=FEB_1 + timedelta(days=2))
        dunning_runs.retry(payer=subscription.payer, at=FEB_1 + timedelta(days=2))
        assert [step[:2] for step in steps(subscription)] == [("retry", 1), ("new_method", 0)]
        assert case_of(subscription).next_action_at == FEB_1 + timedelta(days=3)

    def test_the_last_try_counts(self, plan: Plan) -> None:
        subscription = failing(plan)
        go(subscription, 1, 3, 7)
        makers.card(subscription.payer, at=FEB_1 + timedelta(days=13, hours=23))
        go(subscription, 14)
        assert (subscription.status, case_of(subscription).status) == ("active", "recovered")
        assert steps(subscription)[-1] == ("new_method", 0, "succeeded")

    def test_what_the_customer_tries_does_not_count(self, plan: Plan) -> None:
        subscription = failing(plan)
        invoice = Invoice.objects.get(status="open")
        for hour in range(3):
            payments.collect(invoice=invoice, at=FEB_1 + timedelta(hours=hour))
        go(subscription, 1)
        assert steps(subscription) == [("retry", 1, "insufficient_funds")]
        assert case_of(subscription).next_action_at == FEB_1 + timedelta(days=3)

    def test_without_any_card_nothing_can_be_tried(self, plan: Plan) -> None:
        subscription = makers.subscribed(makers.customer(), plan=plan)
        subscription.payer.payment_methods.update(is_default=False, detached_at=JAN_1)
        runs.bill_due(at=FEB_1)
        case = case_of(subscription)
        assert (case.failure_code, case.needs_method) == ("no_payment_method", True)

    def test_a_first_payment_that_fails_is_no_case(self, plan: Plan) -> None:
        customer = makers.customer()
        makers.card(customer, FUNDS)
        subscriptions.create(customer=customer, plan=plan, at=JAN_1)
        assert not DunningCase.objects.exists()

    def test_a_late_run_makes_up_for_what_it_missed_once(self, plan: Plan) -> None:
        subscription = failing(plan)
        go(subscription, 40)
        assert [step[:2] for step in steps(subscription)] == [("retry", 14), ("end_access", 7), ("final", 14)]
        assert subscription.status == "canceled"

    def test_what_is_taken_back_closes_the_case(self, plan: Plan) -> None:
        subscription = failing(plan)
        voiding.void(invoice=Invoice.objects.get(status="open"), at=FEB_1 + NOON)
        subscription.refresh_from_db()
        assert (case_of(subscription).status, subscription.status) == ("closed", "active")

    def test_the_policy_of_its_segment_holds(self, plan: Plan) -> None:
        dunning_policies.create(
            code="short", name="Short", retry_days=[2], access_days=2, final_action="leave", at=JAN_1
        )
        customer = makers.customer(name="Short")
        Customer.objects.filter(pk=customer.pk).update(dunning_policy="short")
        customer.refresh_from_db()
        subscription = makers.subscribed(customer, plan=plan)
        makers.card(customer, FUNDS, at=JAN_1 + timedelta(days=3))
        runs.bill_due(at=FEB_1)
        go(subscription, 2)
        assert steps(subscription) == [("retry", 2, "insufficient_funds"), ("end_access", 2, ""), ("final", 2, "leave")]
        assert subscription.status == "past_due"
        assert case_of(subscription).status == "exhausted"

    def test_unpaid_stops_and_goes_on_once_it_is_paid(self, plan: Plan) -> None:
        policy = dunning_policies.default()
        dunning_policies.change(policy=policy, final_action="unpaid", at=JAN_1)
        subscription = failing(plan)
        go(subscription, 14)
        assert (subscription.status, subscription.mrr, subscription.next_bill_at) == ("unpaid", 0, None)
        invoice = Invoice.objects.get(status="open")
        assert invoice.amount_due == 4900 - round(4900 * 13 / 28)  # of 28 days, 15 were used
        at = FEB_1 + timedelta(days=20)
        makers.card(subscription.payer, at=at)
        payments.collect(invoice=invoice, at=at)
        runs.bill_due(at=at)
        subscription.refresh_from_db()
        assert (subscription.status, subscription.current_period_start) == ("active", at)
        assert subscription.mrr == 4900
        assert may_use(subscription, at)

    def test_the_owner_of_a_managed_customer_is_told_and_nothing_is_cut_off(self, plan: Plan) -> None:
        subscription = makers.subscribed(makers.customer(), plan=plan)
        Customer.objects.filter(pk=subscription.payer_id).update(managed=True)
        makers.card(subscription.payer, FUNDS, at=JAN_1 + timedelta(days=3))
        runs.bill_due(at=FEB_1)
        go(subscription, *range(1, 30))
        assert told(subscription.payer) == ["opened", "final_action_due", "exhausted"]
        assert steps(subscription)[-2:] == [("notice", 14, ""), ("final", 14, "leave")]
        assert subscription.status == "past_due"
        assert may_use(subscription, FEB_1 + timedelta(days=29))


class TestTerms:
    def test_reminders_leave_on_their_days_and_access_stays(self, plan: Plan) -> None:
        subscription = on_terms(plan)
        due = datetime.combine(Invoice.objects.get().due_date, datetime.min.time(), tzinfo=JAN_1.tzinfo)  # type: ignore[arg-type]
        seen = []
        for day in range(-10, 40):
            go(subscription, day, since=due + NOON)
            seen += [(day, *step[:2]) for step in steps(subscription)[len(seen) :]]
            assert subscription.status == ("active" if day < 1 else "past_due")
        assert seen == [
            (-3, "reminder", -3),
            (1, "overdue", 1),
            (1, "reminder", 1),
            (7, "reminder", 7),
            (14, "reminder", 14),
            (30, "reminder", 30),
            (30, "final", 30),
        ]
        assert may_use(subscription, due + timedelta(days=39))
        assert case_of(subscription).status == "exhausted"
        reminded = Event.objects.filter(type="billing.dunning.reminded").order_by("pk")
        assert [fact.data["day"] for fact in reminded] == [-3, 1, 7, 14, 30]

    def test_what_is_paid_in_time_was_never_trouble(self, plan: Plan) -> None:
        subscription = on_terms(plan)
        go(subscription, 0, since=JAN_1 + timedelta(days=28))
        makers.paid(Invoice.objects.get(), at=JAN_1 + timedelta(days=29))
        go(subscription, 0, 10, 60)
        assert told(subscription.payer) == ["reminded"]
        assert case_of(subscription).status == "recovered"

    def test_paying_late_puts_it_in_order(self, plan: Plan) -> None:
        subscription = on_terms(plan)
        go(subscription, 5, since=FEB_1)
        assert subscription.status == "past_due"
        makers.paid(Invoice.objects.get(), at=FEB_1 + timedelta(days=6))
        subscription.refresh_from_db()
        assert (subscription.status, case_of(subscription).status) == ("active", "recovered")
        assert told(subscription.payer)[-1] == "recovered"

    def test_the_work_of_watching_does_not_grow_with_the_bills(self, plan: Plan) -> None:
        def queries_of(count: int) -> int:
            for number in range(count):
                payer = makers.customer(name=f"Payer {number}", collection_method="send_invoice", net_terms_days=30)
                makers.invoiced(payer, 1000)
            with CaptureQueriesContext(connection) as captured:
                dunning_runs.run_due(at=JAN_1 + NOON)
            return len(captured)

        queries_of(1)
        assert queries_of(1) == queries_of(12)
        assert DunningCase.objects.count() == 14


class TestPolicies:
    def test_bad_terms_are_refused_and_running_cases_keep_theirs(self, plan: Plan) -> None:
        subscription = failing(plan)
        policy = dunning_policies.default()
        with pytest.raises(customers.Invalid) as refused:
            dunning_policies.change(policy=policy, retry_days=[5, 2], at=JAN_1)
        assert refused.value.attr == "retry_days"
        dunning_policies.change(policy=policy, retry_days=[2], at=JAN_1)
        go(subscription, 1)
        assert steps(subscription) == [("retry", 1, "insufficient_funds")]

    def test_there_is_one_default(self) -> None:
        first = dunning_policies.default()
        second = dunning_policies.create(code="calm", name="Calm", is_default=True, at=JAN_1)
        first.refresh_from_db()
        assert (first.is_default, dunning_policies.default()) == (False, second)
        with pytest.raises(customers.Invalid):
            dunning_policies.change(policy=second, is_default=False, at=JAN_1)
