"""Accounts of customers: found or made once, filled from traits, decided anew when the facts change."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction

from billing import customers
from billing.models import Customer
from crm import accounts, handlers, policies
from crm.clock import delete_all
from crm.models import (
    Account,
    AccountCustomer,
    AccountDomain,
    BulkJob,
    BulkRow,
    MotionDecision,
    Queue,
    Rule,
    Ruleset,
    SavedView,
    SavedViewRow,
)
from crm.queries import revenue
from gtm.shared import outbox
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event, ExchangeRate, TestClock
from tests import world
from tests.crm import makers

pytestmark = pytest.mark.django_db
LATER = makers.NOON + timedelta(hours=1)


def account_of(customer: Customer) -> Account:
    return accounts.for_customer(customer=customer, at=makers.NOON)


class TestOfCustomers:
    def test_customers_of_one_company_share_an_account(self) -> None:
        makers.sales(world.ann())
        one = account_of(makers.customer(email="a@eu.acme.co.uk"))
        other = account_of(makers.customer(email="boss@gmail.com", traits={"domain": "https://www.acme.co.uk/"}))
        assert one == other
        assert set(AccountCustomer.objects.values_list("account", flat=True)) == {one.pk}
        assert set(Customer.objects.values_list("account_id", flat=True)) == {one.pk}

    def test_only_the_vendors_word_verifies_a_domain(self) -> None:
        makers.sales(world.ann())
        account_of(makers.customer(email="a@acme.com"))
        account_of(makers.customer(email="", traits={"domain": "other.com"}))
        assert dict(AccountDomain.objects.values_list("domain", "verified_at")) == {
            "acme.com": None,
            "other.com": makers.NOON,
        }

    def test_free_mail_makes_a_personal_account_each(self) -> None:
        makers.sales(world.ann())
        one, other = account_of(makers.customer(email="a@gmail.com")), account_of(makers.customer(email="b@gmail.com"))
        assert one != other
        assert one.personal
        assert (one.motion, one.queue) == ("self_serve", makers.inbound())

    def test_a_lead_and_a_purchase_of_one_person_meet(self) -> None:
        makers.sales(world.ann())
        lead = makers.lead(email="cora@gmail.com", company="")
        assert account_of(makers.customer(email="Cora@gmail.com")) == lead.account

    def test_the_second_call_finds_what_the_first_made(self) -> None:
        makers.sales(world.ann())
        customer = makers.customer()
        assert account_of(customer) == account_of(customer)
        assert (Account.objects.count(), AccountCustomer.objects.count()) == (1, 1)

    def test_accounts_never_cross_a_test_clock(self) -> None:
        makers.sales(world.ann())
        clock = TestClock.objects.create(frozen_time=makers.NOON)
        real = account_of(makers.customer())
        clocked = account_of(makers.customer(test_clock=clock))
        assert real != clocked
        assert clocked.test_clock == clock

    def test_traits_decide_the_motion_and_the_owner(self) -> None:
        ann = world.ann()
        makers.sales(ann)
        account = account_of(makers.customer(traits={"employee_count": 250, "industry": "bank", "country": "de"}))
        assert (account.employee_count, account.industry, account.country) == (250, "bank", "DE")
        assert (account.motion, account.owner) == ("sales_assisted", ann)


class TestHandlers:
    def test_the_fact_of_a_customer_makes_its_account(self) -> None:
        makers.sales(world.ann())
        customer = makers.customer()
        handlers.customer_created(Event.objects.get(type="billing.customer.created"))
        customer.refresh_from_db()
        assert customer.account_id == Account.objects.get().pk

    def test_changed_traits_are_followed_until_a_person_says_otherwise(self) -> None:
        ann = world.ann()
        makers.sales(ann)
        customer = makers.customer(traits={"employee_count": 50})
        account = account_of(customer)
        assert account.owner is None

        def report(count: int) -> Account:
            changed = customers.change(customer=customer, at=LATER, traits={"employee_count": count})
            return accounts.review(customer=changed, at=LATER)

        account = report(250)
        assert (account.employee_count, account.motion, account.owner) == (250, "sales_assisted", ann)
        accounts.change(account=account, at=LATER, employee_count=5000)
        account = report(260)
        assert (account.employee_count, account.motion, account.owner) == (5000, "sales_led", ann)
        history = MotionDecision.objects.filter(account=account).order_by("valid_from", "pk")
        assert [row.motion for row in history] == ["self_serve", "sales_assisted", "sales_led"]
        assert [row.valid_to is None for row in history] == [False, False, True]

    def test_a_domain_that_is_told_later_is_claimed_if_it_is_free(self) -> None:
        makers.sales(world.ann())
        customer = makers.customer(email="a@gmail.com")
        account = account_of(customer)
        changed = customers.change(customer=customer, at=LATER, traits={"domain": "acme.com"})
        account = accounts.review(customer=changed, at=LATER)
        assert (account.personal, account.domains.get().domain) == (False, "acme.com")

    def test_a_customer_that_has_gone_is_no_error(self) -> None:
        makers.sales(world.ann())
        event = outbox.publish("billing.customer.created", makers.inbound(), at=makers.NOON)
        handlers.customer_created(event)
        assert not Account.objects.exists()


class TestChange:
    def test_the_fact_holds_what_changed_and_no_name(self) -> None:
        makers.sales(world.ann())
        account = makers.account(employee_count=20)
        accounts.change(account=account, at=LATER, name="Ácme & Co", employee_count=250)
        account.refresh_from_db()
        assert account.name_key == "acme & co"
        event = Event.objects.get(type="crm.account.changed")
        assert event.data == {"source": "hand", "changed": ["employee_count", "name"], "employee_count": 250}
        assert event.previous == {"employee_count": 20}

    def test_nothing_changed_is_no_fact(self) -> None:
        makers.sales(world.ann())
        account = makers.account(employee_count=20)
        version = account.version
        assert accounts.change(account=account, at=LATER, employee_count=20).version == version
        assert not Event.objects.filter(type="crm.account.changed").exists()

    def test_given_by_hand_stays(self) -> None:
        ann, bob = world.ann(), world.bob()
        makers.sales(ann)
        account = accounts.give(account=makers.account(), owner=bob, at=LATER)
        assert accounts.redecide(account=account, at=LATER).owner == bob
        with pytest.raises(Invalid):
            accounts.give(account=account, owner=world.user(email="cora@acme.com"), at=LATER)

    def test_a_domain_belongs_to_one_account(self) -> None:
        makers.sales(world.ann())
        acme, other = makers.account(), makers.account(domain="other.com")
        assert accounts.claim_domain(account=acme, domain="shop.acme.de", at=LATER).is_primary is False
        with pytest.raises(Conflict):
            accounts.claim_domain(account=other, domain="acme.de", at=LATER)
        with pytest.raises(Invalid):
            accounts.claim_domain(account=other, domain="gmail.com", at=LATER)


class TestPolicies:
    def test_installing_twice_changes_nothing(self) -> None:
        policies.install_defaults(at=makers.NOON)
        before = (Ruleset.objects.count(), Rule.objects.count(), Queue.objects.count())
        policies.install_defaults(at=LATER)
        assert (Ruleset.objects.count(), Rule.objects.count(), Queue.objects.count()) == before == (1, 1, 1)
        assert str(policies.current_policy(at=LATER)) == "10K / 50K ARR, 100 / 1000 employees (v1)"

    def test_rules_without_a_catch_all_are_refused(self) -> None:
        policies.install_defaults(at=makers.NOON)
        Queue.objects.update(is_catch_all=False)
        with pytest.raises(Conflict):
            policies.publish_ruleset(at=LATER, name="None", rules=[])

    def test_a_rule_that_cannot_be_meant_is_refused(self) -> None:
        policies.install_defaults(at=makers.NOON)
        terms = policies.RuleTerms("?", {"field": "shoe_size", "op": "gt", "value": 1}, "queue", queue=makers.inbound())
        for rule in (terms, policies.RuleTerms("Nobody", {"all": []}, "named")):
            with pytest.raises(Invalid):
                policies.publish_ruleset(at=LATER, name="Broken", rules=[rule])

    def test_rules_fall_through_to_somebody_who_can(self) -> None:
        """A30: bank -> Ann (on leave); over 100 -> round robin; catch-all."""
        ann, bob = world.ann(), world.bob()
        pool = makers.sales(bob)
        of_banks = policies.RuleTerms("Banks", {"field": "industry", "op": "eq", "value": "bank"}, "named", user=ann)
        over_100 = policies.RuleTerms("Over 100", policies.OVER_100_OR_NEEDS, "round_robin", pool=pool)
        policies.publish_ruleset(at=makers.NOON, name="Banks first", rules=[of_banks, over_100])
        ann.leaves.create(starts_at=makers.NOON, ends_at=LATER)
        account = account_of(makers.customer(traits={"employee_count": 250, "industry": "Bank"}))
        reasons = account.owner_decisions.get().reasons
        assert account.owner == bob
        assert [(r["code"], r["policy_version"]) for r in reasons] == [
            ("rule_matched", 2),
            ("condition_met", 2),
            ("no_eligible_owner", 2),
            ("rule_matched", 2),
            ("condition_met", 2),
            ("round_robin", 2),
        ]

    def test_a_new_policy_counts_from_the_next_decision(self) -> None:
        makers.sales(world.ann())
        account = makers.account(employee_count=250)
        policies.publish_policy(
            at=LATER, name="300 employees", segments=policies.INSTALLED_SEGMENTS[:2], employee_bounds=[300]
        )
        account = accounts.redecide(account=account, at=LATER)
        assert (account.segment, account.motion) == ("smb", "self_serve")
        assert [r["policy_version"] for r in account.motion_decisions.get(valid_to=None).reasons] == [2]

    @pytest.mark.parametrize("bounds", [[100], [1000, 100], [0, 100], [100, 100]])
    def test_bounds_that_do_not_fit_are_refused(self, bounds: list[int]) -> None:
        with pytest.raises(Invalid):
            policies.publish_policy(at=LATER, name="?", segments=policies.INSTALLED_SEGMENTS, employee_bounds=bounds)


class TestRevenue:
    def test_an_account_without_customers_has_no_known_revenue(self) -> None:
        makers.sales(world.ann())
        prospect, customer = makers.account(), account_of(makers.customer(email="x@buyer.com"))
        found = revenue.arr_of(account_ids=[prospect.pk, customer.pk], at=LATER)
        assert found == {customer.pk: revenue.Revenue(0, "USD")}

    def test_currencies_meet_in_the_base_currency_by_dated_rates(self) -> None:
        rates = {"USD": Decimal(1), "EUR": Decimal("0.9"), "JPY": Decimal(150)}
        assert revenue.converted(9_000, "EUR", "USD", rates) == 10_000
        assert revenue.converted(15_000, "JPY", "USD", rates) == 10_000
        assert revenue.converted(10_000, "USD", "JPY", rates) == 15_000

    def test_the_latest_rate_up_to_the_day_counts(self) -> None:
        for day, rate in (("2026-11-01", "0.8"), ("2026-11-10", "0.9"), ("2026-11-19", "1.2")):
            ExchangeRate.objects.create(date=day, currency="EUR", rate=Decimal(rate))
        rates = revenue.rates_at(currencies=["EUR", "XAU"], at=makers.NOON, base="USD")
        assert rates == {"USD": Decimal(1), "EUR": Decimal("0.9")}


class TestOnATestClock:
    def test_a_clock_takes_turns_of_its_own(self) -> None:
        ann, bob = world.ann(), world.bob()
        pool = makers.sales(ann, bob)
        clock = TestClock.objects.create(frozen_time=makers.NOON)
        clocked = [makers.lead(email=f"x@company{n}.com", test_clock_id=clock.pk).owner for n in range(3)]
        pool.refresh_from_db()
        assert clocked == [ann, bob, ann]
        assert pool.last_assigned_user is None
        assert makers.lead(email="x@real.com").owner == ann

    def test_everything_on_it_can_be_deleted(self) -> None:
        ann = world.ann()
        makers.sales(ann)
        clock = TestClock.objects.create(frozen_time=makers.NOON)
        account_of(makers.customer(test_clock=clock))
        account = makers.account(test_clock_id=clock.pk)
        makers.alert(account=account)
        view = SavedView.objects.create(entity="account", name="Mine", owner=ann)
        SavedViewRow.objects.create(view=view, object_id=account.pk)
        job = BulkJob.objects.create(entity="account", user=ann, action="assign", total=1)
        BulkRow.objects.create(job=job, position=0, object_id=account.pk, before={"name": "Acme"})
        real = makers.account()
        with transaction.atomic():
            delete_all(clock=clock)
        assert not SavedViewRow.objects.exists()
        assert not BulkRow.objects.exists()
        assert list(Account.objects.all()) == [real]
