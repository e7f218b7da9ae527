"""Who may choose payment by invoice: written down onto the customers of an account, by how it is sold to.

A choice that a person has written down (under another reason) is left as it is.
"""

from datetime import datetime

from django.db import transaction

from billing import collection
from billing.collection import BY_CARD, ON_TERMS
from billing.models import Customer
from crm.models import Account, Motion

REASONS = {Motion.SELF_SERVE: "", Motion.SALES_ASSISTED: "sales_assisted", Motion.SALES_LED: "sales_led"}


@transaction.atomic
def write_down(*, account: Account, at: datetime) -> None:
    """Let the account's customers choose between card and invoice where people help them to buy."""
    reason = REASONS[Motion(account.motion)]
    methods = [BY_CARD, ON_TERMS] if reason else []
    theirs = Customer.objects.filter(account_id=account.pk, allowed_collection_reason__in=REASONS.values())
    for customer in theirs.exclude(allowed_collection_reason=reason).order_by("pk"):
        collection.allow(customer=customer, methods=methods, reason=reason, at=at)
