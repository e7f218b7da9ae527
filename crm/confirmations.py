"""What is known to be done, or the buyer has confirmed, of the exit criteria of a deal's stages."""

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from crm.models import Confirmation, Opportunity, Stage, StageRequirement
from gtm.shared import context, db, outbox
from gtm.shared.errors import Invalid, NotFound
from gtm.shared.models import write


@transaction.atomic
def confirm(
    *, opportunity: Opportunity, requirement: StageRequirement, at: datetime, evidence: str = ""
) -> Confirmation:
    """Publishes ``crm.opportunity.confirmed``. Raises Invalid for a requirement of another pipeline."""
    opportunity = db.lock_one(opportunity)
    if requirement.stage.pipeline_id != opportunity.pipeline_id:
        raise Invalid("That is a requirement of another pipeline.", attr="requirement")
    row = _write(opportunity, requirement, evidence, at)
    write(opportunity)
    _publish("confirmed", opportunity, requirement, at)
    return row


@transaction.atomic
def withdraw(*, opportunity: Opportunity, requirement: StageRequirement, at: datetime) -> None:
    """Publishes ``crm.opportunity.confirmation_withdrawn``. Raises NotFound where it was not confirmed."""
    opportunity = db.lock_one(opportunity)
    gone, _by_model = opportunity.confirmations.filter(requirement=requirement).delete()
    if not gone:
        raise NotFound("That was not confirmed.")
    write(opportunity)
    _publish("confirmation_withdrawn", opportunity, requirement, at)


def met(opportunity: Opportunity) -> set[str]:
    """The ids of the requirements that are met."""
    if opportunity._state.adding:
        return set()
    return {row.requirement.public_id for row in opportunity.confirmations.select_related("requirement")}


def keep(opportunity: Opportunity, path: list[Stage], given: Mapping[str, str], at: datetime) -> None:
    """Write what was confirmed with a move, by requirement id. Raises Invalid for one that is not in the pipeline."""
    asked = {one.public_id: one for stage in path for one in stage.requirements.all()}
    if unknown := [name for name in given if name not in asked]:
        raise Invalid(f"There is no requirement {unknown[0]!r} in this pipeline.", attr="confirmations")
    for name, evidence in given.items():
        _write(opportunity, asked[name], evidence, at)
        _publish("confirmed", opportunity, asked[name], at)


def _write(opportunity: Opportunity, requirement: StageRequirement, evidence: str, at: datetime) -> Confirmation:
    told = {"evidence": evidence.strip()[:500], "actor": context.actor(), "at": at}
    row, _made = Confirmation.objects.update_or_create(opportunity=opportunity, requirement=requirement, defaults=told)
    return row


def _publish(what: str, opportunity: Opportunity, requirement: StageRequirement, at: datetime) -> None:
    data = {"requirement": requirement.public_id, "kind": requirement.kind}
    fact = f"crm.opportunity.{what}"
    outbox.publish(fact, opportunity, at=at, account_id=opportunity.account_id, data=data)
