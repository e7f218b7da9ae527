"""Usage to signal to alert or prompt, in the database: once per rule, limit and period, whoever races."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from billing import customers, runs, usage
from billing.models import Customer, Prompt, Subscription
from crm.models import Account, Alert, Motion
from gtm.shared import db, outbox
from gtm.shared.errors import Conflict
from gtm.shared.models import Event, Mail
from signals import detection, rules, tasks, trigger_rules
from signals.models import Signal, TriggerRule
from tests import world
from tests.billing import makers as billing
from tests.crm import makers as crm
from tests.signals import makers

JAN_1 = datetime(2026, 1, 1, 12, tzinfo=UTC)
JAN_22 = datetime(2026, 1, 22, 12, tzinfo=UTC)


@pytest.fixture
def ann(db: None) -> Any:
    ann = world.ann()
    crm.sales(ann)
    return ann


@pytest.fixture
def owned(ann: Any) -> Subscription:
    """Acme, of 250, owned by Ann, with 1,000 API calls a month."""
    plan = billing.published_plan(at=JAN_1)
    return makers.subscriber(plan=plan, at=JAN_1, email="cora@acme.com", traits={"employee_count": 250})


@pytest.fixture
def self_served(ann: Any) -> Subscription:
    plan = billing.published_plan(at=JAN_1)
    return makers.subscriber(plan=plan, at=JAN_1, email="cora@acme.com", traits={"employee_count": 5})


def use(number: int, customer: Customer, at: datetime = JAN_22) -> list[Signal]:
    makers.calls(number, customer=customer, at=at)
    return detection.evaluate(customer_ids=[customer.pk], at=at)


@pytest.mark.django_db
class TestEvaluate:
    def test_it_fires_above_80_percent_once_and_again_in_the_next_period(self, owned: Subscription) -> None:
        customer = owned.customer
        assert use(800, customer) == []
        assert len(use(1, customer)) == 1
        assert use(149, customer) == []
        runs.bill_due(at=JAN_1 + timedelta(days=32))
        assert len(use(820, customer, at=JAN_1 + timedelta(days=40))) == 1
        assert Alert.objects.count() == 2

    def test_it_alerts_the_owner_with_a_sentence_a_stake_and_a_play(self, owned: Subscription, ann: Any) -> None:
        signal = use(842, owned.customer)[0]
        alert = Alert.objects.get()
        assert (alert.owner, alert.signal_id, alert.severity) == (ann, signal.pk, "high")
        assert alert.evidence == "used 842 of 1,000 API calls (84.2 %), 10 days left in the period"
        assert (alert.value_at_stake, alert.currency) == (12 * 4900, "USD")
        assert (alert.rule_code, alert.rule_version) == ("usage_over_80", 1)
        assert alert.play == "Offer an upgrade before they hit the limit"
        assert [mail.recipient for mail in Mail.objects.all()] == ["ann@vendor.example"]
        assert not Prompt.objects.exists()

    def test_it_tells_the_fact_without_personal_data(self, owned: Subscription) -> None:
        signal = use(842, owned.customer)[0]
        fact = Event.objects.get(type="signals.signal.raised")
        assert (fact.object_id, fact.customer_id) == (signal.pk, owned.customer.pk)
        assert fact.account_id == makers.account_of(owned.customer).pk
        assert fact.data["value"] == "842"
        assert fact.data["outcome"] == "alert"
        assert "acme" not in str(fact.data).lower()

    def test_it_alerts_the_queues_team_of_an_account_without_an_owner(self, db: None) -> None:
        crm.sales(manager=world.max_manager())
        owned = makers.subscriber(
            plan=billing.published_plan(at=JAN_1), at=JAN_1, email="cora@acme.com", traits={"employee_count": 250}
        )
        use(842, owned.customer)
        alert = Alert.objects.get()
        assert (alert.owner, alert.queue) == (None, crm.inbound())
        assert [mail.recipient for mail in Mail.objects.all()] == ["max@vendor.example"]

    def test_it_prompts_a_customer_who_serves_itself_and_nobody_else(self, self_served: Subscription) -> None:
        customer = self_served.customer
        assert makers.account_of(customer).motion == Motion.SELF_SERVE
        signal = use(842, customer)[0]
        prompt = Prompt.objects.get()
        assert signal.outcome == Signal.Outcome.PROMPT
        assert prompt.text == "You have used 842 of 1,000 API calls (84.2%). A larger plan gives you more room."
        assert prompt.link == f"/portal/{customer.public_id}/plan/"
        assert prompt.expires_at == self_served.current_period_end
        assert not Alert.objects.exists()
        assert not Mail.objects.exists()

    def test_it_prompts_in_the_words_of_the_limit_once_that_is_reached(self, self_served: Subscription) -> None:
        use(1000, self_served.customer)
        assert Prompt.objects.get().text.startswith("You have reached your limit: 1,000 of 1,000 API calls (100%).")

    def test_it_prompts_again_when_a_raised_limit_is_nearly_used_too(self, self_served: Subscription) -> None:
        use(842, self_served.customer)
        self_served.customer.grants.update(limit=2000)
        assert use(700, self_served.customer) == []
        assert len(use(300, self_served.customer)) == 1
        assert Prompt.objects.count() == 2

    def test_it_makes_the_account_that_crm_has_not_heard_of_yet(self, ann: Any) -> None:
        subscription = makers.subscriber(plan=billing.published_plan(at=JAN_1), at=JAN_1, email="cora@acme.com")
        makers.account_of(subscription.customer).customer_links.all().delete()
        Customer.objects.update(account_id=None)
        assert len(use(842, subscription.customer)) == 1
        assert Signal.objects.get().account == makers.account_of(subscription.customer)

    def test_it_alerts_about_a_company_that_has_grown_before_crm_has_heard_of_it(
        self, self_served: Subscription
    ) -> None:
        customers.change(customer=self_served.customer, at=JAN_22, traits={"employee_count": 250})
        assert use(842, self_served.customer)[0].outcome == Signal.Outcome.ALERT
        assert Alert.objects.get().account.motion == Motion.SALES_ASSISTED

    def test_it_never_fires_without_a_limit(self, ann: Any) -> None:
        subscription = makers.subscriber(plan=billing.published_plan(at=JAN_1, limit=None), at=JAN_1)
        assert use(2000, subscription.customer) == []

    def test_it_says_why_a_limit_of_zero_is_not_evaluated(self, ann: Any) -> None:
        subscription = makers.subscriber(plan=billing.published_plan(at=JAN_1, limit=0), at=JAN_1)
        customer = subscription.customer
        assert use(5, customer) == []
        versions = {version.rule.code: version for version in trigger_rules.in_force()}
        judged = detection.judge(customer_ids=[customer.pk], versions=versions, at=JAN_22)
        assert [each.decision.reason for each in judged] == [rules.ZERO_LIMIT]

    def test_it_tells_the_highest_threshold_alone_and_no_lower_one_after_it(self, owned: Subscription) -> None:
        over_100 = trigger_rules.create(
            at=JAN_1, code="usage_over_100", name="Over", threshold=Decimal(1), severity="critical"
        )
        trigger_rules.publish(rule=over_100, at=JAN_1)
        use(600, owned.customer)
        signal = use(410, owned.customer)[0]
        assert signal.rule_version.rule == over_100
        assert Alert.objects.get().severity == "critical"
        fact = Event.objects.get(type="signals.signal.raised")
        assert fact.data["thresholds"] == ["0.8", "1"]
        assert use(1, owned.customer) == []

    def test_it_tells_nothing_by_a_draft_or_a_rule_that_is_switched_off(self, owned: Subscription) -> None:
        trigger_rules.install_defaults(at=JAN_1)
        rule = TriggerRule.objects.get()
        trigger_rules.change(rule=rule, at=JAN_1, active=False)
        trigger_rules.create(at=JAN_1, code="draft", name="A draft", threshold=Decimal("0.1"))
        assert use(900, owned.customer) == []

    def test_it_judges_each_customer_by_its_own_use(self, ann: Any) -> None:
        plan = billing.published_plan(at=JAN_1)
        many = [
            makers.subscriber(plan=plan, at=JAN_1, name=f"Company {n}", email=f"cora@company{n}.com") for n in range(3)
        ]
        makers.calls(801, customer=many[1].customer, at=JAN_22)
        found = detection.evaluate(customer_ids=[one.customer.pk for one in many], at=JAN_22)
        assert [signal.customer for signal in found] == [many[1].customer]

    def test_it_asks_the_same_number_of_queries_for_many_customers(self, ann: Any) -> None:
        plan = billing.published_plan(at=JAN_1)
        many = [
            makers.subscriber(plan=plan, at=JAN_1, name=f"Company {n}", email=f"cora@company{n}.com") for n in range(6)
        ]
        for one in many:
            use(801, one.customer)
        counts = [_queries([one.customer.pk for one in some]) for some in (many[:1], many)]
        assert counts[0] == counts[1] <= 7


def _queries(customer_ids: list[Any]) -> int:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert detection.evaluate(customer_ids=customer_ids, at=JAN_22) == []
    return len(captured)


@pytest.mark.django_db(transaction=True)
class TestTwoWorkersAtOnce:
    def test_they_tell_once(self) -> None:
        crm.sales(world.ann())
        plan = billing.published_plan(at=JAN_1)
        fields = {"traits": {"employee_count": 250}}
        many = [
            makers.subscriber(plan=plan, at=JAN_1, name=f"C{n}", email=f"cora@company{n}.com", **fields)
            for n in range(4)
        ]
        for one in many:
            makers.calls(842, customer=one.customer, at=JAN_22)
        trigger_rules.install_defaults(at=JAN_1)
        ids, together = [one.customer.pk for one in many], Barrier(2)

        def work(customer_ids: list[Any]) -> int:
            try:
                together.wait()
                return len(detection.evaluate(customer_ids=customer_ids, at=JAN_22))
            finally:
                connections.close_all()

        with ThreadPoolExecutor(2) as pool:
            told = [future.result() for future in (pool.submit(work, ids), pool.submit(work, ids[::-1]))]
        assert sum(told) == Signal.objects.count() == Alert.objects.count() == Mail.objects.count() == 4


@pytest.mark.django_db
class TestFromTheFact:
    def test_usage_is_evaluated_by_the_relay(self, owned: Subscription) -> None:
        makers.calls(801, customer=owned.customer, at=JAN_22)
        outbox.relay()
        assert Alert.objects.get().raised_at == JAN_22
        outbox.relay()
        assert Alert.objects.count() == 1

    def test_usage_reported_ahead_of_a_test_clock_is_noticed_when_the_clock_gets_there(self, ann: Any) -> None:
        clock = billing.clock(frozen_time=JAN_1)
        subscription = makers.subscriber(
            plan=billing.published_plan(at=JAN_1),
            at=JAN_1,
            test_clock=clock,
            email="cora@acme.com",
            traits={"employee_count": 250},
        )
        ahead = [
            usage.UsageInput(
                id=f"ahead-{n}",
                name="api.call",
                customer=subscription.customer.public_id,
                timestamp=JAN_1 + timedelta(days=40),
            )
            for n in range(820)
        ]
        usage.record(events=ahead, at=JAN_1 + timedelta(days=300))
        outbox.relay()
        assert not Signal.objects.exists()
        due = JAN_1 + timedelta(days=31)
        runs.bill_due(at=due, test_clock=clock)
        outbox.drain(clock.pk)
        assert Signal.objects.get().test_clock == clock
        assert Mail.objects.get(template="alert").status == Mail.Status.KEPT


@pytest.mark.django_db
class TestSweep:
    def test_it_finds_what_no_fact_has_led_to(self, owned: Subscription) -> None:
        now = db.now()
        Subscription.objects.update(
            current_period_start=now - timedelta(days=1), current_period_end=now + timedelta(days=9)
        )
        makers.calls(842, customer=owned.customer, at=now)
        tasks.evaluate_recent_usage()
        tasks.evaluate_recent_usage()
        assert Alert.objects.count() == 1

    def test_it_goes_on_past_a_customer_whose_alert_fails(self, owned: Subscription) -> None:
        now = db.now()
        other = makers.subscriber(
            plan=owned.plan_version.plan, at=JAN_1, email="zoe@other.com", traits={"employee_count": 300}
        )
        Subscription.objects.update(
            current_period_start=now - timedelta(days=1), current_period_end=now + timedelta(days=9)
        )
        for customer in (owned.customer, other.customer):
            makers.calls(842, customer=customer, at=now)
        refuse_alerts_of(makers.account_of(owned.customer))
        with pytest.raises(ExceptionGroup, match="1 customers"):
            tasks.evaluate_recent_usage()
        assert [alert.account for alert in Alert.objects.all()] == [makers.account_of(other.customer)]
        assert [signal.account for signal in Signal.objects.all()] == [makers.account_of(other.customer)]


def refuse_alerts_of(account: Account) -> None:
    """Let the database itself refuse every alert of an account, until the test's transaction is rolled back."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse_alert() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'no alert of this account' USING ERRCODE = 'check_violation'; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER refuse_alert BEFORE INSERT ON crm_alert FOR EACH ROW"
            f" WHEN (NEW.account_id = '{account.pk}') EXECUTE FUNCTION refuse_alert()"
        )


@pytest.mark.django_db
class TestTriggerRules:
    def test_the_installed_rule_is_published_once(self) -> None:
        trigger_rules.install_defaults(at=JAN_1)
        trigger_rules.install_defaults(at=JAN_1)
        version = trigger_rules.in_force()[0]
        assert (version.rule.code, version.number, version.threshold) == ("usage_over_80", 1, Decimal("0.8"))
        assert version.play == "Offer an upgrade before they hit the limit"
        assert TriggerRule.objects.count() == 1

    def test_a_changed_term_is_a_draft_until_it_is_published(self) -> None:
        trigger_rules.install_defaults(at=JAN_1)
        rule = TriggerRule.objects.get()
        trigger_rules.change(rule=rule, at=JAN_22, threshold=Decimal("0.9"))
        trigger_rules.change(rule=rule, at=JAN_22, play="Call them")
        assert [version.number for version in rule.versions.order_by("number")] == [1, 2]
        assert trigger_rules.in_force()[0].threshold == Decimal("0.8")
        trigger_rules.publish(rule=rule, at=JAN_22)
        in_force = trigger_rules.in_force()[0]
        assert (in_force.number, in_force.threshold, in_force.play) == (2, Decimal("0.9"), "Call them")

    def test_each_change_is_a_fact_with_the_previous_values(self) -> None:
        trigger_rules.install_defaults(at=JAN_1)
        rule = TriggerRule.objects.get()
        changed = trigger_rules.change(rule=rule, at=JAN_22, name="Nearly out", threshold=Decimal("0.9"))
        fact = Event.objects.get(type="signals.rule.changed")
        assert fact.previous == {"threshold": "0.8000", "name": "Usage above 80 % of the limit"}
        assert fact.data == {"threshold": "0.9", "name": "Nearly out"}
        assert changed.version == rule.version + 1

    def test_nothing_changed_is_no_fact_and_no_version(self) -> None:
        trigger_rules.install_defaults(at=JAN_1)
        rule = TriggerRule.objects.get()
        unchanged = trigger_rules.change(rule=rule, at=JAN_22, threshold=Decimal("0.80"), name=rule.name)
        assert unchanged.version == rule.version
        assert rule.versions.count() == 1
        assert not Event.objects.filter(type="signals.rule.changed").exists()

    def test_what_is_published_is_not_published_again(self) -> None:
        trigger_rules.install_defaults(at=JAN_1)
        with pytest.raises(Conflict, match="published already"):
            trigger_rules.publish(rule=TriggerRule.objects.get(), at=JAN_22)
