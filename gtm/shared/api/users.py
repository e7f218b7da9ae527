"""The vendor's own people."""

import django_filters
from django.db.models import Q, QuerySet
from rest_framework import serializers

from gtm.shared.api import fields
from gtm.shared.api.filters import FlagFilter
from gtm.shared.api.resources import ResourceViewSet
from gtm.shared.models import Role, User


class UserSerializer(serializers.ModelSerializer):
    """A member of staff."""

    id = fields.PublicIdField()
    roles = serializers.ListField(child=serializers.ChoiceField(choices=Role.choices), read_only=True)
    active = serializers.BooleanField(source="is_active", read_only=True)
    created_at = fields.UtcDateTimeField(read_only=True)

    class Meta:
        model = User
        fields = ("id", "name", "email", "roles", "active", "timezone", "locale", "created_at")
        read_only_fields = fields


class UserFilter(django_filters.FilterSet):
    email = django_filters.CharFilter(lookup_expr="iexact")
    role = django_filters.ChoiceFilter(method="with_role", choices=Role.choices)
    active = FlagFilter(field_name="is_active")

    def with_role(self, queryset: QuerySet[User], name: str, value: str) -> QuerySet[User]:
        return queryset.filter(roles__contains=[value])


class UserViewSet(ResourceViewSet):
    """Staff, with their roles. Customers' members are no users of the API."""

    model = User
    serializer_class = UserSerializer
    filterset_class = UserFilter

    def get_queryset(self) -> QuerySet[User]:
        return User.objects.filter(Q(is_superuser=True) | Q(roles__len__gt=0))
