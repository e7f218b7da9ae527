"""How a customer pays from its next invoice on: by card, or on terms; who may choose, and why not."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from billing import payments, standing
from billing.models import CollectionMethod, Customer, Invoice, Phase, Subscription, SubscriptionChange
from gtm.shared import db, outbox, saving
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import write

Origin = SubscriptionChange.Origin
BY_CARD, ON_TERMS = CollectionMethod.CHARGE_AUTOMATICALLY, CollectionMethod.SEND_INVOICE
NOT_ALLOWED = "collection_not_allowed"
AGREED = "agreed"  # why a person has allowed it; rules of the house leave that as it is


def may_switch(customer: Customer, method: str) -> bool:
    """Whether the customer may choose it alone: a card always, terms where that was written down for it."""
    return method == BY_CARD or method in customer.allowed_collection or customer.collection_method == method


@transaction.atomic
def allow(*, customer: Customer, methods: Collection[str], reason: str, at: datetime) -> Customer:
    """Write down what the customer may choose from, and the code of the reason. Raises Invalid for no such method.

    No methods: it is asked to pay as it does. What it pays by now stays as it is.
    """
    if unknown := set(methods) - set(CollectionMethod.values):
        raise Invalid(f"{min(unknown)} is no way to be billed.", attr="allowed_collection")
    customer = db.lock_one(customer)
    previous = saving.change(customer, allowed_collection=sorted(methods), allowed_collection_reason=reason)
    if previous:
        _tell(customer, "collection_allowed", at=at, data={"methods": sorted(methods)}, reason=reason)
    return customer


@transaction.atomic
def switch(*, customer: Customer, method: str, origin: str = Origin.PORTAL, at: datetime) -> Customer:
    """Bill the customer that way from its next invoice on; open invoices stay as they are.

    All that it pays for goes along, but for what a contract has agreed. Raises Invalid (``collection_not_allowed``)
    where the customer may not choose it, NoPaymentMethod where there is no card to charge, and Conflict where nothing
    would change.
    """
    if method not in CollectionMethod.values:
        raise Invalid("This is no way to be billed.", attr="collection_method")
    (customer,) = db.lock(Customer, [customer.pk])
    found = _moved(customer, method)
    if customer.collection_method == method and not found:
        raise Conflict(_("You pay this way already."), code="nothing_changes")
    if origin == Origin.PORTAL and not may_switch(customer, method):
        raise Invalid(_("Payment by invoice comes with larger plans."), code=NOT_ALLOWED, attr="collection_method")
    payments.require_method(payer=customer, collection_method=method, payment_method=None)
    previous = saving.change(customer, collection_method=method)
    for subscription in found:
        write(subscription, collection_method=method)
        standing.record(subscription, kind="collection_changed", origin=origin, at=at, detail={"method": method})
    told = {"method": method, "subscriptions": [one.public_id for one in found]}
    _tell(customer, "collection_changed", at=at, data=told, reason=f"requested_by_{origin}", previous=previous)
    return customer


def _moved(customer: Customer, method: str) -> list[Subscription]:
    """The subscriptions under their locks that are billed another way; what a contract has agreed stays."""
    bound = Phase.objects.filter(locked=True).values("subscription")
    theirs = Subscription.objects.filter(payer=customer).exclude(status__in=Subscription.ENDED).exclude(pk__in=bound)
    locked = db.lock(Subscription, theirs.exclude(collection_method=method).values_list("pk", flat=True))
    return list(standing.loaded().filter(pk__in=[one.pk for one in locked]).order_by("pk"))


def open_invoices(customer: Customer) -> list[Invoice]:
    """What is still to be paid as it was asked for, the longest due first."""
    found = Invoice.objects.filter(customer=customer, status=Invoice.Status.OPEN)
    return [invoice for invoice in found.order_by("due_date", "pk") if invoice.amount_due > 0]


def _tell(customer: Customer, kind: str, *, at: datetime, data: dict[str, Any], **columns: Any) -> None:
    outbox.publish(
        f"billing.customer.{kind}",
        customer,
        at=at,
        customer_id=customer.pk,
        account_id=customer.account_id,
        data=data,
        **columns,
    )
