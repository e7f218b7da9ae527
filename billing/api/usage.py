"""The usage stream over the API: the hot path in, which no serializer slows down, and sums out."""

from datetime import datetime
from typing import Any

import msgspec
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing import usage, usage_corrections
from billing.models import Customer, Meter
from billing.queries import reported, usage_series
from billing.queries.reported import Reported
from gtm.shared import db
from gtm.shared.api import fields, references
from gtm.shared.api.filters import refuse_unknown
from gtm.shared.api.resources import StrictSerializer
from gtm.shared.api.views import ApiView
from gtm.shared.errors import NotFound


class UsageUserSerializer(serializers.Serializer):
    id = serializers.CharField(max_length=200)
    email = serializers.EmailField(required=False)


class UsageEventSerializer(serializers.Serializer):
    """What the vendor's product reports. `user` may be an id alone."""

    id = serializers.CharField(max_length=200, help_text="Counts once; with another body it is rejected.")
    name = serializers.CharField(max_length=100)
    customer = serializers.CharField(help_text="`cus_…`, or `external_id:` and your own id")
    timestamp = serializers.DateTimeField(required=False, help_text="Now, unless given; at most 5 minutes ahead.")
    user = UsageUserSerializer(required=False)
    quantity = fields.QuantityField(required=False, default=1, min_value=0)
    properties = fields.JsonObjectField(required=False)
    subscription = serializers.CharField(required=False, help_text="`sub_…`, where a customer has several on one meter")


class UsageEventsSerializer(serializers.Serializer):
    events = UsageEventSerializer(many=True, max_length=10_000)  # type: ignore[call-arg]  # of the list


class RejectedSerializer(serializers.Serializer):
    index = serializers.IntegerField()
    id = serializers.CharField(allow_null=True)
    code = serializers.CharField()
    detail = serializers.CharField()


class RecordedSerializer(serializers.Serializer):
    """Every event is counted once: accepted, duplicate or rejected."""

    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    rejected = RejectedSerializer(many=True)


class UsageEventsView(ApiView):
    """Takes up to 10,000 events a call. Good rows are kept whatever the bad ones are."""

    usage_scope = True
    write_roles = ()

    @extend_schema(
        operation_id="usage_events_create", request=UsageEventsSerializer, responses={200: RecordedSerializer}
    )
    def post(self, request: Request) -> Response:
        positions, events, unreadable = usage.decode(request.body)
        recorded = usage.record(events=events, at=db.now())
        refused = [msgspec.structs.replace(one, index=positions[one.index]) for one in recorded.rejected]
        rejected = sorted([*unreadable, *refused], key=lambda one: one.index)
        return Response(msgspec.to_builtins(msgspec.structs.replace(recorded, rejected=rejected)))


class ReportedSerializer(serializers.Serializer):
    """An event as it counts now. One that was voided counts nowhere; it is shown as it was."""

    id = serializers.CharField()
    customer = fields.PublicIdField("cus", source="customer_id")
    name = serializers.CharField()
    timestamp = fields.UtcDateTimeField()
    user = serializers.CharField()
    quantity = fields.QuantityField()
    properties = fields.JsonObjectField()
    subscription = fields.PublicIdField("sub", source="subscription_id", allow_null=True)
    received_at = fields.UtcDateTimeField()
    voided_at = fields.UtcDateTimeField(allow_null=True)


class VoidSerializer(StrictSerializer):
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=500)


class AmendmentSerializer(VoidSerializer):
    """What the event says from now on; what is left out stays. `properties` are all of them."""

    quantity = fields.QuantityField(required=False, min_value=0)
    properties = fields.JsonObjectField(required=False)
    timestamp = fields.UtcDateTimeField(required=False)


class UsageEventView(ApiView):
    """One event, by the id that it was reported with."""

    usage_scope = True
    write_roles = ()

    @extend_schema(operation_id="usage_events_retrieve", responses=ReportedSerializer)
    def get(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """The event as it counts now, with `voided_at` where it doesn't."""
        return Response(ReportedSerializer(_reported(self, id)).data)


class UsageEventVoidView(ApiView):
    """Takes an event back that was wrong."""

    write_roles = ()

    @extend_schema(operation_id="usage_events_void", request=VoidSerializer, responses=ReportedSerializer)
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Let an event count no more, for good. A period that was invoiced is rated again; the id stays taken."""
        data = _valid(VoidSerializer, request)
        event = usage_corrections.void(event_id=_reported(self, id).id, at=db.now(), **data)
        return Response(ReportedSerializer(event).data)


class UsageEventAmendmentView(ApiView):
    """Corrects an event that was wrong."""

    write_roles = ()

    @extend_schema(operation_id="usage_events_amendment", request=AmendmentSerializer, responses=ReportedSerializer)
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Let an event say another quantity, other properties or another time, as if it had always said so."""
        data = _valid(AmendmentSerializer, request)
        event = usage_corrections.amend(event_id=_reported(self, id).id, at=db.now(), **data)
        return Response(ReportedSerializer(event).data)


def _valid(serializer_class: type[StrictSerializer], request: Request) -> dict[str, Any]:
    serializer = serializer_class(data=request.data, context={"request": request})
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def _reported(view: ApiView, event_id: str) -> Reported:
    """The event of a customer that the caller may see. Raises NotFound."""
    event = reported.find(event_id)
    if event is None or not references.visible(Customer, view.principal).filter(pk=event.customer_id).exists():
        raise NotFound("Not found.")
    return event


class InstantField(fields.UtcDateTimeField):
    def to_internal_value(self, data: Any) -> datetime:
        """An unescaped plus sign of an offset arrives as a space."""
        return super().to_internal_value(data.replace(" ", "+") if isinstance(data, str) else data)


class SeriesQuerySerializer(StrictSerializer):
    """Of the query. Without bounds it is the current billing period's."""

    meter = fields.ReferenceField(Meter)
    granularity = serializers.ChoiceField(choices=usage_series.GRANULARITIES, default="period")

    def get_fields(self) -> dict[str, Any]:
        """``from`` is a word of Python's."""
        return super().get_fields() | {"from": InstantField(required=False), "to": InstantField(required=False)}


class BucketSerializer(serializers.Serializer):
    period_start = fields.UtcDateTimeField(source="start")
    period_end = fields.UtcDateTimeField(source="end")
    quantity = fields.QuantityField()


class SeriesSerializer(serializers.Serializer):
    """What was used on each [period_start, period_end)."""

    meter = serializers.CharField()
    unit = serializers.CharField()
    aggregation = serializers.ChoiceField(choices=Meter.Aggregation.choices)
    granularity = serializers.ChoiceField(choices=usage_series.GRANULARITIES)
    results = BucketSerializer(many=True)


class CustomerUsageView(ApiView):
    """A customer's use of a meter over time."""

    usage_scope = True

    @extend_schema(
        operation_id="customers_usage_retrieve",
        parameters=[
            OpenApiParameter("meter", str, required=True, description="The meter's code or id."),
            OpenApiParameter("from", datetime, description="The start of the current billing period, unless given."),
            OpenApiParameter("to", datetime, description="Its end, unless given."),
            OpenApiParameter("granularity", str, enum=usage_series.GRANULARITIES, description="period, unless given."),
        ],
        responses=SeriesSerializer,
    )
    def get(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        refuse_unknown(request, {"meter", "from", "to", "granularity"})
        customer = references.find(references.visible(Customer, self.principal), id)
        if customer is None:
            raise NotFound("Not found.")
        query = SeriesQuerySerializer(data=request.query_params.dict(), context={"request": request})
        query.is_valid(raise_exception=True)
        meter, granularity = query.validated_data["meter"], query.validated_data["granularity"]
        bounds = {"start": query.validated_data.get("from"), "end": query.validated_data.get("to")}
        found = usage_series.series(
            customer=customer, meter=meter, granularity=granularity, at=db.time_of(customer), **bounds
        )
        shown = {"meter": meter.code, "unit": meter.unit, "aggregation": meter.aggregation, "granularity": granularity}
        return Response(SeriesSerializer(shown | {"results": found}).data)
