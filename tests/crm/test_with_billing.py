"""What customers buy and use, as the CRM sees it; and that it never gets in the way of buying."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing import dunning_policies, dunning_runs, runs, subscriptions
from billing.models import Customer, DunningPolicy, Invoice, Plan, Subscription
from crm import accounts, arrears, policies
from crm.models import Account, Alert, MotionDecision
from crm.queries import revenue
from gtm.shared import nudges, outbox
from gtm.shared.errors import Invalid
from gtm.shared.models import Event, ExchangeRate, PendingFact
from tests import world
from tests.billing import makers as billing
from tests.crm import makers

pytestmark = pytest.mark.django_db
LATER = makers.NOON + timedelta(hours=1)


def buy(*, amount: int = 4900, currency: str = "USD", **fields: Any) -> Customer:
    """A customer on a plan at ``amount`` a month, from noon."""
    billing.legal_entity()
    code = f"plan-{amount}-{currency.lower()}"
    plan = billing.plan(code=code, at=makers.NOON)
    billing.price(plan=plan, at=makers.NOON, code=code, unit_amount=amount, currency=currency)
    customer = billing.customer(at=makers.NOON, currency=currency, **{"email": "cora@acme.com"} | fields)
    billing.card(customer, at=makers.NOON)
    subscriptions.create(customer=customer, plan=plan, at=makers.NOON)
    return customer


def settle() -> None:
    """Let the relay deal with every fact."""
    while PendingFact.objects.exists():
        assert outbox.relay()


class TestRevenue:
    @pytest.mark.parametrize(
        ("monthly", "segment", "motion"),
        [(4_900, "smb", "self_serve"), (83_334, "mid_market", "sales_assisted"), (500_000, "enterprise", "sales_led")],
    )
    def test_what_a_customer_pays_decides_its_motion(self, monthly: int, segment: str, motion: str) -> None:
        makers.sales(world.ann())
        buy(amount=monthly)
        settle()
        account = Account.objects.get()
        found = revenue.arr_of(account_ids=[account.pk], at=LATER)[account.pk]
        assert (found.amount, found.currency) == (monthly * 12, "USD")
        assert (account.segment, account.motion) == (segment, motion)
        reason = MotionDecision.objects.get(valid_to=None).reasons[-1]
        assert (reason["field"], reason["value"]) == ("arr", monthly * 12)

    def test_the_customers_of_an_account_add_up_in_one_currency(self) -> None:
        makers.sales(world.ann())
        buy(amount=50_000)
        buy(amount=45_000, currency="EUR", email="dora@acme.com")
        settle()
        account = Account.objects.get()
        unknown = revenue.arr_of(account_ids=[account.pk], at=LATER)[account.pk]
        assert (unknown.amount, unknown.missing) == (None, ("EUR",))
        ExchangeRate.objects.create(date="2026-11-01", currency="EUR", rate=Decimal("0.9"))
        known = revenue.arr_of(account_ids=[account.pk], at=LATER)[account.pk]
        assert known.amount == 12 * (50_000 + 50_000)
        account = accounts.redecide(account=account, at=LATER)
        assert account.motion == "sales_assisted"

    def test_before_the_change_takes_effect_it_does_not_count(self) -> None:
        makers.sales(world.ann())
        buy()
        settle()
        account = Account.objects.get()
        before = makers.NOON - timedelta(seconds=1)
        assert revenue.arr_of(account_ids=[account.pk], at=before)[account.pk].amount == 0


class TestPages:
    def test_an_account_shows_subscriptions_limits_and_invoices(
        self, client: Client, django_assert_num_queries: Any
    ) -> None:
        ann = world.ann()
        makers.sales(ann)
        billing.legal_entity()
        plan = billing.published_plan(at=makers.NOON)
        for n in range(3):
            customer = billing.customer(at=makers.NOON, name=f"Acme {n}", email=f"p{n}@acme.com")
            billing.card(customer, at=makers.NOON)
            subscriptions.create(customer=customer, plan=plan, at=makers.NOON)
            billing.calls(customer, 842, at=LATER)
        settle()
        account = accounts.give(account=Account.objects.get(), owner=ann, at=LATER)
        client.force_login(ann)
        with django_assert_num_queries(43):
            page = client.get(f"/crm/accounts/{account.public_id}/").content.decode()
        for words in ("Pro", "842 of 1,000", "INV-2026-", "$49.00", "Subscription active", "Invoice paid", "$1,764.00"):
            assert words in page, words
        assert page.count("842 of 1,000") == 3


class TestFriction:
    def test_buying_waits_for_no_policy_no_owner_and_no_rule(self) -> None:
        """S4: no step of a purchase depends on the CRM; its account comes after, by the facts."""
        customer = buy()
        assert customer.subscriptions.get().status == "active"
        assert not Account.objects.exists()
        settle()
        assert Account.objects.get().motion == "self_serve"


class TestArrears:
    """Whoever looks after a customer hears of unpaid invoices; nobody calls one who serves itself."""

    @pytest.fixture(autouse=True)
    def _sales(self) -> None:
        makers.sales(world.ann())

    @pytest.mark.parametrize(("monthly", "managed", "alerts"), [(4_900, False, 0), (500_000, True, 1)])
    def test_the_owner_is_told_first(self, monthly: int, managed: bool, alerts: int) -> None:
        customer = buy(amount=monthly)
        settle()
        customer.refresh_from_db()
        assert customer.managed is managed
        billing.card(customer, "pm_card_chargeDeclinedInsufficientFunds", at=LATER)
        due = makers.NOON + timedelta(days=40)
        runs.bill_due(at=due)
        settle()
        found = Alert.objects.filter(rule_code="dunning")
        assert found.count() == alerts
        if alerts:
            number = Invoice.objects.get(status="open").number
            assert found.get().evidence == f"$5,000.00 for {number} has not been paid (insufficient funds)."
            dunning_runs.run_due(at=due + timedelta(days=20))
            settle()
            assert found.latest("raised_at").rule_name == "Decide about unpaid invoices"
            assert Subscription.objects.get().status == "past_due"

    def test_its_segment_names_how_it_is_asked_for_money(self) -> None:
        """The segment's policy comes before the plan's; who is of no such segment is dunned as everybody."""
        for code in ("patient", "strict"):
            dunning_policies.create(code=code, name=code.title(), at=makers.NOON)
        small, big = buy(), buy(amount=500_000, email="bea@big.example")
        settle()
        Plan.objects.update(dunning_policy=DunningPolicy.objects.get(code="strict"))
        publish(enterprise="patient")
        assert policies_of(small, big) == ["strict", "patient"]
        fact = Event.objects.filter(type="billing.customer.changed").latest("pk")
        assert (fact.customer_id, fact.data["dunning_policy"]) == (big.pk, "patient")
        assert fact.previous == {"dunning_policy": ""}
        accounts.change(account=Account.objects.get(customer_links__customer=small), employee_count=2000, at=LATER)
        settle()
        assert policies_of(small, big) == ["patient", "patient"]
        publish(smb="strict")
        assert [one.dunning_policy for one in Customer.objects.order_by("pk")] == ["", ""]

    def test_a_segment_names_a_policy_that_there_is(self) -> None:
        with pytest.raises(Invalid) as refused:
            publish(smb="unheard-of")
        assert refused.value.attr == "segments"

    def test_writing_a_policy_down_takes_as_many_queries_for_one_as_for_many(self) -> None:
        dunning_policies.create(code="patient", name="Patient", at=makers.NOON)

        def queries_of(policy: str) -> int:
            publish(relay=False, smb=policy)
            with CaptureQueriesContext(connection) as captured:
                arrears.write_down_policies(at=LATER)
            return len(captured)

        buy()
        settle()
        one = queries_of("patient")
        for number in range(3):
            billing.customer(at=makers.NOON, name=f"Customer {number}", email=f"c{number}@acme.com")
        settle()
        assert queries_of("") == one

    def test_a_policy_is_written_down_by_a_task_batch_by_batch_in_the_order_of_customers(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Bill runs skip customers that are locked, and locks of several segments could else cross."""
        monkeypatch.setattr(arrears, "BATCH", 2)
        for code in ("patient", "strict"):
            dunning_policies.create(code=code, name=code.title(), at=makers.NOON)
        sizes = {"a": 5, "b": 2000, "c": 5}
        for name, employees in sizes.items():
            billing.customer(at=makers.NOON, name=name, email=f"x@{name}.example", traits={"employees": employees})
        settle()
        for account in Account.objects.all():
            accounts.change(account=account, employee_count=sizes[account.name], at=LATER)
        settle()
        connection.run_on_commit.clear()  # the policy that was installed nudged it already
        publish(smb="patient", enterprise="strict", written=False)
        assert nudges._hint("crm.tasks.write_down_policies") in [
            call for _ids, call, _robust in connection.run_on_commit
        ]
        assert set(Customer.objects.values_list("dunning_policy", flat=True)) == {""}
        with CaptureQueriesContext(connection) as captured:
            assert arrears.write_down_policies(at=LATER) == 3
        taken = [one["sql"] for one in captured if "FOR NO KEY UPDATE" in one["sql"]]
        locks = [sql for sql in taken if "billing_customer" in sql]
        assert len(locks) == 2
        assert all('ORDER BY "billing_customer"."id" ASC' in sql for sql in locks)
        found = Customer.objects.order_by("pk").values_list("dunning_policy", flat=True)
        assert list(found) == ["patient", "strict", "patient"]
        assert arrears.write_down_policies(at=LATER) == 0


def publish(*, relay: bool = True, written: bool = True, **named: str) -> None:
    """The next segment policy, with dunning policies named by segment; written down as its task does."""
    segments = [one | {"dunning_policy": named.get(str(one["code"]), "")} for one in policies.INSTALLED_SEGMENTS]
    newest = policies.current_policy(at=LATER)
    bounds = {"employee_bounds": newest.employee_bounds, "value_bounds": newest.value_bounds}
    policies.publish_policy(at=LATER, name="Next", segments=segments, **bounds)
    if relay:
        settle()
    if relay and written:
        arrears.write_down_policies(at=LATER)
        settle()


def policies_of(*payers: Customer) -> list[str]:
    found = dunning_policies.of_payers(Customer.objects.filter(pk__in=[one.pk for one in payers]))
    return [found[one.pk].code for one in payers]
