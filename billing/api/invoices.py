"""Invoices over the API, and what can be done with them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import django_filters
from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from billing import documents, hosted, invoices, one_off, payments, wording
from billing.api.files import PDF, XML
from billing.api.one_off import InvoiceChangeSerializer, NewInvoiceSerializer
from billing.api.scoping import of_customers
from billing.models import (
    CollectionMethod,
    Customer,
    Invoice,
    InvoiceLine,
    InvoiceTax,
    LineKind,
    LineReason,
    PaymentMethod,
    Subscription,
)
from billing.queries import invoice_discounts
from billing.views import files
from gtm.shared import db, ids
from gtm.shared.api import fields, idempotency
from gtm.shared.api.filters import ReferenceFilter, ResourceFilter
from gtm.shared.api.resources import ResourceSerializer, ResourceViewSet, StrictSerializer, resource_fields

_TAKEN = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "discount": {"type": "string"},
            "coupon": {"type": "string"},
            "description": {"type": "string"},
            "amount": {"type": "integer"},
        },
    },
}


def _taken(lines: Iterable[InvoiceLine]) -> list[dict[str, Any]]:
    """What each discount took off the lines together."""
    return [
        {
            "discount": used.discount.public_id,
            "coupon": used.discount.coupon.code,
            "description": wording.discount(used.discount),
            "amount": used.amount,
        }
        for used in invoice_discounts.taken(lines)
    ]


class InvoiceLineSerializer(serializers.ModelSerializer):
    """``amount`` is before discount and tax; ``explanation`` says in words how it came about."""

    id = fields.PublicIdField("il")
    kind = serializers.ChoiceField(choices=LineKind.choices, read_only=True)
    reason = serializers.ChoiceField(choices=LineReason.choices, read_only=True)
    subscription = fields.PublicIdField("sub", source="subscription_id", allow_null=True)
    subscription_item = fields.PublicIdField("si", source="subscription_item_id", allow_null=True)
    customer = fields.PublicIdField("cus", source="customer_id")
    price = fields.PublicIdField("price", source="price_id", allow_null=True)
    meter = fields.PublicIdField("meter", source="meter_id", allow_null=True)
    quantity = fields.QuantityField(read_only=True)
    unit_amount = fields.RateField(read_only=True, allow_null=True)
    amount = fields.MoneyField(read_only=True)
    discount_amount = fields.MoneyField(read_only=True)
    discounts = serializers.SerializerMethodField(help_text="What each discount took off the line.")
    tax_amount = fields.MoneyField(read_only=True)
    taxes = serializers.SerializerMethodField(help_text="Rate, amount, treatment, reason and evidence of each tax.")
    period_start = fields.UtcDateTimeField(read_only=True, allow_null=True)
    period_end = fields.UtcDateTimeField(read_only=True, allow_null=True)
    credits_line = fields.PublicIdField("il", source="credits_line_id", allow_null=True)
    explanation = serializers.SerializerMethodField()

    class Meta:
        model = InvoiceLine
        fields = (
            "id",
            "kind",
            "reason",
            "description",
            "subscription",
            "subscription_item",
            "customer",
            "price",
            "meter",
            "quantity",
            "unit_amount",
            "amount",
            "discount_amount",
            "discounts",
            "tax_amount",
            "taxes",
            "period_start",
            "period_end",
            "credits_line",
            "explanation",
        )
        read_only_fields = fields

    @extend_schema_field(_TAKEN)
    def get_discounts(self, line: InvoiceLine) -> list[dict[str, Any]]:
        return _taken([line])

    @extend_schema_field({"type": "array", "items": {"type": "object", "additionalProperties": {}}})
    def get_taxes(self, line: InvoiceLine) -> Any:
        return line.taxes

    def get_explanation(self, line: InvoiceLine) -> str:
        return "\n".join(wording.explain(line.explanation, line.invoice.currency))


class InvoiceTaxSerializer(serializers.ModelSerializer):
    """Tax of one rate on the whole document; ``rate`` is its code."""

    percentage = fields.RateField(read_only=True)
    taxable = fields.MoneyField(read_only=True)
    amount = fields.MoneyField(read_only=True)

    class Meta:
        model = InvoiceTax
        fields = ("rate", "name", "percentage", "taxable", "amount")
        read_only_fields = fields


class InvoiceSerializer(ResourceSerializer):
    """``customer`` is the payer. Seller and buyer are as they were when the invoice was finalized."""

    customer = fields.ReferenceField(Customer, read_only=True)
    subscriptions = serializers.SerializerMethodField()
    payment_method = fields.ReferenceField(PaymentMethod, read_only=True)
    amount_due = fields.MoneyField(read_only=True)
    seller = fields.JsonObjectField(read_only=True)
    buyer = fields.JsonObjectField(read_only=True)
    lines = serializers.SerializerMethodField()
    discounts = serializers.SerializerMethodField(help_text="What each discount took off the invoice, and in words.")
    taxes = serializers.SerializerMethodField()
    pdf_url = serializers.SerializerMethodField()
    hosted_url = serializers.SerializerMethodField()

    class Meta:
        model = Invoice
        fields = resource_fields(
            "number",
            "status",
            "payment_status",
            "customer",
            "subscriptions",
            "currency",
            "subtotal",
            "discount_total",
            "tax_total",
            "total",
            "balance_applied",
            "amount_paid",
            "amount_credited",
            "credit_note_total",
            "amount_due",
            "issue_date",
            "due_date",
            "finalize_at",
            "finalized_at",
            "paid_at",
            "next_payment_attempt",
            "po_number",
            "collection_method",
            "payment_method",
            "net_terms_days",
            "tax_treatment",
            "seller",
            "buyer",
            "lines",
            "discounts",
            "taxes",
            "pdf_url",
            "hosted_url",
        )
        read_only_fields = fields

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_subscriptions(self, invoice: Invoice) -> list[str]:
        found = dict.fromkeys(line.subscription_id for line in _lines(invoice) if line.subscription_id)
        return [ids.encode(Subscription.PREFIX, pk) for pk in found]

    @extend_schema_field(InvoiceLineSerializer(many=True))
    def get_lines(self, invoice: Invoice) -> Any:
        return InvoiceLineSerializer(_lines(invoice), many=True, context=self.context).data

    @extend_schema_field(_TAKEN)
    def get_discounts(self, invoice: Invoice) -> list[dict[str, Any]]:
        return _taken(invoice.lines.all())

    @extend_schema_field(InvoiceTaxSerializer(many=True))
    def get_taxes(self, invoice: Invoice) -> Any:
        taxes = sorted(invoice.taxes.all(), key=lambda tax: tax.rate)
        return InvoiceTaxSerializer(taxes, many=True, context=self.context).data

    @extend_schema_field({"type": "string", "format": "uri", "nullable": True})
    def get_pdf_url(self, invoice: Invoice) -> str | None:
        if invoice.status == Invoice.Status.DRAFT:
            return None
        return reverse("invoice-pdf", args=[invoice.public_id], request=self.context.get("request"))

    @extend_schema_field({"type": "string", "format": "uri"})
    def get_hosted_url(self, invoice: Invoice) -> str:
        """Opens without sign-in until it expires; a new one is given with each answer."""
        return hosted.invoice_url(invoice.pk, at=timezone.now())  # an end in days: no need to ask the database


def _lines(invoice: Invoice) -> list[InvoiceLine]:
    return sorted(invoice.lines.all(), key=lambda line: line.position)


def _collect(invoice: Invoice, at: datetime) -> None:
    """Charge the card of what was just finalized, where there is one to charge."""
    if invoice.next_payment_attempt is not None:
        payments.collect_all(invoices=[invoice], at=at)


class ManualPaymentSerializer(StrictSerializer):
    """Money that came another way; without ``amount``, all that is due."""

    method = serializers.CharField(max_length=20, required=False, default="bank_transfer")
    amount = fields.MoneyField(min_value=1, required=False)
    reference = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    paid_at = fields.UtcDateTimeField(required=False)


class CollectionSerializer(StrictSerializer):
    payment_method = fields.ReferenceField(PaymentMethod, required=False, allow_null=True)


class VoidSerializer(StrictSerializer):
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=500)


class InvoiceFilter(ResourceFilter):
    customer = ReferenceFilter(Customer)
    subscription = ReferenceFilter(Subscription, field_name="lines__subscription", distinct=True)
    status = django_filters.ChoiceFilter(choices=Invoice.Status.choices)
    payment_status = django_filters.ChoiceFilter(choices=Invoice.PaymentStatus.choices)
    collection_method = django_filters.ChoiceFilter(choices=CollectionMethod.choices)
    number = django_filters.CharFilter()


class InvoiceViewSet(ResourceViewSet):
    model = Invoice
    serializer_class = InvoiceSerializer
    filterset_class = InvoiceFilter
    write_roles = ()  # money is the founders' and finance's

    def get_queryset(self) -> QuerySet[Invoice]:
        shown = Invoice.objects.prefetch_related(invoice_discounts.with_lines(), "taxes")
        return of_customers(shown, self.principal, path="customer")

    def get_idempotency_mode(self) -> str:
        """A card may be charged, which happens outside of any transaction."""
        return idempotency.RESUMABLE if self.action == "create" else super().get_idempotency_mode()

    @extend_schema(request=NewInvoiceSerializer, responses={201: InvoiceSerializer})
    def create(self, request: Request) -> Response:
        """Make an invoice by hand, of one-off lines: a draft, or with ``finalize`` issued and, by card, charged."""
        data = self.validated(NewInvoiceSerializer)
        at = db.now_for(data["customer"])
        invoice = one_off.create(
            at=at,
            invoice_id=request.idempotency_key_id,  # type: ignore[attr-defined]  # set by ApiView
            **data,
        )
        _collect(invoice, at)
        return self.answer(invoice, status=status.HTTP_201_CREATED)

    @extend_schema(request=InvoiceChangeSerializer, responses=InvoiceSerializer)
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Replace the lines of a draft that was made by hand, or its terms. 409 for any other invoice."""
        invoice = self.get_object()
        data = self.validated(InvoiceChangeSerializer, partial=True)
        return self.answer(one_off.change(invoice=invoice, at=db.now_for(invoice), **data))

    @extend_schema(request=None, responses=PDF)
    @action(detail=True, methods=["get"])
    def pdf(self, request: Request, id: str) -> HttpResponse:  # noqa: A002 -- the address's name
        """The document, as it was rendered once, with its e-invoice inside. 409 for a draft."""
        invoice = self.get_object()
        return files.pdf(documents.invoice_pdf(invoice=invoice, at=db.time_of(invoice)))

    @extend_schema(request=None, responses=XML)
    @action(detail=True, methods=["get"])
    def xml(self, request: Request, id: str) -> HttpResponse:  # noqa: A002 -- the address's name
        """The e-invoice (EN 16931) as Cross Industry Invoice: what the PDF holds as factur-x.xml.

        409 for a draft, and where the standard can't express the invoice, with the reason.
        """
        return files.e_invoice(self.get_object(), "cii")

    @extend_schema(request=None, responses=XML)
    @action(detail=True, methods=["get"])
    def ubl(self, request: Request, id: str) -> HttpResponse:  # noqa: A002 -- the address's name
        """The e-invoice (EN 16931) as UBL 2.1. 409 as for `xml`."""
        return files.e_invoice(self.get_object(), "ubl")

    @extend_schema(request=None, responses=InvoiceSerializer)
    @action(detail=True, methods=["post"], idempotency_mode=idempotency.RESUMABLE)
    def finalization(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Number and freeze a draft now; by card, it is charged."""
        invoice = self.get_object()
        at = db.now_for(invoice)
        finalized = invoices.finalize(invoice=invoice, at=at)
        _collect(finalized, at)
        return self.answer(finalized)

    @extend_schema(request=VoidSerializer, responses=InvoiceSerializer)
    @action(detail=True, methods=["post"])
    def void(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Take back an open invoice that nobody paid; what it charged for stands on the payer's next invoice."""
        data = self.validated(VoidSerializer)
        invoice = self.get_object()
        return self.answer(invoices.void(invoice=invoice, at=db.now_for(invoice), **data))

    @extend_schema(request=VoidSerializer, responses=InvoiceSerializer)
    @action(detail=True, methods=["post"])
    def write_off(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Give an open invoice up as uncollectible; a later payment settles it all the same."""
        data = self.validated(VoidSerializer)
        invoice = self.get_object()
        return self.answer(invoices.write_off(invoice=invoice, at=db.now_for(invoice), **data))

    @extend_schema(request=ManualPaymentSerializer, responses=InvoiceSerializer)
    @action(detail=True, methods=["post"])
    def payment(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Record money that came another way, in full or in part; what is too much stands to the customer's credit."""
        data = self.validated(ManualPaymentSerializer)
        invoice = self.get_object()
        at = db.now_for(invoice)
        payments.record_manual(
            customer=invoice.customer,
            invoices=[invoice],
            method=data["method"],
            amount=data.get("amount", max(invoice.amount_due, 1)),
            reference=data["reference"],
            paid_at=data.get("paid_at", at),
            at=at,
        )
        return self.answer(invoice)

    @extend_schema(request=CollectionSerializer, responses=InvoiceSerializer)
    @action(detail=True, methods=["post"], idempotency_mode=idempotency.RESUMABLE)
    def collection(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Charge the card now. A refused card shows in ``payment_status``."""
        data = self.validated(CollectionSerializer)
        invoice = self.get_object()
        payments.collect(invoice=invoice, payment_method=data.get("payment_method"), at=db.now_for(invoice))
        return self.answer(invoice)
