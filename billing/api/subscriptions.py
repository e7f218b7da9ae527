"""Subscriptions over the API."""

from typing import Any

import django_filters
from django.db.models import F, OuterRef, Prefetch, Q, QuerySet, Subquery
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing import cancellation_reasons, subscriptions
from billing.api.changes import INTERVALS, Changes, ItemTermsSerializer, PhaseSerializer, scheduled
from billing.api.coupons import CouponField, Discounts, DiscountSerializer
from billing.api.coupons import shown as shown_discounts
from billing.api.instants import WhenField
from billing.api.pauses import Pauses
from billing.api.scoping import of_customers
from billing.models import (
    CollectionMethod,
    Customer,
    Invoice,
    PaymentMethod,
    Plan,
    PlanVersion,
    Price,
    Subscription,
    SubscriptionItem,
)
from billing.subscriptions import ItemTerms
from gtm.shared import db
from gtm.shared.api import fields, idempotency
from gtm.shared.api.filters import ReferenceFilter, ResourceFilter
from gtm.shared.api.resources import (
    Creates,
    ResourceSerializer,
    ResourceViewSet,
    StrictSerializer,
    resource_fields,
)


class SubscriptionItemSerializer(serializers.ModelSerializer):
    id = fields.PublicIdField("si")
    price = fields.ReferenceField(Price, read_only=True)
    quantity = fields.QuantityField(read_only=True)
    current_period_start = fields.UtcDateTimeField(read_only=True)
    current_period_end = fields.UtcDateTimeField(read_only=True)
    billed_until = fields.UtcDateTimeField(read_only=True, allow_null=True)

    class Meta:
        model = SubscriptionItem
        fields = ("id", "price", "quantity", "current_period_start", "current_period_end", "billed_until")
        read_only_fields = fields


class SubscriptionSerializer(ResourceSerializer):
    customer = fields.ReferenceField(Customer, read_only=True)
    payer = fields.ReferenceField(Customer, read_only=True)
    plan = fields.PublicIdField("plan", source="plan_version.plan_id")
    plan_version = fields.ReferenceField(PlanVersion, read_only=True)
    items = serializers.SerializerMethodField()
    payment_method = fields.ReferenceField(PaymentMethod, read_only=True)
    discounts = DiscountSerializer(many=True, read_only=True, help_text="Its coupons, those that are over too.")
    phases = PhaseSerializer(many=True, read_only=True, help_text="Changes to come, the next first.")
    latest_invoice = fields.PublicIdField("inv", source="latest_invoice_id", allow_null=True)
    contract = serializers.SerializerMethodField()
    previous_subscription = fields.ReferenceField(Subscription, read_only=True)

    class Meta:
        model = Subscription
        fields = resource_fields(
            "customer",
            "payer",
            "plan",
            "plan_version",
            "status",
            "currency",
            "items",
            "start_at",
            "current_period_start",
            "current_period_end",
            "next_bill_at",
            "trial_end",
            "cancel_at",
            "canceled_at",
            "ended_at",
            "pause_at",
            "pause_mode",
            "paused_at",
            "resume_at",
            "alignment",
            "collection_method",
            "payment_method",
            "net_terms_days",
            "po_number",
            "minimum_amount",
            "discounts",
            "phases",
            "latest_invoice",
            "contract",
            "previous_subscription",
        )
        read_only_fields = fields

    @extend_schema_field(SubscriptionItemSerializer(many=True))
    def get_items(self, subscription: Subscription) -> Any:
        items = sorted(subscription.items.all(), key=lambda item: item.pk)
        return SubscriptionItemSerializer(items, many=True, context=self.context).data

    @extend_schema_field({"type": "string", "nullable": True})
    def get_contract(self, subscription: Subscription) -> None:
        return None


class NewSubscriptionSerializer(StrictSerializer):
    """Without ``items``, the plan's published base prices of ``interval`` in the payer's currency, with its metered
    ones.
    """

    customer = fields.ReferenceField(Customer)
    payer = fields.ReferenceField(Customer, required=False, allow_null=True)
    plan = fields.ReferenceField(Plan, required=False, allow_null=True)
    interval = serializers.ChoiceField(choices=INTERVALS, default=Price.Interval.MONTH)
    items = ItemTermsSerializer(many=True, required=False, allow_null=True, allow_empty=False)
    start_at = fields.UtcDateTimeField(required=False, allow_null=True)
    alignment = serializers.ChoiceField(choices=Subscription.Alignment.choices, required=False)
    trial_days = fields.IntegerField(required=False, allow_null=True, min_value=0, max_value=730)
    collection_method = serializers.ChoiceField(choices=CollectionMethod.choices, required=False, allow_null=True)
    payment_method = fields.ReferenceField(PaymentMethod, required=False, allow_null=True)
    net_terms_days = fields.IntegerField(required=False, allow_null=True, min_value=0, max_value=365)
    po_number = serializers.CharField(required=False, allow_blank=True, max_length=100)
    minimum_amount = fields.MoneyField(
        required=False, allow_null=True, min_value=0, max_value=subscriptions.MAX_MINIMUM
    )
    coupon = CouponField(required=False, allow_null=True)
    external_id = serializers.CharField(required=False, allow_null=True, max_length=200)
    metadata = fields.MetadataField(required=False)


class CancellationSerializer(StrictSerializer):
    """``credit``: what was billed for the time after the end goes to the balance (``prorate``) or back (``refund``)."""

    when = WhenField(required=False, default="period_end")
    credit = serializers.ChoiceField(choices=Subscription.Credit.choices, required=False, default="none")
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=500)
    reason_code = serializers.ChoiceField(choices=cancellation_reasons.CODES, required=False)


class SubscriptionFilter(ResourceFilter):
    customer = ReferenceFilter(Customer)
    payer = ReferenceFilter(Customer)
    plan = ReferenceFilter(Plan, field_name="plan_version__plan")
    status = django_filters.ChoiceFilter(choices=Subscription.Status.choices)


_CURRENT = SubscriptionItem.objects.filter(Q(ended_at=None) | Q(ended_at=F("subscription__ended_at")))
_LATEST = Invoice.objects.filter(lines__subscription=OuterRef("pk")).order_by("-gathered_at", "-id").values("pk")[:1]


class SubscriptionViewSet(Changes, Pauses, Discounts, Creates, ResourceViewSet):
    model = Subscription
    serializer_class = SubscriptionSerializer
    filterset_class = SubscriptionFilter
    write_roles = ()  # money is the founders' and finance's

    def get_queryset(self) -> QuerySet[Subscription]:
        found = Subscription.objects.annotate(latest_invoice_id=Subquery(_LATEST))
        shown = found.select_related("plan_version").prefetch_related(
            Prefetch("items", _CURRENT), scheduled(), shown_discounts()
        )
        return of_customers(shown, self.principal, path="customer")

    def get_idempotency_mode(self) -> str:
        """A card is charged outside of any transaction when a subscription starts or changes."""
        charges = self.action in ("create", "change")
        return idempotency.RESUMABLE if charges else super().get_idempotency_mode()

    @extend_schema(request=NewSubscriptionSerializer, responses={201: SubscriptionSerializer})
    def create(self, request: Request) -> Response:
        """Start a subscription. The answer comes after the first invoice is finalized and, by card, tried."""
        return super().create(request)

    def get_serializer_class(self) -> type[serializers.BaseSerializer]:
        return SubscriptionSerializer

    def perform_create(self, data: dict[str, Any]) -> Subscription:
        items, coupon = data.pop("items", None), data.pop("coupon", None)
        return subscriptions.create(
            coupons=[coupon] if coupon else [],
            items=[ItemTerms(**item) for item in items] if items is not None else None,
            at=db.now_for(data["customer"]),
            idempotency_id=self.request.idempotency_key_id,  # type: ignore[attr-defined]  # set by the view
            **data,
        )

    def validated(self, serializer_class: Any = None, **options: Any) -> dict[str, Any]:
        return super().validated(serializer_class or NewSubscriptionSerializer, **options)

    @extend_schema(request=CancellationSerializer, responses=SubscriptionSerializer)
    @action(detail=True, methods=["post"])
    def cancellation(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """End the subscription at the end of its period, at a time, or now."""
        data = self.validated(CancellationSerializer)
        subscription = self.get_object()
        return self.answer(subscriptions.cancel(subscription=subscription, at=db.now_for(subscription), **data))

    @extend_schema(request=None, responses=SubscriptionSerializer)
    @cancellation.mapping.delete
    def undo_cancellation(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Let it go on after all."""
        subscription = self.get_object()
        at = db.now_for(subscription)
        return self.answer(subscriptions.undo_cancellation(subscription=subscription, at=at))
