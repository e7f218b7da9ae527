"""Pipelines, stages and opportunities over the API. A move is one PATCH; what it lacks comes back field by field."""

from typing import Any

import django_filters
from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from crm import opportunities, pipelines
from crm.models import (
    Account,
    Category,
    Confirmation,
    Lead,
    LossReason,
    LostCategory,
    Opportunity,
    OpportunityEvent,
    Pipeline,
    Stage,
    StageRequirement,
)
from gtm.shared import db
from gtm.shared.api import fields, references
from gtm.shared.api.filters import FlagFilter, ReferenceFilter, ResourceFilter, refuse_unknown
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


class RequirementSerializer(serializers.ModelSerializer):
    """What is to be so before a deal leaves the stage."""

    id = fields.PublicIdField()

    class Meta:
        model = StageRequirement
        fields = ("id", "kind", "text", "required")


class StageSerializer(ResourceSerializer):
    """Where a buyer stands. Codes are unique within a pipeline."""

    pipeline = fields.ReferenceField(Pipeline, answers_code=True, read_only=True)
    skip_segments = serializers.ListField(child=serializers.CharField(), read_only=True)
    requirements = RequirementSerializer(many=True, read_only=True)

    class Meta:
        model = Stage
        fields = resource_fields(
            "pipeline",
            "code",
            "label",
            "phase",
            "category",
            "type",
            "position",
            "expected_days",
            "is_redlining",
            "skip_segments",
            "requirements",
        )
        read_only_fields = fields


class StageFilter(ResourceFilter):
    pipeline = ReferenceFilter(Pipeline)
    type = django_filters.ChoiceFilter(choices=Stage.Type.choices)


class StageViewSet(ResourceViewSet):
    """The stages of all pipelines, each with its exit criteria."""

    model = Stage
    serializer_class = StageSerializer
    filterset_class = StageFilter

    def get_queryset(self) -> QuerySet[Stage]:
        asked = StageRequirement.objects.filter(active=True).order_by("position", "id")
        return Stage.objects.select_related("pipeline").prefetch_related(Prefetch("requirements", queryset=asked))


@extend_schema_field(serializers.CharField)
class StageField(serializers.Field):
    """A stage by its id, or by its code within the opportunity's pipeline; answers the id."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError("An id is a string.", code="incorrect_type")
        return data

    def to_representation(self, value: Stage) -> str:
        return value.public_id


class ConfirmationSerializer(StrictSerializer):
    """That a requirement is met, with what shows it."""

    requirement = serializers.CharField(max_length=60)
    evidence = serializers.CharField(required=False, allow_blank=True, max_length=500)
    at = fields.UtcDateTimeField(read_only=True)

    def to_representation(self, instance: Confirmation) -> dict[str, Any]:
        at = self.fields["at"].to_representation(instance.at)
        return {"requirement": instance.requirement.public_id, "evidence": instance.evidence, "at": at}


class OpportunitySerializer(ResourceSerializer):
    """A deal. `amount` is in minor units of `currency`, null while nobody knows it. `close_date` is guessed from what
    the stages usually take unless given. `reason` says why a deal goes back, and stays in its history.
    """

    account = fields.ReferenceField(Account)
    lead = fields.ReferenceField(Lead, required=False, allow_null=True)
    owner = fields.ReferenceField(User, required=False)
    pipeline = fields.ReferenceField(Pipeline, answers_code=True, required=False)
    stage = StageField(required=False)
    amount = fields.MoneyField(required=False, allow_null=True, min_value=0)
    currency = fields.CurrencyField(required=False)
    close_date = fields.DateField(required=False)
    lost_reason = fields.ReferenceField(LossReason, answers_code=True, required=False, allow_null=True)
    lost_category = serializers.ChoiceField(choices=LostCategory.choices, required=False, allow_blank=True)
    category = serializers.ChoiceField(choices=Category.choices, required=False)
    confirmations = ConfirmationSerializer(many=True, required=False)
    reason = serializers.CharField(required=False, allow_blank=True, max_length=500, write_only=True)

    class Meta:
        model = Opportunity
        fields = resource_fields(
            "account",
            "lead",
            "name",
            "kind",
            "pipeline",
            "stage",
            "state",
            "category",
            "category_overridden",
            "owner",
            "amount",
            "currency",
            "amount_basis",
            "close_date",
            "close_date_basis",
            "compelling_event",
            "compelling_event_on",
            "next_step",
            "next_step_at",
            "competitor",
            "source",
            "lost_reason",
            "lost_category",
            "closed_on",
            "push_count",
            "unresponsive_since",
            "included_in_call",
            "stage_entered_at",
            "reached_sal_at",
            "confirmations",
            "reason",
        )
        read_only_fields = (
            "state",
            "category_overridden",
            "closed_on",
            "push_count",
            "stage_entered_at",
            "reached_sal_at",
        )
        create_only_fields = ("account", "lead", "pipeline")


class OpportunityFilter(ResourceFilter):
    account = ReferenceFilter(Account)
    owner = ReferenceFilter(User)
    stage = ReferenceFilter(Stage)
    pipeline = ReferenceFilter(Pipeline)
    lead = ReferenceFilter(Lead)
    state = django_filters.MultipleChoiceFilter(choices=Stage.Type.choices)
    kind = django_filters.ChoiceFilter(choices=Opportunity.Kind.choices)
    category = django_filters.CharFilter()
    competitor = django_filters.CharFilter()
    included_in_call = FlagFilter()


class OpportunityEventSerializer(serializers.ModelSerializer):
    """One change of the deal, as it was written down that day."""

    at = fields.UtcDateTimeField()

    class Meta:
        model = OpportunityEvent
        fields = ("what", "before", "after", "is_backward", "is_push", "is_slip", "reason", "actor", "at")


class OpportunityViewSet(Creates, Updates, ResourceViewSet):
    """Deals: made on an account, changed, and moved by a PATCH of `stage` with all that the guard asks for."""

    model = Opportunity
    serializer_class = OpportunitySerializer
    filterset_class = OpportunityFilter

    def get_queryset(self) -> QuerySet[Opportunity]:
        given = Confirmation.objects.select_related("requirement").order_by("at", "id")
        return (
            Opportunity.objects.visible_to(self.principal)
            .select_related("pipeline", "stage", "lost_reason")
            .prefetch_related(Prefetch("confirmations", queryset=given))
        )

    def perform_create(self, data: dict[str, Any]) -> Opportunity:
        account = data.pop("account")
        at = db.now_for(account)
        pipeline = data.pop("pipeline", None) or pipelines.default(at=at)
        stage = _stage(pipeline, data.pop("stage", None))
        for never in ("reason", "lost_reason", "lost_category"):
            data.pop(never, None)
        return opportunities.create(account=account, at=at, pipeline=pipeline, stage=stage, **_given(data))

    def perform_update(self, instance: Opportunity, data: dict[str, Any]) -> Opportunity:
        stage = _stage(instance.pipeline, data.pop("stage", None)) or instance.stage
        at = db.now_for(instance)
        return opportunities.move(opportunity=instance, stage=stage, at=at, **_given(data))

    @extend_schema(responses=OpportunityEventSerializer(many=True))
    @action(detail=True, methods=["get"], ordering=("-at", "-id"), filter_backends=())
    def history(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """What changed when, by whom and why, newest first."""
        refuse_unknown(request, {"limit", "cursor"})
        page = self.paginate_queryset(OpportunityEvent.objects.filter(opportunity=self.get_object()))
        return self.get_paginated_response(OpportunityEventSerializer(page, many=True).data)


def _stage(pipeline: Pipeline, text: str | None) -> Stage | None:
    """What a caller names by id or code."""
    if text is None:
        return None
    found = references.find(pipeline.stages.all(), text)
    if found is None and "\0" not in text:
        found = pipeline.stages.filter(code=text).first()
    if found is None:
        raise Invalid(f"There is no stage {text[:100]!r} in this pipeline.", code="not_found", attr="stage")
    return found


def _given(data: dict[str, Any]) -> dict[str, Any]:
    """The body as the operations take it."""
    if "confirmations" in data:
        data["confirmations"] = {one["requirement"]: one.get("evidence", "") for one in data["confirmations"]}
    return data
