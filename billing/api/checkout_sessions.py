"""Checkouts over the API: begun for a buyer of the vendor's product, and looked at when the buyer is back."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urljoin

import django_filters
from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from billing import checkout_sessions
from billing.api.coupons import CouponField
from billing.api.scoping import of_customers
from billing.models import Checkout, Customer, Plan, PlanVersion, Price, Subscription
from billing.selection import ItemTerms, default_items
from gtm.shared import db, vendors
from gtm.shared.api import fields
from gtm.shared.api.filters import InstantsFilter, ReferenceFilter
from gtm.shared.api.resources import ResourceViewSet, StrictSerializer


class AddOnSerializer(StrictSerializer):
    price = fields.ReferenceField(Price)
    quantity = fields.IntegerField(required=False, default=1, min_value=1, max_value=100_000)


class CheckoutSessionSerializer(serializers.Serializer):
    """A purchase by a visitor. `url` is where the buyer goes while it is open; it opens for whoever holds it.

    `completed`: the subscription has begun, its trial or its paid time.
    """

    id = fields.PublicIdField(Checkout.PREFIX)
    status = serializers.SerializerMethodField()
    url = serializers.SerializerMethodField()
    plan = fields.PublicIdField("plan", source="current.plan_version.plan_id")
    plan_version = fields.ReferenceField(PlanVersion, read_only=True, source="current.plan_version")
    price = fields.ReferenceField(Price, read_only=True, source="current.price")
    quantity = serializers.IntegerField(read_only=True, source="current.quantity")
    coupon = serializers.SerializerMethodField()
    customer = fields.ReferenceField(Customer, read_only=True, allow_null=True, source="current.customer")
    subscription = fields.ReferenceField(Subscription, read_only=True, allow_null=True, source="current.subscription")
    external_id = serializers.CharField(read_only=True, source="current.external_id")
    email = serializers.CharField(read_only=True, source="current.email")
    return_url = serializers.CharField(read_only=True, source="current.return_url")
    terms_version = serializers.CharField(read_only=True, source="current.terms_version")
    terms_accepted_at = fields.UtcDateTimeField(read_only=True, allow_null=True, source="current.terms_accepted_at")
    created_at = fields.UtcDateTimeField(read_only=True)
    expires_at = fields.UtcDateTimeField(read_only=True, allow_null=True)
    completed_at = fields.UtcDateTimeField(read_only=True, allow_null=True, source="current.completed_at")

    def get_status(self, row: Any) -> str:
        current: Checkout = row.current
        is_late = row.expires_at is not None and row.expires_at <= self.context["at"]
        return str(Checkout.Status.EXPIRED if is_late and current.status == Checkout.Status.OPEN else current.status)

    def get_url(self, row: Any) -> str | None:
        if row.expires_at is None or self.get_status(row) != Checkout.Status.OPEN:
            return None
        return urljoin(settings.BASE_URL, checkout_sessions.path(row, at=self.context["at"]))

    def get_coupon(self, row: Any) -> str | None:
        return row.current.detail.get("coupon") or None


class NewCheckoutSessionSerializer(StrictSerializer):
    """``price``, or the plan's own one of ``interval``. Without ``customer`` the buyer signs up, and becomes
    ``external_id``; with one, whoever holds the address buys for it.
    """

    plan = fields.ReferenceField(Plan)
    price = fields.ReferenceField(Price, required=False, allow_null=True)
    interval = serializers.ChoiceField(choices=["week", "month", "quarter", "year"], default="month")
    quantity = fields.IntegerField(required=False, default=1, min_value=1, max_value=100_000)
    add_ons = AddOnSerializer(many=True, required=False, default=list)
    coupon = CouponField(required=False, allow_null=True)
    customer = fields.ReferenceField(Customer, required=False, allow_null=True)
    email = serializers.EmailField(required=False, allow_blank=True)
    external_id = serializers.CharField(required=False, allow_blank=True, default="", max_length=200)
    return_url = serializers.CharField(required=False, allow_blank=True, default="", max_length=2000)


class CheckoutSessionFilter(InstantsFilter):
    instants = ("created_at",)
    customer = ReferenceFilter(Customer)
    external_id = django_filters.CharFilter()
    status = django_filters.ChoiceFilter(choices=Checkout.Status.choices)


class CheckoutSessionViewSet(ResourceViewSet):
    """Purchases that visitors make, or are to make."""

    model = Checkout
    serializer_class = CheckoutSessionSerializer
    filterset_class = CheckoutSessionFilter
    write_roles = ()

    def get_queryset(self) -> QuerySet[Checkout]:
        """As they were begun: what an order became when it was changed is shown with it."""
        related = ("plan_version", "price", "customer", "subscription")
        begun = Checkout.objects.select_related(*related).exclude(detail__has_key="begun_as")
        return of_customers(begun, self.principal, path="customer")

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        rows = args[0] if args else []
        _resolve(rows if kwargs.get("many") else [rows] if rows else [])
        return super().get_serializer(*args, **kwargs)

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "at": db.now()}

    @extend_schema(request=NewCheckoutSessionSerializer, responses={201: CheckoutSessionSerializer})
    def create(self, request: Request) -> Response:
        """Begin a checkout for a buyer of your product, who is sent back to ``return_url`` with a signed word."""
        data: dict[str, Any] = self.validated(NewCheckoutSessionSerializer)
        plan, interval, customer = data.pop("plan"), data.pop("interval"), data.get("customer")
        version = plan.current_version
        currency = (customer.currency if customer else "") or vendors.current().base_currency
        price = data.pop("price", None)
        price = price or default_items(plan_version=version, interval=interval, currency=currency)[0].price
        add_ons = tuple(ItemTerms(**one) for one in data.pop("add_ons"))
        made = checkout_sessions.create(
            plan_version=version, price=price, add_ons=add_ons, at=db.now_for(customer), **data
        )
        return self.answer(made, status=status.HTTP_201_CREATED)


def _resolve(rows: Sequence[Any]) -> None:
    """Give each row the checkout that stands for it now as ``current``, with one query for each change of order."""
    current: dict[Any, Checkout] = {row.pk: row for row in rows}
    related = ("plan_version", "price", "customer", "subscription")
    while replaced := {pk: one.detail["replaced_by"] for pk, one in current.items() if "replaced_by" in one.detail}:
        found = {str(one.pk): one for one in Checkout.objects.select_related(*related).filter(pk__in=replaced.values())}
        current |= {pk: found[by] for pk, by in replaced.items()}
    for row in rows:
        row.current = current[row.pk]
