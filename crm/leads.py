"""Leads: taken in, matched to an account, routed. ``crm.lead_steps`` leads them on, and is called from here.

Every request is a lead of its own, also when the same person asks twice: what they said stays as they said it. Both
belong to the same account, contact and owner.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from crm import accounts, attribution, contacts, owners, sla
from crm.attribution import Touch
from crm.lead_steps import STEPS, accept, reject, transition
from crm.models import Account, Contact, Lead, LeadForm
from crm.needs import normalised
from crm.queries.routing import as_told
from gtm.shared import context, outbox, saving
from gtm.shared.countries import is_country
from gtm.shared.domains import business_domain
from gtm.shared.errors import Invalid

__all__ = ["STEPS", "accept", "reject", "submit", "transition"]

MAX_MESSAGE, MAX_EMPLOYEES = 5000, 10_000_000


# --- taken in ----------------------------------------------------------------------------------
@transaction.atomic
def submit(
    *,
    at: datetime,
    kind: str,
    name: str,
    email: str,
    company: str = "",
    employee_count: int | None = None,
    country: str = "",
    needs: Sequence[str] = (),
    message: str = "",
    source: str = "",
    test_clock_id: UUID | None = None,
    external_id: str | None = None,
    metadata: dict[str, Any] | None = None,
    form: LeadForm | None = None,
    answers: Sequence[dict[str, Any]] = (),
    consent: dict[str, Any] | None = None,
) -> Lead:
    """Take in a request and route it; publishes ``crm.lead.created``. Raises Invalid, with the field, for bad input.

    The account is the one of the address's registrable domain on the same test clock, or a new one; its empty facts are
    filled, filled ones stay. The lead keeps the account's owner or queue, why, and by when to answer; and for good
    where it came from first, and who is credited with it. ``answers`` are those to the questions of ``form``.
    """
    said: dict[str, Any] = {"kind": kind, "employee_count": employee_count, "country": country.upper()}
    said |= {"name": name.strip(), "email": email.strip().lower(), "company": company.strip()}
    said |= {"needs": normalised(needs), "message": message.strip(), "source": source.strip() or kind}
    kept = {"form": form, "answers": list(answers), "consent": consent or {}, "metadata": metadata or {}}
    lead = Lead(**said, **kept, test_clock_id=test_clock_id, external_id=external_id)
    lead.name_key = accounts.fold(f"{lead.company} {lead.name} {lead.email}")
    _check(lead, set(said))
    _route(lead, at)
    _attribute(lead, at)
    saving.insert(lead)
    sla.start(subject=lead, at=at)
    _tell(lead, at)
    return lead


def _check(lead: Lead, said: set[str]) -> None:
    saving.clean(lead, only=said)
    if len(lead.message) > MAX_MESSAGE:
        raise Invalid(f"At most {MAX_MESSAGE} characters.", attr="message")
    if lead.country and not is_country(lead.country):
        raise Invalid("Give a country code of ISO 3166.", attr="country")
    if lead.employee_count is not None and lead.employee_count > MAX_EMPLOYEES:
        raise Invalid(f"Give a number from 0 to {MAX_EMPLOYEES}.", attr="employee_count")


def _route(lead: Lead, at: datetime) -> None:
    """Give the lead its account, its contact, and the owner or queue that the account has or gets now."""
    owners.lock_pools(at=at)
    account = accounts.decide(account=_account(lead, at), at=at)
    occasion = {"kind": lead.kind, "source": lead.source}
    assignment = owners.assign(account=account, at=at, trigger="lead", lead=occasion)
    lead.account = assignment.account
    lead.owner, lead.queue = assignment.account.owner, assignment.account.queue
    lead.contact = _contact(assignment.account, lead, at)
    lead.routing = _routing(assignment)


def _account(lead: Lead, at: datetime) -> Account:
    said = {"employee_count": lead.employee_count, "country": lead.country, "needs": lead.needs}
    return accounts.find_or_make(
        at=at,
        name=lead.company or business_domain(lead.email) or lead.name,
        email=lead.email,
        names_company=bool(lead.company),
        test_clock_id=lead.test_clock_id,
        source=lead.kind,
        facts={name: value for name, value in said.items() if value not in (None, "", [])},
    )


def _contact(account: Account, lead: Lead, at: datetime) -> Contact:
    """The person, known by their address, wherever they are a contact already; what is known of them stays."""
    return contacts.meet(account=account, at=at, name=lead.name, email=lead.email, source=lead.kind)


def _routing(assignment: owners.Assignment) -> dict[str, Any]:
    """What was decided about the account at this moment, as the lead keeps it: later decisions are the account's."""
    decided = assignment.account.motion_decisions.select_related("policy").get(valid_to=None)
    return as_told(
        assignment.account,
        policy=decided.policy.number if decided.policy else None,
        ruleset=assignment.ruleset,
        motion_reasons=decided.reasons,
        owner_reasons=assignment.reasons,
    )


def _attribute(lead: Lead, at: datetime) -> None:
    """Where its company came from first, and who is credited with the lead."""
    assert lead.account is not None, "a lead is routed before"
    this, touches = Touch(lead.source, at), _touches(lead.account)
    first = attribution.first(touches, this=this)
    lead.first_source, lead.first_touch_at = first.source[:60], first.at
    lead.credited_team = attribution.credit(touches, this=this, by_hand=context.actor().startswith("user:"))


def _touches(account: Account) -> list[Touch]:
    """The account's first lead, and since when a customer of it has used the product."""
    found = []
    earlier = account.leads.filter(first_touch_at__isnull=False).order_by("first_touch_at", "pk").first()
    if earlier is not None and earlier.first_touch_at is not None:
        found.append(Touch(earlier.first_source, earlier.first_touch_at))
    used = account.customer_links.order_by("valid_from").values_list("valid_from", flat=True).first()
    return [*found, Touch(attribution.PRODUCT, used, attribution.PRODUCT)] if used else found


def _tell(lead: Lead, at: datetime) -> None:
    data = {
        "kind": lead.kind,
        "source": lead.source,
        "lifecycle": lead.lifecycle,
        "first_source": lead.first_source,
        "credited_team": lead.credited_team,
    }
    outbox.publish("crm.lead.created", lead, at=at, account_id=lead.account_id, data=data)
