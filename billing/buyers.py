"""Who buys: the user and the customer behind a purchase, made or completed by what was typed."""

from datetime import datetime
from typing import Any

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from billing import customers, members
from billing.models import Customer, Member
from billing.purchase import Purchase
from gtm.shared import users
from gtm.shared.errors import Conflict
from gtm.shared.models import User


def buyer_of(user: User, *, external_id: str = "") -> Customer | None:
    """The customer that a signed-in user buys for: the one joined first in which the user may buy.

    With the integrator's ``external_id``, the one of that id, else one that has none yet.
    """
    may_buy = Member.objects.filter(user=user, role__in=[Member.Role.OWNER, Member.Role.BILLING])
    found = [member.customer for member in may_buy.select_related("customer").order_by("created_at", "id")]
    if external_id:
        found = [one for one in found if one.external_id == external_id] or [
            one for one in found if one.external_id is None
        ]
    return found[0] if found else None


def sign_up(purchase: Purchase, at: datetime) -> User:
    """Nobody waits for a mail to buy: the address is confirmed later, where it matters. Raises Conflict (``known``)."""
    return users.sign_up(
        email=purchase.email, password=purchase.password, name=purchase.name, locale=get_language() or "en", at=at
    )


def new_customer(user: User | None, purchase: Purchase, at: datetime) -> Customer:
    assert user is not None, "whoever buys without a customer has signed up"
    if purchase.external_id and Customer.objects.filter(external_id=purchase.external_id).exists():
        raise Conflict(_("There is an account for you already. Sign in with it to buy."), code="external_id_known")
    customer = customers.create(
        at=at,
        name=purchase.name or user.name or user.email,
        email=user.email,
        country=purchase.country,
        billing_address=purchase.billing_address,
        tax_id=purchase.tax_id,
        external_id=purchase.external_id or None,
        preferred_locale=user.locale,
    )
    members.add(customer=customer, user=user, role=Member.Role.OWNER, at=at)
    return customer


def told(customer: Customer, purchase: Purchase, at: datetime, *, anew: bool) -> Customer:
    """The customer with what was asked for because it was missing; with all of it ``anew`` where that is still open."""
    typed, kept = purchase.billing_address, customer.billing_address
    changes: dict[str, Any] = {"billing_address": (kept | typed) if anew else (typed | kept)}
    if purchase.country and (anew or not customer.place):
        changes["country"] = purchase.country
    if anew or (purchase.tax_id and not customer.tax_id):
        changes["tax_id"] = purchase.tax_id
    if anew and purchase.name:
        changes["name"] = purchase.name
    if purchase.external_id and customer.external_id is None:
        changes["external_id"] = purchase.external_id
    changes = {name: value for name, value in changes.items() if value != getattr(customer, name)}
    return customers.change(customer=customer, at=at, **changes) if changes else customer
