"""Notes: written at an account, telling the colleagues whom they name by @."""

from datetime import datetime
from typing import Any

from django.db import transaction

from crm import mentions, notifications
from crm.models import Account, Contact, Lead, Mention, Note, Notification, Opportunity
from crm.todos import check_related
from gtm.shared import context, db, outbox, saving
from gtm.shared.errors import Invalid
from gtm.shared.models import SALES_ROLES, Role, User, write

MAX_TEXT = 20_000
AT_THE_DESK = [*SALES_ROLES, Role.FOUNDER, Role.FINANCE]


@transaction.atomic
def write_note(
    *,
    account: Account,
    at: datetime,
    text: str,
    author: User | None,
    contact: Contact | None = None,
    lead: Lead | None = None,
    opportunity: Opportunity | None = None,
    **fields: Any,
) -> Note:
    """Keep what was written; publishes ``crm.note.written``, and tells whom it names.

    Raises Invalid for an empty text, and for naming somebody who does not see the account: nothing is kept then.
    """
    check_related(account, contact=contact, lead=lead, opportunity=opportunity)
    note = Note(
        account=account,
        contact=contact,
        lead=lead,
        opportunity=opportunity,
        text=checked(text),
        author=author,
        written_at=at,
        test_clock_id=account.test_clock_id,
        **fields,
    )
    told = _named(account, note.text)
    saving.insert(note)
    _mention(note, told, at)
    data = {"mentions": [user.public_id for user in told]}
    outbox.publish("crm.note.written", note, at=at, account_id=account.pk, data=data)
    return note


@transaction.atomic
def change(*, note: Note, at: datetime, text: str) -> Note:
    """Correct it; publishes ``crm.note.changed``. Whom it names anew is told. Raises Invalid as writing does."""
    note = db.lock_one(note)
    text = checked(text)
    if text == note.text:
        return note
    told = _named(note.account, text)
    known = set(note.mentions.values_list("user_id", flat=True))
    write(note, text=text)
    new = [user for user in told if user.pk not in known]
    _mention(note, new, at)
    data = {"mentions": [user.public_id for user in told]}
    outbox.publish("crm.note.changed", note, at=at, account_id=note.account_id, data=data)
    return note


def checked(text: str) -> str:
    """What is written, without the space around it. Raises Invalid where it is nothing, or a book."""
    text = text.strip().replace("\0", "")
    if not text:
        raise Invalid("Write something.", code="required", attr="text")
    if len(text) > MAX_TEXT:
        raise Invalid(f"At most {MAX_TEXT} characters.", attr="text")
    return text


def colleagues() -> list[User]:
    """Whoever can be named."""
    return list(User.objects.filter(is_active=True, roles__overlap=AT_THE_DESK).order_by("name", "email"))


def _named(account: Account, text: str) -> list[User]:
    """Whom the text names. Raises Invalid for who may not see the account: they would be told what is not theirs."""
    if "@" not in text:
        return []
    people = {user.pk: user for user in colleagues()}
    keys = mentions.named(text, mentions.handles({key: user.email for key, user in people.items()}))
    found = [people[key] for key in keys]
    blind = [user for user in found if not Account.objects.visible_to(user).filter(pk=account.pk).exists()]
    if blind:
        names = " and ".join(str(user) for user in blind)
        words = "does not see this account and is not told" if len(blind) == 1 else "do not see this account"
        raise Invalid(f"{names} {words}. Take the name out, or share the account first.", attr="text")
    return found


def _mention(note: Note, users: list[User], at: datetime) -> None:
    """Who names themselves is not told."""
    Mention.objects.bulk_create([Mention(note=note, user=user) for user in users])
    about = {"account_id": note.account_id, "note_id": note.pk, "test_clock_id": note.test_clock_id}
    others = [user for user in users if user.pk != note.author_id]
    kind = Notification.Kind.MENTION
    notifications.tell(
        notifications.new(user_id=user.pk, kind=kind, at=at, actor=context.actor(), **about) for user in others
    )
