"""Tasks, notes, calls and mail over the API."""

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from crm import calls, emails, notes, todos
from crm.models import Account, Call, Contact, EmailMessage, Lead, MailTemplate, Note, Opportunity, Task
from gtm.shared import db
from gtm.shared.api import fields
from gtm.shared.api.filters import ReferenceFilter, ResourceFilter
from gtm.shared.api.resources import (
    Creates,
    ResourceSerializer,
    ResourceViewSet,
    StrictSerializer,
    Updates,
    resource_fields,
)
from gtm.shared.errors import Invalid
from gtm.shared.models import User

ABOUT = ("account", "contact", "lead", "opportunity")
REQUIRED = "A key of the installation says whose it is."


class AboutSerializer(ResourceSerializer):
    """What every kind of work is about. A deal, a request or a person is one of the account."""

    account = fields.ReferenceField(Account)
    contact = fields.ReferenceField(Contact, required=False, allow_null=True)
    lead = fields.ReferenceField(Lead, required=False, allow_null=True)
    opportunity = fields.ReferenceField(Opportunity, required=False, allow_null=True)


class WorkFilter(ResourceFilter):
    account = ReferenceFilter(Account)
    contact = ReferenceFilter(Contact)
    lead = ReferenceFilter(Lead)
    opportunity = ReferenceFilter(Opportunity)


class WorkViewSet(ResourceViewSet):
    """Rows of the accounts that the caller sees."""

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().select_related(*ABOUT)

    def at_of(self, account: Account | None) -> Any:
        return db.now_for(account)

    def who(self, named: User | None) -> User:
        """Whoever is named, else whose key it is. Raises Invalid where that is nobody's."""
        found = named or self.principal
        if found is None:
            raise Invalid(REQUIRED, code="required", attr="user")
        return found


# --- tasks -------------------------------------------------------------------------------------
class TaskSerializer(AboutSerializer):
    """Something to be done. `origin` names what made it, where that was no person."""

    account = fields.ReferenceField(Account, required=False, allow_null=True)
    title = serializers.CharField(max_length=200)
    description = serializers.CharField(required=False, allow_blank=True, max_length=5000)
    due_at = fields.UtcDateTimeField(required=False, allow_null=True)
    remind_at = fields.UtcDateTimeField(required=False, allow_null=True)
    assignee = fields.ReferenceField(User, required=False)
    value_at_stake = fields.MoneyField(read_only=True, allow_null=True)
    done_at = fields.UtcDateTimeField(read_only=True, allow_null=True)
    snoozed_until = fields.UtcDateTimeField(read_only=True, allow_null=True)

    class Meta:
        model = Task
        fields = resource_fields(
            *ABOUT,
            *("title", "description", "kind", "state", "due_at", "remind_at", "assignee", "snoozed_until"),
            *("done_at", "outcome", "origin", "why", "play", "value_at_stake", "currency"),
        )
        read_only_fields = ("state", "outcome", "origin", "why", "play", "currency")
        create_only_fields = ABOUT


class TaskStepSerializer(StrictSerializer):
    """Done with an outcome, canceled with a reason, or open again."""

    to = serializers.ChoiceField(choices=Task.State.choices)
    outcome = serializers.CharField(required=False, allow_blank=True, max_length=500)


class TaskFilter(WorkFilter):
    state = django_filters.ChoiceFilter(choices=Task.State.choices)
    kind = django_filters.ChoiceFilter(choices=Task.Kind.choices)
    assignee = ReferenceFilter(User)


class TaskViewSet(Creates, Updates, WorkViewSet):
    """What people have to do by when."""

    model = Task
    serializer_class = TaskSerializer
    filterset_class = TaskFilter

    def perform_create(self, data: dict[str, Any]) -> Task:
        assignee = self.who(data.pop("assignee", None))
        account = data.get("account") or todos.account_of(*(data.get(name) for name in ABOUT[1:]))
        return todos.create(at=self.at_of(account), assignee=assignee, created_by=self.principal, **data)

    def perform_update(self, instance: Task, data: dict[str, Any]) -> Task:
        return todos.change(task=instance, at=db.now_for(instance), **data)

    @extend_schema(request=TaskStepSerializer, responses=TaskSerializer)
    @action(detail=True, methods=["post"])
    def transition(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Close the task, or take it up again."""
        data, task = self.validated(TaskStepSerializer), self.get_object()
        at, words = db.now_for(task), data.get("outcome", "")
        if data["to"] == Task.State.DONE:
            return self.answer(todos.complete(task=task, at=at, outcome=words))
        if data["to"] == Task.State.CANCELED:
            return self.answer(todos.cancel(task=task, at=at, reason=words))
        return self.answer(todos.reopen(task=task, at=at))


# --- notes -------------------------------------------------------------------------------------
class NoteSerializer(AboutSerializer):
    """What somebody wrote down. `@` and the first part of a colleague's address tells them."""

    text = serializers.CharField(max_length=notes.MAX_TEXT)
    author = fields.ReferenceField(User, read_only=True, allow_null=True)
    written_at = fields.UtcDateTimeField(read_only=True)

    class Meta:
        model = Note
        fields = resource_fields(*ABOUT, "text", "author", "written_at")
        create_only_fields = (*ABOUT, "external_id", "metadata")


class NoteViewSet(Creates, Updates, WorkViewSet):
    """Notes at accounts."""

    model = Note
    serializer_class = NoteSerializer
    filterset_class = WorkFilter

    def perform_create(self, data: dict[str, Any]) -> Note:
        return notes.write_note(at=self.at_of(data["account"]), author=self.principal, **data)

    def perform_update(self, instance: Note, data: dict[str, Any]) -> Note:
        return notes.change(note=instance, at=db.now_for(instance), text=data.get("text", instance.text))


# --- calls -------------------------------------------------------------------------------------
class CallSerializer(AboutSerializer):
    """A talk, or the attempt at one."""

    outcome = serializers.ChoiceField(choices=Call.Outcome.choices)
    minutes = fields.IntegerField(required=False, min_value=0, max_value=calls.MAX_MINUTES)
    summary = serializers.CharField(required=False, allow_blank=True, max_length=5000)
    called_at = fields.UtcDateTimeField(required=False)
    caller = fields.ReferenceField(User, read_only=True, allow_null=True)

    class Meta:
        model = Call
        fields = resource_fields(*ABOUT, "outcome", "minutes", "summary", "caller", "called_at")


class CallViewSet(Creates, WorkViewSet):
    """Calls with people at accounts."""

    model = Call
    serializer_class = CallSerializer
    filterset_class = WorkFilter

    def perform_create(self, data: dict[str, Any]) -> Call:
        return calls.log(at=self.at_of(data["account"]), caller=self.principal, **data)


# --- mail --------------------------------------------------------------------------------------
class EmailSerializer(AboutSerializer):
    """A message to or from somebody at an account; without an account it waits to be matched."""

    account = fields.ReferenceField(Account, allow_null=True)
    contact = fields.ReferenceField(Contact, allow_null=True)
    user = fields.ReferenceField(User, required=False)
    body = serializers.CharField(source="text", max_length=emails.MAX_BODY)
    template = fields.ReferenceField(MailTemplate, required=False, allow_null=True, answers_code=True)
    thread = fields.PublicIdField("eml", source="thread_id")
    recipients = serializers.ListField(child=serializers.CharField(), read_only=True)
    sent_at = fields.UtcDateTimeField(read_only=True)
    answered_at = fields.UtcDateTimeField(read_only=True, allow_null=True)

    class Meta:
        model = EmailMessage
        fields = resource_fields(
            *ABOUT,
            *("direction", "user", "sender", "recipients", "subject", "body", "template", "thread"),
            *("attachment_count", "attachment_bytes", "sent_at", "answered_at"),
        )
        read_only_fields = ("direction", "sender", "attachment_count", "attachment_bytes", "external_id", "metadata")


class EmailFilter(WorkFilter):
    direction = django_filters.ChoiceFilter(choices=EmailMessage.Direction.choices)
    user = ReferenceFilter(User)


class EmailViewSet(Creates, WorkViewSet):
    """Mail with customers: what came in, and what was sent. A POST sends."""

    model = EmailMessage
    serializer_class = EmailSerializer
    filterset_class = EmailFilter

    def perform_create(self, data: dict[str, Any]) -> EmailMessage:
        for name in ("account", "contact"):
            if data.get(name) is None:
                raise Invalid("Say to whom.", code="required", attr=name)
        user = self.who(data.pop("user", None))
        body = data.pop("text")
        return emails.send(at=self.at_of(data["account"]), user=user, body=body, **data)
