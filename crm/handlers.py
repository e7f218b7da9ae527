"""What crm does when it hears of customers and subscriptions. Facts come in any order: the current state is read."""

from billing.models import Customer
from crm import accounts, arrears, buying, collection_policy
from crm.models import Account
from gtm.shared import db, nudges
from gtm.shared.models import Event

AGREED = ("quote", "admin")


def customer_created(event: Event) -> None:
    """A new customer makes or finds its account."""
    customer = _customer(event)
    if customer is not None:
        at = db.now_for(customer)
        account = accounts.for_customer(customer=customer, at=at)
        arrears.write_down(account=account, at=at)
        collection_policy.write_down(account=account, at=at)


def customer_changed(event: Event) -> None:
    """The customer's traits may change what its account is."""
    _review(event)


def subscription_changed(event: Event) -> None:
    """So may what it pays."""
    _review(event)


def payment_late(event: Event) -> None:
    """The owner hears of it, before anything happens to the customer."""
    customer = _customer(event)
    if customer is not None:
        arrears.tell(event=event, customer=customer, at=db.now_for(customer))


def _review(event: Event) -> None:
    customer = _customer(event)
    if customer is not None:
        at = db.now_for(customer)
        account = accounts.review(customer=customer, at=at)
        arrears.write_down(account=account, at=at)
        collection_policy.write_down(account=account, at=at)


def motion_decided(event: Event) -> None:
    """Whether somebody looks after its customers; who is helped to buy may choose how to pay."""
    account = Account.objects.filter(pk=event.object_id).first()
    if account is not None:
        at = db.now_for(account)
        arrears.write_down(account=account, at=at)
        collection_policy.write_down(account=account, at=at)


def policy_published(event: Event) -> None:
    """Its segments may name other dunning policies, which may be many customers' and is left to a task; accounts are
    decided again by the nightly review.
    """
    nudges.on_commit("crm.tasks.write_down_policies")


def upgraded_large(event: Event) -> None:
    """The owner hears of it; the customer has bought already. What sales agreed on by itself is no news."""
    customer = _customer(event)
    if customer is not None and event.data.get("origin") not in AGREED:
        buying.upgraded(event=event, customer=customer, at=db.now_for(customer))


def quote_requested(event: Event) -> None:
    """The owner or the team of the queue answers; the customer goes on meanwhile."""
    customer = _customer(event)
    if customer is not None:
        buying.quote_requested(event=event, customer=customer, at=db.now_for(customer))


def _customer(event: Event) -> Customer | None:
    """None when the customer has gone with its test clock."""
    return Customer.objects.filter(pk=event.customer_id or event.object_id).first()
