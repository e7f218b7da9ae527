"""Whose customers are whose."""

from django.db.models import QuerySet

from crm.models import Account, AccountCustomer
from gtm.shared.models import User


def visible_to(user: User) -> QuerySet[AccountCustomer, object]:
    """Ids of the customers of the accounts that the user sees, as a subquery."""
    accounts = Account.objects.visible_to(user).values("pk")
    return AccountCustomer.objects.filter(valid_to=None, account__in=accounts).values("customer")
