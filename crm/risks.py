"""What may stop a deal: risks, and blockers that name the requirement we lack and when the roadmap has it."""

from datetime import date, datetime

from django.db import transaction

from crm import deals
from crm.models import Opportunity, Risk
from gtm.shared import context, db, outbox, saving
from gtm.shared.errors import Conflict, Invalid

REQUIREMENTS = ("gdpr", "soc2", "infosec", "sso", "msa", "sla", "custom_dpa", "security_review", "on_premises")


@transaction.atomic
def raise_risk(
    *,
    opportunity: Opportunity,
    at: datetime,
    text: str,
    kind: str = Risk.Kind.RISK,
    requirement: str = "",
    roadmap_on: date | None = None,
) -> Risk:
    """Publishes ``crm.opportunity.risk_raised``. ``requirement`` is one of ``REQUIREMENTS`` or a word of one's own.

    Raises Invalid for a blocker that names none, and for a roadmap date beyond the 18 months that buyers wait.
    """
    opportunity = db.lock_one(opportunity)
    requirement = requirement.strip().lower().replace(" ", "_")
    if kind == Risk.Kind.BLOCKER and not requirement:
        raise Invalid("Say which requirement we lack.", code="required", attr="requirement")
    if roadmap_on and not deals.roadmap_is_usual(at.date(), roadmap_on):
        raise Invalid("Buyers wait 12 to 18 months for a gap to be closed, not longer.", attr="roadmap_on")
    risk = Risk(
        opportunity=opportunity,
        kind=kind,
        requirement=requirement,
        text=text.strip(),
        roadmap_on=roadmap_on,
        actor=context.actor(),
        raised_at=at,
    )
    saving.insert(risk)
    _publish("risk_raised", risk, at)
    return risk


@transaction.atomic
def resolve(*, risk: Risk, at: datetime) -> Risk:
    """Publishes ``crm.opportunity.risk_resolved``. Raises Conflict for one that is resolved."""
    db.lock_one(risk.opportunity)
    risk = db.lock_one(risk)
    if risk.resolved_at:
        raise Conflict("This is resolved.", code="wrong_state")
    risk.resolved_at = at
    risk.save(update_fields=["resolved_at"])
    _publish("risk_resolved", risk, at)
    return risk


def _publish(what: str, risk: Risk, at: datetime) -> None:
    data = {"kind": risk.kind, "requirement": risk.requirement}
    account_id = risk.opportunity.account_id
    outbox.publish(f"crm.opportunity.{what}", risk.opportunity, at=at, account_id=account_id, data=data)
