"""One account from all sides. A fixed number of queries, whatever the data."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db.models import Prefetch, Q

from billing.models import Customer, Invoice, Subscription, SubscriptionItem
from billing.queries import LimitState, limits_of
from crm import custom_fields, timeline
from crm.custom_values import Definition
from crm.models import (
    Account,
    AccountDomain,
    Alert,
    Contact,
    FieldChange,
    Lead,
    MergeLog,
    MotionDecision,
    OwnerDecision,
    Suggestion,
)
from crm.queries import revenue, story
from gtm.shared.models import User

RECENT, PEOPLE, ENTRIES = 10, 50, 50
OPEN_ALERTS = (Alert.State.OPEN, Alert.State.ACKNOWLEDGED, Alert.State.SNOOZED)


@dataclass(frozen=True, slots=True)
class CustomerView:
    """A customer as the account shows it: what it has, how far it is to its limits, what it owes."""

    customer: Customer
    subscriptions: list[Subscription] = field(default_factory=list)
    limits: list[LimitState] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class OwnField:
    """A field of the founders' own with its value here."""

    definition: Definition
    value: object


@dataclass(frozen=True, slots=True)
class Account360:
    """``said``: per field, the change that made it what it is; ``older``: where the timeline goes on."""

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
    older: int | None
    said: dict[str, FieldChange]
    own_fields: list[OwnField]
    parent: Account | None
    children: list[Account]
    suggestions: list["Pair"]
    merges: list[MergeLog]


@dataclass(frozen=True, slots=True)
class Pair:
    """A suggestion as one of its accounts shows it."""

    suggestion: Suggestion
    other: Account


def around(
    account: Account, *, user: User, at: datetime, kinds: Sequence[str] = (), before: int | None = None
) -> Account360:
    """One account with everything that its page shows to ``user``; the timeline by ``kinds``, below ``before``."""
    customers = list(Customer.objects.filter(account_id=account.pk).order_by("created_at", "id"))
    keys = [customer.pk for customer in customers]
    told = story.page(account_id=account.pk, customer_ids=keys, limit=ENTRIES, kinds=kinds, before=before)
    parent, children = _family(account, user)
    return Account360(
        account=account,
        domains=list(account.domains.order_by("-is_primary", "domain")),
        motion=account.motion_decisions.filter(valid_to=None).select_related("policy").first(),
        ownership=account.owner_decisions.filter(valid_to=None).select_related("ruleset").first(),
        worth=revenue.arr_of(account_ids=[account.pk], at=at).get(account.pk),
        customers=_customers(customers, at),
        invoices=_invoices(keys),
        leads=list(account.leads.select_related("owner").order_by("-created_at", "-id")[:RECENT]),
        contacts=list(account.contacts.order_by("name_key", "id")[:PEOPLE]),
        alerts=list(account.alerts.filter(state__in=OPEN_ALERTS).select_related("owner").order_by("-raised_at", "-id")),
        entries=timeline.entries(told.events),
        older=told.older,
        said=said(account.pk),
        own_fields=own_fields("account", account.custom),
        parent=parent,
        children=children,
        suggestions=_suggestions(account, user),
        merges=_merges(account, at),
    )


def said(object_id: UUID) -> dict[str, FieldChange]:
    """The latest change of each field, by which a fact has its source and date."""
    latest = FieldChange.objects.filter(object_id=object_id).order_by("field", "-at", "-id").distinct("field")
    return {change.field: change for change in latest}


def own_fields(entity: str, held: dict[str, object]) -> list[OwnField]:
    return [OwnField(definition, held.get(definition.code)) for definition in custom_fields.definitions(entity)]


def _family(account: Account, user: User) -> tuple[Account | None, list[Account]]:
    """What it belongs to and what belongs to it, as far as the user sees them."""
    near = Account.objects.visible_to(user).filter(Q(pk=account.parent_id) | Q(parent=account.pk)).order_by("name_key")
    found = list(near[:RECENT])
    parent = next((one for one in found if one.pk == account.parent_id), None)
    return parent, [one for one in found if one is not parent]


def _suggestions(account: Account, user: User) -> list[Pair]:
    """Open ones, of which the user sees both accounts."""
    of_it = Suggestion.objects.visible_to(user).filter(Q(first=account) | Q(second=account))
    rows = of_it.filter(state=Suggestion.State.OPEN).select_related("first", "second").order_by("pk")[:RECENT]
    return [Pair(row, row.second if row.first_id == account.pk else row.first) for row in rows]


def _merges(account: Account, at: datetime) -> list[MergeLog]:
    """Those into it that can still be undone, the latest first."""
    found = MergeLog.objects.filter(survivor=account, undone_at=None, undo_until__gte=at)
    return list(found.select_related("merged").order_by("-merged_at", "-id")[:RECENT])


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
