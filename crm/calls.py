"""Calls: how they ended, how long they took, and what is to be done next."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from crm import todos
from crm.models import Account, Call, Contact, Lead, Opportunity
from gtm.shared import outbox, saving
from gtm.shared.errors import Invalid
from gtm.shared.models import User

AHEAD = timedelta(minutes=5)
MAX_MINUTES = 1440


@transaction.atomic
def log(
    *,
    account: Account,
    at: datetime,
    outcome: str,
    caller: User | None,
    called_at: datetime | None = None,
    contact: Contact | None = None,
    lead: Lead | None = None,
    opportunity: Opportunity | None = None,
    next_task: dict[str, Any] | None = None,
    **fields: Any,
) -> Call:
    """Keep that a call took place, and make the task that follows from it; publishes ``crm.call.logged``.

    ``next_task`` holds ``title`` and ``due_at`` and perhaps an ``assignee``, who is the caller otherwise. Raises
    Invalid for an unknown outcome, a call that is yet to come, and what ``todos.create`` refuses.
    """
    todos.check_related(account, contact=contact, lead=lead, opportunity=opportunity)
    called_at = called_at or at
    if called_at > at + AHEAD:
        raise Invalid("That is still to come.", attr="called_at")
    if not 0 <= fields.get("minutes", 0) <= MAX_MINUTES:
        raise Invalid(f"From 0 to {MAX_MINUTES} minutes.", attr="minutes")
    about: dict[str, Any] = {"contact": contact, "lead": lead, "opportunity": opportunity}
    call = Call(
        account=account,
        outcome=outcome,
        caller=caller,
        called_at=called_at,
        test_clock_id=account.test_clock_id,
        **about,
        **fields,
    )
    saving.insert(call)
    task = _next(account, caller, next_task, at=at, about=about) if next_task else None
    data = {"outcome": outcome, "minutes": call.minutes, "task": task.public_id if task else None}
    outbox.publish("crm.call.logged", call, at=at, account_id=account.pk, data=data)
    return call


def _next(account: Account, caller: User | None, asked: dict[str, Any], *, at: datetime, about: dict[str, Any]) -> Any:
    assignee = asked.get("assignee") or caller
    if assignee is None:
        raise Invalid("Say who does it.", code="required", attr="assignee")
    rest = {name: value for name, value in asked.items() if name != "assignee"}
    return todos.create(at=at, account=account, assignee=assignee, created_by=caller, **about, **rest)
