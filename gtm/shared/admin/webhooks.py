"""Where facts are sent, and what became of each."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from unfold import widgets
from unfold.decorators import display
from unfold.paginator import InfinitePaginator

from gtm.shared import admin_columns as columns
from gtm.shared import db, ids
from gtm.shared.admin_base import OperationAdmin, OperationForm, ReadOnlyAdmin, ReadOnlyTable
from gtm.shared.admin_fields import LinesField
from gtm.shared.admin_steps import StepForm, step
from gtm.shared.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from gtm.shared.templatetags import tandem
from gtm.shared.webhooks import deliveries, endpoints, messages, retries


class EndpointForm(OperationForm):
    event_types = LinesField(
        label="Facts", help_text="One type or pattern a line, such as billing.invoice.*; none: all facts."
    )

    class Meta:
        model = WebhookEndpoint
        fields = ("url", "event_types", "description", "enabled")
        help_texts = {"url": "https, on port 443 or 8443, with a public address."}
        widgets = {"url": widgets.UnfoldAdminTextInputWidget(attrs={"class": "max-w-2xl"})}


class RotationForm(StepForm):
    hours = forms.IntegerField(
        label="Hours in which the old secret signs as well",
        initial=24,
        min_value=0,
        max_value=168,
        widget=widgets.UnfoldAdminIntegerFieldWidget(),
    )


class ReplayForm(StepForm):
    since = forms.SplitDateTimeField(label="Since", widget=widgets.UnfoldAdminSplitDateTimeWidget())
    only_failed = forms.BooleanField(
        label="Only what it never took", required=False, widget=widgets.UnfoldBooleanSwitchWidget()
    )

    def __init__(self, *args: Any, instance: WebhookEndpoint, **kwargs: Any) -> None:
        super().__init__(*args, instance=instance, **kwargs)
        self.fields["since"].initial = db.now() - timedelta(days=1)
        self.fields["since"].help_text = f"In UTC, within the last {retries.KEPT_FOR.days} days."


class DeliveryRows(ReadOnlyTable):
    model = WebhookDelivery
    verbose_name_plural = "deliveries"
    related = ("event",)
    fields = ("fact", "state", "attempts", "response_status", "last_error", "created_at")
    ordering = ("-id",)
    per_page = 20
    state = columns.status("status")

    @display(description="Fact")
    def fact(self, delivery: WebhookDelivery) -> str:
        return columns.linked(delivery, delivery.event.type)


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(OperationAdmin):
    form = EndpointForm
    list_display = ("__str__", "state", "types", "waiting", "last_answer", "failing_since")
    list_filter = ("enabled",)
    search_fields = ("url", "description")
    ordering = ("-created_at",)
    inlines = (DeliveryRows,)
    add_fieldsets = ((None, {"fields": ("url", "event_types", "description")}),)
    fieldsets = (
        (None, {"fields": ("url", "event_types", "description", "enabled")}),
        ("State", {"fields": (("state", "failing_since"), ("disabled_at", "previous_valid_until"), "api_version")}),
    )
    readonly_fields = ("state", "failing_since", "disabled_at", "previous_valid_until", "api_version")
    actions_detail = ("ping", "replay", "rotate_secret")

    def create(self, *, at: datetime, **values: Any) -> WebhookEndpoint:
        endpoint, secret = endpoints.create(at=at, **values)
        vars(endpoint)["secret"] = secret  # for the one page that shows it
        return endpoint

    def change(self, instance: WebhookEndpoint, *, at: datetime, **changes: Any) -> WebhookEndpoint:
        return endpoints.change(endpoint=instance, at=at, **changes)

    def remove(self, instance: WebhookEndpoint, *, at: datetime) -> None:
        endpoints.remove(endpoint=instance, at=at)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        told = {"title": str(obj), "opts": self.opts, "original": obj, "result": obj.secret}
        context = self.admin_site.each_context(request) | told
        return TemplateResponse(request, "admin/webhook_secret.html", context, headers={"Cache-Control": "no-store"})

    def get_inlines(self, request: HttpRequest, obj: WebhookEndpoint | None) -> Any:
        return () if obj is None else self.inlines

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Its deliveries go with it, and are not listed one by one."""
        return [str(endpoint) for endpoint in objs], {}, set(), []

    def warnings(self, request: HttpRequest, instance: WebhookEndpoint) -> list[str]:
        if instance.disabled_reason == WebhookEndpoint.DisabledReason.FAILING:
            return [
                "It was switched off after failing for days. Switch it on when it works, and replay what it missed."
            ]
        if instance.failing_since is not None:
            since, ends = instance.failing_since, instance.failing_since + retries.DISABLE_AFTER
            words = f"It has failed since {since:%d %B, %H:%M} UTC."
            return [f"{words} If it takes nothing until {ends:%d %B}, it is switched off."]
        return []

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookEndpoint]:
        theirs = WebhookDelivery.objects.filter(endpoint=OuterRef("pk"))
        pending = theirs.filter(status=WebhookDelivery.Status.PENDING).values("endpoint")
        tried = theirs.filter(attempts__gt=0).order_by("-id")
        endpoints: QuerySet[WebhookEndpoint] = super().get_queryset(request)
        return endpoints.annotate(
            waits=Coalesce(Subquery(pending.annotate(number=Count("pk")).values("number")), 0),
            answered=Subquery(tried.values("response_status")[:1]),
            failed_by=Subquery(tried.values("last_error")[:1]),
        )

    @step(
        "Send a test",
        explain=lambda endpoint: f"{endpoint.url} is sent a fact of the type webhook_endpoint.pinged.",
        done="It is on its way: see the deliveries below.",
        applies=lambda endpoint: endpoint.enabled,
        main=True,
    )
    def ping(self, endpoint: WebhookEndpoint, *, at: datetime) -> None:
        endpoints.ping(endpoint=endpoint, at=at)

    @step(
        "Replay",
        explain="The facts since then are sent again, and those that were written while it was off.",
        done="They are on their way.",
        form=ReplayForm,
        applies=lambda endpoint: endpoint.enabled,
    )
    def replay(self, endpoint: WebhookEndpoint, *, at: datetime, since: datetime, only_failed: bool) -> None:
        deliveries.replay(endpoint=endpoint, since=since, only_failed=only_failed, at=at)

    @step(
        "New secret",
        explain="It gets a new signing secret, which is shown once. Until the old one ends, both sign.",
        form=RotationForm,
        shown_in="admin/webhook_secret.html",
    )
    def rotate_secret(self, endpoint: WebhookEndpoint, *, at: datetime, hours: int) -> str:
        return endpoints.rotate_secret(endpoint=endpoint, at=at, overlap=timedelta(hours=hours))[1]

    @display(description="Status", ordering="enabled")
    def state(self, endpoint: WebhookEndpoint) -> str:
        if not endpoint.enabled:
            return tandem.status_badge("paused", endpoint.get_disabled_reason_display())
        return tandem.status_badge("error" if endpoint.failing_since else "active")

    @display(description="Facts")
    def types(self, endpoint: WebhookEndpoint) -> str:
        return ", ".join(endpoint.event_types) or "All"

    @display(description="Waiting")
    def waiting(self, endpoint: Any) -> str:
        return tandem.quantity(endpoint.waits)

    @display(description="Last answer")
    def last_answer(self, endpoint: Any) -> str:
        return endpoint.failed_by or endpoint.answered or tandem.ABSENT


class AttemptRows(ReadOnlyTable):
    model = WebhookAttempt
    verbose_name_plural = "attempts"
    fields = ("number", "started_at", "outcome", "duration", "response_excerpt")
    ordering = ("-pk",)
    show_change_link = False

    @display(description="Answer")
    def outcome(self, attempt: WebhookAttempt) -> str:
        if attempt.finished_at is None:
            return "None yet: it is under way, or its worker died"
        return attempt.error or str(attempt.response_status)

    @display(description="Took")
    def duration(self, attempt: WebhookAttempt) -> str:
        return tandem.ABSENT if attempt.duration_ms is None else f"{attempt.duration_ms} ms"


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    """What was sent where; kept for 30 days."""

    list_display = ("fact", "endpoint", "state", "attempts", "response_status", "last_error", "created_at")
    list_select_related = ("event", "endpoint")
    list_filter = ("status", "endpoint")
    search_fields = ("event__type__startswith",)
    search_help_text = "The id of a fact or of a delivery, or the beginning of a type such as billing.invoice"
    ordering = ("-id",)
    paginator = InfinitePaginator
    inlines = (AttemptRows,)
    fieldsets = (
        (None, {"fields": (("fact", "endpoint"), ("state", "attempts"), ("next_attempt_at", "finished_at"))}),
        ("Request", {"fields": ("request_head", "request_body")}),
        ("Last answer", {"fields": (("response_status", "last_error"),)}),
    )
    actions_detail = ("redeliver",)
    state = columns.status("status")

    @step(
        "Send again",
        explain=lambda delivery: f"{delivery.endpoint.url} is sent this fact now, with a full round of retries.",
        done="It is on its way.",
        applies=lambda delivery: delivery.endpoint.enabled,
        main=True,
    )
    def redeliver(self, delivery: WebhookDelivery, *, at: datetime) -> None:
        deliveries.redeliver(delivery=delivery, at=at)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[WebhookDelivery], search_term: str
    ) -> tuple[QuerySet[WebhookDelivery], bool]:
        if key := _decoded(search_term.strip()):
            return queryset.filter(Q(pk=key) | Q(event=key)), False
        found: tuple[QuerySet[WebhookDelivery], bool] = super().get_search_results(request, queryset, search_term)
        return found

    @display(description="Fact", ordering="event__type")
    def fact(self, delivery: WebhookDelivery) -> str:
        return f"{delivery.event.type} ({delivery.event.public_id})"

    @display(description="Head")
    def request_head(self, delivery: WebhookDelivery) -> str:
        lines = (
            f"POST {delivery.endpoint.url}",
            "Content-Type: application/json",
            f"webhook-id: {delivery.event.public_id}",
            "webhook-timestamp: when it is sent",
            "webhook-signature: v1,… of id, timestamp and body",
        )
        return format_html('<pre class="letter">{}</pre>', "\n".join(lines))

    @display(description="Body")
    def request_body(self, delivery: WebhookDelivery) -> str:
        body = messages.body(delivery.event, api_version=delivery.endpoint.api_version)
        return format_html('<pre class="letter">{}</pre>', body.decode())


def _decoded(text: str) -> uuid.UUID | None:
    prefix = text.rpartition("_")[0]
    try:
        return ids.decode(text, prefix=prefix) if prefix in {"evt", WebhookDelivery.PREFIX} else None
    except ValueError:
        return None
