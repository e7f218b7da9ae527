"""The people who have a say in a deal, and where they stand."""

from datetime import datetime

from django.db import transaction

from crm.models import Contact, Opportunity, Stakeholder
from gtm.shared import db, outbox, saving
from gtm.shared.errors import Invalid


@transaction.atomic
def put(
    *, opportunity: Opportunity, contact: Contact, role: str, at: datetime, stance: str = Stakeholder.Stance.UNKNOWN
) -> Stakeholder:
    """Add a person, or set their role and stance; publishes ``crm.opportunity.stakeholder_set``.

    Raises Invalid for a contact of another account, and for a role or stance that there is not.
    """
    opportunity = db.lock_one(opportunity)
    if contact.account_id != opportunity.account_id:
        raise Invalid("That person belongs to another account.", attr="contact")
    row = opportunity.stakeholders.filter(contact=contact).first() or Stakeholder(
        opportunity=opportunity, contact=contact
    )
    row.role, row.stance = role, stance
    saving.clean(row)
    row.save()
    data = {"contact": contact.public_id, "role": role, "stance": stance}
    _publish("stakeholder_set", opportunity, at, data)
    return row


@transaction.atomic
def remove(*, stakeholder: Stakeholder, at: datetime) -> None:
    """Publishes ``crm.opportunity.stakeholder_removed``."""
    opportunity = db.lock_one(stakeholder.opportunity)
    _publish("stakeholder_removed", opportunity, at, {"contact": stakeholder.contact.public_id})
    stakeholder.delete()


def _publish(what: str, opportunity: Opportunity, at: datetime, data: dict[str, str]) -> None:
    fact = f"crm.opportunity.{what}"
    outbox.publish(fact, opportunity, at=at, account_id=opportunity.account_id, data=data)
