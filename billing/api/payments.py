"""Payments over the API: read, and recorded by hand for several invoices at once."""

from typing import Any

import django_filters
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing import documents, payments
from billing.api.files import PDF
from billing.api.invoices import ManualPaymentSerializer
from billing.api.scoping import of_customers
from billing.models import Customer, Invoice, Payment, PaymentMethod
from billing.views import files
from gtm.shared import db, ids
from gtm.shared.api import fields, references
from gtm.shared.api.filters import ReferenceFilter, ResourceFilter
from gtm.shared.api.resources import ResourceSerializer, ResourceViewSet, resource_fields


class AllocationSerializer(serializers.Serializer):
    """How much of a payment went to an invoice."""

    invoice = serializers.CharField()
    amount = fields.MoneyField()


class PaymentSerializer(ResourceSerializer):
    customer = fields.ReferenceField(Customer, read_only=True)
    payment_method = fields.ReferenceField(PaymentMethod, read_only=True)
    allocations = serializers.SerializerMethodField()

    class Meta:
        model = Payment
        fields = resource_fields(
            "customer",
            "currency",
            "amount",
            "amount_refunded",
            "amount_disputed",
            "status",
            "method",
            "payment_method",
            "reference",
            "failure_code",
            "failure_message",
            "attempt",
            "next_retry_at",
            "paid_at",
            "allocations",
        )
        read_only_fields = fields

    @extend_schema_field(AllocationSerializer(many=True))
    def get_allocations(self, payment: Payment) -> list[dict[str, Any]]:
        rows = sorted(payment.allocations.all(), key=lambda row: row.pk)
        return [{"invoice": ids.encode(Invoice.PREFIX, row.invoice_id), "amount": row.amount} for row in rows]


class CustomerPaymentSerializer(ManualPaymentSerializer):
    """Money for several open invoices, given to them in this order; without ``amount``, all that is due on them.

    What they don't take stands to the customer's credit: without ``invoices``, all of it.
    """

    invoices = fields.ReferenceField(Invoice, many=True, required=False, default=list)


class PaymentFilter(ResourceFilter):
    customer = ReferenceFilter(Customer)
    invoice = ReferenceFilter(Invoice, field_name="allocations__invoice", distinct=True)
    status = django_filters.ChoiceFilter(choices=Payment.Status.choices)


class PaymentViewSet(ResourceViewSet):
    model = Payment
    serializer_class = PaymentSerializer
    filterset_class = PaymentFilter
    write_roles = ()  # money is the founders' and finance's

    def get_queryset(self) -> QuerySet[Payment]:
        return of_customers(Payment.objects.prefetch_related("allocations"), self.principal, path="customer")

    @extend_schema(request=None, responses=PDF)
    @action(detail=True, methods=["get"])
    def receipt(self, request: Request, id: str) -> HttpResponse:  # noqa: A002 -- the address's name
        """The receipt as a PDF, as it was rendered once. 409 unless the payment succeeded."""
        payment = self.get_object()
        return files.pdf(documents.receipt(payment=payment, at=db.time_of(payment)))

    @extend_schema(request=CustomerPaymentSerializer, responses={201: PaymentSerializer})
    def record(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Record money that a customer sent, for one or several invoices or for none."""
        customer = self._customer(id)
        data = self.validated(CustomerPaymentSerializer)
        at = db.now_for(customer)
        due = sum(invoice.amount_due for invoice in data["invoices"])
        payment = payments.record_manual(
            customer=customer,
            invoices=data["invoices"],
            method=data["method"],
            amount=data.get("amount", due),
            reference=data["reference"],
            paid_at=data.get("paid_at", at),
            at=at,
        )
        return self.answer(payment, status=status.HTTP_201_CREATED)

    def _customer(self, name: str) -> Customer:
        found = references.find(references.visible(Customer, self.principal), name)
        if found is None:
            raise Http404
        return found
