"""What a usage line of an invoice is made of, over the API."""

from datetime import datetime
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.scoping import of_customers
from billing.api.usage import BucketSerializer, InstantField
from billing.models import Invoice, InvoiceLine, Meter
from billing.queries import line_usage
from gtm.shared.api import fields, references
from gtm.shared.api.filters import refuse_unknown
from gtm.shared.api.resources import StrictSerializer
from gtm.shared.api.views import ApiView
from gtm.shared.errors import NotFound


class LineUsageQuerySerializer(StrictSerializer):
    granularity = serializers.ChoiceField(choices=line_usage.GRANULARITIES, default="day")
    hour = InstantField(required=False)


class CountedSerializer(serializers.Serializer):
    """An event, and what the meter takes of it."""

    event = serializers.CharField()
    timestamp = fields.UtcDateTimeField()
    quantity = fields.QuantityField()


class LineUsageSerializer(serializers.Serializer):
    """`total` is what was used in the line's period; `billed` is what its lines, this and others, have billed of it."""

    line = fields.PublicIdField("il", source="line.pk")
    meter = serializers.CharField(source="meter.code")
    unit = serializers.CharField(source="meter.unit")
    aggregation = serializers.ChoiceField(choices=Meter.Aggregation.choices, source="meter.aggregation")
    period_start = fields.UtcDateTimeField(source="line.period_start")
    period_end = fields.UtcDateTimeField(source="line.period_end")
    quantity = fields.QuantityField(source="line.quantity")
    billed = fields.QuantityField()
    total = fields.QuantityField()
    results = BucketSerializer(many=True, source="buckets")
    events = CountedSerializer(many=True)


class LineUsageView(ApiView):
    """The usage behind a line of an invoice."""

    @extend_schema(
        operation_id="invoices_lines_usage_retrieve",
        parameters=[
            OpenApiParameter("granularity", str, enum=line_usage.GRANULARITIES, description="day, unless given."),
            OpenApiParameter("hour", datetime, description="Only the hour that begins here."),
        ],
        responses=LineUsageSerializer,
    )
    def get(self, request: Request, id: str, line: str) -> Response:  # noqa: A002 -- the address's name
        """By day, by hour or by event: where the meter adds up, they sum to `total`. Empty days and hours are left out.

        `quantity` is what this line billed; late usage has lines of its own. At most 1,000 hours or events.
        """
        refuse_unknown(request, {"granularity", "hour"})
        found = references.find(self._lines(id), line)
        if found is None:
            raise NotFound("Not found.")
        query = LineUsageQuerySerializer(data=request.query_params.dict(), context={"request": request})
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        shown = line_usage.of_line(found, granularity=asked["granularity"], start=asked.get("hour"))
        return Response(LineUsageSerializer(shown).data)

    def _lines(self, invoice: str) -> Any:
        lines = of_customers(InvoiceLine.objects.all(), self.principal, path="invoice__customer")
        known = references.lookup(Invoice, invoice)
        if known is None:
            return lines.none()
        return lines.filter(**{f"invoice__{name}": value for name, value in known.items()}).select_related(
            "meter", "customer"
        )
