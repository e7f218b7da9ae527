"""What a list of accounts shows beside the accounts themselves: a fixed number of queries for a page of any size."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F, QuerySet

from billing.models import Customer, Subscription
from billing.queries import LimitState, limits_of
from crm.models import Account, AccountDomain, Opportunity, Task
from crm.policies import current_policy
from crm.queries import revenue

TOUCHES = (  # by people: what counts as having been in touch
    "crm.call.logged",
    "crm.email.received",
    "crm.email.sent",
    "crm.lead.created",
    "crm.lead.transitioned",
    "crm.note.written",
)
USERS_TRAITS = ("users_count", "active_users")


@dataclass(frozen=True, slots=True)
class NextStep:
    text: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Beside:
    """By account: what it is worth, what it has bought, how near it is to a limit, who uses it, and what is next."""

    segments: dict[str, str]
    domains: dict[UUID, str] = field(default_factory=dict)
    worth: dict[UUID, revenue.Revenue] = field(default_factory=dict)
    plans: dict[UUID, list[str]] = field(default_factory=dict)
    fullest: dict[UUID, LimitState] = field(default_factory=dict)
    users: dict[UUID, int] = field(default_factory=dict)
    touched: dict[UUID, datetime] = field(default_factory=dict)
    next_steps: dict[UUID, NextStep] = field(default_factory=dict)


def beside(accounts: Sequence[Account], at: datetime) -> Beside:
    keys = [account.pk for account in accounts]
    segments = {s["code"]: str(s.get("label", s["code"])) for s in current_policy(at=at).segments}
    if not keys:
        return Beside(segments)
    customers = list(Customer.objects.filter(account_id__in=keys).only("pk", "account_id", "traits"))
    accounts_of = {customer.pk: customer.account_id for customer in customers if customer.account_id}
    return Beside(
        segments=segments,
        domains=dict(
            AccountDomain.objects.filter(account__in=keys, is_primary=True).values_list("account_id", "domain")
        ),
        worth=revenue.arr_of(account_ids=keys, at=at),
        plans=_plans(accounts_of),
        fullest=_fullest(accounts_of, at),
        users=_users(customers),
        touched=_touched(keys),
        next_steps=_next_steps(keys),
    )


def _plans(accounts_of: dict[UUID, UUID]) -> dict[UUID, list[str]]:
    live = Subscription.objects.filter(customer__in=accounts_of, status__in=Subscription.LIVE)
    found: dict[UUID, list[str]] = {}
    for customer_id, name in live.order_by("created_at").values_list("customer_id", "plan_version__plan__name"):
        names = found.setdefault(accounts_of[customer_id], [])
        if name not in names:
            names.append(name)
    return found


def _fullest(accounts_of: dict[UUID, UUID], at: datetime) -> dict[UUID, LimitState]:
    """Of all limits of an account the one that most is used of."""
    found: dict[UUID, LimitState] = {}
    for state in limits_of(customer_ids=accounts_of, at=at) if accounts_of else ():
        key = accounts_of[state.customer_id]
        if state.limit and (key not in found or _share(state) > _share(found[key])):
            found[key] = state
    return found


def _share(state: LimitState) -> Any:
    return state.used / state.limit


def _users(customers: Iterable[Customer]) -> dict[UUID, int]:
    """As the product reports them, summed over the account's customers."""
    found: dict[UUID, int] = {}
    for customer in customers:
        reported = next((n for name in USERS_TRAITS if isinstance(n := customer.traits.get(name), int)), None)
        if reported is not None and customer.account_id:
            found[customer.account_id] = found.get(customer.account_id, 0) + reported
    return found


def _touched(keys: Sequence[UUID]) -> dict[UUID, datetime]:
    """When somebody was last in touch: each account's facts are read from the newest back to the first that fits."""
    with connection.cursor() as cursor:
        cursor.execute(_LAST_TOUCH, [list(keys), list(TOUCHES)])
        return dict(cursor.fetchall())


_LAST_TOUCH = """
SELECT account.id, touch.occurred_at
FROM unnest(%s::uuid[]) AS account (id)
CROSS JOIN LATERAL (
    SELECT e.occurred_at FROM shared_event e
    WHERE e.account_id = account.id AND e.type = ANY(%s)
    ORDER BY e.position DESC LIMIT 1
) AS touch
"""


def _next_steps(keys: Sequence[UUID]) -> dict[UUID, NextStep]:
    """The earliest of the open tasks and the next steps of open opportunities."""
    tasks = Task.objects.filter(account__in=keys, state=Task.State.OPEN)
    deals = Opportunity.objects.filter(account__in=keys, state="open")
    found: dict[UUID, NextStep] = {}
    for key, text, at in [*_earliest(deals, "next_step", "next_step_at"), *_earliest(tasks, "title", "due_at")]:
        known = found.get(key)
        if known is None or (at and (known.at is None or at < known.at)):
            found[key] = NextStep(text, at)
    return found


def _earliest(rows: QuerySet[Any], text: str, at: str) -> list[tuple[UUID, str, datetime | None]]:
    first = rows.order_by("account_id", F(at).asc(nulls_last=True), "pk").distinct("account_id")
    return list(first.values_list("account_id", text, at))
