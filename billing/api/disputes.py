"""Disputes over the API: to read; they are answered at the gateway."""

import django_filters
from django.db.models import QuerySet
from rest_framework import serializers

from billing.api.scoping import of_customers
from billing.models import Customer, Dispute, Payment
from gtm.shared.api import fields
from gtm.shared.api.filters import ReferenceFilter, ResourceFilter
from gtm.shared.api.resources import ResourceSerializer, ResourceViewSet, resource_fields


class DisputeSerializer(ResourceSerializer):
    """A payment that the payer's bank takes back (``chargeback``, ``return``) or asks about (``inquiry``).

    ``amount_reversed`` of it pays for nothing now: invoices are open again by it. ``uncovered`` of that was credit of
    the payer and was used before it could be taken back.
    """

    customer = fields.ReferenceField(Customer, read_only=True)
    payment = fields.ReferenceField(Payment, read_only=True)
    stripe_id = serializers.CharField(source="gateway_reference", read_only=True)

    class Meta:
        model = Dispute
        fields = resource_fields(
            "customer",
            "payment",
            "kind",
            "status",
            "currency",
            "amount",
            "amount_reversed",
            "uncovered",
            "reason",
            "respond_by",
            "opened_at",
            "closed_at",
            "stripe_id",
        )
        read_only_fields = fields


class DisputeFilter(ResourceFilter):
    customer = ReferenceFilter(Customer)
    payment = ReferenceFilter(Payment)
    kind = django_filters.ChoiceFilter(choices=Dispute.Kind.choices)
    status = django_filters.ChoiceFilter(choices=Dispute.Status.choices)


class DisputeViewSet(ResourceViewSet):
    """Money that payers' banks take back."""

    model = Dispute
    serializer_class = DisputeSerializer
    filterset_class = DisputeFilter
    write_roles = ()

    def get_queryset(self) -> QuerySet[Dispute]:
        return of_customers(Dispute.objects.all(), self.principal, path="customer")
