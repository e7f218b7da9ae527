"""Disputes of test cards: the sandbox tells of them as a real gateway does by webhook, and a person decides them.

So that somebody without a gateway's key sees what a dispute does to an invoice, to dunning and to access.
"""

from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from django.db.models import QuerySet

from billing import disputes
from billing.gateways.sandbox import DISPUTE, SandboxGateway
from billing.models import Dispute, Payment, SandboxCharge
from gtm.shared.errors import Conflict, DomainError
from gtm.shared.models import TestClock

log = structlog.get_logger(__name__)
BATCH = 500
TIME_TO_RESPOND = timedelta(days=7)


def coming(*, test_clock: TestClock | None) -> QuerySet[Payment]:
    """Payments that the sandbox has opened a dispute about, which nobody here knows of yet."""
    charges = SandboxCharge.objects.filter(dispute=SandboxCharge.COMING).values("reference")
    paid = Payment.objects.filter(gateway=SandboxGateway.name, status=Payment.Status.SUCCEEDED)
    return paid.filter(gateway_reference__in=charges, test_clock=test_clock)


def open_due(*, at: datetime, test_clock: TestClock | None = None) -> int:
    """Record the disputes of test cards, of one test clock or of none; return how many."""
    found = coming(test_clock=test_clock).order_by("paid_at", "pk").values_list("gateway_reference", flat=True)
    return sum(_open(f"{DISPUTE}{charge}", at) for charge in list(found[:BATCH]))


def _open(reference: str, at: datetime) -> bool:
    try:
        _record(reference, respond_by=at + TIME_TO_RESPOND, at=at)
    except DomainError as refusal:  # the others go on
        log.warning("dispute_not_recorded", reference=reference, code=refusal.code)
        return False
    SandboxGateway().begin_dispute(reference=reference)
    return True


def can_decide(dispute: Dispute) -> bool:
    return dispute.gateway == SandboxGateway.name and dispute.status in Dispute.OPEN


def decide(*, dispute: Dispute, won: bool, at: datetime) -> Dispute:
    """Let the bank of a test card's holder decide. Raises Conflict for any other dispute, and for one that is decided.

    Not in a transaction.
    """
    if not can_decide(dispute):
        raise Conflict("Only an undecided dispute of a test card can be decided here.", code="not_decidable")
    SandboxGateway().decide_dispute(reference=dispute.gateway_reference, won=won)
    return _record(dispute.gateway_reference, respond_by=dispute.respond_by, at=at)


def _record(reference: str, *, respond_by: datetime | None, at: datetime) -> Dispute:
    seen = SandboxGateway().dispute(reference=reference)
    return disputes.record(gateway=SandboxGateway.name, seen=replace(seen, opened_at=at, respond_by=respond_by), at=at)
