"""A lead's way: lead to MQL to SQL to SAL, or rejected for a reason, and taken up again. Each step has actor and time.

Lock order: the account, then the lead.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from crm import history, lead_terms, opportunities, owners, sla
from crm.models import Account, Lead, LeadTransition, LostCategory, Opportunity, RejectReason
from crm.qualification import Answers, problems
from gtm.shared import context, db, ids, outbox
from gtm.shared.errors import Conflict, Incomplete, Invalid
from gtm.shared.models import User, write

MAX_NOTE = 500
L = Lead.Lifecycle
STEPS: dict[str, frozenset[str]] = {
    L.LEAD: frozenset({L.MQL, L.REJECTED}),
    L.MQL: frozenset({L.SQL, L.REJECTED}),
    L.SQL: frozenset({L.SAL, L.REJECTED}),
    L.SAL: frozenset({L.REJECTED}),
    L.REJECTED: frozenset({L.LEAD}),
}
BEFORE_SAL = (L.LEAD, L.MQL, L.SQL)


@transaction.atomic
def transition(
    *, lead: Lead, to: str, at: datetime, reason: str = "", qualification: Mapping[str, Any] | None = None
) -> Lead:
    """One step; publishes ``crm.lead.transitioned``. A rejected one may start again.

    ``qualification`` is the acceptance form, for the step to SAL. The reason of a rejection is the code of one of the
    reasons that founders keep, or words, which count as another reason. Raises Invalid for an unknown step, a missing
    reason and a lead that is not qualified, Conflict for a step that does not follow.
    """
    if to not in L.values:
        raise Invalid(f"A lead becomes one of {', '.join(L.values)}.", attr="to")
    if to == L.REJECTED:
        code, note = _reason(reason)
        return reject(lead=lead, at=at, reason_code=code, note=note)
    if to == L.SAL and Lead.objects.get(pk=lead.pk).lifecycle in (L.SQL, L.SAL):
        return accept(lead=lead, at=at, qualification=qualification or {})
    lead = db.lock_one(lead)
    if to not in STEPS[lead.lifecycle] or to == L.SAL:
        raise Conflict(f"A lead that is {lead.lifecycle} does not become {to}.", code="wrong_state", attr="to")
    changes = _taken_up_again() if to == L.LEAD else {}
    if to == L.SQL:  # whoever qualified it hands it to the owner of the account
        changes |= _place_of(lead)
    return _step(lead, to, at=at, reason=reason, changes=changes)


def _reason(words: str) -> tuple[str, str]:
    """The code that the words are, with no note, or another reason with the words as its note."""
    words = words.strip()
    if not words:
        raise Invalid("Say why the lead is rejected.", code="required", attr="reason")
    known = {reason.code for reason in lead_terms.reasons()}
    return (words, "") if words in known else (lead_terms.OTHER, words)


def _taken_up_again() -> dict[str, Any]:
    """And waits for an answer again."""
    return {"rejected_reason": None, "rejection_note": "", "revisit_at": None, "answered_at": None}


def _place_of(lead: Lead) -> dict[str, Any]:
    account = lead.account
    return {"owner_id": account.owner_id, "queue_id": account.queue_id} if account else {}


# --- accepted ----------------------------------------------------------------------------------
@transaction.atomic
def accept(
    *,
    lead: Lead,
    at: datetime,
    qualification: Mapping[str, Any],
    opportunity: Mapping[str, Any] | None = None,
    account: Account | None = None,
    by: User | None = None,
    reason: str = "",
) -> Lead:
    """Make it sales accepted by the acceptance form, on ``account`` or the one it has; steps left out are taken too.

    ``opportunity``, as ``opportunities.create`` takes it, makes it a deal in the same transaction. ``by`` becomes the
    owner of an account that nobody owns, for ``reason``, which a dead zone asks for. Accepted twice is accepted once,
    and so is the deal: the first acceptance stays. Raises Incomplete with one part for each field that keeps it from
    being qualified, and Conflict for a rejected one; else as ``owners.take`` and ``opportunities.create`` do.
    """
    account = _lock_account(lead, account)
    lead = db.lock_one(lead)
    if lead.lifecycle == L.REJECTED:
        raise Conflict("This lead was rejected. Take it up again first.", code="wrong_state")
    if lead.lifecycle != L.SAL:
        lead = _accept(lead, account, at, qualification, by, reason)
    if opportunity is not None and not Opportunity.objects.filter(lead=lead).exists():
        _convert(lead, opportunity, at)
    return lead


def _accept(
    lead: Lead,
    account: Account | None,
    at: datetime,
    qualification: Mapping[str, Any],
    by: User | None,
    reason: str,
) -> Lead:
    answers = _qualified(account.segment if account else "", qualification)
    if account is not None and account.owner is None and by is not None:
        reason = reason or ("" if account.dead_zone else "Accepted its lead")
        account = owners.take(account=account, owner=by, at=at, reason=reason)
        lead.refresh_from_db()
    if account is not None and account.pk != lead.account_id:
        _move(lead, account, at)
    for step in BEFORE_SAL[BEFORE_SAL.index(L(lead.lifecycle)) + 1 :]:
        lead = _step(lead, step, at=at)
    return _step(lead, L.SAL, at=at, changes={"qualification": answers.as_json(), "accepted_at": at, **_place_of(lead)})


def _convert(lead: Lead, opportunity: Mapping[str, Any], at: datetime) -> None:
    """A deal with what is known of it already; what is said of it counts more."""
    assert lead.account is not None, "an accepted lead is somebody's"
    known = {
        "name": lead.account.name,
        "source": lead.source,
        "compelling_event": str(lead.qualification.get("compelling_event", ""))[:300],
    }
    opportunities.create(account=lead.account, at=at, lead=lead, **{**known, **opportunity})


def _lock_account(lead: Lead, account: Account | None) -> Account | None:
    """The account before the lead, which goes with its account's owner."""
    chosen = account or lead.account
    if chosen is None:
        return None
    if chosen.test_clock_id != lead.test_clock_id:
        raise Invalid("This account stands on another test clock.", attr="account")
    return db.lock_one(chosen)


def _qualified(segment: str, said: Mapping[str, Any]) -> Answers:
    answers = Answers.of(said)
    found = problems(answers, lead_terms.terms_of(segment))
    if found:
        raise Incomplete([Invalid(problem.detail, code="not_qualified", attr=problem.attr) for problem in found])
    return answers


def _move(lead: Lead, account: Account, at: datetime) -> None:
    """To the account that a person says it is of; whoever asked goes along, unless known elsewhere before."""
    data, before = {"account": account.public_id}, {"account": lead.account.public_id if lead.account else None}
    contact = lead.contact
    if contact is not None and contact.account_id == lead.account_id and contact.leads.count() == 1:
        write(contact, account=account)
        history.move(contact, account_id=account.pk)
        outbox.publish("crm.contact.moved", contact, at=at, account_id=account.pk, data=data, previous=before)
    write(lead, account=account)
    history.move(lead, account_id=account.pk)
    outbox.publish("crm.lead.moved", lead, at=at, account_id=account.pk, data=data, previous=before)


# --- answered and disqualified, by what happens elsewhere ---------------------------------------
@transaction.atomic
def answer(*, lead: Lead, at: datetime) -> None:
    """Somebody called or wrote back, which is an answer before any step is; publishes ``crm.lead.answered``."""
    lead = db.lock_one(lead)
    if lead.answered_at is None:
        write(lead, answered_at=at)
        sla.meet(subject=lead, at=at)
        outbox.publish("crm.lead.answered", lead, at=at, account_id=lead.account_id)


@transaction.atomic
def review_deal(*, lead: Lead, at: datetime) -> None:
    """What its deal says of it: one that was lost as not qualified was none; publishes ``crm.lead.disqualified`` or
    ``crm.lead.requalified`` where that changes.
    """
    lead = db.lock_one(lead)
    deal = Opportunity.objects.filter(lead=lead).first()
    is_none = deal is not None and deal.lost_category == LostCategory.NOT_QUALIFIED
    if lead.lifecycle != L.SAL or is_none == (lead.disqualified_at is not None):
        return
    write(lead, disqualified_at=at if is_none else None)
    fact = "crm.lead.disqualified" if is_none else "crm.lead.requalified"
    outbox.publish(fact, lead, at=at, account_id=lead.account_id)


# --- rejected ----------------------------------------------------------------------------------
@transaction.atomic
def reject(*, lead: Lead, at: datetime, reason_code: str, note: str = "") -> Lead:
    """Reject it for a reason that founders keep, which says what becomes of it: back to who qualified it, another look
    later, or nothing. One that was accepted before counts as disqualified from then on.

    Raises Invalid (``reason``) for an unknown reason or one that is no more offered, Conflict where it is rejected.
    """
    offered = {reason.code: reason for reason in lead_terms.reasons()}
    reason = offered.get(reason_code)
    if reason is None:
        raise Invalid(f"Choose why the lead is rejected: {', '.join(offered)}.", code="required", attr="reason")
    if len(note) > MAX_NOTE:
        raise Invalid(f"At most {MAX_NOTE} characters.", attr="note")
    lead = db.lock_one(lead)
    if lead.lifecycle == L.REJECTED:
        raise Conflict("This lead is rejected already.", code="wrong_state", attr="to")
    if Opportunity.objects.filter(lead=lead, state="open").exists():
        raise Conflict("Its opportunity is open. Close that as lost, not qualified.", code="has_opportunity")
    changes = {"rejected_reason": reason, "rejection_note": note.strip(), **_return(lead, reason, at)}
    if lead.lifecycle == L.SAL:
        changes["disqualified_at"] = at
    return _step(lead, L.REJECTED, at=at, reason=note, changes=changes, data={"reason_code": reason.code})


def _return(lead: Lead, reason: RejectReason, at: datetime) -> dict[str, Any]:
    if reason.returns_to == RejectReason.ReturnsTo.NURTURE:
        return {"revisit_at": at + timedelta(days=reason.nurture_days)}
    if reason.returns_to == RejectReason.ReturnsTo.SDR:
        sdr = _qualified_by(lead)
        return {"revisit_at": at} | ({"owner": sdr, "queue": None} if sdr else {})
    return {}


def _qualified_by(lead: Lead) -> User | None:
    """Who led it on to MQL or SQL last, if they still sell."""
    steps = lead.transitions.filter(to_lifecycle__in=[L.MQL, L.SQL]).order_by("-at", "-pk")
    actor = steps.values_list("actor", flat=True).first() or ""
    try:
        user = User.objects.filter(pk=ids.decode(actor.removeprefix("user:"), prefix=User.PREFIX)).first()
    except ValueError:
        return None
    return user if user is not None and user.sells else None


# --- the record --------------------------------------------------------------------------------
def _step(
    lead: Lead,
    to: str,
    *,
    at: datetime,
    reason: str = "",
    changes: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
) -> Lead:
    """The step on a lead that is locked. The first step is the first answer."""
    before = lead.lifecycle
    first = {"answered_at": at} if lead.answered_at is None and to != L.LEAD else {}
    write(lead, lifecycle=to, **first, **(changes or {}))
    LeadTransition.objects.create(
        lead=lead,
        from_lifecycle=before,
        to_lifecycle=to,
        actor=context.actor(),
        reason=reason.strip()[:MAX_NOTE],
        at=at,
    )
    if to == L.LEAD:
        sla.start(subject=lead, at=at)
    else:
        sla.meet(subject=lead, at=at)
    outbox.publish(
        "crm.lead.transitioned",
        lead,
        at=at,
        account_id=lead.account_id,
        data={"lifecycle": to, **(data or {})},
        previous={"lifecycle": before},
    )
    return lead
