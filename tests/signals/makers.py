"""Makers of the nouns of signals, by real operations: customers on a plan with 1,000 API calls, and what they use."""

from datetime import datetime
from itertools import count
from typing import Any

from billing import subscriptions, usage
from billing.models import Customer, Plan, Subscription
from crm import accounts
from crm.models import Account
from tests.billing import makers as billing

_ids = count()


def subscriber(*, plan: Plan, at: datetime, **fields: Any) -> Subscription:
    """A customer who pays by card for the plan from ``at``, with its account."""
    customer = billing.customer(at=at, **fields)
    billing.card(customer, at=at)
    started = subscriptions.create(customer=customer, plan=plan, at=at)
    accounts.for_customer(customer=customer, at=at)
    return started


def account_of(customer: Customer) -> Account:
    return Account.objects.get(customer_links__customer=customer, customer_links__valid_to=None)


def calls(number: int, *, customer: Customer, at: datetime) -> usage.Recorded:
    """The vendor's product reports so many API calls, each as an event of its own."""
    events = [
        usage.UsageInput(id=f"call-{next(_ids)}", name="api.call", customer=customer.public_id) for _ in range(number)
    ]
    return usage.record(events=events, at=at)
