"""What payers' banks take back, and what payment gateways tell: to read, and to deal with once more."""

import json
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.decorators import display

from billing import gateway_events, sandbox_disputes
from billing.models import Dispute, GatewayEvent
from gtm.shared import admin_columns as columns
from gtm.shared.admin_base import ReadOnlyAdmin
from gtm.shared.admin_steps import step
from gtm.shared.errors import Conflict


@admin.register(Dispute)
class DisputeAdmin(ReadOnlyAdmin):
    list_display = ("public_id", "customer", "kind", "money", "state", "reason", "respond_by", "opened_at")
    list_filter = ("status", "kind", ("opened_at", admin.DateFieldListFilter))
    list_select_related = ("customer",)
    search_fields = ("customer__name", "customer__email", "gateway_reference__exact")
    ordering = ("-created_at",)
    fieldsets = (
        (None, {"fields": (("customer", "payment"), ("kind", "state"), ("money", "reason"))}),
        ("The money", {"fields": (("reversed", "lacking"),)}),
        ("At the gateway", {"fields": (("gateway", "gateway_reference"), ("opened_at", "respond_by"), "closed_at")}),
    )
    state = columns.status("status")
    money = columns.money("amount", "Disputed")
    reversed = columns.money("amount_reversed", "Pays for nothing now")
    lacking = columns.money("uncovered", "Of that, credit that was used already")

    actions_detail = ("win", "lose")

    def warnings(self, request: HttpRequest, instance: Dispute) -> list[str]:
        if sandbox_disputes.can_decide(instance):
            return ["This is a test card's dispute. Nobody looks into it: say yourself how its bank decides."]
        if instance.status == Dispute.Status.NEEDS_RESPONSE and instance.respond_by is not None:
            return [f"Answer at the gateway before {instance.respond_by:%d %B, %H:%M} UTC, or it is lost."]
        return []

    @step(
        "Let it be won",
        explain="The test card's bank gives the money back: it settles what is still open, and the rest is credit.",
        done="The dispute is won.",
        applies=sandbox_disputes.can_decide,
        permission="money",
        main=True,
    )
    def win(self, dispute: Dispute, *, at: datetime) -> None:
        sandbox_disputes.decide(dispute=dispute, won=True, at=at)

    @step(
        "Let it be lost",
        explain="The test card's bank keeps the money: what is open by it is asked for again, and dunning begins.",
        done="The dispute is lost.",
        applies=sandbox_disputes.can_decide,
        permission="money",
        danger=True,
    )
    def lose(self, dispute: Dispute, *, at: datetime) -> None:
        sandbox_disputes.decide(dispute=dispute, won=False, at=at)


@admin.register(GatewayEvent)
class GatewayEventAdmin(ReadOnlyAdmin):
    """What gateways told by webhook; kept for 90 days."""

    list_display = ("type", "event_id", "gateway", "state", "error", "attempts", "received_at")
    list_filter = ("status", "gateway", "type")
    search_fields = ("event_id__exact", "object_id__exact", "type__startswith")
    search_help_text = "The id of an event or of what it is about, or the beginning of a type such as charge.dispute"
    ordering = ("-received_at",)
    fieldsets = (
        (None, {"fields": (("type", "state"), ("gateway", "event_id"), ("object_id", "attempts"), "error")}),
        ("When", {"fields": (("occurred_at", "received_at"), ("processed_at", "due_at"))}),
        ("What it says", {"fields": ("said",)}),
    )
    state = columns.status("status")
    actions_detail = ("retry",)

    @step(
        "Try again",
        explain=lambda event: f"What follows from {event.event_id} is looked at anew, by how it stands at the gateway.",
        done="It is done.",
        applies=lambda event: event.status == GatewayEvent.Status.FAILED,
        permission="money",
        main=True,
    )
    def retry(self, event: GatewayEvent, *, at: datetime) -> None:
        if gateway_events.retry(event=event, at=at).status == GatewayEvent.Status.FAILED:
            raise Conflict(f"It failed again: {event.error}")

    @display(description="Object")
    def said(self, event: GatewayEvent) -> Any:
        return format_html('<pre class="letter">{}</pre>', json.dumps(event.payload, indent=2, ensure_ascii=False))
