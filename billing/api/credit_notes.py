"""Credit notes over the API: issued against the lines of a finalized invoice, and read."""

from typing import Any

import django_filters
from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing import credit_notes, documents, wording
from billing.api.files import PDF, XML
from billing.api.scoping import of_customers
from billing.credit_notes import LineCredit
from billing.models import (
    CreditNote,
    CreditNoteLine,
    CreditNoteTax,
    Customer,
    Invoice,
    InvoiceLine,
    Refund,
    SubscriptionChange,
)
from billing.views import files
from gtm.shared import db, ids
from gtm.shared.api import fields
from gtm.shared.api.filters import ReferenceFilter, ResourceFilter
from gtm.shared.api.resources import ResourceSerializer, ResourceViewSet, StrictSerializer, resource_fields


class CreditNoteLineSerializer(serializers.ModelSerializer):
    """How much of an invoice's line is given back; ``amount`` is net of its discount and before tax."""

    invoice_line = fields.PublicIdField("il", source="invoice_line_id")
    amount = fields.MoneyField(read_only=True)
    tax_amount = fields.MoneyField(read_only=True)
    taxes = serializers.SerializerMethodField(help_text="Rate, amount, treatment, reason and evidence of each tax.")
    period_start = fields.UtcDateTimeField(read_only=True, allow_null=True)
    period_end = fields.UtcDateTimeField(read_only=True, allow_null=True)
    explanation = serializers.SerializerMethodField()

    class Meta:
        model = CreditNoteLine
        fields = (
            "invoice_line",
            "description",
            "amount",
            "tax_amount",
            "taxes",
            "period_start",
            "period_end",
            "explanation",
        )
        read_only_fields = fields

    @extend_schema_field({"type": "array", "items": {"type": "object", "additionalProperties": {}}})
    def get_taxes(self, line: CreditNoteLine) -> Any:
        return line.taxes

    def get_explanation(self, line: CreditNoteLine) -> str:
        return "\n".join(wording.explain(line.explanation, self.context["currency"]))


class CreditNoteTaxSerializer(serializers.ModelSerializer):
    """Tax of one rate that the whole note gives back; ``rate`` is its code."""

    percentage = fields.RateField(read_only=True)
    taxable = fields.MoneyField(read_only=True)
    amount = fields.MoneyField(read_only=True)

    class Meta:
        model = CreditNoteTax
        fields = ("rate", "name", "percentage", "taxable", "amount")
        read_only_fields = fields


class CreditNoteSerializer(ResourceSerializer):
    """What of an invoice was given back. `offset_amount` reduced what was open, the rest went where `settle` says."""

    customer = fields.ReferenceField(Customer, read_only=True)
    invoice = fields.ReferenceField(Invoice, read_only=True)
    seller = fields.JsonObjectField(read_only=True)
    buyer = fields.JsonObjectField(read_only=True)
    lines = serializers.SerializerMethodField()
    taxes = serializers.SerializerMethodField()
    refunds = serializers.SerializerMethodField()

    class Meta:
        model = CreditNote
        fields = resource_fields(
            "number",
            "status",
            "invoice",
            "customer",
            "currency",
            "reason",
            "lines",
            "taxes",
            "subtotal",
            "tax_total",
            "total",
            "settle",
            "offset_amount",
            "balance_amount",
            "refund_amount",
            "refunds",
            "issue_date",
            "issued_at",
            "seller",
            "buyer",
        )
        read_only_fields = fields

    @extend_schema_field(CreditNoteLineSerializer(many=True))
    def get_lines(self, note: CreditNote) -> Any:
        lines = sorted(note.lines.all(), key=lambda line: line.position)
        return CreditNoteLineSerializer(lines, many=True, context={**self.context, "currency": note.currency}).data

    @extend_schema_field(CreditNoteTaxSerializer(many=True))
    def get_taxes(self, note: CreditNote) -> Any:
        taxes = sorted(note.taxes.all(), key=lambda tax: tax.rate)
        return CreditNoteTaxSerializer(taxes, many=True, context=self.context).data

    def get_refunds(self, note: CreditNote) -> list[str]:
        return [ids.encode(Refund.PREFIX, pk) for pk in sorted(refund.pk for refund in note.refunds.all())]


class LineCreditSerializer(StrictSerializer):
    """``amount`` is net of the line's discount and before tax; the tax follows."""

    invoice_line = fields.ReferenceField(InvoiceLine)
    amount = fields.MoneyField(min_value=1)


class NewCreditNoteSerializer(StrictSerializer):
    """What is open on the invoice is offset first; ``settle`` says where the rest goes."""

    invoice = fields.ReferenceField(Invoice)
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=500)
    lines = LineCreditSerializer(many=True, allow_empty=False)
    settle = serializers.ChoiceField(choices=CreditNote.Settle.choices, default=CreditNote.Settle.BALANCE)


class CreditNoteFilter(ResourceFilter):
    customer = ReferenceFilter(Customer)
    invoice = ReferenceFilter(Invoice)
    number = django_filters.CharFilter()
    settle = django_filters.ChoiceFilter(choices=CreditNote.Settle.choices)


class CreditNoteViewSet(ResourceViewSet):
    """What of finalized invoices was given back."""

    model = CreditNote
    serializer_class = CreditNoteSerializer
    filterset_class = CreditNoteFilter
    write_roles = ()  # money is the founders' and finance's

    def get_queryset(self) -> QuerySet[CreditNote]:
        shown = CreditNote.objects.prefetch_related("lines", "taxes", "refunds")
        return of_customers(shown, self.principal, path="customer")

    @extend_schema(request=None, responses=PDF)
    @action(detail=True, methods=["get"])
    def pdf(self, request: Request, id: str) -> HttpResponse:  # noqa: A002 -- the address's name
        """The document, as it was rendered once, with its e-invoice inside."""
        note = self.get_object()
        return files.pdf(documents.credit_note_pdf(note=note, at=db.time_of(note)))

    @extend_schema(request=None, responses=XML)
    @action(detail=True, methods=["get"])
    def xml(self, request: Request, id: str) -> HttpResponse:  # noqa: A002 -- the address's name
        """The e-invoice (EN 16931) as Cross Industry Invoice. 409 with the reason where it can't be expressed."""
        return files.e_invoice(self.get_object(), "cii")

    @extend_schema(request=None, responses=XML)
    @action(detail=True, methods=["get"])
    def ubl(self, request: Request, id: str) -> HttpResponse:  # noqa: A002 -- the address's name
        """The e-invoice (EN 16931) as a UBL 2.1 CreditNote. 409 as for `xml`."""
        return files.e_invoice(self.get_object(), "ubl")

    @extend_schema(request=NewCreditNoteSerializer, responses={201: CreditNoteSerializer})
    def create(self, request: Request) -> Response:
        """Give back parts of an invoice's lines. More than is left of one is refused with ``lines.N.amount``."""
        data = self.validated(NewCreditNoteSerializer)
        invoice = data["invoice"]
        note = credit_notes.issue(
            invoice=invoice,
            lines=[LineCredit(line["invoice_line"], line["amount"]) for line in data["lines"]],
            settle=data["settle"],
            reason=data["reason"],
            origin=SubscriptionChange.Origin.API,
            at=db.now_for(invoice),
        )
        return self.answer(note, status=status.HTTP_201_CREATED)
