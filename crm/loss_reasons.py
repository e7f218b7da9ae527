"""Why deals are lost, in the company's words; each reason falls under the category that reports count."""

from datetime import datetime
from typing import Any

from django.db import transaction

from crm.models import LossReason
from gtm.shared import db, outbox, saving
from gtm.shared.errors import Conflict


@transaction.atomic
def create(*, at: datetime, code: str, label: str, category: str, **fields: Any) -> LossReason:
    """Publishes ``crm.loss_reason.created``. Raises Invalid."""
    reason = LossReason(code=code, label=label, category=category, **fields)
    saving.insert(reason)
    outbox.publish("crm.loss_reason.created", reason, at=at, data={"code": code, "category": category})
    return reason


@transaction.atomic
def change(*, loss_reason: LossReason, at: datetime, **changes: Any) -> LossReason:
    """Publishes ``crm.loss_reason.changed``. Deals that were lost before keep the category of that day."""
    reason = db.lock_one(loss_reason)
    changed = sorted(name for name, value in changes.items() if getattr(reason, name) != value)
    for name in changed:
        setattr(reason, name, changes[name])
    if changed:
        saving.clean(reason, only=set(changed))
        reason.save(update_fields=changed)
        data = {"code": reason.code, "category": reason.category, "active": reason.active, "changed": changed}
        outbox.publish("crm.loss_reason.changed", reason, at=at, data=data)
    return reason


@transaction.atomic
def remove(*, loss_reason: LossReason, at: datetime) -> None:
    """Publishes ``crm.loss_reason.removed``. Raises Conflict for one that deals were lost for."""
    reason = db.lock_one(loss_reason)
    if reason.opportunities.exists():
        raise Conflict("Deals were lost for this reason. Switch it off instead.", code="reason_in_use")
    outbox.publish("crm.loss_reason.removed", reason, at=at, data={"code": reason.code})
    reason.delete()
