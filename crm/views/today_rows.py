"""Rows of Today in words: who it is about, why it is there, what is at stake, and what can be done with it."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

from django.urls import NoReverseMatch, reverse
from django.utils.html import strip_spaces_between_tags
from django.utils.translation import gettext as _

from crm import inbox, plays
from crm.models import Alert, EmailMessage, Lead, Notification, Opportunity, Task
from crm.queries.inbox import Found
from gtm.shared import db
from gtm.shared.models import Resource, User
from gtm.shared.statuses import describe
from gtm.shared.templatetags.tandem import quantity

SHOWN = 240
LABELS = {
    inbox.ALERT: _("Alert"),
    inbox.LEAD: _("Request"),
    inbox.TASK: _("Task"),
    inbox.OPPORTUNITY: _("Next step"),
    inbox.REPLY: _("Answer"),
    inbox.MENTION: _("Mention"),
}
REASONS: dict[str, list[tuple[str, str]]] = {
    inbox.ALERT: [
        ("known", _("I knew already")),
        ("wrong_account", _("Wrong account")),
        ("wrong_time", _("Wrong moment")),
        ("no_value", _("Nothing to gain")),
    ],
    inbox.TASK: [
        ("not_needed", _("No longer needed")),
        ("done_elsewhere", _("Done elsewhere")),
        ("no_value", _("Nothing to gain")),
    ],
    inbox.REPLY: [
        ("no_answer_needed", _("Needs no answer")),
        ("spam", _("Spam")),
        ("elsewhere", _("Answered elsewhere")),
    ],
}
_LEADS_ON: dict[str, set[str]] = {Lead.Lifecycle.LEAD: {inbox.TAKE}, Lead.Lifecycle.MQL: {inbox.DO}}


def shown(
    row: Found, user: User, *, at: datetime, tab: str, rejections: Sequence[tuple[str, str]] = ()
) -> dict[str, Any]:
    """What the row's component asks for. The owner is named where it is somebody else."""
    thing = row.thing
    time = db.time_of(thing) if isinstance(thing, Resource) and thing.test_clock_id else at
    own = _OF_KIND[row.kind](thing, user)
    return {
        "key": f"{row.kind}:{thing.public_id}",
        "id": thing.public_id,
        "kind_label": LABELS[row.kind],
        "due_at": row.due_at if tab == inbox.NOW else None,
        "late": row.due_at is not None and row.due_at <= time,
        "since": row.since,
        "until": row.since if tab == inbox.SNOOZED else None,
        "steps": _steps(row.kind, thing, tab),
        "reasons": rejections if row.kind == inbox.LEAD else REASONS.get(row.kind, ()),
        "take_label": _("Worth a call") if row.kind == inbox.LEAD else _("Take"),
        "done_label": _("Qualified") if row.kind == inbox.LEAD else _("Done"),
        "dismiss_label": _("Reject") if row.kind == inbox.LEAD else _("Not useful"),
        "value": None,
        "stake_label": _("at stake"),
        **own,
    }


def dismissals(kinds: Collection[str], rejections: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """Why several rows are of no use: each reason once, with the kinds that know it, as ``not_useful`` takes it."""
    found: dict[tuple[str, str], list[str]] = {}
    for kind in (kind for kind in inbox.KINDS if kind in kinds and inbox.DISMISS in inbox.STEPS[kind]):
        for reason in rejections if kind == inbox.LEAD else REASONS[kind]:
            found.setdefault(reason, []).append(kind)
    return [
        {
            "value": f"{inbox.DISMISS}:{','.join(of)}/{code}",
            "label": label,
            "kinds": " ".join(of),
            "of": ", ".join(LABELS[kind] for kind in of),
        }
        for (code, label), of in found.items()
    ]


def _steps(kind: str, thing: Any, tab: str) -> set[str]:
    if tab == inbox.DONE:
        closed = kind != inbox.LEAD or thing.lifecycle == Lead.Lifecycle.REJECTED
        return {inbox.BACK} if closed else set()
    found = set(inbox.STEPS[kind])
    if kind == inbox.ALERT and thing.state != Alert.State.OPEN:
        found.discard(inbox.TAKE)
    if kind == inbox.LEAD:
        found -= {inbox.TAKE, inbox.DO} - _LEADS_ON.get(thing.lifecycle, set())
    return found | ({inbox.BACK} if tab == inbox.SNOOZED else set())


def _play(lead: Lead) -> str:
    if lead.lifecycle == Lead.Lifecycle.SQL:
        return _("Accept or reject it: it has been qualified for you.")
    if lead.lifecycle == Lead.Lifecycle.MQL:
        return _("Call, then qualify or reject it.")
    if lead.answered_at is not None:
        return _("It was answered: say whether it is worth a call.")
    return _("Answer, and find out whether it is worth a call.")


def _account_url(account: Any) -> str:
    return reverse("crm_account", args=[account.public_id])


def _letter(account: Any, code: str) -> str:
    template = plays.letter(code)
    return f"{reverse('crm_email_new', args=[account.public_id])}?template={template}" if template else ""


def _alert(alert: Alert, user: User) -> dict[str, Any]:
    word, tone = describe(alert.severity)
    return {
        "heading": alert.account.name,
        "url": _account_url(alert.account),
        "why": alert.evidence,
        "play": alert.play,
        "letter_url": _letter(alert.account, alert.rule_code),
        "badge": _("Taken") if alert.state == Alert.State.ACKNOWLEDGED else str(word),
        "badge_tone": tone,
        "value": alert.value_at_stake,
        "currency": alert.currency,
        "stake_label": _("a year at stake"),
        "owner_name": _other(alert.owner, user),
    }


def _lead(lead: Lead, user: User) -> dict[str, Any]:
    size = _("%(count)s employees") % {"count": quantity(lead.employee_count)} if lead.employee_count else ""
    who = ", ".join(part for part in (lead.name, size, str(lead.get_kind_display()).lower()) if part)
    return {
        "heading": lead.company or lead.name,
        "url": reverse("crm_lead", args=[lead.public_id]),
        "why": f"{who}: “{_cut(lead.message)}”" if lead.message else who,
        "play": _play(lead),
        "open_label": _("Accept") if lead.lifecycle == Lead.Lifecycle.SQL else "",
        "owner_name": _other(lead.owner, user),
    }


def _task(task: Task, user: User) -> dict[str, Any]:
    deal = task.opportunity
    value, currency = (task.value_at_stake, task.currency) if task.currency else (None, "")
    if value is None and deal is not None:
        value, currency = deal.amount, deal.currency
    return {
        "heading": task.account.name if task.account else task.title,
        "url": reverse("crm_task", args=[task.public_id]),
        "why": task.why or task.title,
        "play": task.play or (task.description[:SHOWN] if task.description else ""),
        "letter_url": _letter(task.account, task.kind) if task.account else "",
        "badge": str(task.get_kind_display()),
        "value": value,
        "currency": currency,
        "stake_label": _("a year at stake") if task.kind == Task.Kind.RENEWAL else _("at stake"),
    }


def _opportunity(deal: Opportunity, user: User) -> dict[str, Any]:
    steps = plays.next_steps(deal.category)
    return {
        "heading": deal.account.name,
        "url": _deal_url(deal),
        "why": _("%(name)s, %(stage)s. Next step: %(step)s")
        % {"name": deal.name, "stage": deal.stage.label, "step": deal.next_step},
        "play": steps[0],
        "value": deal.amount,
        "currency": deal.currency,
        "next_steps": steps,
        "next_step_url": reverse("today_next_step", args=[deal.public_id]),
    }


def _deal_url(deal: Opportunity) -> str:
    try:
        return reverse("crm_opportunity", args=[deal.public_id])
    except NoReverseMatch:
        return _account_url(deal.account)


def _reply(email: EmailMessage, user: User) -> dict[str, Any]:
    who = email.contact.name if email.contact and email.contact.name else email.sender
    assert email.account is not None
    return {
        "heading": email.account.name,
        "url": reverse("crm_email", args=[email.public_id]),
        "why": f"{who}, {email.subject}: “{_cut(email.text)}”",
        "play": _("Answer."),
        "letter_url": "",
        "value": email.opportunity.amount if email.opportunity else None,
        "currency": email.opportunity.currency if email.opportunity else "",
    }


def _mention(one: Notification, user: User) -> dict[str, Any]:
    note = one.note
    who = str(note.author) if note and note.author else ""
    return {
        "heading": one.account.name if one.account else who,
        "url": f"{_account_url(one.account)}#work" if one.account else reverse("crm_notifications"),
        "why": f"{who}: “{_cut(note.text)}”" if note else "",
        "play": "",
    }


def _other(owner: User | None, user: User) -> str:
    return "" if owner in (None, user) else str(owner)


def _cut(text: str) -> str:
    text = " ".join(strip_spaces_between_tags(text).split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


_OF_KIND: dict[str, Callable[[Any, User], dict[str, Any]]] = {
    inbox.ALERT: _alert,
    inbox.LEAD: _lead,
    inbox.TASK: _task,
    inbox.OPPORTUNITY: _opportunity,
    inbox.REPLY: _reply,
    inbox.MENTION: _mention,
}
