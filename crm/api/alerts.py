"""Alerts over the API."""

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing.models import Customer
from crm import alerts
from crm.models import Account, Alert, Queue
from gtm.shared import db
from gtm.shared.api import fields
from gtm.shared.api.filters import ReferenceFilter, ResourceFilter
from gtm.shared.api.resources import ResourceSerializer, ResourceViewSet, StrictSerializer, resource_fields
from gtm.shared.models import User


class AlertSerializer(ResourceSerializer):
    """Something that an account's owner should know. `value_at_stake` is in minor units of `currency`, a year."""

    account = fields.ReferenceField(Account, read_only=True)
    customer = fields.ReferenceField(Customer, read_only=True, allow_null=True)
    owner = fields.ReferenceField(User, read_only=True, allow_null=True)
    queue = fields.ReferenceField(Queue, answers_code=True, read_only=True, allow_null=True)
    rule = serializers.CharField(source="rule_code", read_only=True)
    signal = fields.PublicIdField("sig", source="signal_id")
    value_at_stake = fields.MoneyField(read_only=True, allow_null=True)
    snoozed_until = fields.UtcDateTimeField(read_only=True, allow_null=True)
    raised_at = fields.UtcDateTimeField(read_only=True)

    class Meta:
        model = Alert
        fields = resource_fields(
            "account",
            "customer",
            "owner",
            "queue",
            "rule",
            "rule_version",
            "signal",
            "severity",
            "evidence",
            "value_at_stake",
            "currency",
            "play",
            "state",
            "snoozed_until",
            "feedback",
            "feedback_reason",
            "raised_at",
        )
        read_only_fields = fields


class AlertStepSerializer(StrictSerializer):
    """The next state; a snooze says `until` when."""

    to = serializers.ChoiceField(choices=Alert.State.choices)
    until = fields.UtcDateTimeField(required=False, allow_null=True)
    feedback = serializers.ChoiceField(choices=list(alerts.FEEDBACK), required=False, allow_blank=True)
    reason = serializers.CharField(required=False, allow_blank=True, max_length=500)


class AlertFilter(ResourceFilter):
    state = django_filters.MultipleChoiceFilter(choices=Alert.State.choices)
    severity = django_filters.ChoiceFilter(choices=Alert.Severity.choices)
    rule = django_filters.CharFilter(field_name="rule_code")
    account = ReferenceFilter(Account)
    customer = ReferenceFilter(Customer)
    owner = ReferenceFilter(User)
    queue = ReferenceFilter(Queue)


class AlertViewSet(ResourceViewSet):
    """What is on the desks."""

    model = Alert
    serializer_class = AlertSerializer
    filterset_class = AlertFilter

    def get_queryset(self) -> QuerySet[Alert]:
        return Alert.objects.visible_to(self.principal).select_related("queue")

    @extend_schema(request=AlertStepSerializer, responses=AlertSerializer)
    @action(detail=True, methods=["post"])
    def transition(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Take, snooze, finish or dismiss it, with what you think of it."""
        data, alert = self.validated(AlertStepSerializer), self.get_object()
        return self.answer(alerts.transition(alert=alert, at=db.now_for(alert), **data))
