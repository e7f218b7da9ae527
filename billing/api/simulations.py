"""What a plan would come to, over the API: asked for by POST, because it takes much to say, and nothing is written."""

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing import coupons, simulation
from billing.models import Meter, Plan, PlanVersion, Price
from billing.simulation import Scenario
from gtm.shared import db, vendors
from gtm.shared.api import fields
from gtm.shared.api.resources import StrictSerializer
from gtm.shared.api.views import ApiView
from gtm.shared.errors import Invalid

_INTERVALS = [choice for choice in Price.Interval.choices if choice[0] != Price.Interval.ONE_TIME]


class SimulationSerializer(StrictSerializer):
    """Who would buy what. `usage` is by meter and month; `quantity` is that of what isn't metered, such as seats."""

    plan = fields.ReferenceField(Plan, required=False)
    plan_version = fields.ReferenceField(PlanVersion, required=False, help_text="The newest of `plan`, unless given.")
    interval = serializers.ChoiceField(choices=_INTERVALS, default=Price.Interval.MONTH)
    quantity = fields.IntegerField(default=1, min_value=0)
    currency = serializers.CharField(max_length=3, required=False, help_text="The vendor's, unless given.")
    country = serializers.CharField(max_length=2, default="", allow_blank=True, help_text="It decides the tax.")
    months = fields.IntegerField(default=12, min_value=1, max_value=simulation.MAX_MONTHS)
    usage = serializers.DictField(child=fields.QuantityField(min_value=0), default=dict)
    transactions = fields.IntegerField(default=30, min_value=1, max_value=simulation.MAX_TRANSACTIONS)
    coupon = serializers.CharField(max_length=60, required=False)

    def validate_usage(self, usage: dict[str, Decimal]) -> dict[Meter, Decimal]:
        found = {meter.code: meter for meter in Meter.objects.filter(code__in=list(usage))}
        if unknown := sorted(usage.keys() - found.keys()):
            raise serializers.ValidationError(f"There is no meter {unknown[0]!r}.", code="not_found")
        return {found[code]: used for code, used in usage.items()}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        plan, version = attrs.pop("plan", None), attrs.pop("plan_version", None)
        if (plan is None) == (version is None):
            raise Invalid("Give the plan, or one of its versions.", attr="plan", code="required")
        code = attrs.pop("coupon", None)
        coupon = {"coupon": coupons.named(code)} if code else {}
        currency = attrs.pop("currency", None) or vendors.current().base_currency
        chosen = {"plan_version": version or plan.current_version, "use": attrs.pop("usage")}
        return {**attrs, **chosen, **coupon, "currency": currency.upper()}


class SimulatedLineSerializer(serializers.Serializer):
    """`amount` is before discount and tax."""

    description = serializers.CharField()
    explanation = serializers.CharField()
    amount = fields.MoneyField()
    discount_amount = fields.MoneyField()


class SimulatedInvoiceSerializer(serializers.Serializer):
    issue_date = fields.DateField()
    lines = SimulatedLineSerializer(many=True)
    subtotal = fields.MoneyField()
    discount_total = fields.MoneyField()
    tax_total = fields.MoneyField()
    total = fields.MoneyField()


class SumSerializer(serializers.Serializer):
    """What is issued in a month (by its first day) or a year."""

    period = serializers.CharField()
    total = fields.MoneyField()


class SimulatedSerializer(serializers.Serializer):
    """The invoices to come, in the order of their dates."""

    currency = serializers.CharField()
    total = fields.MoneyField()
    by_month = SumSerializer(many=True)
    by_year = SumSerializer(many=True)
    invoices = SimulatedInvoiceSerializer(many=True)


class SimulationsView(ApiView):
    """Simulations of plans. They write nothing, so that a key that reads may ask for them."""

    only_reads = True

    @extend_schema(
        operation_id="simulations_create", request=SimulationSerializer, responses={200: SimulatedSerializer}
    )
    def post(self, request: Request) -> Response:
        """The invoices of the months to come for a guess of use, by the engine that bills. Nothing is written."""
        asked = SimulationSerializer(data=request.data, context={"request": request})
        asked.is_valid(raise_exception=True)
        return Response(SimulatedSerializer(simulation.simulate(Scenario(**asked.validated_data), at=db.now())).data)
