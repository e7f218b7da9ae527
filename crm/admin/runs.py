"""Runs of policies and rules over accounts: how many move from where to where, and each of them with its reasons."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet, Value
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode
from unfold.decorators import display

from crm import policy_runs, routing_runs, wording
from crm.admin.teams import staff
from crm.models import PolicyMove, PolicyRun, Queue, RoutingMove, RoutingRun, RunState
from gtm.shared import admin_columns as columns
from gtm.shared import vendors
from gtm.shared.admin_base import OperationForm, ReadOnlyAdmin
from gtm.shared.admin_steps import step

REFRESH_SECONDS = 3


class _Runs(ReadOnlyAdmin):
    change_form_outer_after_template = "crm/admin/_run.html"
    state = columns.status("state")

    def notes(self, request: HttpRequest, instance: Any) -> list[str]:
        if instance.state in (RunState.QUEUED, RunState.RUNNING):
            return [f"{instance.percent} percent done. This page keeps itself up to date."]
        is_dry = instance.kind == instance.Kind.DRY_RUN
        if is_dry and instance.moved and not instance.moves.exists():
            return ["This was a while ago: who they were is not kept. Look again to see them."]
        return []

    def warnings(self, request: HttpRequest, instance: Any) -> list[str]:
        return [f"It stopped: {instance.error}"] if instance.state == RunState.FAILED else []

    def extra_context(self, request: HttpRequest, instance: Any) -> dict[str, Any]:
        is_open = instance.state in (RunState.QUEUED, RunState.RUNNING)
        return {"flows": self.flows(instance)} | ({"refresh_seconds": REFRESH_SECONDS} if is_open else {})

    def flows(self, instance: Any) -> list[dict[str, Any]]:
        raise NotImplementedError


@admin.register(PolicyRun)
class PolicyRunAdmin(_Runs):
    list_display = ("policy", "kind", "state", "moved", "total", "asked_at")
    list_select_related = ("policy",)
    list_filter = ("kind", "state")
    ordering = ("-asked_at",)
    fields = (("policy", "kind"), ("state", "asked_at"), ("moved", "total"), "finished_at")

    def flows(self, instance: PolicyRun) -> list[dict[str, Any]]:
        labels = _labels(instance)
        address = reverse("admin:crm_policymove_changelist")
        rows = []
        for flow in policy_runs.flows(instance):
            asked = {f"{name}__exact": str(flow[name]) for name in flow if name != "count"}
            before, after = (_place(flow, end, labels) for end in ("from", "to"))
            query = urlencode({"run__id__exact": str(instance.pk), **asked})
            rows.append({"before": before, "after": after, "count": flow["count"], "address": f"{address}?{query}"})
        return rows


def _labels(run: PolicyRun) -> dict[str, str]:
    return {segment["code"]: segment["label"] for segment in run.policy.segments}


def _end(move: PolicyMove, end: str) -> str:
    return _place(vars(move), end, _labels(move.run))


def _place(flow: dict[str, Any], end: str, labels: dict[str, str]) -> str:
    segment, motion, zone = (flow[f"{end}_{name}"] for name in ("segment", "motion", "dead_zone"))
    words = [labels.get(segment, segment) or "not decided yet", motion.replace("_", "-"), zone.replace("_", " ")]
    return ", ".join(word for word in words if word)


@admin.register(PolicyMove)
class PolicyMoveAdmin(ReadOnlyAdmin):
    list_display = ("account", "was", "becomes", "why")
    list_select_related = ("account", "run__policy")
    list_filter = ("from_segment", "to_segment")
    ordering = ("pk",)
    fields = ("account", ("was", "becomes"), "why")

    @display(description="Now")
    def was(self, move: PolicyMove) -> str:
        return _end(move, "from")

    @display(description="Then")
    def becomes(self, move: PolicyMove) -> str:
        return _end(move, "to")

    @display(description="Because")
    def why(self, move: PolicyMove) -> str:
        return ". ".join(wording.sentences(move.reasons, currency=move.run.policy.currency))

    def lookup_allowed(self, lookup: str, value: str, request: Any = None) -> bool:
        return lookup.partition("__")[0] in {"run", *_MOVE_FIELDS} or super().lookup_allowed(lookup, value, request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return False  # reached from its run


_MOVE_FIELDS = {
    f"{end}_{name}" for end in ("from", "to") for name in ("segment", "motion", "dead_zone", "owner", "queue")
}


class RerouteForm(OperationForm):
    of_owner: Any = forms.ModelChoiceField(queryset=None, required=False, label="Of the owner")
    of_queue: Any = forms.ModelChoiceField(queryset=None, required=False, label="Or of the queue")

    class Meta:
        model = RoutingRun
        fields = ("of_owner", "of_queue")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, rows in (("of_owner", staff()), ("of_queue", Queue.objects.order_by("name"))):
            if name in self.fields:
                self.fields[name].queryset = rows  # type: ignore[attr-defined]


@admin.register(RoutingRun)
class RoutingRunAdmin(_Runs):
    """Route anew: makes a preview, which is carried out, and can be undone, by a step."""

    list_display = ("ruleset", "kind", "state", "moved", "total", "applied_at", "undone_at", "asked_at")
    list_select_related = ("ruleset",)
    list_filter = ("kind", "state")
    ordering = ("-asked_at",)
    actions_detail = ("apply", "undo")

    def create(self, *, at: datetime, **values: Any) -> RoutingRun:
        return routing_runs.preview(at=at, **values)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            kwargs["form"] = RerouteForm
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: RoutingRun | None = None) -> Any:
        if obj is None:
            words = "Whose accounts are to be routed anew? You see first who would get which; nothing moves by that."
            return ((None, {"fields": ("of_owner", "of_queue"), "description": words}),)
        fields = (("ruleset", "kind"), ("of_owner", "of_queue"), ("state", "asked_at"), ("moved", "total"))
        return ((None, {"fields": (*fields, ("applied_at", "undone_at"))}),)

    def flows(self, instance: RoutingRun) -> list[dict[str, Any]]:
        address = reverse("admin:crm_routingmove_changelist")
        rows = []
        for flow in routing_runs.flows(instance):
            ends = {name: flow[name] for name in ("from_owner", "from_queue", "to_owner", "to_queue") if flow[name]}
            asked = {f"{name}__id__exact": str(key) for name, key in ends.items()}
            query = urlencode({"run__id__exact": str(instance.pk)} | asked)
            before, after = ((flow[f"{e}_owner__name"] or flow[f"{e}_queue__name"] or "–") for e in ("from", "to"))
            rows.append({"before": before, "after": after, "count": flow["count"], "address": f"{address}?{query}"})
        return rows

    @step(
        "Carry out",
        explain=lambda run: f"{run.moved:,} accounts go where the preview shows. You can undo it.",
        applies=lambda run: run.kind == "reroute" and run.state == RunState.DONE and run.applied_at is None,
        main=True,
    )
    def apply(self, run: RoutingRun, *, at: datetime) -> None:
        routing_runs.apply(run=run, at=at)

    @step(
        "Undo",
        explain="The accounts go back to whom they were taken from, but for those that moved again since.",
        applies=routing_runs.can_undo,
    )
    def undo(self, run: RoutingRun, *, at: datetime) -> None:
        routing_runs.undo(run=run, at=at)


@admin.register(RoutingMove)
class RoutingMoveAdmin(ReadOnlyAdmin):
    list_display = ("account", "from_owner", "from_queue", "to_owner", "to_queue", "applied", "why")
    list_select_related = ("account", "from_owner", "from_queue", "to_owner", "to_queue", "run")
    ordering = ("position",)
    fields = ("account", ("from_owner", "from_queue"), ("to_owner", "to_queue"), "applied", "why")

    def get_queryset(self, request: HttpRequest) -> QuerySet[RoutingMove]:
        """Amounts that rules compare are in the vendor's currency."""
        return super().get_queryset(request).annotate(currency=Value(vendors.current().base_currency))

    @display(description="Because")
    def why(self, move: RoutingMove) -> str:
        return ". ".join(wording.sentences(move.reasons, currency=str(vars(move)["currency"])))

    def lookup_allowed(self, lookup: str, value: str, request: Any = None) -> bool:
        return lookup.partition("__")[0] in {"run", *_MOVE_FIELDS} or super().lookup_allowed(lookup, value, request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return False  # reached from its run
