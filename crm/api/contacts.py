"""Contacts over the API: the people at accounts, each by one address."""

from typing import Any

import django_filters
from django.db.models import QuerySet
from rest_framework import serializers

from crm import contacts
from crm.models import Account, Contact
from crm.queries.search import contacts as matching
from gtm.shared import db
from gtm.shared.api import fields
from gtm.shared.api.filters import FlagFilter, ReferenceFilter, ResourceFilter
from gtm.shared.api.resources import Creates, ResourceSerializer, ResourceViewSet, Updates, resource_fields


class ContactSerializer(ResourceSerializer):
    """A person at an account. `custom` holds the vendor's own fields, by code; what is left out of it stays."""

    account = fields.ReferenceField(Account)
    email = serializers.EmailField(required=False, allow_blank=True, max_length=254)
    custom = fields.JsonObjectField(required=False)

    class Meta:
        model = Contact
        fields = resource_fields(
            "account", "name", "email", "title", "phone", "buying_role", "unsubscribed", "source", "custom"
        )
        read_only_fields = ("source",)
        create_only_fields = ("account",)


class ContactFilter(ResourceFilter):
    q = django_filters.CharFilter(method="matching", label="Name or address")
    account = ReferenceFilter(Account)
    email = django_filters.CharFilter(lookup_expr="iexact")
    buying_role = django_filters.ChoiceFilter(choices=Contact.BuyingRole.choices)
    unsubscribed = FlagFilter()

    def matching(self, queryset: QuerySet[Contact], name: str, value: str) -> QuerySet[Contact]:
        return matching(queryset, contacts.fold(value))


class ContactViewSet(Creates, Updates, ResourceViewSet):
    """The people at accounts. An address is one person's: it stands at one account."""

    model = Contact
    serializer_class = ContactSerializer
    filterset_class = ContactFilter

    def perform_create(self, data: dict[str, Any]) -> Contact:
        return contacts.create(at=db.now_for(data["account"]), **data)

    def perform_update(self, instance: Contact, data: dict[str, Any]) -> Contact:
        return contacts.change(contact=instance, at=db.now_for(instance), **data)
