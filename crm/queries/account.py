"""One account from all sides. A fixed number of queries, whatever the data."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db.models import Prefetch

from billing.models import Customer, Invoice, Subscription, SubscriptionItem
from billing.queries import LimitState, limits_of
from crm import timeline
from crm.models import Account, AccountDomain, Alert, Contact, Lead, MotionDecision, OwnerDecision
from crm.queries import revenue

RECENT = 10
OPEN_ALERTS = (Alert.State.OPEN, Alert.State.ACKNOWLEDGED, Alert.State.SNOOZED)


@dataclass(frozen=True, slots=True)
class CustomerView:
    """A customer as the account shows it: what it has, how far it is to its limits, what it owes."""

    customer: Customer
    subscriptions: list[Subscription] = field(default_factory=list)
    limits: list[LimitState] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Account360:
    account: Account
    domains: list[AccountDomain]
    motion: MotionDecision | None
    ownership: OwnerDecision | None
    worth: revenue.Revenue | None
    customers: list[CustomerView]
    invoices: list[Invoice]
    leads: list[Lead]
    contacts: list[Contact]
    alerts: list[Alert]
    entries: list[timeline.Entry]


def around(account: Account, *, at: datetime) -> Account360:
    """One account with everything that its page shows."""
    customers = list(Customer.objects.filter(account_id=account.pk).order_by("created_at", "id"))
    keys = [customer.pk for customer in customers]
    return Account360(
        account=account,
        domains=list(account.domains.order_by("-is_primary", "domain")),
        motion=account.motion_decisions.filter(valid_to=None).select_related("policy").first(),
        ownership=account.owner_decisions.filter(valid_to=None).select_related("ruleset").first(),
        worth=revenue.arr_of(account_ids=[account.pk], at=at).get(account.pk),
        customers=_customers(customers, at),
        invoices=_invoices(keys),
        leads=list(account.leads.select_related("owner").order_by("-created_at", "-id")[:RECENT]),
        contacts=list(account.contacts.order_by("name", "id")[:RECENT]),
        alerts=list(account.alerts.filter(state__in=OPEN_ALERTS).select_related("owner").order_by("-raised_at", "-id")),
        entries=timeline.of_account(account_id=account.pk, customer_ids=keys),
    )


def _customers(customers: list[Customer], at: datetime) -> list[CustomerView]:
    keys = [customer.pk for customer in customers]
    limits = limits_of(customer_ids=keys, at=at) if keys else []
    subscriptions = _subscriptions(keys)
    return [
        CustomerView(
            customer,
            [s for s in subscriptions if s.customer_id == customer.pk],
            [limit for limit in limits if limit.customer_id == customer.pk],
        )
        for customer in customers
    ]


def _subscriptions(customer_ids: list[UUID]) -> list[Subscription]:
    items = SubscriptionItem.objects.filter(ended_at=None).select_related("price").order_by("created_at", "id")
    found = Subscription.objects.filter(customer__in=customer_ids).exclude(status=Subscription.Status.EXPIRED)
    related = found.select_related("plan_version__plan").prefetch_related(Prefetch("items", queryset=items))
    return list(related.order_by("-created_at", "-id"))


def _invoices(customer_ids: list[UUID]) -> list[Invoice]:
    finalized = Invoice.objects.filter(customer__in=customer_ids).exclude(status=Invoice.Status.DRAFT)
    return list(finalized.select_related("customer").order_by("-finalized_at", "-id")[:RECENT])
