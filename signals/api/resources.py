"""Signals (read) and trigger rules (read, and written in versions) of the API."""

from typing import Any

import django_filters
from django.db.models import Prefetch, QuerySet
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing.models import Customer, Meter, Subscription
from crm.models import Account
from gtm.shared import db
from gtm.shared.api import fields
from gtm.shared.api.filters import FlagFilter, IdFilter, ReferenceFilter, ResourceFilter
from gtm.shared.api.resources import Creates, ResourceSerializer, ResourceViewSet, Updates, resource_fields
from gtm.shared.models import Role
from signals import trigger_rules
from signals.models import Signal, TriggerRule, TriggerRuleVersion

MANAGES_RULES = (Role.FOUNDER, Role.SALES_MANAGER)


class SignalSerializer(ResourceSerializer):
    """Something noticed about an account, with the figures it was noticed by."""

    rule = serializers.CharField(source="rule_version.rule.code", read_only=True)
    rule_version = fields.IntegerField(source="rule_version.number", read_only=True)
    subscription = fields.PublicIdField(Subscription.PREFIX, source="subscription_id", allow_null=True)
    meter = fields.PublicIdField(Meter.PREFIX, source="meter_id", allow_null=True)
    limit = fields.QuantityField(source="limit_value", read_only=True, allow_null=True)
    value = fields.QuantityField(read_only=True, allow_null=True)

    class Meta:
        model = Signal
        fields = resource_fields(
            "account",
            "customer",
            "rule",
            "rule_version",
            "subscription",
            "meter",
            "period_start",
            "period_end",
            "value",
            "limit",
            "evidence",
            "motion",
            "outcome",
            "occurred_at",
        )
        read_only_fields = fields


class SignalFilter(ResourceFilter):
    instants = ("created_at", "updated_at", "occurred_at")
    account = ReferenceFilter(Account)
    customer = ReferenceFilter(Customer)
    rule = ReferenceFilter(TriggerRule, field_name="rule_version__rule")
    subscription = IdFilter(Subscription.PREFIX, field_name="subscription_id")
    outcome = django_filters.ChoiceFilter(choices=Signal.Outcome.choices)


class SignalViewSet(ResourceViewSet):
    """What was noticed, newest first. Staff see the signals of the accounts they see."""

    model = Signal
    serializer_class = SignalSerializer
    filterset_class = SignalFilter

    def get_queryset(self) -> QuerySet[Signal]:
        return super().get_queryset().select_related("rule_version__rule")


class TriggerRuleSerializer(ResourceSerializer):
    """``threshold``, ``severity`` and ``play`` are those of the newest version, ``number``.

    It is a draft, and counts for nothing, until it is published; ``number_in_force`` is the version that counts now.
    """

    threshold = fields.RateField(max_digits=8, decimal_places=4)
    severity = serializers.ChoiceField(choices=trigger_rules.SEVERITIES, default="high")
    play = serializers.CharField(max_length=500, allow_blank=True, default="")
    number = fields.IntegerField(read_only=True)
    published_at = fields.UtcDateTimeField(read_only=True, allow_null=True)
    number_in_force = serializers.SerializerMethodField()

    class Meta:
        model = TriggerRule
        fields = resource_fields(
            "code",
            "name",
            "kind",
            "active",
            "threshold",
            "severity",
            "play",
            "number",
            "published_at",
            "number_in_force",
        )
        create_only_fields = ("code", "kind")

    def get_number_in_force(self, rule: TriggerRule) -> int | None:
        published = [version.number for version in rule.versions.all() if version.published_at is not None]
        return max(published, default=None)

    def to_representation(self, rule: Any) -> dict[str, Any]:
        newest = max(rule.versions.all(), key=lambda version: version.number)
        for name in ("threshold", "severity", "play", "number", "published_at"):
            setattr(rule, name, getattr(newest, name))
        return super().to_representation(rule)


class TriggerRuleFilter(ResourceFilter):
    code = django_filters.CharFilter()
    kind = django_filters.ChoiceFilter(choices=TriggerRule.Kind.choices)
    active = FlagFilter()


class TriggerRuleViewSet(Creates, Updates, ResourceViewSet):
    """What to notice. A change to the terms is a draft until ``POST …/publication``."""

    model = TriggerRule
    serializer_class = TriggerRuleSerializer
    filterset_class = TriggerRuleFilter
    write_roles = MANAGES_RULES

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """The installed rule is there before anybody looks."""
        super().initial(request, *args, **kwargs)
        trigger_rules.install_defaults(at=db.now())

    def get_queryset(self) -> QuerySet[TriggerRule]:
        versions = TriggerRuleVersion.objects.order_by("number")
        return super().get_queryset().prefetch_related(Prefetch("versions", queryset=versions))

    def perform_create(self, data: dict[str, Any]) -> TriggerRule:
        return trigger_rules.create(at=db.now(), **data)

    def perform_update(self, instance: TriggerRule, data: dict[str, Any]) -> TriggerRule:
        return trigger_rules.change(rule=instance, at=db.now(), **data)

    @action(detail=True, methods=["post"])
    def publication(self, request: Request, id: str) -> Response:  # noqa: A002 -- the router's name
        """Let the draft count from now on; 409 where there is none."""
        return self.answer(trigger_rules.publish(rule=self.get_object(), at=db.now()))
