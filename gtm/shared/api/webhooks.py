"""Webhooks: where facts are sent, what became of each, and how to have them again."""

from datetime import timedelta
from typing import Any

import django_filters
from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from gtm.shared import db
from gtm.shared.api import fields
from gtm.shared.api.filters import FlagFilter, InstantsFilter, ReferenceFilter, ResourceFilter
from gtm.shared.api.resources import (
    NoInput,
    ResourceSerializer,
    ResourceViewSet,
    StrictSerializer,
    Updates,
    resource_fields,
)
from gtm.shared.models import Event, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from gtm.shared.webhooks import deliveries, destinations, endpoints, event_types


class WebhookEndpointSerializer(ResourceSerializer):
    """`event_types` are types and patterns such as `billing.invoice.*`; an empty list means all."""

    url = serializers.CharField(max_length=destinations.MAX_LENGTH)
    event_types = serializers.ListField(
        child=serializers.CharField(max_length=event_types.MAX_LENGTH),
        required=False,
        max_length=event_types.MAX_PATTERNS,
    )

    class Meta:
        model = WebhookEndpoint
        fields = resource_fields(
            "url",
            "event_types",
            "description",
            "enabled",
            "api_version",
            "disabled_at",
            "disabled_reason",
            "failing_since",
            "previous_valid_until",
        )
        read_only_fields = ("disabled_at", "disabled_reason", "failing_since", "previous_valid_until")


class WithSecretSerializer(WebhookEndpointSerializer):
    """With the signing secret, shown this once."""

    secret = serializers.CharField(read_only=True)

    class Meta(WebhookEndpointSerializer.Meta):
        fields = [*WebhookEndpointSerializer.Meta.fields, "secret"]


class RotationSerializer(StrictSerializer):
    """For `overlap_hours` (0 to 168) the secret before signs as well."""

    overlap_hours = fields.IntegerField(required=False, default=24, min_value=0, max_value=168)


class ReplaySerializer(StrictSerializer):
    """`only_failed`: those alone that the endpoint never took."""

    since = fields.UtcDateTimeField()
    only_failed = fields.StrictBooleanField(required=False, default=False)


class ReplayedSerializer(serializers.Serializer):
    """How many deliveries were queued."""

    deliveries = serializers.IntegerField()


class AttemptSerializer(serializers.ModelSerializer):
    """One request; without `finished_at` it is under way, or its sender died."""

    started_at = fields.UtcDateTimeField(read_only=True)
    finished_at = fields.UtcDateTimeField(read_only=True, allow_null=True)

    class Meta:
        model = WebhookAttempt
        fields = (
            "number",
            "started_at",
            "finished_at",
            "duration_ms",
            "response_status",
            "response_excerpt",
            "error",
        )
        read_only_fields = fields


class WebhookDeliverySerializer(serializers.ModelSerializer):
    """One fact for one endpoint, with every attempt. `webhook-id` was the event's id."""

    id = fields.PublicIdField()
    endpoint = fields.ReferenceField(WebhookEndpoint, read_only=True)
    event = fields.ReferenceField(Event, read_only=True)
    event_type = serializers.CharField(source="event.type", read_only=True)
    next_attempt_at = fields.UtcDateTimeField(read_only=True, allow_null=True)
    created_at = fields.UtcDateTimeField(read_only=True)
    queued_at = fields.UtcDateTimeField(read_only=True)
    finished_at = fields.UtcDateTimeField(read_only=True, allow_null=True)
    attempt_log = AttemptSerializer(source="log", many=True, read_only=True)

    class Meta:
        model = WebhookDelivery
        fields = (
            "id",
            "endpoint",
            "event",
            "event_type",
            "status",
            "attempts",
            "next_attempt_at",
            "response_status",
            "last_error",
            "created_at",
            "queued_at",
            "finished_at",
            "attempt_log",
        )
        read_only_fields = fields


class WebhookEndpointFilter(ResourceFilter):
    enabled = FlagFilter()


class WebhookDeliveryFilter(InstantsFilter):
    instants = ("created_at",)
    endpoint = ReferenceFilter(WebhookEndpoint)
    event = ReferenceFilter(Event)
    status = django_filters.ChoiceFilter(choices=WebhookDelivery.Status.choices)


class WebhookEndpointViewSet(Updates, ResourceViewSet):
    """Addresses that facts are sent to, signed by the rules of Standard Webhooks. For founders and finance alone."""

    model = WebhookEndpoint
    serializer_class = WebhookEndpointSerializer
    filterset_class = WebhookEndpointFilter
    write_roles = ()
    seals_answers = True

    @extend_schema(request=WebhookEndpointSerializer, responses={201: WithSecretSerializer})
    def create(self, request: Request) -> Response:
        """Make an endpoint. Its signing `secret` is shown in this answer and never again."""
        endpoint, secret = endpoints.create(at=db.now(), **self.validated())
        return self._with_secret(endpoint, secret, status=status.HTTP_201_CREATED)

    def perform_update(self, instance: WebhookEndpoint, data: dict[str, Any]) -> WebhookEndpoint:
        return endpoints.change(endpoint=instance, at=db.now(), **data)

    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Delete the endpoint and its deliveries."""
        endpoints.remove(endpoint=self.get_object(), at=db.now())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=RotationSerializer, responses={200: WithSecretSerializer})
    @action(detail=True, methods=["post"])
    def secret_rotation(self, request: Request, id: str) -> Response:  # noqa: A002
        """Give the endpoint a new signing `secret`, shown in this answer and never again."""
        overlap = timedelta(hours=self.validated(RotationSerializer)["overlap_hours"])
        endpoint, secret = endpoints.rotate_secret(endpoint=self.get_object(), at=db.now(), overlap=overlap)
        return self._with_secret(endpoint, secret)

    @extend_schema(request=ReplaySerializer, responses={200: ReplayedSerializer})
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, id: str) -> Response:  # noqa: A002
        """Send the facts since then again, and those that were written while the endpoint was off."""
        data = self.validated(ReplaySerializer)
        return Response({"deliveries": deliveries.replay(endpoint=self.get_object(), at=db.now(), **data)})

    @extend_schema(request=NoInput, responses={201: WebhookDeliverySerializer})
    @action(detail=True, methods=["post"])
    def ping(self, request: Request, id: str) -> Response:  # noqa: A002
        """Send a fact of the type `webhook_endpoint.pinged`, to try the endpoint out."""
        self.validated(NoInput)
        delivery = endpoints.ping(endpoint=self.get_object(), at=db.now())
        return Response(WebhookDeliverySerializer(delivery).data, status=status.HTTP_201_CREATED)

    def _with_secret(self, endpoint: WebhookEndpoint, secret: str, *, status: int = status.HTTP_200_OK) -> Response:
        shown = WebhookEndpoint.objects.get(pk=endpoint.pk)
        vars(shown)["secret"] = secret
        context = self.get_serializer_context()
        return Response(WithSecretSerializer(shown, context=context).data, status=status)


class WebhookDeliveryViewSet(ResourceViewSet):
    """What was sent where, and with what success; kept for 30 days."""

    model = WebhookDelivery
    serializer_class = WebhookDeliverySerializer
    filterset_class = WebhookDeliveryFilter
    write_roles = ()
    ordering = ("-id",)

    def get_queryset(self) -> QuerySet[WebhookDelivery]:
        log = Prefetch("log", queryset=WebhookAttempt.objects.order_by("pk"))
        return super().get_queryset().select_related("event").prefetch_related(log)

    @extend_schema(request=NoInput, responses={200: WebhookDeliverySerializer})
    @action(detail=True, methods=["post"])
    def redelivery(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Send it (again) now, with a full round of retries."""
        self.validated(NoInput)
        return self.answer(deliveries.redeliver(delivery=self.get_object(), at=db.now()))
