"""The list of accounts, and one account from all sides. Fixed numbers of queries, whatever the data."""

from collections.abc import Mapping

from django.db.models import Prefetch, Q, QuerySet

from crm.accounts import fold
from crm.models import Account, AccountDomain
from gtm.shared.models import User

MINE, NOBODY = "me", "none"
SORTS = {
    "name": ("name_key", "id"),
    "-name": ("-name_key", "-id"),
    "employee_count": ("employee_count", "id"),
    "-employee_count": ("-employee_count", "-id"),
    "created": ("created_at", "id"),
    "-created": ("-created_at", "-id"),
}


def listed(user: User, filters: Mapping[str, str]) -> QuerySet[Account]:
    """The accounts that ``user`` sees, by ``q`` (name or domain), ``motion``, ``segment``, ``owner`` and ``sort``."""
    found: QuerySet[Account] = Account.objects.visible_to(user)
    if words := filters.get("q", "").strip():
        found = matching(found, words)
    for name in ("motion", "segment"):
        if filters.get(name):
            found = found.filter(**{name: filters[name]})
    if filters.get("owner") == MINE:
        found = found.filter(owner=user)
    elif filters.get("owner") == NOBODY:
        found = found.filter(owner=None)
    domains_shown = Prefetch("domains", queryset=AccountDomain.objects.filter(is_primary=True))
    order = SORTS.get(filters.get("sort", ""), SORTS["name"])
    return found.select_related("owner", "queue").prefetch_related(domains_shown).order_by(*order)


def matching(accounts: QuerySet[Account], words: str) -> QuerySet[Account]:
    """Those whose name holds the words, or one of whose domains begins with them."""
    folded = fold(words)
    domains = AccountDomain.objects.filter(domain__startswith=folded).values("account")
    return accounts.filter(Q(name_key__contains=folded) | Q(pk__in=domains))
