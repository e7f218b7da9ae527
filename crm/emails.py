"""Mail with customers: sent from a record, taken in by its copies and answers, matched to whoever it is from or to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from crm import logging_addresses, mail_merge, notifications
from crm.letters import Letter
from crm.models import Account, AccountDomain, Contact, EmailMessage, Lead, MailTemplate, Notification, Opportunity
from crm.todos import check_related
from gtm.shared import db, ids, mail, outbox, vendors
from gtm.shared.domains import business_domain
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import User, write

IN, OUT = EmailMessage.Direction
MAX_BODY = 50_000


# --- sent --------------------------------------------------------------------------------------
@transaction.atomic
def send(
    *,
    account: Account,
    contact: Contact,
    user: User,
    subject: str,
    body: str,
    at: datetime,
    template: MailTemplate | None = None,
    answers: EmailMessage | None = None,
    lead: Lead | None = None,
    opportunity: Opportunity | None = None,
) -> EmailMessage:
    """Write to somebody at the account: queue the mail, keep it as sent, and settle what it answers.

    Publishes ``crm.email.sent``. Raises Invalid for who has no address, wants no mail, or is of another account, and
    for blanks that nothing fills.
    """
    check_related(account, contact=contact, lead=lead, opportunity=opportunity)
    _check_reachable(contact)
    subject, body = _merged(account, contact, user, subject, body)
    key = ids.uuid7()
    row = mail.queue_message(
        recipient=contact.email,
        template="sales",
        subject=subject,
        text=body,
        locale=user.locale,
        account_id=account.pk,
        test_clock_id=account.test_clock_id,
        sender_name=str(user),
        reply_to=_reply_to(user, key),
        in_reply_to=f"<{answers.message_id}>" if answers else "",
    )
    email = EmailMessage(
        id=key,
        account=account,
        contact=contact,
        lead=lead,
        opportunity=opportunity or (answers.opportunity if answers else None),
        direction=OUT,
        user=user,
        message_id=row.message_id.strip("<>"),
        in_reply_to=answers.message_id if answers else "",
        thread_id=answers.thread_id if answers else key,
        sender=user.email,
        recipients=[contact.email],
        subject=subject,
        text=body,
        template=template,
        mail=row,
        sent_at=at,
        received_at=at,
        test_clock_id=account.test_clock_id,
    )
    email.save(force_insert=True)
    _settle(email, at)
    _tell(email, "crm.email.sent", at=at, data={"template": template.code if template else ""})
    return email


def _check_reachable(contact: Contact) -> None:
    if not contact.email:
        raise Invalid(f"{contact} has no address.", attr="contact")
    if contact.unsubscribed:
        raise Invalid(f"{contact} wants no mail from sales.", code="unsubscribed", attr="contact")


def blanks(account: Account, contact: Contact | None, user: User) -> dict[str, str]:
    """What fills the blanks of a template."""
    name = contact.name if contact else ""
    return {
        "contact.first_name": mail_merge.first_name(name),
        "contact.name": name,
        "account.name": account.name,
        "me.name": str(user),
        "vendor.name": vendors.current().name,
    }


def _merged(account: Account, contact: Contact, user: User, subject: str, body: str) -> tuple[str, str]:
    if missing := mail_merge.unknown(subject + body):
        raise Invalid(f"There is no blank {missing[0]}.", code="unknown_blank", attr="body")
    values = blanks(account, contact, user)
    subject = " ".join(mail_merge.filled(subject, values).replace("\0", "").split())[:250]
    body = mail_merge.filled(body, values).replace("\0", "").strip()
    for name, text in (("subject", subject), ("body", body)):
        if not text:
            raise Invalid("Write something.", code="required", attr=name)
    if len(body) > MAX_BODY:
        raise Invalid(f"At most {MAX_BODY} characters.", attr="body")
    return subject, body + "\n"


def _reply_to(user: User, key: UUID) -> str:
    """To the writer's own mailbox, and to where it is kept at the account."""
    kept = logging_addresses.for_reply(key) if logging_addresses.is_on() else ""
    return ", ".join(one for one in (user.email, kept) if one)


# --- taken in ----------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Place:
    """Where a message belongs: nowhere yet, or at an account, and perhaps with somebody and a deal."""

    account: Account | None = None
    contact: Contact | None = None
    thread: EmailMessage | None = None


@transaction.atomic
def receive(*, letter: Letter, user: User, at: datetime, answers: UUID | None = None) -> EmailMessage | None:
    """Keep a copy or an answer that came to ``user``'s address; publishes ``crm.email.received`` or ``.sent``.

    Who wrote to whom decides the direction: from a colleague it is ours. It belongs to the conversation it goes on
    with, else to the first person among the others whose address is known at an account that ``user`` sees, else to
    the account of their company's domain; else it waits, unmatched. The same message comes once: the row that there is
    is returned. None for mail among colleagues, which is nobody's business here.
    """
    own = _Own(user)
    direction = OUT if letter.sender in own else IN
    others = [one for one in (letter.recipients if direction == OUT else (letter.sender,)) if one not in own]
    if not others:
        return None
    db.advisory_lock("crm.email", letter.message_id)
    place = _place(letter, user, others, answers)
    known = EmailMessage.objects.filter(message_id=letter.message_id, direction=direction, test_clock=None).first()
    if known is not None:
        return _placed(known, place, user, at) if known.account_id is None and place.account else known
    return _kept(letter, direction, user, place, at)


class _Own:
    """Our own addresses: those of the staff, of the vendor's domain, and of this program."""

    def __init__(self, user: User) -> None:
        self.domain = business_domain(user.email)
        self.staff = set(User.objects.exclude(roles=[]).values_list("email", flat=True))

    def __contains__(self, address: str) -> bool:
        if address in self.staff or logging_addresses.tag_of(address):
            return True
        return self.domain is not None and business_domain(address) == self.domain


def _place(letter: Letter, user: User, others: list[str], answers: UUID | None) -> _Place:
    thread = _thread(letter, user, answers)
    contact = _contact(others, user)
    if thread is not None and thread.account is not None:
        same = contact if contact and contact.account_id == thread.account_id else None
        return _Place(thread.account, same or thread.contact, thread)
    if contact is not None:
        return _Place(contact.account, contact, thread)
    return _Place(_by_domain(others, user), None, thread)


def _thread(letter: Letter, user: User, answers: UUID | None) -> EmailMessage | None:
    """What it goes on with, where the reader may see that: a header proves nothing about who wrote it."""
    seen = EmailMessage.objects.visible_to(user).filter(test_clock=None).select_related("account", "contact")
    named = seen.filter(pk=answers).first() if answers else None
    if named is not None or not letter.references:
        return named
    return seen.filter(message_id__in=letter.references).order_by("-sent_at", "-pk").first()


def _contact(others: list[str], user: User) -> Contact | None:
    """The first of the addresses that somebody has at an account that the user sees."""
    seen = Account.objects.visible_to(user).filter(test_clock=None)
    known = Contact.objects.filter(email__in=others, account__in=seen.values("pk")).select_related("account")
    found = {contact.email: contact for contact in known.order_by("-pk")}
    return next((found[one] for one in others if one in found), None)


def _by_domain(others: list[str], user: User) -> Account | None:
    domains = [domain for one in others if (domain := business_domain(one))]
    seen = Account.objects.visible_to(user).filter(test_clock=None)
    known = AccountDomain.objects.filter(domain__in=domains, account__in=seen.values("pk")).select_related("account")
    found = {row.domain: row.account for row in known}
    return next((found[one] for one in domains if one in found), None)


def _kept(letter: Letter, direction: str, user: User, place: _Place, at: datetime) -> EmailMessage:
    key = ids.uuid7()
    email = EmailMessage(
        id=key,
        account=place.account,
        contact=place.contact,
        opportunity=_deal(place),
        direction=direction,
        user=user,
        message_id=letter.message_id,
        in_reply_to=letter.in_reply_to,
        thread_id=place.thread.thread_id if place.thread else key,
        sender=letter.sender,
        recipients=list(letter.recipients),
        subject=letter.subject,
        text=letter.text,
        attachment_count=letter.attachment_count,
        attachment_bytes=letter.attachment_bytes,
        sent_at=min(letter.sent_at or at, at),
        received_at=at,
        answered_at=at if letter.is_automatic and direction == IN else None,
        closing_reason="automatic" if letter.is_automatic and direction == IN else "",
    )
    email.save(force_insert=True)
    _arrived(email, at)
    return email


def _arrived(email: EmailMessage, at: datetime) -> None:
    """Told once it is known where it belongs."""
    if email.account_id is None:
        return
    _settle(email, at)
    fact = "crm.email.sent" if email.direction == OUT else "crm.email.received"
    _tell(email, fact, at=at, data={"attachments": email.attachment_count})
    if email.direction == IN and email.answered_at is None:
        about = {"account_id": email.account_id, "email_id": email.pk, "test_clock_id": email.test_clock_id}
        kind = Notification.Kind.REPLY
        notifications.tell([notifications.new(user_id=email.user_id, kind=kind, at=at, actor="", **about)])


def _deal(place: _Place) -> Opportunity | None:
    """That of the conversation, else the only one that is open at the account."""
    if place.thread is not None and place.thread.opportunity is not None:
        return place.thread.opportunity
    if place.account is None:
        return None
    deals = list(Opportunity.objects.filter(account=place.account, state="open")[:2])
    return deals[0] if len(deals) == 1 else None


def _settle(email: EmailMessage, at: datetime) -> None:
    """What we send answers what came before it in the same conversation."""
    if email.direction == OUT:
        open_ = EmailMessage.objects.filter(thread_id=email.thread_id, direction=IN, answered_at=None)
        open_.filter(sent_at__lte=email.sent_at).update(answered_at=at, closing_reason="answered", snoozed_until=None)


# --- matched by hand ---------------------------------------------------------------------------
@transaction.atomic
def match(*, email: EmailMessage, account: Account, at: datetime, contact: Contact | None = None) -> EmailMessage:
    """Say where unmatched mail belongs; it is told as if it had come now. Raises Conflict where it belongs already."""
    check_related(account, contact=contact)
    email = db.lock_one(email)
    if email.account_id is not None:
        raise Conflict("This message belongs to an account already.", code="wrong_state")
    if contact is None:
        others = [email.sender] if email.direction == IN else list(email.recipients)
        contact = Contact.objects.filter(account=account, email__in=others).first()
    return _placed(email, _Place(account, contact), email.user, at)


def _placed(email: EmailMessage, place: _Place, user: User, at: datetime) -> EmailMessage:
    thread_id = place.thread.thread_id if place.thread else email.thread_id
    changes = {"account": place.account, "contact": place.contact, "opportunity": _deal(place), "thread_id": thread_id}
    write(email, user=user, **changes)
    _arrived(email, at)
    return email


@transaction.atomic
def discard(*, email: EmailMessage, at: datetime) -> None:
    """Forget mail that belongs nowhere; publishes ``crm.email.discarded``. Raises Conflict for mail of an account."""
    email = db.lock_one(email)
    if email.account_id is not None:
        raise Conflict("This message belongs to an account: it stays.", code="wrong_state")
    _tell(email, "crm.email.discarded", at=at, data={})
    email.delete()


# --- worked off --------------------------------------------------------------------------------
@transaction.atomic
def close(*, email: EmailMessage, at: datetime, reason: str) -> EmailMessage:
    """Nobody needs to answer it, or somebody has elsewhere; publishes ``crm.email.closed``."""
    email = db.lock_one(email)
    if email.direction != IN or email.answered_at is not None:
        raise Conflict("Nobody waits for an answer to this.", code="wrong_state")
    write(email, answered_at=at, closing_reason=reason[:60], snoozed_until=None)
    _tell(email, "crm.email.closed", at=at, data={})
    return email


@transaction.atomic
def reopen(*, email: EmailMessage, at: datetime) -> EmailMessage:
    """It waits for an answer after all; publishes ``crm.email.reopened``."""
    email = db.lock_one(email)
    if email.direction != IN or email.answered_at is None:
        raise Conflict("This waits for an answer already.", code="wrong_state")
    write(email, answered_at=None, closing_reason="")
    _tell(email, "crm.email.reopened", at=at, data={})
    return email


@transaction.atomic
def snooze(*, email: EmailMessage, at: datetime, until: datetime | None) -> EmailMessage:
    """Off Today until then, or back at once; publishes ``crm.email.snoozed`` where that changes anything."""
    email = db.lock_one(email)
    if email.snoozed_until != until:
        write(email, snoozed_until=until)
        _tell(email, "crm.email.snoozed", at=at, data={"until": until.isoformat() if until else None})
    return email


def conversation(email: EmailMessage, user: User) -> Iterable[EmailMessage]:
    """All of one conversation that the reader sees, oldest first."""
    seen = EmailMessage.objects.visible_to(user).filter(thread_id=email.thread_id)
    return seen.select_related("contact", "user", "mail", "account").order_by("sent_at", "pk")


def _tell(email: EmailMessage, fact: str, *, at: datetime, data: Mapping[str, Any]) -> None:
    """Who wrote and what is joined when it is shown."""
    told = {"direction": email.direction, "contact": email.contact.public_id if email.contact else None, **data}
    outbox.publish(fact, email, at=at, account_id=email.account_id, data=told)
