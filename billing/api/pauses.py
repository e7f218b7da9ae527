"""Pausing a subscription over the API, and letting it go on."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing import pauses
from billing.api.instants import WhenField
from billing.models import Subscription
from gtm.shared import db
from gtm.shared.api import fields, idempotency
from gtm.shared.api.resources import StrictSerializer


class PauseSerializer(StrictSerializer):
    """From when on nothing is billed, whether the customer keeps its access, and when it goes on by itself."""

    mode = serializers.ChoiceField(choices=Subscription.PauseMode.choices, required=False, default="no_access")
    resume_at = fields.UtcDateTimeField(required=False, allow_null=True, default=None)
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=500)

    def get_fields(self) -> dict[str, Any]:
        """``from`` can't be written as the name of an attribute."""
        return {**super().get_fields(), "from": WhenField(required=False, default="now", source="when")}


class ResumeSerializer(StrictSerializer):
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=500)


class Pauses:
    """What a view set of subscriptions can do about pauses."""

    get_object: Any
    validated: Any
    answer: Any

    @extend_schema(request=PauseSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Bill nothing from now, from the end of the period or from a time on."""
        data = self.validated(PauseSerializer)
        subscription = self.get_object()
        return self.answer(pauses.pause(subscription=subscription, at=db.now_for(subscription), **data))

    @extend_schema(request=ResumeSerializer)
    @action(detail=True, methods=["post"], idempotency_mode=idempotency.RESUMABLE)
    def resume(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Let it go on from now, in periods of a new anchor, and charge the card; a pause that is ahead is dropped."""
        data = self.validated(ResumeSerializer)
        subscription = self.get_object()
        key: Any = getattr(request, "idempotency_key_id", None)
        resumed = pauses.resume(subscription=subscription, at=db.now_for(subscription), idempotency_id=key, **data)
        return self.answer(resumed)
