"""Whoever owns an account sees its money over the API, and doesn't move it."""

import pytest

from billing import subscriptions
from billing.models import Invoice
from crm import accounts
from tests import world
from tests.billing import makers
from tests.billing.api import BASE, caller, problem
from tests.world import JAN_1

pytestmark = pytest.mark.django_db(transaction=True)


def test_money_is_moved_by_founders_and_finance_alone():
    customer = makers.customer()
    makers.card(customer)
    rep = world.ann()
    accounts.give(account=accounts.for_customer(customer=customer, at=JAN_1), owner=rep, at=JAN_1)
    subscription = subscriptions.create(customer=customer, plan=makers.published_plan(), at=JAN_1)
    invoice = Invoice.objects.get()
    ann, fay = caller(user=rep), caller(user=world.fay())
    assert ann.get(f"{BASE}/invoices/{invoice.public_id}").status_code == 200
    for address in (
        f"customers/{customer.public_id}/payments",
        f"invoices/{invoice.public_id}/payment",
        f"invoices/{invoice.public_id}/void",
        f"invoices/{invoice.public_id}/collection",
        f"subscriptions/{subscription.public_id}/cancellation",
        f"subscriptions/{subscription.public_id}/discounts",
        "coupons",
        f"invoices/{invoice.public_id}/write_off",
        "invoices",
        "credit_notes",
        "refunds",
        "balance_entries",
        "subscriptions",
        "test_clocks",
    ):
        assert problem(ann.post(f"{BASE}/{address}", {}), status=403)[0] == "lacks_scope", address
    assert fay.post(f"{BASE}/subscriptions/{subscription.public_id}/cancellation", {}).status_code == 200
