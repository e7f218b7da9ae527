"""Renewals: 90, 60 and 30 days before a yearly term ends, its account's owner gets a task, once each."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from billing.models import Subscription, SubscriptionItem
from crm import notifications, plays
from crm.models import Account, Notification, Task
from crm.queries import revenue
from gtm.shared import db, outbox
from gtm.shared.models import Event
from gtm.shared.money import exponent

MONTHS = 12
BATCH = 500
INTERVALS = {"week": 53, "month": MONTHS, "quarter": 4, "year": 1}  # how many make a term of a year or more
LONG = reduce(or_, (Q(price__interval=name, price__interval_count__gte=n) for name, n in INTERVALS.items()))
FIRST = max(plays.BEFORE_RENEWAL)


def prepare(*, at: datetime, test_clock_id: UUID | None = None) -> int:
    """Make the tasks that are missing at ``at``, for terms of unclocked customers or those of one clock; how many."""
    made, after = 0, None
    while True:
        ending = _ending(at, test_clock_id).order_by("pk")
        batch = list((ending.filter(pk__gt=after) if after else ending)[:BATCH])
        if not batch:
            return made
        made += _make(batch, at)
        after = batch[-1].pk


def next_due(*, at: datetime, test_clock_id: UUID) -> datetime | None:
    """When the next of these tasks is to be made on a test clock."""
    ends = _yearly(test_clock_id).filter(current_period_end__gt=at).values_list("current_period_end", flat=True)
    moments = [end - timedelta(days=days) for end in ends for days in plays.BEFORE_RENEWAL]
    return min((moment for moment in moments if moment > at), default=None)


def _yearly(test_clock_id: UUID | None) -> QuerySet[SubscriptionItem]:
    live = SubscriptionItem.objects.filter(subscription__status__in=Subscription.LIVE, ended_at=None)
    return live.filter(LONG, subscription__customer__test_clock=test_clock_id)


def _ending(at: datetime, test_clock_id: UUID | None) -> QuerySet[SubscriptionItem]:
    soon = _yearly(test_clock_id).filter(current_period_end__gt=at, current_period_end__lte=at + timedelta(days=FIRST))
    return soon.select_related("subscription__customer", "subscription__plan_version__plan")


@transaction.atomic
def _make(items: Iterable[SubscriptionItem], at: datetime) -> int:
    """Four queries and the facts: what is there is asked for under a lock, so that two runs make one task."""
    db.advisory_lock("crm.renewals")
    wanted = {task.origin: task for task in _tasks(items, at)}
    known = set(Task.objects.filter(origin__in=wanted).values_list("origin", flat=True))
    new = [task for origin, task in wanted.items() if origin not in known]
    Task.objects.bulk_create(new)
    outbox.publish_many(_fact(task, at) for task in new)
    notifications.tell(
        notifications.new(
            user_id=task.assignee_id,
            kind=Notification.Kind.TASK,
            at=at,
            actor="",
            account_id=task.account_id,
            task_id=task.pk,
            test_clock_id=task.test_clock_id,
        )
        for task in new
    )
    return len(new)


def _tasks(items: Iterable[SubscriptionItem], at: datetime) -> Iterator[Task]:
    rows = list(items)
    keys = {key for item in rows if (key := item.subscription.customer.account_id)}
    owned = Account.objects.select_related("owner").filter(pk__in=keys, owner__is_active=True).in_bulk()
    worth = revenue.arr_of(account_ids=owned, at=at)
    for item in rows:
        key = item.subscription.customer.account_id
        account = owned.get(key) if key else None
        days_left = -((at - item.current_period_end) // timedelta(days=1))
        stage = plays.stage_of_renewal(days_left)
        if account is not None and account.owner is not None and stage is not None:
            task = _task(item, account, stage, days_left, at)
            task.description = _checklist(worth.get(account.pk))
            yield task


def _checklist(arr: revenue.Revenue | None) -> str:
    if arr is None:
        return ""
    return plays.checklist_of_renewal(arr.amount, threshold=plays.PROCUREMENT_FROM * 10 ** exponent(arr.currency))


def _task(item: SubscriptionItem, account: Account, stage: int, days_left: int, at: datetime) -> Task:
    assert account.owner is not None
    subscription, ends = item.subscription, item.current_period_end
    plan, customer = subscription.plan_version.plan.name, subscription.customer
    why = f"The term of {plan} for {customer.name} ends on {ends:%-d %B %Y}, in {days_left} days."
    if subscription.cancel_at is not None and subscription.cancel_at <= ends:
        why += " It is set to end then."
    return Task(
        account=account,
        title=f"Talk about the renewal of {plan}"[:200],
        kind=Task.Kind.RENEWAL,
        due_at=at,
        assignee=account.owner,
        origin=f"renewal:{subscription.public_id}:{ends:%Y-%m-%d}:{stage}",
        why=why[:500],
        play=plays.BEFORE_RENEWAL[stage],
        value_at_stake=subscription.mrr * MONTHS,
        currency=subscription.currency,
        test_clock_id=account.test_clock_id,
    )


def _fact(task: Task, at: datetime) -> Event:
    data: dict[str, Any] = {"kind": task.kind, "origin": task.origin, "value_at_stake": task.value_at_stake}
    return outbox.fact("crm.task.created", task, at=at, account_id=task.account_id, data=data)
