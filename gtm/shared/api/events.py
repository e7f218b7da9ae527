"""The facts, newest first."""

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from gtm.shared.api import fields, prefixes
from gtm.shared.api.filters import IdFilter, InstantsFilter, ReferenceFilter
from gtm.shared.api.resources import ResourceViewSet
from gtm.shared.models import Event, TestClock, User


class EventObjectSerializer(serializers.Serializer):
    """What the fact is about."""

    type = serializers.CharField()
    id = serializers.CharField()


class EventSerializer(serializers.ModelSerializer):
    """A fact, in the past tense. ``version`` is the object's after it; ``previous`` holds what changed as it was."""

    id = fields.PublicIdField()
    object = serializers.SerializerMethodField()
    version = fields.IntegerField(source="object_version", read_only=True)
    customer = fields.PublicIdField("cus", source="customer_id", allow_null=True)
    account = fields.PublicIdField("acct", source="account_id", allow_null=True)
    test_clock = fields.ReferenceField(TestClock, read_only=True, allow_null=True)
    data = fields.JsonObjectField(read_only=True)  # type: ignore[assignment]
    previous = fields.JsonObjectField(read_only=True)
    occurred_at = fields.UtcDateTimeField(read_only=True)
    recorded_at = fields.UtcDateTimeField(read_only=True)

    class Meta:
        model = Event
        fields = (
            "id",
            "type",
            "position",
            "object",
            "version",
            "customer",
            "account",
            "test_clock",
            "actor",
            "on_behalf_of",
            "request_id",
            "reason",
            "occurred_at",
            "recorded_at",
            "data",
            "previous",
        )
        read_only_fields = fields

    @extend_schema_field(EventObjectSerializer)
    def get_object(self, event: Event) -> dict[str, str]:
        kind = prefixes.kind(event.object_type)
        return {"type": kind.name, "id": prefixes.public_id(event.object_type, event.object_id)}


class EventFilter(InstantsFilter):
    instants = ("occurred_at", "recorded_at")
    type = django_filters.CharFilter()
    customer = IdFilter("cus", field_name="customer_id")
    account = IdFilter("acct", field_name="account_id")
    object = IdFilter(field_name="object_id")
    test_clock = ReferenceFilter(TestClock)


class EventViewSet(ResourceViewSet):
    """Facts from the outbox, newest first: timeline, audit trail and source of webhooks at once."""

    model = Event
    serializer_class = EventSerializer
    filterset_class = EventFilter
    ordering = ("-position",)

    def get_queryset(self) -> QuerySet[Event]:
        user, events = self.principal, Event.objects.all()
        return events if user is None or user.sees_all else self.scope(events, user)

    def scope(self, queryset: QuerySet[Any], user: User) -> QuerySet[Any]:
        """The facts that a member of staff may see: none, until the composition root says whose accounts are whose."""
        return queryset.none()
