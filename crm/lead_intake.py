"""Leads from a file: each person who is no lead yet becomes one, matched and routed as from the form.

What somebody said stays as they said it: a row about a person who is a lead already changes nothing. A lead is taken in
by the operation that takes in every lead, each in a transaction of its own: it locks the pools and one account, and
whoever locked many accounts in a file's order would meet those who lock them in the order of their keys.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from crm import import_fields, leads
from crm.import_fields import Field, Row
from crm.intake import REFUSED, SOURCE, Outcome, State, advisory_locks, related_keys
from crm.models import Lead, OwnerDecision
from gtm.shared import outbox
from gtm.shared.errors import DomainError
from gtm.shared.models import Resource, User

FIELDS: Sequence[Field] = (
    Field("email", "E-mail", import_fields.email, ("mail", "email address", "work email")),
    Field("name", "Name", import_fields.text(200), ("full name", "contact", "person")),
    Field("company", "Company", import_fields.text(200), ("company name", "account", "organization", "firma")),
    Field("employee_count", "Employees", import_fields.employees, ("number of employees", "size", "headcount")),
    Field("country", "Country", import_fields.country, ("country code", "land")),
    Field("message", "Message", import_fields.text(5000), ("notes", "comment", "description")),
)
KEYS: Sequence[str] = ("email",)
MODEL: type[Resource] = Lead
BATCH = 1
OWN = frozenset({"crm.SlaClock", "crm.Snooze"})  # a step of its lifecycle is somebody's work: intake takes none


def lock(rows: Sequence[Row], at: datetime) -> None:
    """The addresses of the batch."""
    advisory_locks("crm.lead", {row.values["email"] for row in rows if "email" in row.values})


def plan(rows: Sequence[Row], *, key: str, user: User, at: datetime) -> list[Outcome]:
    """Two queries: who is a lead already, and which of those the user may work."""
    addresses = {row.values["email"] for row in rows if "email" in row.values}
    known = Lead.objects.filter(email__in=addresses, test_clock=None).exclude(lifecycle=Lead.Lifecycle.REJECTED)
    mine = {lead.email: lead for lead in known.workable_by(user).order_by("-created_at")}
    others = set(known.values_list("email", flat=True)) - mine.keys()
    return [_outcome(row, mine, others) for row in rows]


def _outcome(row: Row, mine: Mapping[str, Lead], others: Collection[str]) -> Outcome:
    outcome = Outcome(row)
    email = row.values.get("email", "")
    if row.errors:
        outcome.state = State.REFUSED
    elif not email:
        outcome.refuse("email", "E-mail: it is empty, and rows are known by it")
    elif email in others:
        outcome.refuse("", REFUSED)
    elif email in mine:
        outcome.found, outcome.state = mine[email], State.SKIPPED
    return outcome


def carry_out(outcomes: Sequence[Outcome], *, at: datetime) -> None:
    """One after the other. One that is refused after all says so, and keeps nobody else from being taken in."""
    for one in outcomes:
        if one.state != State.CREATED:
            continue
        said = {name: value for name, value in one.row.values.items() if name != "name"}
        name = one.row.values.get("name") or said["email"].partition("@")[0]
        try:
            one.new = leads.submit(at=at, kind=Lead.Kind.INBOUND, source=SOURCE, name=name, **said)
        except DomainError as refused:
            one.refuse(refused.attr or "", refused.detail)


def restore(things: Sequence[tuple[Any, Mapping[str, Any]]], *, at: datetime) -> None:
    """An import changes no lead."""


def remove(things: Collection[Any], *, at: datetime) -> None:
    """The leads alone; publishes ``crm.lead.removed``. Their accounts and people stay: others may know them by now."""
    outbox.publish_many([outbox.fact("crm.lead.removed", one, at=at, account_id=one.account_id) for one in things])
    Lead.objects.filter(pk__in=[lead.pk for lead in things]).delete()


def hanging(keys: Sequence[UUID]) -> set[UUID]:
    return related_keys(Lead, keys, own=OWN)


def worked(keys: Sequence[UUID]) -> set[UUID]:
    """Those that were answered, or went with their accounts to somebody by hand."""
    given = OwnerDecision.objects.filter(account=OuterRef("account"), reasons__contains=[{"code": "by_hand"}])
    taken = Exists(given.filter(valid_from__gte=OuterRef("created_at")))
    leads = Lead.objects.filter(Q(answered_at__isnull=False) | Q(taken), pk__in=keys)
    return set(leads.values_list("pk", flat=True))
