"""What reps type about their work: tasks, notes, calls, mail."""

from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.utils.translation import gettext_lazy as _

from crm import mail_templates, notes
from crm.accounts import fold
from crm.models import Account, Call, Contact, MailTemplate, Notification, Task
from gtm.shared.models import User

REMINDERS = {"": None, "due": timedelta(0), "hour": timedelta(hours=1), "day": timedelta(days=1)}
END_OF_DAY = time(17)


def _area(rows: int, **attrs: str) -> forms.Textarea:
    return forms.Textarea(attrs={"rows": rows, **attrs})


def _moment(day: Any, clock: time | None, user: User) -> datetime | None:
    """A day and an hour of the user's own wall clock."""
    return datetime.combine(day, clock or END_OF_DAY, tzinfo=ZoneInfo(user.timezone)) if day else None


class PeopleField(forms.ModelChoiceField):
    """The people at one account."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(queryset=Contact.objects.none(), required=kwargs.pop("required", False), **kwargs)

    def of(self, account: Account | None) -> None:
        self.queryset = account.contacts.order_by("name", "pk") if account else Contact.objects.none()


class TaskForm(forms.Form):
    """A task, with the day and hour by the wall clock of whoever writes it."""

    title = forms.CharField(label=_("What is to be done?"), max_length=200)
    kind = forms.ChoiceField(label=_("Kind"), choices=[c for c in Task.Kind.choices if c[0] != Task.Kind.RENEWAL])
    due_on = forms.DateField(label=_("By"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    due_time = forms.TimeField(label=_("At"), required=False, widget=forms.TimeInput(attrs={"type": "time"}))
    remind = forms.ChoiceField(
        label=_("Remind"),
        required=False,
        choices=[
            ("", _("Not")),
            ("due", _("When it is due")),
            ("hour", _("An hour before")),
            ("day", _("A day before")),
        ],
    )
    assignee = forms.ModelChoiceField(label=_("Who"), queryset=User.objects.none())
    contact = PeopleField(label=_("About whom"))
    account_name = forms.CharField(
        label=_("Account"), required=False, max_length=200, help_text=_("Its name or domain; empty for none.")
    )
    description = forms.CharField(label=_("Details"), required=False, max_length=5000, widget=_area(3))

    def __init__(self, *args: Any, user: User, account: Account | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user, self.account = user, account
        people = self.fields["assignee"]
        assert isinstance(people, forms.ModelChoiceField)
        people.queryset = User.objects.filter(pk__in=[colleague.pk for colleague in notes.colleagues()]).order_by(
            "name"
        )
        people.initial = user.pk
        contact = self.fields["contact"]
        assert isinstance(contact, PeopleField)
        contact.of(account)
        if account is not None:
            del self.fields["account_name"]
        else:
            del self.fields["contact"]

    def clean_account_name(self) -> str:
        """The one account of the user's that is meant."""
        words = self.cleaned_data["account_name"].strip()
        if words:
            seen = Account.objects.visible_to(self.user).filter(test_clock=None)
            found = list(seen.filter(domains__domain=words.lower())[:1] or seen.filter(name_key=fold(words))[:2])
            if len(found) != 1:
                raise forms.ValidationError(_("No one account of yours has this name or domain."))
            self.account = found[0]
        return words

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if data.get("remind") and not data.get("due_on"):
            self.add_error("due_on", _("Say by when, to be reminded of it."))
        return data

    def said(self) -> dict[str, Any]:
        """As the operations take it."""
        data = self.cleaned_data
        due_at, ahead = _moment(data["due_on"], data["due_time"], self.user), REMINDERS[data["remind"]]
        return {
            "title": data["title"],
            "kind": data["kind"],
            "description": data["description"],
            "due_at": due_at,
            "remind_at": due_at - ahead if due_at is not None and ahead is not None else None,
            "assignee": data["assignee"],
        }


def task_initial(task: Task, user: User) -> dict[str, Any]:
    """A task as its form shows it."""
    here = task.due_at.astimezone(ZoneInfo(user.timezone)) if task.due_at else None
    ahead = task.due_at - task.remind_at if task.due_at and task.remind_at else None
    return {
        "title": task.title,
        "kind": task.kind,
        "description": task.description,
        "due_on": here.date() if here else None,
        "due_time": here.time().replace(second=0, microsecond=0) if here else None,
        "remind": next((code for code, delta in REMINDERS.items() if delta == ahead and ahead is not None), ""),
        "assignee": task.assignee_id,
        "contact": task.contact_id,
    }


class NoteForm(forms.Form):
    text = forms.CharField(
        label=_("Note"), max_length=notes.MAX_TEXT, widget=_area(3), help_text=_("@name tells a colleague.")
    )


class CallForm(forms.Form):
    """How a call ended, and what follows from it."""

    outcome = forms.ChoiceField(label=_("Outcome"), choices=Call.Outcome.choices)
    minutes = forms.IntegerField(label=_("Minutes"), min_value=0, max_value=1440, required=False)
    contact = PeopleField(label=_("With"))
    summary = forms.CharField(label=_("What was said"), required=False, max_length=5000, widget=_area(2))
    next_title = forms.CharField(label=_("Next task"), required=False, max_length=200)
    next_on = forms.DateField(label=_("By"), required=False, widget=forms.DateInput(attrs={"type": "date"}))

    def __init__(self, *args: Any, user: User, account: Account, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        contact = self.fields["contact"]
        assert isinstance(contact, PeopleField)
        contact.of(account)

    def said(self) -> dict[str, Any]:
        data = self.cleaned_data
        title = data["next_title"].strip()
        task = {"title": title, "due_at": _moment(data["next_on"], None, self.user)} if title else None
        return {
            "outcome": data["outcome"],
            "minutes": data["minutes"] or 0,
            "contact": data["contact"],
            "summary": data["summary"],
            "next_task": task,
        }


class EmailForm(forms.Form):
    """A message to somebody at the account, from a template or from nothing."""

    template = forms.ModelChoiceField(
        label=_("Template"), queryset=MailTemplate.objects.none(), required=False, to_field_name="code"
    )
    contact = PeopleField(label=_("To"), required=True)
    subject = forms.CharField(label=_("Subject"), max_length=250)
    body = forms.CharField(label=_("Text"), max_length=50_000, widget=_area(12))

    def __init__(self, *args: Any, user: User, account: Account, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        template, contact = self.fields["template"], self.fields["contact"]
        assert isinstance(template, forms.ModelChoiceField)
        assert isinstance(contact, PeopleField)
        template.queryset = mail_templates.open_to(user)
        contact.queryset = account.contacts.exclude(email="").filter(unsubscribed=False).order_by("name", "pk")


class NotificationForm(forms.Form):
    """What to be told, and how."""

    told = forms.MultipleChoiceField(
        label=_("Tell me here"),
        choices=Notification.Kind.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    mailed = forms.MultipleChoiceField(
        label=_("And by mail at once"),
        choices=Notification.Kind.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    digest = forms.BooleanField(label=_("One mail each morning with what is unread"), required=False)
