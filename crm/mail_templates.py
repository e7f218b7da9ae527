"""Templates for mail: kept by founders for everybody, or by a team for itself."""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from crm import mail_merge
from crm.models import MailTemplate, Team
from gtm.shared import db, outbox, saving
from gtm.shared.errors import Invalid
from gtm.shared.models import User

CHANGEABLE = frozenset({"name", "subject", "body", "team", "active", "external_id", "metadata"})
SAMPLE = {
    "contact.first_name": "Cora",
    "contact.name": "Cora Case",
    "account.name": "Acme",
    "me.name": "Ann",
    "vendor.name": "Tandem",
}
_THANK_YOU = """Hello {{ contact.first_name }},

I saw that {{ account.name }} has moved up a plan: thank you.
Is there anything we could set up so that you make good use of it? I will ask again in two weeks.

{{ me.name }}"""
_EXPANSION = """Hello {{ contact.first_name }},

{{ account.name }} is close to the limit of its plan. So that nothing stops, I can offer you the next one before
you reach it. Shall we look at the figures for ten minutes?

{{ me.name }}"""
_DEMO = """Hello {{ contact.first_name }},

some of you have been looking at what our larger plans do. I would gladly show {{ account.name }} how others use it:
half an hour, with your own questions.

{{ me.name }}"""
_RENEWAL = """Hello {{ contact.first_name }},

the term of {{ account.name }} ends soon. Before it renews I would like to hear what has worked, what has not, and what
you plan. When could we talk?

{{ me.name }}"""
DEFAULTS = (
    ("thank_you", "Thank you for the upgrade", "Thank you, {{ contact.first_name }}", _THANK_YOU),
    ("expansion_offer", "You are close to your limit", "Room to grow for {{ account.name }}", _EXPANSION),
    ("demo_invitation", "Invitation to a demo", "Shall I show you?", _DEMO),
    ("renewal", "Before the renewal", "Your renewal at {{ vendor.name }}", _RENEWAL),
)


@transaction.atomic
def create(
    *, at: datetime, code: str, name: str, subject: str, body: str, team: Team | None = None, **fields: Any
) -> MailTemplate:
    """Publishes ``crm.mail_template.created``. Raises Invalid for an unknown blank, and a code that is taken."""
    template = MailTemplate(code=code, name=name, subject=subject, body=body, team=team, **fields)
    _check(subject=subject, body=body)
    saving.insert(template)
    _tell(template, "crm.mail_template.created", at, [])
    return template


@transaction.atomic
def change(*, template: MailTemplate, at: datetime, **changes: Any) -> MailTemplate:
    """Set what is given; publishes ``crm.mail_template.changed``. What was sent stays as it was sent."""
    if unknown := set(changes) - CHANGEABLE:
        raise Invalid("That can't be changed.", attr=min(unknown))
    template = db.lock_one(template)
    _check(**{name: changes[name] for name in ("subject", "body") if name in changes})
    if changed := saving.change(template, **changes):
        _tell(template, "crm.mail_template.changed", at, sorted(changed))
    return template


def install_defaults(*, at: datetime) -> None:
    """The letters of the installed plays, where there is no template at all."""
    db.advisory_lock("crm.mail_templates")
    if not MailTemplate.objects.exists():
        for code, name, subject, body in DEFAULTS:
            create(at=at, code=code, name=name, subject=subject, body=body)


def open_to(user: User) -> QuerySet[MailTemplate]:
    """What the user may begin a message with: everybody's, and their teams'."""
    active = MailTemplate.objects.filter(active=True).order_by("name", "pk")
    if user.sees_all:
        return active
    return active.filter(Q(team=None) | Q(team__memberships__user=user))


def preview(template: MailTemplate) -> tuple[str, str]:
    """Subject and body as they would reach somebody."""
    return mail_merge.filled(template.subject, SAMPLE), mail_merge.filled(template.body, SAMPLE)


def _check(**texts: str) -> None:
    for name, text in texts.items():
        if not text.strip():
            raise Invalid("Write something.", code="required", attr=name)
        if missing := mail_merge.unknown(text):
            known = ", ".join(mail_merge.BLANKS)
            raise Invalid(f"There is no blank {missing[0]}; there are {known}.", code="unknown_blank", attr=name)


def _tell(template: MailTemplate, fact: str, at: datetime, changed: list[str]) -> None:
    data = {"code": template.code, "active": template.active, "changed": changed}
    outbox.publish(fact, template, at=at, data=data)
