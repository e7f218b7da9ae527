"""Pipelines with their stages, exit criteria and reasons of a loss; deals to read, which are worked on at the desk.

What is doubtful about a pipeline is said on its page. A draft may be unfinished; one that deals run through may not.
"""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import redirect
from unfold.decorators import action, display

from crm import loss_reasons, pipelines
from crm.admin.teams import kept
from crm.models import (
    LossReason,
    Opportunity,
    OpportunityEvent,
    Pipeline,
    Stage,
    StageRequirement,
)
from crm.pipeline_terms import RequirementTerms, StageTerms
from crm.pipeline_words import said
from gtm.shared import admin_columns as columns
from gtm.shared import db
from gtm.shared.admin_actors import NamesActors
from gtm.shared.admin_base import OperationAdmin, OperationTable, ReadOnlyAdmin, ReadOnlyTable, digest
from gtm.shared.admin_filters import OnTestClock

STAGE_FIELDS = ("code", "label", "phase", "category", "type", "expected_days", "is_redlining", "skip_segments")
REORDER = "Stages stand in the order of their positions. A stage that deals stand in, or passed, can't be taken out."


class StageRows(OperationTable):
    model = Stage
    verbose_name_plural = "stages"
    hide_title = True
    show_change_link = True
    fields = ("position", *STAGE_FIELDS)
    ordering = ("position",)

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        """The operation says which stages can't go; Django would collect and list every deal that stands in them."""
        formset = super().get_formset(request, obj, **kwargs)
        formset.form.hand_clean_DELETE = lambda form: None
        return formset


@admin.register(Pipeline)
class PipelineAdmin(OperationAdmin):
    list_display = ("name", "is_default", "size", "deals", "code")
    search_fields = ("name", "code")
    ordering = ("name",)
    prepopulated_fields = {"code": ("name",)}
    fields = (("name", "code"), "is_default", ("lost_date_policy", "silent_days"))
    inlines = (StageRows,)

    def create(self, *, at: datetime, **values: Any) -> Pipeline:
        return pipelines.create(at=at, **values)

    def change(self, instance: Pipeline, *, at: datetime, **changes: Any) -> Pipeline:
        return pipelines.change(pipeline=instance, at=at, **changes)

    def remove(self, instance: Pipeline, *, at: datetime) -> None:
        pipelines.remove(pipeline=instance, at=at)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """A draft goes with its stages; what may not go, the operation says."""
        return [str(one) for one in objs], {}, set(), []

    def save_rows(self, request: HttpRequest, instance: Pipeline, formset: Any) -> None:
        rows = sorted(kept(formset), key=lambda row: row["position"])
        advice = dict(instance.stages.values_list("code", "advice"))
        pipelines.change(pipeline=instance, at=db.now(), stages=[_terms(row, advice) for row in rows])

    def state_of(self, instance: Pipeline) -> str:
        stages = instance.stages.order_by("pk").values_list("pk", "version")
        return digest([super().state_of(instance), *stages])

    def notes(self, request: HttpRequest, instance: Pipeline) -> list[str]:
        return [REORDER]

    def warnings(self, request: HttpRequest, instance: Pipeline) -> list[str]:
        return [said(finding) for finding in pipelines.findings(instance)]

    def get_readonly_fields(self, request: HttpRequest, obj: Pipeline | None = None) -> tuple[str, ...]:
        return () if obj is None else ("code",)

    def get_prepopulated_fields(self, request: HttpRequest, obj: Pipeline | None = None) -> dict[str, Any]:
        return self.prepopulated_fields if obj is None else {}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Pipeline]:
        found: QuerySet[Pipeline] = super().get_queryset(request)
        is_open = Q(opportunities__state=Stage.Type.OPEN)
        return found.annotate(
            size=Count("stages", distinct=True), deals=Count("opportunities", filter=is_open, distinct=True)
        )

    @display(description="Stages", ordering="size")
    def size(self, pipeline: Any) -> int:
        return int(pipeline.size)

    @display(description="Open deals", ordering="deals")
    def deals(self, pipeline: Any) -> int:
        return int(pipeline.deals)


def _terms(row: dict[str, Any], advice: dict[str, str]) -> StageTerms:
    values = {name: row[name] for name in STAGE_FIELDS}
    values["skip_segments"] = tuple(row["skip_segments"] or ())
    return StageTerms(**values, advice=advice.get(row["code"], ""))


class RequirementRows(OperationTable):
    model = StageRequirement
    verbose_name = "exit criterion"
    verbose_name_plural = "what must be so before a deal leaves the stage"
    fields = ("position", "kind", "text", "required")
    ordering = ("position",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[StageRequirement]:
        found: QuerySet[StageRequirement] = super().get_queryset(request)
        return found.filter(active=True)


@admin.register(Stage)
class StageAdmin(OperationAdmin):
    list_display = ("label", "pipeline", "phase", "category", "expected_days", "criteria", "code")
    list_filter = ("pipeline", "phase")
    list_select_related = ("pipeline",)
    search_fields = ("label", "code")
    ordering = ("pipeline", "position")
    fields = (
        ("pipeline", "code"),
        ("label", "category"),
        ("phase", "type"),
        ("expected_days", "is_redlining"),
        "skip_segments",
        "advice",
    )
    readonly_fields = ("pipeline", "code", "phase", "type")
    inlines = (RequirementRows,)

    def change(self, instance: Stage, *, at: datetime, **changes: Any) -> Stage:
        return pipelines.change_stage(stage=instance, at=at, **changes)

    def save_rows(self, request: HttpRequest, instance: Stage, formset: Any) -> None:
        rows = sorted(kept(formset), key=lambda row: row["position"])
        asked = [RequirementTerms(row["text"], row["kind"], row["required"]) for row in rows]
        pipelines.change_stage(stage=instance, at=db.now(), requirements=asked)

    def warnings(self, request: HttpRequest, instance: Stage) -> list[str]:
        found = pipelines.findings(instance.pipeline)
        return [said(finding) for finding in found if finding.subject == instance.label]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Stage]:
        found: QuerySet[Stage] = super().get_queryset(request)
        return found.annotate(asked=Count("requirements", filter=Q(requirements__active=True)))

    @display(description="Exit criteria", ordering="asked")
    def criteria(self, stage: Any) -> int:
        return int(stage.asked)


@admin.register(LossReason)
class LossReasonAdmin(OperationAdmin):
    list_display = ("label", "category", "position", "active", "code")
    list_filter = ("category", "active")
    search_fields = ("label", "code")
    ordering = ("position", "label")
    prepopulated_fields = {"code": ("label",)}
    fields = (("label", "code"), ("category", "position"), "active")

    def create(self, *, at: datetime, **values: Any) -> LossReason:
        return loss_reasons.create(at=at, **values)

    def change(self, instance: LossReason, *, at: datetime, **changes: Any) -> LossReason:
        return loss_reasons.change(loss_reason=instance, at=at, **changes)

    def remove(self, instance: LossReason, *, at: datetime) -> None:
        loss_reasons.remove(loss_reason=instance, at=at)

    def get_readonly_fields(self, request: HttpRequest, obj: LossReason | None = None) -> tuple[str, ...]:
        return () if obj is None else ("code",)

    def get_prepopulated_fields(self, request: HttpRequest, obj: LossReason | None = None) -> dict[str, Any]:
        return self.prepopulated_fields if obj is None else {}


class EventRows(NamesActors, ReadOnlyTable):
    model = OpportunityEvent
    ordering = ("-at", "-pk")
    fields = ("what", "before", "after", "is_backward", "is_push", "is_slip", "who", "reason", "at")
    verbose_name_plural = "history"
    per_page = 50


@admin.register(Opportunity)
class OpportunityAdmin(ReadOnlyAdmin):
    list_display = ("name", "account", "stage", "category", "worth", "close_date", "push_count", "owner")
    list_filter = (OnTestClock, "state", "category", "kind", "stage")
    list_select_related = ("account", "stage", "owner")
    search_fields = ("name_key", "external_id__exact")
    ordering = ("-created_at",)
    inlines = (EventRows,)
    fieldsets = (
        (None, {"fields": (("name", "account"), ("kind", "owner"), ("worth", "amount_basis"))}),
        ("Next step", {"fields": (("next_step", "next_step_at"),)}),
        ("Course", {"fields": (("pipeline", "stage"), ("category", "category_overridden"), ("state", "closed_on"))}),
        ("Close date", {"fields": (("close_date", "close_date_basis"), ("compelling_event", "push_count"))}),
        ("Loss", {"fields": (("lost_reason", "lost_category"), "competitor")}),
        ("Record", {"fields": (("created_at", "updated_at"), ("external_id", "test_clock"))}),
    )
    actions_detail = ("open_at_desk",)
    worth = columns.money("amount", "Amount")

    @action(description="Open at the desk", permissions=["view"])
    def open_at_desk(self, request: HttpRequest, object_id: str) -> HttpResponseRedirect:
        return redirect("crm_opportunity", Opportunity.objects.get(pk=object_id).public_id)
