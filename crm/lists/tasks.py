"""The list of tasks."""

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.db.models import QuerySet, Value
from django.db.models.fields import CharField, DateTimeField
from django.db.models.functions import Coalesce, Lower
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from crm import todos
from crm.lists import actions, cells, filters
from crm.lists.listing import Action, Column, Edit, Listing, Sort, View
from crm.models import Entity, Task
from gtm.shared.models import User

LATE, TODAY, WEEK, WITHOUT = "late", "today", "week", "none"
NEVER = datetime(9999, 1, 1, tzinfo=ZoneInfo("UTC"))


class TaskFilters(filters.ListFilters):
    state = filters.Choice(label=_("State"), choices=Task.State.choices)
    kind = filters.Choice(label=_("Kind"), choices=Task.Kind.choices)
    assignee = filters.Owner("assignee")
    due = filters.Choice(
        label=_("Due"),
        choices=[(LATE, _("Late")), (TODAY, _("Today")), (WEEK, _("Within a week")), (WITHOUT, _("No date"))],
        method="falling_due",
    )

    def falling_due(self, rows: QuerySet[Task], _name: str, value: str) -> QuerySet[Task]:
        open_ = rows.filter(state=Task.State.OPEN)
        if value == WITHOUT:
            return open_.filter(due_at=None)
        if value == LATE:
            return open_.filter(due_at__lt=self.at)
        days = 1 if value == TODAY else 7
        midnight = datetime.combine(
            self.at.astimezone(ZoneInfo(self.user.timezone)).date(), time(0), tzinfo=ZoneInfo(self.user.timezone)
        )
        return open_.filter(due_at__lt=midnight + timedelta(days=days))


def _nothing(_rows: Sequence[Task], _at: datetime) -> None:
    return None


def _matching(rows: QuerySet[Task], words: str) -> QuerySet[Task]:
    for word in words.split()[:5]:
        rows = rows.filter(title__icontains=word)
    return rows


def _set(field: str, form_field: Any) -> Edit:
    def write(task: Task, value: Any, at: datetime) -> Task:
        return todos.change(task=task, at=at, **{field: value})

    return Edit(form_field, lambda task: getattr(task, field), write)


def _give(task: Task, assignee: User, at: datetime, _reason: str = "") -> Task:
    return todos.change(task=task, at=at, assignee=assignee)


def _due(_user: User) -> forms.Field:
    return forms.DateTimeField(label=_("Due"), required=False)


def _account(task: Task, _found: None) -> cells.Cell:
    if task.account is None:
        return cells.NOTHING
    return cells.text(task.account.name, url=reverse("crm_account", args=[task.account.public_id]))


class DoneForm(actions.ActionForm):
    outcome = forms.CharField(label=_("Outcome"), required=False, max_length=500)


def _done(task: Task, params: Any, at: datetime, _user: User) -> dict[str, Any] | None:
    if task.state != Task.State.OPEN:
        return None
    todos.complete(task=task, at=at, outcome=params.get("outcome", ""))
    return {"state": Task.State.OPEN}


def _open_again(task: Task, _before: dict[str, Any], at: datetime, _user: User) -> str:
    if task.state == Task.State.OPEN:
        return ""
    todos.reopen(task=task, at=at)
    return ""


COLUMNS = (
    Column(
        "title",
        _("Task"),
        lambda task, _found: cells.text(task.title),
        sort="title",
        edit=_set("title", lambda _user: forms.CharField(label=_("Task"), max_length=200)),
    ),
    Column("account", _("Account"), _account),
    Column("kind", _("Kind"), lambda task, _found: cells.text(task.get_kind_display())),
    Column("due", _("Due"), lambda task, _found: cells.when(task.due_at), sort="due"),
    Column(
        "assignee",
        _("Who"),
        lambda task, _found: cells.text(task.assignee),
        edit=Edit(actions.owner_field, lambda task: task.assignee, _give),
    ),
    Column("state", _("State"), lambda task, _found: cells.badge(task.state, str(task.get_state_display()))),
    Column("created", _("Made"), lambda task, _found: cells.day(task.created_at), sort="created", shown=False),
    Column("outcome", _("Outcome"), lambda task, _found: cells.text(task.outcome), shown=False),
)

LISTING = Listing(
    entity=Entity.TASK,
    label=_("Tasks"),
    model=Task,
    page="crm_tasks",
    url=lambda task: reverse("crm_task", args=[task.public_id]),
    columns=COLUMNS,
    sorts={
        "due": Sort(Coalesce("due_at", Value(NEVER, output_field=DateTimeField())), DateTimeField()),
        "title": Sort(Lower("title"), CharField()),
        "created": Sort("created_at", DateTimeField()),
    },
    default_sort="due",
    filters=TaskFilters,
    views=(
        View("mine", _("My open tasks"), "assignee=me&state=open"),
        View("late", _("Late"), f"due={LATE}"),
        View("week", _("This week"), f"due={WEEK}"),
        View("done", _("Done"), "state=done&sort=-created"),
    ),
    load=_nothing,
    matching=_matching,
    empty=(_("No tasks yet"), _("Make one from an account, or with Ctrl+K from anywhere.")),
    search_label=_("Words of the task"),
    related=("account", "assignee"),
    actions=(
        Action("assign", _("Give to somebody"), actions.OwnerForm, *actions.assigning("assignee", _give)),
        Action("done", _("Done"), DoneForm, _done, _open_again),
    ),
)
