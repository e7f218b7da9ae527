"""What is known of an account, written down: with its history, and with the fact that it changed."""

import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from crm import history
from crm.models import Account
from gtm.shared import outbox, saving

TOLD = frozenset(  # in facts: no names, no free text of others
    {"employee_count", "industry", "country", "needs", "target_list", "blockers", "is_referenceable"}
)


def fold(name: str) -> str:
    """A name as lists sort it and searches find it: without case, accents and surrounding space."""
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    return " ".join("".join(c for c in decomposed if not unicodedata.combining(c)).split())


def write_down(account: Account, changes: Mapping[str, Any], *, at: datetime, source: str) -> None:
    """Write what differs, keep its history, and publish ``crm.account.changed`` with the previous values.

    ``account`` is locked. ``source``: who said it, such as ``hand``, ``api``, ``traits``, ``import`` or a lead's kind.
    """
    derived = {"name_key": fold(changes["name"])[:200]} if "name" in changes else {}
    previous = saving.change(account, **changes, **derived)
    if not previous:
        return
    said = {name: (old, getattr(account, name)) for name, old in previous.items()}
    history.record(account, account_id=account.pk, changes=said, at=at, source=source)
    data = {"source": source, "changed": sorted(previous.keys() - derived.keys()), **told(changes)}
    outbox.publish("crm.account.changed", account, at=at, account_id=account.pk, data=data, previous=told(previous))


def told(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the facts about a company that an Event may hold."""
    return {name: value for name, value in facts.items() if name in TOLD}
