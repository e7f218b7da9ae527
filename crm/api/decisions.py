"""How an account is sold to and who owns it, over the API: what was decided and why, and what people set by hand."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from crm import overrides
from crm.models import Motion
from crm.queries.routing import routing_of
from gtm.shared import db
from gtm.shared.api import fields
from gtm.shared.api.filters import refuse_unknown
from gtm.shared.api.resources import StrictSerializer


class ReasonSerializer(serializers.Serializer):
    """One step towards a decision: `value` of `field`, against `threshold`, under that version of policy or rules."""

    decision = serializers.ChoiceField(choices=["motion", "owner"])
    code = serializers.CharField()
    field = serializers.CharField(allow_blank=True)
    value = serializers.JSONField(allow_null=True)
    threshold = serializers.JSONField(allow_null=True)
    policy_version = serializers.IntegerField(allow_null=True)


class RoutingSerializer(serializers.Serializer):
    """Motion and owner as they were decided, and why."""

    segment = serializers.CharField()
    motion = serializers.ChoiceField(choices=Motion.choices)
    engagement_policy = serializers.CharField()
    owner = serializers.CharField(allow_null=True)
    queue = serializers.CharField(allow_null=True)
    policy = serializers.IntegerField(allow_null=True)
    ruleset = serializers.IntegerField(allow_null=True)
    reasons = ReasonSerializer(many=True)


class OverrideSerializer(serializers.Serializer):
    """A motion set by hand, until it ends by itself."""

    motion = serializers.ChoiceField(choices=Motion.choices)
    reason = serializers.CharField()
    by = serializers.CharField()
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()


class SlaSerializer(serializers.Serializer):
    """An answer that is due, or was."""

    lead = serializers.CharField(allow_null=True)
    alert = serializers.CharField(allow_null=True)
    state = serializers.CharField()
    due_at = serializers.DateTimeField()
    reroutes = serializers.IntegerField()
    policy = serializers.IntegerField()


class AccountRoutingSerializer(RoutingSerializer):
    """With what holds of it now: the dead zone it lies in, what was set by hand, and the answers that are due."""

    dead_zone = serializers.CharField(allow_blank=True)
    owner_role = serializers.CharField(allow_blank=True)
    segment_locked_until = serializers.DateField(allow_null=True)
    override = OverrideSerializer(allow_null=True)
    sla = SlaSerializer(many=True)


class NewOverrideSerializer(StrictSerializer):
    motion = serializers.ChoiceField(choices=Motion.choices)
    ends_at = fields.UtcDateTimeField()
    reason = serializers.CharField(max_length=500)


class Decides:
    """For the accounts' view set."""

    @extend_schema(responses=AccountRoutingSerializer)
    @action(detail=True, methods=["get"], pagination_class=None)
    def routing(self: Any, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Motion and owner of now, with every step that led there."""
        refuse_unknown(request, ())
        return Response(AccountRoutingSerializer(routing_of(self.get_object())).data)

    @extend_schema(methods=["post"], request=NewOverrideSerializer, responses={201: AccountRoutingSerializer})
    @extend_schema(methods=["delete"], request=None, responses={204: None})
    @action(detail=True, methods=["post", "delete"], pagination_class=None)
    def motion_override(self: Any, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Set the motion by hand until an instant within a year, with a reason; DELETE ends it before."""
        account = self.get_object()
        at = db.now_for(account)
        if request.method == "DELETE":
            overrides.take_back(account=account, at=at)
            return Response(status=status.HTTP_204_NO_CONTENT)
        overrides.override(account=account, at=at, **self.validated(NewOverrideSerializer))
        found = self.get_queryset().get(pk=account.pk)
        return Response(AccountRoutingSerializer(routing_of(found)).data, status=status.HTTP_201_CREATED)
