"""What reps of the demonstration have done lately: tasks, notes, calls, and a customer who wrote."""

from datetime import datetime, timedelta

from crm import calls, emails, mail_templates, notes, todos
from crm.letters import Letter
from crm.models import Account, Contact
from gtm.shared import context
from gtm.shared.models import User

HOUR = timedelta(hours=1)


def done(*, now: datetime) -> None:
    """A few rows for each of the accounts that were owned first."""
    mail_templates.install_defaults(at=now)
    owned = Account.objects.filter(owner__isnull=False, test_clock=None, contacts__isnull=False).distinct()
    accounts = list(owned.select_related("owner").order_by("created_at", "pk")[:4])
    for number, account in enumerate(accounts):
        contact = account.contacts.order_by("pk").first()
        if contact is not None and account.owner is not None:
            with context.acting(f"user:{account.owner.public_id}"):
                _days_of(account, contact, account.owner, now - number * HOUR, number=number)


def _days_of(account: Account, contact: Contact, rep: User, now: datetime, *, number: int) -> None:
    next_task = {"title": "Send the comparison of the plans", "due_at": now + timedelta(hours=3)}
    calls.log(
        account=account,
        at=now,
        called_at=now - timedelta(days=2),
        outcome="reached",
        caller=rep,
        contact=contact,
        minutes=18 + number,
        summary="They grow faster than planned; the budget is decided at the end of the month.",
        next_task=next_task if number % 2 == 0 else None,
    )
    notes.write_note(account=account, at=now, text="Their IT reviews new tools once a quarter.", author=rep)
    todos.create(
        at=now,
        title="Ask how the first month went",
        assignee=rep,
        created_by=rep,
        account=account,
        contact=contact,
        kind="call",
        due_at=now - timedelta(days=1) if number == 1 else now + timedelta(days=number),
    )
    if number < 2 and contact.email and not contact.unsubscribed:
        _conversation(account, contact, rep, now)


def _conversation(account: Account, contact: Contact, rep: User, now: datetime) -> None:
    """We wrote, and they answered."""
    sent = emails.send(
        account=account,
        contact=contact,
        user=rep,
        at=now - 3 * HOUR,
        subject="Room to grow for {{ account.name }}",
        body="Hello {{ contact.first_name }},\n\nshall we look at your usage this week?\n\n{{ me.name }}",
    )
    answer = Letter(
        message_id=f"answer-{sent.message_id}",
        references=(sent.message_id,),
        sender=contact.email,
        recipients=(rep.email,),
        delivered_to=(),
        subject=f"Re: {sent.subject}",
        text="Gladly. Thursday at ten would suit us. What would the next plan cost for thirty people?",
        sent_at=now - HOUR,
        attachment_count=0,
        attachment_bytes=0,
    )
    emails.receive(letter=answer, user=rep, at=now - HOUR)
