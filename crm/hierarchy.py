"""Which company belongs to which: an account has at most one parent, and nobody is above itself."""

from datetime import datetime
from uuid import UUID

from django.db import connection, transaction

from crm import history
from crm.account_facts import write_down
from crm.models import Account
from gtm.shared import db
from gtm.shared.errors import Conflict, Invalid

DEEPEST = 10
_ABOVE = """
WITH RECURSIVE above AS (
    SELECT id, parent_id, 1 AS depth FROM crm_account WHERE id = %(start)s
    UNION ALL
    SELECT account.id, account.parent_id, depth + 1 FROM crm_account account JOIN above ON account.id = above.parent_id
    WHERE depth < 100)
SELECT id FROM above ORDER BY depth
"""


@transaction.atomic
def place(*, account: Account, parent: Account | None, at: datetime) -> Account:
    """Put the account under ``parent``, or at the top; publishes ``crm.account.changed``.

    Raises Invalid (``parent``) for itself, for another test clock and for what is too deep, Conflict for a circle.
    """
    lock(account.test_clock_id)
    account = db.lock_one(account)
    if parent is not None:
        _check(account, parent)
    write_down(account, {"parent": parent}, at=at, source=history.by_whom())
    return account


def lock(test_clock_id: UUID | None) -> None:
    """Whoever moves accounts within the hierarchy does so alone: of two moves each may be right and both a circle."""
    db.advisory_lock("crm.hierarchy", test_clock_id)


def _check(account: Account, parent: Account) -> None:
    if parent.pk == account.pk:
        raise Invalid("An account is not its own parent.", attr="parent")
    if parent.test_clock_id != account.test_clock_id:
        raise Invalid("The parent stands on another test clock.", attr="parent")
    chain = above(parent.pk)
    if account.pk in chain:
        raise Conflict(f"{parent} is below {account}: that would be a circle.", code="circle", attr="parent")
    if len(chain) >= DEEPEST:
        raise Invalid(f"At most {DEEPEST} levels.", attr="parent")


def above(account_id: UUID) -> list[UUID]:
    """The account itself, its parent, the parent's parent and so on. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_ABOVE, {"start": account_id})
        return [row[0] for row in cursor.fetchall()]
