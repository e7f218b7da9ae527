"""What founders keep for leads: the reasons to reject one, and what a segment asks before one is accepted."""

from datetime import datetime
from typing import Any

from django.db import models, transaction

from crm.models import AcceptanceTerms, Lead, RejectReason
from crm.qualification import INSTALLED, Terms
from gtm.shared import db, outbox, saving
from gtm.shared.errors import Conflict

SDR, NURTURE, NOBODY = RejectReason.ReturnsTo.SDR, RejectReason.ReturnsTo.NURTURE, RejectReason.ReturnsTo.NOBODY
OTHER = "other"
INSTALLED_REASONS = (
    ("no_project", "No funded project in sight", NURTURE, 180),
    ("no_pain", "No compelling event and no pain", NURTURE, 90),
    ("no_power", "No power, and no way to it", SDR, 90),
    ("not_reached", "Could not be reached", SDR, 90),
    ("no_fit", "Not a fit", NOBODY, 90),
    ("duplicate", "Already in the pipeline", NOBODY, 90),
    ("spam", "Spam", NOBODY, 90),
    (OTHER, "Another reason", NURTURE, 90),
)


# --- reasons to reject -------------------------------------------------------------------------
def reasons() -> list[RejectReason]:
    """Those that may be chosen, in their order; the installed ones where there are none, or only that of an upgrade."""
    found = list(RejectReason.objects.order_by("position", "label"))
    if {reason.code for reason in found} <= {OTHER}:
        install_reasons()
        found = list(RejectReason.objects.order_by("position", "label"))
    return [reason for reason in found if reason.active]


@transaction.atomic
def install_reasons() -> None:
    """Safe to repeat."""
    db.advisory_lock("crm.install_reasons")
    for position, (code, label, returns_to, days) in enumerate(INSTALLED_REASONS):
        said = {"label": label, "returns_to": returns_to, "nurture_days": days, "position": position}
        RejectReason.objects.get_or_create(code=code, defaults=said)


@transaction.atomic
def create_reason(*, at: datetime, **said: Any) -> RejectReason:
    """Raises Invalid for a code that is taken."""
    reason = RejectReason(**said)
    saving.insert(reason)
    data = {"code": reason.code, "returns_to": reason.returns_to, "active": reason.active}
    outbox.publish("crm.reject_reason.created", reason, at=at, data=data)
    return reason


@transaction.atomic
def change_reason(*, reason: RejectReason, at: datetime, **changes: Any) -> RejectReason:
    """Its code stays: leads and reports are told by it. One that is not ``active`` is no more offered."""
    assert "code" not in changes, "a reason keeps its code"
    reason = db.lock_one(reason)
    previous = _change(reason, changes)
    if previous:
        data = {"code": reason.code, "changed": sorted(previous)}
        outbox.publish("crm.reject_reason.changed", reason, at=at, data=data)
    return reason


@transaction.atomic
def remove_reason(*, reason: RejectReason, at: datetime) -> None:
    """Raises Conflict when leads were rejected for it."""
    reason = db.lock_one(reason)
    if Lead.objects.filter(rejected_reason=reason).exists():
        raise Conflict("Leads were rejected for this reason. Make it inactive instead.", code="in_use")
    outbox.publish("crm.reject_reason.removed", reason, at=at, data={"code": reason.code})
    reason.delete()


# --- what a segment asks -----------------------------------------------------------------------
def terms_of(segment: str) -> Terms:
    """What leads of the segment need: the founders' own terms, else the installed ones, for it or for every other."""
    rows = {
        row.segment: row
        for row in AcceptanceTerms.objects.filter(segment__in={segment, ""}).select_related("trial_plan")
    }
    for name in (segment, ""):
        if row := rows.get(name):
            plan = row.trial_plan.code if row.trial_plan else ""
            return Terms(row.within_months, row.needs_pain, row.needs_power, plan)
        if name in INSTALLED:
            return INSTALLED[name]
    raise AssertionError("there are terms for every other segment")


@transaction.atomic
def create_terms(*, at: datetime, **said: Any) -> AcceptanceTerms:
    """Raises Invalid for a segment that has terms."""
    row = AcceptanceTerms(**said)
    saving.insert(row)
    outbox.publish("crm.acceptance_terms.created", row, at=at, data=_told(row))
    return row


@transaction.atomic
def change_terms(*, terms: AcceptanceTerms, at: datetime, **changes: Any) -> AcceptanceTerms:
    row = db.lock_one(terms)
    previous = _change(row, changes)
    if previous:
        data = {**_told(row), "changed": sorted(previous)}
        outbox.publish("crm.acceptance_terms.changed", row, at=at, data=data)
    return row


@transaction.atomic
def remove_terms(*, terms: AcceptanceTerms, at: datetime) -> None:
    """What was accepted by them stays accepted."""
    row = db.lock_one(terms)
    outbox.publish("crm.acceptance_terms.removed", row, at=at, data=_told(row))
    row.delete()


def _told(row: AcceptanceTerms) -> dict[str, Any]:
    return {
        "segment": row.segment,
        "within_months": row.within_months,
        "needs_pain": row.needs_pain,
        "needs_power": row.needs_power,
    }


def _change(row: models.Model, changes: dict[str, Any]) -> set[str]:
    """Write what differs; the names of it."""
    changed = {name for name, value in changes.items() if getattr(row, name) != value}
    for name in changed:
        setattr(row, name, changes[name])
    if changed:
        saving.clean(row)
        row.save(update_fields=changed)
    return changed
