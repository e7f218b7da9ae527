"""Whose customers are whose."""

from django.db.models import QuerySet

from billing.models import Customer
from crm.models import Account
from gtm.shared.models import User


def visible_to(user: User) -> QuerySet[Customer, object]:
    """Ids of the customers of the accounts that the user sees, as a subquery."""
    return Customer.objects.filter(account_id__in=Account.objects.visible_to(user).values("pk")).values("pk")
