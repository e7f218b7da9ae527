"""What facts don't hold and the timeline shows: the words of notes, calls and mail, the names of people and deals.

Joined by the objects' ids when it is shown, one query for each kind on the page.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from uuid import UUID

from crm.models import Call, Contact, EmailMessage, Note, Opportunity, Suggestion, Task
from gtm.shared.models import Event, Mail

SHOWN = 300  # characters of a longer text


def of(events: Iterable[Event]) -> dict[UUID, str]:
    """Words by the id of the object that a fact is about."""
    wanted: dict[str, set[UUID]] = defaultdict(set)
    for event in events:
        kind = next((prefix for prefix in _JOINS if event.type.startswith(prefix)), None)
        if kind:
            wanted[kind].add(event.object_id)
    return {key: text for kind, keys in wanted.items() for key, text in _JOINS[kind](keys).items()}


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN].rstrip()}…"


def _letters(keys: set[UUID]) -> dict[UUID, str]:
    """What mail said, to whom it went and how it fared."""
    found = Mail.objects.filter(pk__in=keys).only("subject", "recipient", "status")
    return {one.pk: f"{one.subject} → {one.recipient} ({one.get_status_display().lower()})" for one in found}


def _notes(keys: set[UUID]) -> dict[UUID, str]:
    return {one.pk: _cut(one.text) for one in Note.objects.filter(pk__in=keys).only("text")}


def _calls(keys: set[UUID]) -> dict[UUID, str]:
    found = Call.objects.filter(pk__in=keys).only("outcome", "summary")
    return {one.pk: _cut(f"{one.get_outcome_display()}. {one.summary}".strip()) for one in found}


def _messages(keys: set[UUID]) -> dict[UUID, str]:
    return {one.pk: _cut(one.subject) for one in EmailMessage.objects.filter(pk__in=keys).only("subject")}


def _people(keys: set[UUID]) -> dict[UUID, str]:
    return {one.pk: one.name for one in Contact.objects.filter(pk__in=keys).only("name", "email")}


def _tasks(keys: set[UUID]) -> dict[UUID, str]:
    return {one.pk: one.title for one in Task.objects.filter(pk__in=keys).only("title")}


def _deals(keys: set[UUID]) -> dict[UUID, str]:
    return {one.pk: one.name for one in Opportunity.objects.filter(pk__in=keys).only("name")}


def _domains(keys: set[UUID]) -> dict[UUID, str]:
    return {one.pk: one.domain for one in Suggestion.objects.filter(pk__in=keys).only("domain")}


_JOINS: dict[str, Callable[[set[UUID]], dict[UUID, str]]] = {
    "mail.": _letters,
    "crm.note.": _notes,
    "crm.call.": _calls,
    "crm.email.": _messages,
    "crm.contact.": _people,
    "crm.task.": _tasks,
    "crm.opportunity.": _deals,
    "crm.account.consolidation_": _domains,
}
