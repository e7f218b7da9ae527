"""The balance of customers over the API: what moved it, adjustments by hand, and what is paid out of it."""

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from billing import balances, refunds
from billing.api.scoping import of_customers
from billing.models import BalanceEntry, CreditNote, Customer, Invoice, Payment, Refund
from gtm.shared import db
from gtm.shared.api import fields, idempotency
from gtm.shared.api.filters import InstantsFilter, ReferenceFilter, ResourceFilter
from gtm.shared.api.resources import ResourceSerializer, ResourceViewSet, StrictSerializer, resource_fields
from gtm.shared.models import TestClock


class BalanceEntrySerializer(serializers.ModelSerializer):
    """A movement: positive to the customer's credit, negative where it was used. ``balance_after`` is the sum then."""

    id = fields.PublicIdField()
    customer = fields.ReferenceField(Customer, read_only=True)
    amount = fields.MoneyField(read_only=True)
    balance_after = fields.MoneyField(read_only=True)
    invoice = fields.ReferenceField(Invoice, read_only=True, allow_null=True)
    credit_note = fields.ReferenceField(CreditNote, read_only=True, allow_null=True)
    payment = fields.ReferenceField(Payment, read_only=True, allow_null=True)
    refund = fields.ReferenceField(Refund, read_only=True, allow_null=True)
    occurred_at = fields.UtcDateTimeField(read_only=True)
    created_at = fields.UtcDateTimeField(read_only=True)
    test_clock = fields.ReferenceField(TestClock, read_only=True, allow_null=True)

    class Meta:
        model = BalanceEntry
        fields = (
            "id",
            "customer",
            "currency",
            "kind",
            "amount",
            "balance_after",
            "invoice",
            "credit_note",
            "payment",
            "refund",
            "actor",
            "reason",
            "occurred_at",
            "created_at",
            "test_clock",
        )
        read_only_fields = fields


class AdjustmentSerializer(StrictSerializer):
    """Credit given (positive) or taken (negative) by hand; ``currency`` is the customer's."""

    customer = fields.ReferenceField(Customer)
    amount = fields.MoneyField(min_value=-(10**15), max_value=10**15)
    currency = fields.CurrencyField(required=False)
    reason = serializers.CharField(max_length=500)


class BalanceEntryFilter(InstantsFilter):
    instants = ("created_at", "occurred_at")
    customer = ReferenceFilter(Customer)
    invoice = ReferenceFilter(Invoice)
    kind = django_filters.ChoiceFilter(choices=BalanceEntry.Kind.choices)
    test_clock = ReferenceFilter(TestClock)


class BalanceEntryViewSet(ResourceViewSet):
    """The ledger of what stands to customers' credit."""

    model = BalanceEntry
    serializer_class = BalanceEntrySerializer
    filterset_class = BalanceEntryFilter
    write_roles = ()  # money is the founders' and finance's

    def get_queryset(self) -> QuerySet[BalanceEntry]:
        return of_customers(BalanceEntry.objects.all(), self.principal, path="customer")

    @extend_schema(request=AdjustmentSerializer, responses={201: BalanceEntrySerializer})
    def create(self, request: Request) -> Response:
        """Adjust a balance by hand. 409 ``balance_too_low`` for more than there is."""
        data = self.validated(AdjustmentSerializer)
        entry = balances.adjust(at=db.now_for(data["customer"]), **data)
        return self.answer(entry, status=status.HTTP_201_CREATED)


class RefundSerializer(ResourceSerializer):
    """Money that goes back to where a payment came from. ``by_hand``: no gateway took it, so somebody sends it."""

    customer = fields.ReferenceField(Customer, read_only=True)
    payment = fields.ReferenceField(Payment, read_only=True)
    credit_note = fields.ReferenceField(CreditNote, read_only=True, allow_null=True)

    class Meta:
        model = Refund
        fields = resource_fields(
            "customer",
            "payment",
            "credit_note",
            "currency",
            "amount",
            "status",
            "by_hand",
            "reason",
            "failure_code",
            "refunded_at",
        )
        read_only_fields = fields


class NewRefundSerializer(StrictSerializer):
    """Pays out what stands to the customer's credit. What settles an invoice is given back by a credit note."""

    payment = fields.ReferenceField(Payment)
    amount = fields.MoneyField(min_value=1)
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=500)


class RefundFilter(ResourceFilter):
    customer = ReferenceFilter(Customer)
    payment = ReferenceFilter(Payment)
    credit_note = ReferenceFilter(CreditNote)
    status = django_filters.ChoiceFilter(choices=Refund.Status.choices)


class RefundViewSet(ResourceViewSet):
    """Money that went back."""

    model = Refund
    serializer_class = RefundSerializer
    filterset_class = RefundFilter
    write_roles = ()

    def get_idempotency_mode(self) -> str:
        """A gateway is asked outside of any transaction."""
        return idempotency.RESUMABLE if self.action == "create" else super().get_idempotency_mode()

    def get_queryset(self) -> QuerySet[Refund]:
        return of_customers(Refund.objects.all(), self.principal, path="customer")

    @extend_schema(request=NewRefundSerializer, responses={201: RefundSerializer})
    def create(self, request: Request) -> Response:
        """Pay out of the balance, to where a payment came from. 409 ``balance_too_low`` for more than there is."""
        data: dict[str, Any] = self.validated(NewRefundSerializer)
        refund = refunds.create(
            at=db.now_for(data["payment"]),
            refund_id=request.idempotency_key_id,  # type: ignore[attr-defined]  # set by ApiView
            **data,
        )
        return self.answer(refund, status=status.HTTP_201_CREATED)
