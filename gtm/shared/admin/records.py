"""What happened and what was written: facts, those still waiting for a handler, and mail."""

import uuid
from datetime import datetime
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch
from django.utils.html import format_html
from unfold.decorators import display
from unfold.paginator import InfinitePaginator

from gtm.shared import admin_columns as columns
from gtm.shared import ids, mail, outbox
from gtm.shared.admin_actors import NamesActors
from gtm.shared.admin_base import ReadOnlyAdmin, ReadOnlyTable, is_founder, page_of
from gtm.shared.admin_steps import step
from gtm.shared.models import Event, HandledFact, Mail, PendingFact
from gtm.shared.templatetags import tandem

_IDS = ("id", "object_id", "customer_id", "account_id")


class HandledRows(ReadOnlyTable):
    model = HandledFact
    fields = ("handler", "handled_at")
    verbose_name_plural = "dealt with by"
    show_change_link = False


class Area(admin.SimpleListFilter):
    """By the beginning of the type, which the index finds; to list the types there are would read the whole table."""

    title = "area"
    parameter_name = "area"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("billing.plan", "Plans"),
            ("billing.customer", "Customers"),
            ("billing.subscription", "Subscriptions"),
            ("billing.invoice", "Invoices"),
            ("billing.payment", "Payments"),
            ("billing.usage", "Usage"),
            ("crm", "Sales"),
            ("signals", "Signals"),
            ("user", "People"),
            ("api_key", "API keys"),
            ("mail", "Mail"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        return queryset.filter(type__startswith=f"{self.value()}.") if self.value() else queryset


@admin.register(Event)
class EventAdmin(NamesActors, ReadOnlyAdmin):
    """The audit trail. Search for the id of an object, a customer or an account, for a request, or for a type."""

    list_display = ("position", "type", "object", "who", "occurred_at", "on_clock")
    list_select_related = ("test_clock",)
    list_filter = (
        Area,
        ("occurred_at", admin.DateFieldListFilter),
    )
    search_fields = ("type__startswith", "request_id__exact")
    search_help_text = "An id, a request, or the beginning of a type such as billing.invoice"
    ordering = ("-position",)
    paginator = InfinitePaginator
    show_full_result_count = False
    inlines = (HandledRows,)
    fields = (
        ("type", "object"),
        ("occurred_at", "recorded_at"),
        ("who", "on_behalf_of"),
        ("request_id", "reason"),
        ("customer_id", "account_id"),
        "data",
        "previous",
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Event], search_term: str
    ) -> tuple[QuerySet[Event], bool]:
        if key := _decoded(search_term.strip()):
            return queryset.filter(_any(key)), False
        found: tuple[QuerySet[Event], bool] = super().get_search_results(request, queryset, search_term)
        return found

    @display(description="About")
    def object(self, event: Event) -> str:
        """The object, linked to its page where it has one and is there still."""
        for config in apps.get_app_configs():
            model = config.models.get(event.object_type)
            if model is not None and model in self.admin_site._registry:
                return _linked(model, event)
        return event.object_type

    @display(description="Test clock", ordering="test_clock")
    def on_clock(self, event: Event) -> str:
        return str(event.test_clock) if event.test_clock else tandem.ABSENT


def _linked(model: Any, event: Event) -> str:
    key = 1 if event.object_id.int == 1 else event.object_id
    try:
        return format_html('<a class="text-link" href="{}">{}</a>', page_of(model, key), model._meta.verbose_name)
    except NoReverseMatch:
        return event.object_type


def _decoded(text: str) -> uuid.UUID | None:
    """The UUID behind an id as the API writes it, or written out."""
    try:
        return ids.decode(text, prefix=text.rpartition("_")[0]) if "_" in text else uuid.UUID(text)
    except ValueError:
        return None


def _any(key: uuid.UUID) -> Q:
    found = Q()
    for name in _IDS:
        found |= Q(**{name: key})
    return found


@admin.register(PendingFact)
class PendingFactAdmin(ReadOnlyAdmin):
    """Facts that a handler has failed at, or that no worker has come to yet."""

    list_display = ("fact", "attempts", "next_attempt_at", "error")
    list_select_related = ("event",)
    ordering = ("next_attempt_at",)
    fields = ("fact", "attempts", "next_attempt_at", "last_error")
    actions_detail = ("retry",)

    @step(
        "Retry now",
        explain="The handlers that have not dealt with this fact are offered it again at once.",
        done="The fact is offered again. It leaves this list when every handler is done.",
    )
    def retry(self, pending: PendingFact, *, at: datetime) -> None:
        outbox.retry(pending=pending)

    @display(description="Fact", ordering="event__type")
    def fact(self, pending: PendingFact) -> str:
        return f"{pending.event.type} ({pending.event.public_id})"

    @display(description="Last error")
    def error(self, pending: PendingFact) -> str:
        return pending.last_error.partition("\n")[0][:200] or "Not tried yet"


@admin.register(Mail)
class MailAdmin(ReadOnlyAdmin):
    """For founders alone: an invitation holds a link to sign in by."""

    list_display = ("subject", "recipient", "template", "state", "created_at", "sent_at")
    list_filter = ("status", "template")
    search_fields = ("recipient__startswith", "subject")
    ordering = ("-created_at",)
    fields = (
        ("recipient", "state"),
        ("created_at", "sent_at"),
        ("template", "locale"),
        ("attempts", "next_attempt_at"),
        "last_error",
        "subject",
        ("attached", "unsubscribe_url"),
        "shown",
        "written",
    )
    actions_detail = ("resend",)
    state = columns.status("status")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_founder(request)

    @step(
        "Send again",
        explain=lambda letter: f"{letter.recipient} gets this mail (again, if it went out unnoticed).",
        done="The mail is in the queue.",
        applies=lambda letter: letter.status in mail.RESENDABLE,
    )
    def resend(self, letter: Mail, *, at: datetime) -> None:
        mail.resend(mail=letter, at=at)

    @display(description="Text")
    def written(self, letter: Mail) -> str:
        return format_html('<pre class="letter">{}</pre>', letter.text)

    @display(description="As it looks")
    def shown(self, letter: Mail) -> str:
        """In a frame without scripts and without our own address, whatever the mail holds."""
        frame = '<iframe class="letter" title="The mail as it looks" sandbox="" srcdoc="{}"></iframe>'
        return format_html(frame, mail.with_logo(letter.html)) if letter.html else tandem.ABSENT

    @display(description="Attached")
    def attached(self, letter: Mail) -> str:
        """How many documents go with it; they are fetched when it is sent."""
        count = len(letter.attachments)
        return f"{count} document{'s' if count > 1 else ''}" if count else tandem.ABSENT
