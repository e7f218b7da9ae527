"""Customers over the API, with their payment methods and what they may use."""

from typing import Any
from urllib.parse import urljoin

import django_filters
from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing import consumption, customers, dunning_runs, portal_sessions, queries
from billing.models import Customer, Member, PaymentMethod, PortalSession
from gtm.shared import db
from gtm.shared.api import fields, idempotency
from gtm.shared.api.filters import IdFilter, ResourceFilter, refuse_unknown
from gtm.shared.api.resources import (
    Creates,
    ResourceSerializer,
    ResourceViewSet,
    StrictSerializer,
    Updates,
    resource_fields,
)
from gtm.shared.models import TestClock


class AddressSerializer(StrictSerializer):
    line1 = serializers.CharField(required=False, allow_blank=True, max_length=200)
    line2 = serializers.CharField(required=False, allow_blank=True, max_length=200)
    city = serializers.CharField(required=False, allow_blank=True, max_length=200)
    postal_code = serializers.CharField(required=False, allow_blank=True, max_length=200)
    state = serializers.CharField(required=False, allow_blank=True, max_length=200)
    country = fields.CountryField(required=False, allow_blank=True)


class CustomerSerializer(ResourceSerializer):
    """Who uses and who pays.

    Of `traits`, `users_count`, `employee_count`, `industry`, `domain` and `country` have a meaning; others are kept.
    `managed` and `dunning_policy` are written by sales: whether somebody looks after the customer, and the code of its
    segment's policy.
    """

    email = serializers.EmailField(required=False, allow_blank=True)
    billing_emails = serializers.ListField(child=serializers.EmailField(), required=False, max_length=20)
    currency = fields.CurrencyField(required=False, allow_blank=True)
    timezone = fields.TimezoneField(required=False)
    country = fields.CountryField(required=False, allow_blank=True)
    tax_rates = serializers.ListField(child=serializers.CharField(max_length=60), required=False, max_length=20)
    preferred_locale = fields.LocaleField(required=False, max_length=10)
    billing_address = AddressSerializer(required=False)
    net_terms_days = fields.IntegerField(
        required=False, allow_null=True, min_value=0, max_value=customers.MAX_NET_TERMS_DAYS
    )
    traits = fields.JsonObjectField(required=False)
    test_mode = fields.StrictBooleanField(required=False)
    test_clock = fields.ReferenceField(TestClock, required=False, allow_null=True)
    credit_balance = serializers.SerializerMethodField()
    account = fields.PublicIdField("acct", source="account_id", allow_null=True)

    class Meta:
        model = Customer
        fields = resource_fields(
            "name",
            "email",
            "billing_emails",
            "currency",
            "timezone",
            "country",
            "tax_id",
            "tax_exempt",
            "tax_rates",
            "preferred_locale",
            "billing_address",
            "collection_method",
            "net_terms_days",
            "po_number",
            "traits",
            "test_mode",
            "credit_balance",
            "account",
            "managed",
            "dunning_policy",
        )
        read_only_fields = ("managed", "dunning_policy")
        create_only_fields = ("test_clock",)

    def get_credit_balance(self, customer: Customer) -> int:
        """What stands to its credit in its currency, in minor units: the next invoices are paid from it."""
        held = (balance.amount for balance in customer.balances.all() if balance.currency == customer.currency)
        return next(held, 0)


class CustomerFilter(ResourceFilter):
    email = django_filters.CharFilter(lookup_expr="iexact")
    account = IdFilter("acct", field_name="account_id")


class PaymentMethodSerializer(serializers.ModelSerializer):
    """A card or account kept at the gateway; only what may be shown."""

    id = fields.PublicIdField()
    customer = fields.ReferenceField(Customer, read_only=True)
    default = serializers.BooleanField(source="is_default", read_only=True)
    created_at = fields.UtcDateTimeField(read_only=True)

    class Meta:
        model = PaymentMethod
        fields = ("id", "customer", "kind", "brand", "last4", "exp_month", "exp_year", "default", "created_at")
        read_only_fields = fields


class NewPaymentMethodSerializer(StrictSerializer):
    """A token of the gateway; the sandbox takes Stripe's test names, such as `pm_card_visa`."""

    gateway_token = serializers.CharField(max_length=200)
    default = fields.StrictBooleanField(required=False, default=True)


class EntitlementStateSerializer(serializers.Serializer):
    """What the customer may use of a feature now, and if not, why. `limit` null is unlimited."""

    feature = serializers.CharField()
    type = serializers.ChoiceField(choices=["boolean", "limit", "metered"])
    granted = serializers.BooleanField()
    reason = serializers.CharField(allow_null=True)
    limit = fields.QuantityField(allow_null=True)
    used = fields.QuantityField(allow_null=True)
    remaining = fields.QuantityField(allow_null=True)
    hard = serializers.BooleanField()
    resets_at = fields.UtcDateTimeField(allow_null=True)
    source = serializers.CharField(allow_null=True)  # type: ignore[assignment]  # the base class has such a name too
    access_until = fields.UtcDateTimeField(allow_null=True)


class EntitlementListSerializer(serializers.Serializer):
    results = EntitlementStateSerializer(many=True)


class PaymentMethodListSerializer(serializers.Serializer):
    results = PaymentMethodSerializer(many=True)


class ConsumptionSerializer(StrictSerializer):
    """Takes `quantity` of a limit, once for each `id`."""

    feature = serializers.CharField(max_length=60)
    quantity = fields.QuantityField(required=False, default=1, min_value=0)
    id = serializers.CharField(max_length=180)


class NewPortalSessionSerializer(StrictSerializer):
    """`email` is a member's; without one, the longest owner's. `return_url` is of a host listed in Settings."""

    email = serializers.EmailField(required=False, allow_blank=True)
    return_url = serializers.CharField(required=False, allow_blank=True, default="", max_length=2000)


class PortalSessionSerializer(serializers.ModelSerializer):
    """`url` opens the customer's portal once, until `expires_at`, for an hour. `member` null: in nobody's name."""

    id = fields.PublicIdField()
    customer = fields.ReferenceField(Customer, read_only=True)
    member = fields.ReferenceField(Member, read_only=True, allow_null=True)
    url = serializers.SerializerMethodField()
    created_at = fields.UtcDateTimeField(read_only=True)
    expires_at = fields.UtcDateTimeField(read_only=True)

    class Meta:
        model = PortalSession
        fields = ("id", "customer", "member", "url", "return_url", "created_at", "expires_at")
        read_only_fields = fields

    def get_url(self, made: PortalSession) -> str:
        return urljoin(settings.BASE_URL, portal_sessions.path(made, at=self.context["at"]))


class CustomerViewSet(Creates, Updates, ResourceViewSet):
    """Who uses and who pays."""

    model = Customer
    serializer_class = CustomerSerializer
    filterset_class = CustomerFilter
    write_roles = ()

    def get_queryset(self) -> QuerySet[Customer]:
        shown: QuerySet[Customer] = super().get_queryset()
        return shown.prefetch_related("balances")

    def get_idempotency_mode(self) -> str:
        """A gateway is asked outside of any transaction."""
        return idempotency.RESUMABLE if self.action == "attach_payment_method" else super().get_idempotency_mode()

    def perform_create(self, data: dict[str, Any]) -> Customer:
        at = db.now_for(Customer(test_clock=data.get("test_clock")))
        return customers.create(at=at, **data)

    def perform_update(self, instance: Customer, data: dict[str, Any]) -> Customer:
        return customers.change(customer=instance, at=db.now_for(instance), **data)

    @extend_schema(responses=PaymentMethodListSerializer)
    @action(detail=True, methods=["get"], url_path="payment_methods", pagination_class=None)
    def payment_methods(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """The cards and accounts that can be charged, the default first."""
        kept = PaymentMethod.objects.filter(customer=self.get_object(), detached_at=None)
        rows = PaymentMethodSerializer(
            kept.order_by("-is_default", "-created_at", "-id"), many=True, context=self.get_serializer_context()
        )
        return Response({"results": rows.data})

    @extend_schema(request=NewPaymentMethodSerializer, responses={201: PaymentMethodSerializer})
    @payment_methods.mapping.post
    def attach_payment_method(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Keep a card or account at the gateway. As the default, it is charged at once for what dunning asks for."""
        data, customer = self.validated(NewPaymentMethodSerializer), self.get_object()
        method = customers.attach_payment_method(
            customer=customer,
            at=db.now_for(customer),
            payment_method_id=request.idempotency_key_id,  # type: ignore[attr-defined]  # set by ApiView
            **data,
        )
        dunning_runs.retry(payer=customer, at=db.now_for(customer))
        shown = PaymentMethodSerializer(method, context=self.get_serializer_context())
        return Response(shown.data, status=status.HTTP_201_CREATED)

    @extend_schema(request=NewPortalSessionSerializer, responses={201: PortalSessionSerializer})
    @action(detail=True, methods=["post"], pagination_class=None)
    def portal_session(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Let somebody who has signed in to your product open the customer's portal: send the browser to ``url``."""
        data, customer, at = self.validated(NewPortalSessionSerializer), self.get_object(), db.now()
        made = portal_sessions.create(customer=customer, at=db.now_for(customer), wall_time=at, **data)
        shown = PortalSessionSerializer(made, context={**self.get_serializer_context(), "at": at})
        return Response(shown.data, status=status.HTTP_201_CREATED)

    @extend_schema(
        parameters=[OpenApiParameter("feature", str, description="A feature's code: the answer is about it alone.")],
        responses=EntitlementListSerializer,
    )
    @action(detail=True, methods=["get"], pagination_class=None, usage_scope=True)
    def entitlements(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """What the customer may use, and how much is left of it."""
        refuse_unknown(request, {"feature"})
        customer, feature = self.get_object(), request.query_params.get("feature")
        found = queries.entitlements_of(customer_id=customer.pk, at=db.time_of(customer), feature=feature)
        return Response({"results": EntitlementStateSerializer(found, many=True).data})

    @extend_schema(
        request=ConsumptionSerializer, responses={200: EntitlementStateSerializer, 201: EntitlementStateSerializer}
    )
    @action(detail=True, methods=["post"], usage_scope=True)
    def consumption(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Take from a limit, or be refused (409 `limit_reached`); 200 where the same id took it before."""
        data, customer = self.validated(ConsumptionSerializer), self.get_object()
        consumed = consumption.consume(customer=customer, at=db.now_for(customer), **data)
        answer = EntitlementStateSerializer(consumed.state).data
        return Response(answer, status=status.HTTP_201_CREATED if consumed.is_new else status.HTTP_200_OK)
