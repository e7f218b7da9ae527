"""Messages that look like spam: held until a person says what they are. Nothing that somebody sent is lost."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from crm import leads
from crm.models import HeldLead, Lead, LeadForm
from gtm.shared import context, db, outbox
from gtm.shared.errors import Conflict

VISITOR = "visitor"


@transaction.atomic
def take_in(
    *, at: datetime, said: Mapping[str, Any], because: Sequence[str], form: LeadForm | None = None
) -> Lead | HeldLead:
    """A lead of what was said, as ``leads.submit`` takes it; held where there are suspicions, which publishes
    ``crm.held_lead.received``. Raises Invalid as ``leads.submit`` does.
    """
    if not because:
        return leads.submit(at=at, form=form, **said)
    held = HeldLead.objects.create(form=form, said=dict(said), because=list(because), received_at=at)
    data = {"because": list(because), "form": form.code if form else None}
    outbox.publish("crm.held_lead.received", held, at=at, data=data)
    return held


@transaction.atomic
def release(*, held: HeldLead, at: datetime) -> Lead:
    """It is no spam: a lead from now on, so that the time to answer starts now. Raises Conflict for a decided one."""
    held = _undecided(held)
    with context.acting(VISITOR):  # who wrote it; whoever let it pass stands in the other fact
        lead = leads.submit(at=at, form=held.form, **held.said)
    _decide(held, HeldLead.State.RELEASED, at, lead)
    return lead


@transaction.atomic
def discard(*, held: HeldLead, at: datetime) -> HeldLead:
    """It is spam, and stays among what was discarded. Raises Conflict for a decided one."""
    held = _undecided(held)
    _decide(held, HeldLead.State.DISCARDED, at)
    return held


def _undecided(held: HeldLead) -> HeldLead:
    held = db.lock_one(held)
    if held.state != HeldLead.State.HELD:
        raise Conflict(f"This message was {held.get_state_display().lower()} already.", code="wrong_state")
    return held


def _decide(held: HeldLead, state: str, at: datetime, lead: Lead | None = None) -> None:
    held.state, held.decided_at, held.decided_by, held.lead = state, at, context.actor(), lead
    held.save(update_fields=["state", "decided_at", "decided_by", "lead"])
    data = {"lead": lead.public_id if lead else None}
    outbox.publish(f"crm.held_lead.{state}", held, at=at, account_id=lead.account_id if lead else None, data=data)
