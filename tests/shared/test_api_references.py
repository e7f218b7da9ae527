"""How objects are named, and that nobody names what isn't theirs."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing import customers
from billing.models import Customer, Feature, Invoice, Meter, Subscription
from crm.models import Account
from gtm.shared.api import references
from gtm.shared.models import Event, TestClock
from tests import world
from tests.crm import makers
from tests.shared.api_world import clock

pytestmark = pytest.mark.django_db


class TestLookup:
    def test_reads_an_id_a_code_or_an_external_id(self):
        year = clock(external_id="a")
        assert references.lookup(TestClock, year.public_id) == {"pk": year.id}
        assert references.lookup(TestClock, "external_id:a:b") == {"external_id": "a:b"}
        assert references.lookup(Meter, "api_calls") == {"code": "api_calls"}
        assert references.find(TestClock.objects.all(), "external_id:a") == year

    def test_names_nothing_by_a_code_where_there_is_none(self):
        for text in ("a", "", "clock_", "meter_00000000000000000000000000", "a\0"):
            assert references.lookup(TestClock, text) is None

    def test_asks_nothing_of_the_database(self):
        with CaptureQueriesContext(connection) as queries:
            references.lookup(Feature, "x")
        assert len(queries) == 0

    def test_is_told_in_words(self):
        assert references.ways(Meter) == "`meter_…`, its code, `external_id:` and your own id"
        assert references.ways(Event) == "`evt_…`"


class TestVisible:
    @pytest.fixture
    def acme(self):
        """A customer of an account that Ann owns."""
        makers.sales(ann := world.ann())
        customer, account = makers.customer(), makers.account()
        customers.record_account(customer_id=customer.pk, account_id=account.pk)
        return customer, account, ann

    def test_customers_follow_the_account(self, acme):
        customer, account, ann = acme
        for user, expected in ((None, [customer]), (world.fay(), [customer]), (ann, [customer]), (world.otto(), [])):
            assert list(references.visible(Customer, user)) == expected
        assert list(references.visible(Account, ann)) == [account]

    def test_what_is_a_customers_follows_the_customer(self):
        otto = world.otto()
        for model in (Subscription, Invoice):
            assert "crm_account" in str(references.visible(model, otto).query)
            assert "crm_account" not in str(references.visible(model, None).query)

    def test_what_is_nobodys_is_for_all_of_the_staff(self):
        year = clock()
        assert list(references.visible(TestClock, world.otto())) == [year]
