"""Customers that can't be billed: left out of bill runs with the reason, until somebody has seen to it."""

from collections.abc import Collection
from datetime import datetime

import structlog
from django.db import DatabaseError, transaction
from django.utils.translation import gettext as _

from billing.models import Customer
from billing.taxation import PlaceUnknown
from gtm.shared import db, outbox
from gtm.shared.errors import Conflict, DomainError
from gtm.shared.models import write

log = structlog.get_logger(__name__)


@transaction.atomic
def park(*, customer: Customer, error: Exception, at: datetime) -> bool:
    """Leave the payer out of runs; whether it wasn't parked before.

    What went wrong stays on its row in words; the fact holds a code.
    """
    customer = db.lock_one(customer)
    if customer.parked_at is not None:
        return False
    write(customer, parked_at=at, parked_reason=words(error)[:500], parked_code=code(error)[:60])
    _tell(customer, reason=code(error), at=at)
    log.warning("customer_parked", customer=customer.public_id, code=code(error))
    return True


@transaction.atomic
def unpark(*, customer: Customer, at: datetime) -> Customer:
    """Take the payer into runs again: the next one bills all it has missed."""
    customer = db.lock_one(customer)
    if customer.parked_at is not None:
        write(customer, parked_at=None, parked_reason="", parked_code="")
        _tell(customer, reason="", at=at)
    return customer


def on_changed(customer: Customer, names: Collection[str], *, at: datetime) -> Customer:
    """Its own details were what held it up: the next run tries them, and parks it again where they won't do."""
    if customer.parked_code == PlaceUnknown.code and not _OF_PLACE.isdisjoint(names):
        return unpark(customer=customer, at=at)
    return customer


_OF_PLACE = frozenset({"country", "billing_address", "tax_id", "tax_exempt", "tax_rates"})


def require_billable(payer: Customer, *, attr: str | None = None) -> None:
    """Raise Conflict (``payer_parked``) where the payer is left out of runs: nothing more is asked of it meanwhile."""
    if payer.parked_at is not None:
        values = {"reason": payer.parked_reason}
        raise Conflict(_("Billing of this payer is held up: %(reason)s") % values, code="payer_parked", attr=attr)


def words(error: Exception) -> str:
    """The error as it may be kept: without the database's own text, which holds values of rows."""
    if isinstance(error, DomainError):
        return error.detail
    if isinstance(error, DatabaseError):
        return f"{type(error).__name__} (SQLSTATE {_sqlstate(error)})"
    return f"{type(error).__name__}: {error}"


def code(error: Exception) -> str:
    """The error without any value: a refusal's code, ``sqlstate_23505``, or the kind of error it is."""
    if isinstance(error, DomainError):
        return error.code
    return f"sqlstate_{_sqlstate(error)}" if isinstance(error, DatabaseError) else type(error).__name__


def _sqlstate(error: DatabaseError) -> str:
    return getattr(error.__cause__, "sqlstate", None) or "unknown"


def _tell(customer: Customer, *, reason: str, at: datetime) -> None:
    outbox.publish(
        "billing.customer.changed",
        customer,
        at=at,
        customer_id=customer.pk,
        account_id=customer.account_id,
        data={"changed": ["parked_at"], "parked": customer.parked_at is not None},
        reason=reason,
    )
