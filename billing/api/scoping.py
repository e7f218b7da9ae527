"""Whose rows a caller may see: those of the customers that it may see."""

from typing import Any

from django.db.models import QuerySet

from billing.models import Customer
from gtm.shared.api import references
from gtm.shared.models import User


def of_customers(queryset: QuerySet[Any], user: User | None, *, path: str) -> QuerySet[Any]:
    """The rows whose customer, by the relation ``path``, ``user`` may see; the installation (None) sees all."""
    if user is None or user.sees_all:
        return queryset
    return queryset.filter(**{f"{path}__in": references.visible(Customer, user)})
