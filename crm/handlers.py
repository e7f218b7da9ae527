"""What crm does when it hears of customers and subscriptions. Facts come in any order: the current state is read."""

from billing.models import Customer
from crm import accounts, arrears
from crm.models import Account
from gtm.shared import db
from gtm.shared.models import Event


def customer_created(event: Event) -> None:
    """A new customer makes or finds its account."""
    customer = _customer(event)
    if customer is not None:
        arrears.write_down(account=accounts.for_customer(customer=customer, at=db.now_for(customer)))


def customer_changed(event: Event) -> None:
    """The customer's traits may change what its account is."""
    _review(event)


def subscription_changed(event: Event) -> None:
    """So may what it pays."""
    _review(event)


def motion_decided(event: Event) -> None:
    """Whether somebody looks after its customers."""
    account = Account.objects.filter(pk=event.object_id).first()
    if account is not None:
        arrears.write_down(account=account)


def payment_late(event: Event) -> None:
    """The owner hears of it, before anything happens to the customer."""
    customer = _customer(event)
    if customer is not None:
        arrears.tell(event=event, customer=customer, at=db.now_for(customer))


def _review(event: Event) -> None:
    customer = _customer(event)
    if customer is not None:
        accounts.review(customer=customer, at=db.now_for(customer))


def _customer(event: Event) -> Customer | None:
    """None when the customer has gone with its test clock."""
    return Customer.objects.filter(pk=event.customer_id or event.object_id).first()
