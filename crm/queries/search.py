"""Everything at the desk by words: companies and their domains, people and their addresses and numbers, leads, deals.

Each kind is one query over an index of words, of what the reader sees; the best of the first hundreds that fit come
first. The last word typed may be the beginning of a word, as all may.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from crm.accounts import fold
from crm.lists import matching
from crm.models import Account, Contact, Lead, Opportunity, words
from crm.models.words import DigitsBackwards
from gtm.shared.models import User

SHORTEST = 2
CONSIDERED = 200


@dataclass(frozen=True, slots=True)
class Hit:
    label: str
    note: str
    url: str


@dataclass(frozen=True, slots=True)
class Group:
    """What was found of one kind; ``more``: there are others."""

    label: str | Promise
    hits: list[Hit]
    more: bool


def find(user: User, text: str, *, limit: int) -> list[Group]:
    """At most ``limit`` of each kind; nothing for fewer than two letters. Four queries."""
    folded = fold(text.replace("\0", ""))
    if len(folded) < SHORTEST or words.query(folded) is None:
        return []
    found = [
        _group(_("Accounts"), _accounts(user, folded), _account, folded, limit),
        _group(_("Contacts"), _contacts(user, folded), _contact, folded, limit),
        _group(_("Leads"), _leads(user, folded), _lead, folded, limit),
        _group(_("Opportunities"), _opportunities(user, folded), _opportunity, folded, limit),
    ]
    return [group for group in found if group.hits]


def _group(label: str | Promise, rows: QuerySet[Any], hit: Callable[[Any], Hit], folded: str, limit: int) -> Group:
    best = sorted(rows.order_by()[:CONSIDERED], key=lambda row: _rank(row.name_key, folded))
    return Group(label, [hit(row) for row in best[:limit]], more=len(best) > limit)


def _rank(name_key: str, folded: str) -> tuple[bool, bool, str]:
    """The same, then what begins so, then the rest by name."""
    return (name_key != folded, not name_key.startswith(folded), name_key)


def _accounts(user: User, folded: str) -> QuerySet[Account]:
    return matching.accounts(Account.objects.visible_to(user), folded).select_related("owner")


def _contacts(user: User, folded: str) -> QuerySet[Contact]:
    return contacts(Contact.objects.visible_to(user), folded).select_related("account")


def contacts(rows: QuerySet[Contact], folded: str) -> QuerySet[Contact]:
    """By name or address; a telephone number by how it ends."""
    if digits := words.digits_backwards(folded):
        return rows.alias(number=DigitsBackwards("phone")).filter(~Q(phone=""), number__startswith=digits)
    return matching.by_words(rows, folded, "name_key")


def _leads(user: User, folded: str) -> QuerySet[Lead]:
    return matching.by_words(Lead.objects.visible_to(user), folded, "name_key")


def _opportunities(user: User, folded: str) -> QuerySet[Opportunity]:
    found = matching.by_words(Opportunity.objects.visible_to(user), folded, "name_key")
    return found.select_related("account", "stage")


# --- in words ----------------------------------------------------------------------------------
def _account(account: Account) -> Hit:
    owner = str(account.owner) if account.owner else ""
    return Hit(account.name, owner, reverse("crm_account", args=[account.public_id]))


def _contact(contact: Contact) -> Hit:
    note = _joined([contact.title, contact.account.name, contact.email, contact.phone])
    return Hit(str(contact), note, reverse("crm_contact", args=[contact.public_id]))


def _lead(lead: Lead) -> Hit:
    note = _joined([lead.name if lead.company else "", lead.email, lead.get_lifecycle_display()])
    return Hit(str(lead), note, reverse("crm_lead", args=[lead.public_id]))


def _opportunity(deal: Opportunity) -> Hit:
    note = _joined([deal.account.name, deal.stage.label])
    return Hit(deal.name, note, reverse("crm_opportunity", args=[deal.public_id]))


def _joined(parts: Sequence[str]) -> str:
    return " · ".join(part for part in parts if part)
