"""Invoices made by hand, as they are written over the API."""

from dataclasses import fields as names_of
from typing import Any

from rest_framework import serializers

from billing.customers import MAX_NET_TERMS_DAYS
from billing.models import CollectionMethod, Customer, Price
from billing.one_off import MAX_AMOUNT, LineTerms
from gtm.shared.api import fields
from gtm.shared.api.resources import StrictSerializer


class LineTermsSerializer(StrictSerializer):
    """A line by exactly one of ``price`` (one-time), ``unit_amount`` and ``amount``; the tax follows ``tax_class``."""

    description = serializers.CharField(required=False, allow_blank=True, default="", max_length=500)
    quantity = fields.QuantityField(required=False, default=1, min_value=0, max_value=10**9)
    price = fields.ReferenceField(Price, required=False, allow_null=True)
    unit_amount = fields.RateField(required=False, allow_null=True)
    amount = fields.MoneyField(required=False, allow_null=True, max_value=MAX_AMOUNT)
    tax_class = serializers.CharField(required=False, allow_blank=True, default="", max_length=40)
    period_start = fields.UtcDateTimeField(required=False, allow_null=True)
    period_end = fields.UtcDateTimeField(required=False, allow_null=True)

    def to_internal_value(self, data: Any) -> Any:
        given = super().to_internal_value(data)
        return LineTerms(**{field.name: given[field.name] for field in names_of(LineTerms) if field.name in given})


class _TermsSerializer(StrictSerializer):
    lines = LineTermsSerializer(many=True, allow_empty=False)
    po_number = serializers.CharField(required=False, allow_blank=True, max_length=100)
    net_terms_days = fields.IntegerField(required=False, allow_null=True, min_value=0, max_value=MAX_NET_TERMS_DAYS)
    collection_method = serializers.ChoiceField(choices=CollectionMethod.choices, required=False)
    external_id = serializers.CharField(required=False, allow_null=True, max_length=200)
    metadata = fields.MetadataField(required=False)


class NewInvoiceSerializer(_TermsSerializer):
    """Terms that are left out are the customer's. It stays a draft unless ``finalize``."""

    customer = fields.ReferenceField(Customer)
    currency = fields.CurrencyField(required=False)
    finalize = fields.StrictBooleanField(required=False, default=False)


class InvoiceChangeSerializer(_TermsSerializer):
    """``lines`` are all lines of the draft from now on."""
