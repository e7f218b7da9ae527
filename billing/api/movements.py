"""How monthly recurring revenue moved, over the API."""

from datetime import date
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from billing.models import Customer
from billing.queries import movements
from billing.revenue import KINDS, Movement
from gtm.shared import ids
from gtm.shared.api import fields
from gtm.shared.api.filters import refuse_unknown
from gtm.shared.api.resources import StrictSerializer
from gtm.shared.api.views import ApiView
from gtm.shared.errors import Forbidden, Invalid
from gtm.shared.models import TestClock

PARAMETERS = ("from", "to", "test_clock", "limit", "offset")


class MovementsQuerySerializer(StrictSerializer):
    """Of the query: days from ``from`` up to, and without, ``to``."""

    test_clock = fields.ReferenceField(TestClock, required=False)
    limit = serializers.IntegerField(min_value=1, max_value=100, default=100)
    offset = serializers.IntegerField(min_value=0, max_value=10**9, default=0)

    def get_fields(self) -> dict[str, Any]:
        """``from`` is a word of Python's."""
        return super().get_fields() | {"from": fields.DateField(), "to": fields.DateField()}


class MovementSerializer(serializers.Serializer):
    """What a payer's day came to; amounts are minor units a month."""

    customer = serializers.SerializerMethodField()
    currency = serializers.CharField(source="account.currency")
    booked_on = fields.DateField()
    kind = serializers.ChoiceField(choices=KINDS)
    amount = fields.MoneyField()
    mrr_after = fields.MoneyField()

    def get_customer(self, movement: Movement) -> str:
        return ids.encode(Customer.PREFIX, movement.account.payer_id)


class MovementSumSerializer(serializers.Serializer):
    """Of one currency: revenue when the first day began, what each kind came to, revenue when the last one ended."""

    currency = serializers.CharField()
    opening = fields.MoneyField()
    new = fields.MoneyField()
    expansion = fields.MoneyField()
    reactivation = fields.MoneyField()
    contraction = fields.MoneyField()
    churn = fields.MoneyField()
    closing = fields.MoneyField()


class MovementsSerializer(serializers.Serializer):
    totals = MovementSumSerializer(many=True)
    results = MovementSerializer(many=True)
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)


class MrrMovementsView(ApiView):
    """Movements of monthly recurring revenue, net for each payer and day, in the order of time; they sum to `totals`.

    For founders and finance: a rep's reports are its own.
    """

    @extend_schema(
        operation_id="mrr_movements_list",
        parameters=[
            OpenApiParameter("from", date, required=True, description="The first day, in the reporting zone."),
            OpenApiParameter("to", date, required=True, description="The day after the last one."),
            OpenApiParameter("test_clock", str, description="A test clock's world, instead of the real one."),
            OpenApiParameter("limit", int, description="Of results: 1 to 100."),
            OpenApiParameter("offset", int, description="From `next` or `previous`."),
        ],
        responses=MovementsSerializer,
    )
    def get(self, request: Request) -> Response:
        refuse_unknown(request, set(PARAMETERS))
        if self.principal is not None and not self.principal.sees_all:
            raise Forbidden("Only founders and finance see everybody's revenue.")
        query = MovementsQuerySerializer(data=request.query_params.dict(), context={"request": request})
        query.is_valid(raise_exception=True)
        asked: dict[str, Any] = query.validated_data
        start, end, clock = asked["from"], asked["to"], asked.get("test_clock")
        if end < start:
            raise Invalid("The last day lies before the first.", attr="to")
        found = movements.between(start=start, end=end, test_clock=clock)
        opening = movements.revenue_before(start, test_clock=clock)
        page = _page(request, found, limit=asked["limit"], offset=asked["offset"])
        return Response(MovementsSerializer({"totals": _totals(opening, found), **page}).data)


def _totals(opening: dict[str, int], found: list[Movement]) -> list[dict[str, Any]]:
    sums = movements.sums(found)
    none: dict[str, int] = dict.fromkeys(KINDS, 0)
    return [
        {
            "currency": currency,
            "opening": opening.get(currency, 0),
            **(moved := sums.get(currency, none)),
            "closing": opening.get(currency, 0) + sum(moved.values()),
        }
        for currency in sorted(opening.keys() | sums.keys())
    ]


def _page(request: Request, found: list[Movement], *, limit: int, offset: int) -> dict[str, Any]:
    address = request.build_absolute_uri()
    following, before = offset + limit, max(0, offset - limit)
    return {
        "results": found[offset:following],
        "next": replace_query_param(address, "offset", following) if following < len(found) else None,
        "previous": replace_query_param(address, "offset", before) if offset else None,
    }
