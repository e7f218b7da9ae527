"""A rep's key shows the customers of its accounts, and their money, and nothing of anybody else."""

import pytest
from rest_framework.test import APIClient

from billing import balances, subscriptions
from billing.models import Customer, Invoice, Payment
from crm import accounts
from crm.models import Account
from gtm.shared import keys
from tests import world
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
RESOURCES = (
    "customers",
    "subscriptions",
    "invoices",
    "payments",
    "credit_notes",
    "refunds",
    "disputes",
    "balance_entries",
)


def caller(user) -> APIClient:
    _, plaintext = keys.issue(name="Theirs", scope="write", user=user)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {plaintext}")
    return client


@pytest.fixture
def acme() -> Customer:
    """Ann's customer, which pays by card."""
    customer = makers.customer()
    makers.card(customer)
    account = accounts.for_customer(customer=customer, at=JAN_1)
    account.owner, account.queue = world.ann(), None
    account.save()
    customer.refresh_from_db()
    subscriptions.create(customer=customer, plan=makers.published_plan(), at=JAN_1)
    makers.credited(Invoice.objects.get(), 100, settle="refund")
    balances.adjust(customer=customer, amount=100, reason="An outage", at=JAN_1)
    makers.dispute(Payment.objects.get())
    return customer


@pytest.mark.parametrize("resource", RESOURCES)
def test_its_owner_and_the_founder_see_it_and_an_outsider_does_not(acme, resource):
    ann = Account.objects.get(pk=acme.account_id).owner
    theirs = caller(ann).get(f"/api/v1/{resource}").json()["results"]
    assert theirs == caller(world.fay()).get(f"/api/v1/{resource}").json()["results"]
    assert len(theirs) == 1
    outsider = caller(world.otto())
    assert outsider.get(f"/api/v1/{resource}").json()["results"] == []
    assert outsider.get(f"/api/v1/{resource}/{theirs[0]['id']}").status_code == 404
