"""Coupons over the API, and the discounts they become on subscriptions."""

from typing import Any

import django_filters
from django.db.models import Prefetch, QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing import coupons, discounts, wording
from billing.api.catalog import CatalogViewSet
from billing.models import Coupon, Discount, Plan, Subscription
from gtm.shared import db
from gtm.shared.api import fields, references
from gtm.shared.api.filters import FlagFilter, ResourceFilter
from gtm.shared.api.resources import NoInput, ResourceSerializer, StrictSerializer, resource_fields


class CouponField(fields.ReferenceField):
    """A coupon by id or by its code, in capital or small letters."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(Coupon, **kwargs)

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("incorrect_type")
        return references.find(self.get_queryset(), data) or coupons.named(data)


class CouponSerializer(ResourceSerializer):
    """An offer: `percent_off`, or `amount_off` in minor units of `currency`.

    `once` holds for the first billing period (an amount until it is spent), `repeating` for `duration_in_periods` of
    them, `forever` for all. Without `plans` it fits every plan.
    """

    percent_off = fields.RateField(
        required=False, allow_null=True, max_digits=8, decimal_places=5, min_value=0, max_value=100
    )
    amount_off = fields.MoneyField(required=False, allow_null=True, min_value=1)
    currency = fields.CurrencyField(required=False, allow_blank=True)
    duration_in_periods = fields.IntegerField(required=False, allow_null=True, min_value=1, max_value=120)
    max_redemptions = fields.IntegerField(required=False, allow_null=True, min_value=1)
    plans = fields.ReferenceField(Plan, many=True, required=False)

    class Meta:
        model = Coupon
        fields = resource_fields(
            "code",
            "name",
            "percent_off",
            "amount_off",
            "currency",
            "duration",
            "duration_in_periods",
            "max_redemptions",
            "times_redeemed",
            "expires_at",
            "plans",
            "archived_at",
        )
        read_only_fields = ("times_redeemed", "archived_at")
        create_only_fields = ("code", "percent_off", "amount_off", "currency", "duration", "duration_in_periods")


class CouponFilter(ResourceFilter):
    code = django_filters.CharFilter(lookup_expr="iexact")
    archived = FlagFilter(field_name="archived_at", lookup_expr="isnull", exclude=True)


class CouponViewSet(CatalogViewSet):
    """Coupons. What one takes off stays as it was promised; it can be limited, and archived."""

    model = Coupon
    serializer_class = CouponSerializer
    filterset_class = CouponFilter

    def get_queryset(self) -> QuerySet[Coupon]:
        return super().get_queryset().prefetch_related("plans")

    def perform_create(self, data: dict[str, Any]) -> Coupon:
        return coupons.create(at=db.now(), **data)

    def perform_update(self, instance: Coupon, data: dict[str, Any]) -> Coupon:
        return coupons.change(coupon=instance, at=db.now(), **data)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def archive(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Let nobody redeem it any more; whoever has it keeps it."""
        self.validated(NoInput)
        return self.answer(coupons.archive(coupon=self.get_object(), at=db.now()))


class DiscountSerializer(serializers.ModelSerializer):
    """A coupon on a subscription, for service that begins on [`starts_at`, `ends_at`), and in words."""

    id = fields.PublicIdField("di")
    coupon = fields.ReferenceField(Coupon, read_only=True)
    code = serializers.CharField(source="coupon.code", read_only=True)
    subscription = fields.ReferenceField(Subscription, read_only=True)
    percent_off = fields.RateField(source="coupon.percent_off", read_only=True, allow_null=True)
    amount_off = fields.MoneyField(source="coupon.amount_off", read_only=True, allow_null=True)
    duration = serializers.ChoiceField(source="coupon.duration", choices=Coupon.Duration.choices, read_only=True)
    starts_at = fields.UtcDateTimeField(read_only=True)
    ends_at = fields.UtcDateTimeField(read_only=True, allow_null=True)
    ended_at = fields.UtcDateTimeField(read_only=True, allow_null=True)
    description = serializers.SerializerMethodField()

    class Meta:
        model = Discount
        fields = (
            "id",
            "coupon",
            "code",
            "subscription",
            "percent_off",
            "amount_off",
            "duration",
            "starts_at",
            "ends_at",
            "ended_at",
            "end_reason",
            "description",
        )
        read_only_fields = fields

    def get_description(self, discount: Discount) -> str:
        return wording.discount(discount)


class RedemptionSerializer(StrictSerializer):
    coupon = CouponField()
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=500)


def shown() -> "Prefetch[str, QuerySet[Discount], str]":
    """The discounts of many subscriptions, as the representation shows them."""
    return Prefetch("discounts", Discount.objects.select_related("coupon", "customer").order_by("starts_at", "pk"))


class Discounts:
    """What a view set of subscriptions can do about coupons."""

    @extend_schema(responses=DiscountSerializer(many=True), methods=["get"])
    @extend_schema(request=RedemptionSerializer, responses={201: DiscountSerializer}, methods=["post"])
    @action(detail=True, methods=["get", "post"])
    def discounts(self: Any, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """The discounts of a subscription, ended ones too; POST puts a coupon on it, for what begins today or later."""
        subscription = self.get_object()
        if request.method == "POST":
            data = self.validated(RedemptionSerializer)
            made = discounts.redeem(subscription=subscription, at=db.now_for(subscription), **data)
            return Response(self._discount(made), status=status.HTTP_201_CREATED)
        return Response(DiscountSerializer(subscription.discounts.all(), many=True, context={"request": request}).data)

    @extend_schema(request=None, responses={200: DiscountSerializer})
    @action(detail=True, methods=["delete"], url_path="discounts/(?P<discount_id>[^/]+)")
    def remove_discount(self: Any, request: Request, id: str, discount_id: str) -> Response:  # noqa: A002 -- the address's name
        """Take a discount away: what begins from now on costs the full price."""
        subscription = self.get_object()
        found = references.find(Discount.objects.filter(subscription=subscription), discount_id)
        if found is None:
            raise Http404
        return Response(self._discount(discounts.remove(discount=found, at=db.now_for(subscription))))

    def _discount(self: Any, discount: Discount) -> Any:
        found = Discount.objects.select_related("coupon", "customer").get(pk=discount.pk)
        return DiscountSerializer(found, context=self.get_serializer_context()).data
