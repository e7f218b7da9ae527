"""The work at one account: what is open, what was written last, and who could be written to. Four queries."""

from dataclasses import dataclass
from typing import Any

from crm.models import Account, Contact, EmailMessage, Note, Task
from gtm.shared.models import User

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Work:
    """``conversations`` are the latest message of each."""

    tasks: list[Task]
    notes: list[Note]
    conversations: list[EmailMessage]
    contacts: list[Contact]


def of_account(account: Account, user: User, **about: Any) -> Work:
    """Four queries. ``about`` narrows it to a deal or a request: ``opportunity=…``, ``lead=…``."""
    tasks = Task.objects.visible_to(user).filter(account=account, state=Task.State.OPEN, **about)
    notes = Note.objects.visible_to(user).filter(account=account, **about)
    mail = EmailMessage.objects.visible_to(user).filter(account=account, **about)
    latest = mail.order_by("thread_id", "-sent_at", "-pk").distinct("thread_id")
    newest = EmailMessage.objects.filter(pk__in=latest.values("pk")).select_related("contact", "user")
    return Work(
        tasks=list(tasks.select_related("assignee", "contact").order_by("due_at", "pk")[:SHOWN]),
        notes=list(notes.select_related("author").order_by("-written_at", "-pk")[:SHOWN]),
        conversations=list(newest.order_by("-sent_at", "-pk")[:SHOWN]),
        contacts=list(account.contacts.order_by("name", "pk")[:SHOWN]),
    )
