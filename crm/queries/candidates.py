"""Accounts as the pure routing takes them: their facts, and who comes before the rules. Set-based."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q

from crm import conditions, routing
from crm.models import Account, AccountCustomer, AccountDomain, Contact, OwnerDecision
from crm.queries import revenue, roster
from crm.reasons import Reason
from gtm.shared import vendors
from gtm.shared.domains import business_domain
from gtm.shared.models import User
from gtm.shared.money import round_half_up

MEMORY = timedelta(days=120)
TAKEN_AWAY = Q(reasons__contains=[{"code": "sla_breached"}]) | Q(reasons__contains=[{"code": "rerouted"}])
Kin = tuple[tuple[str, UUID], ...]


@dataclass(frozen=True, slots=True)
class Occasion:
    """Why accounts are routed. ``leads``: what rules may ask of the lead (``kind``, ``source``), by account.

    ``fresh``: nobody comes before the rules but for whoever is ``kept`` for an account; whoever is ``excluded`` for it
    doesn't get it, and ``why`` stands first among the reasons.
    """

    leads: Mapping[UUID, Mapping[str, str]]
    fresh: bool = False
    kept: Mapping[UUID, routing.Prior] | None = None
    excluded: Mapping[UUID, frozenset[UUID]] | None = None
    why: Reason | None = None


@dataclass(frozen=True, slots=True)
class Candidates:
    """What ``routing.route_all`` asks for: the cases, the owners of their kin, and who is free."""

    cases: list[routing.Case]
    owners: dict[UUID, UUID]
    free: set[UUID]


def of(*, accounts: Sequence[Account], occasion: Occasion, at: datetime) -> Candidates:
    """The accounts in their order, in a fixed number of queries. They stand on one test clock, or on none."""
    facts = _facts(accounts, occasion.leads, at)
    kin, owners = ({}, {}) if occasion.fresh else _kin(accounts)
    last = {} if occasion.fresh else _last_owners(accounts, at)
    stay = staying({account.owner_id for account in accounts if account.owner_id})
    kept, excluded = occasion.kept or {}, occasion.excluded or {}
    cases = [
        routing.Case(
            account_id=account.pk,
            facts=facts[account.pk],
            owner_id=account.owner_id,
            owner_stays=account.owner_id in stay,
            kin=kin.get(account.pk, ()),
            last_owner_id=last.get(account.pk),
            fresh=occasion.fresh,
            kept=kept.get(account.pk),
            excluded=excluded.get(account.pk, frozenset()),
            why=occasion.why,
        )
        for account in accounts
    ]
    earlier = {*owners.values(), *last.values()}
    free = roster.available(user_ids=earlier, at=at) if earlier else set()
    return Candidates(cases, owners, free)


def _facts(
    accounts: Sequence[Account], leads: Mapping[UUID, Mapping[str, str]], at: datetime
) -> dict[UUID, dict[str, conditions.Fact]]:
    """What conditions may ask for, amounts in the vendor's currency; what is None or empty is unknown."""
    values = _values(accounts, at)
    worth = revenue.arr_of(account_ids=[account.pk for account in accounts], at=at)
    return {
        account.pk: {
            "employee_count": account.employee_count,
            "arr": found.amount if (found := worth.get(account.pk)) else None,
            "expected_value": values.get((account.pk, "expected_value")),
            "company_revenue": values.get((account.pk, "company_revenue")),
            "score": None if account.score is None else int(account.score),
            "industry": account.industry,
            "country": account.country,
            "segment": account.segment,
            "motion": account.motion,
            "engagement": account.engagement_policy,
            "dead_zone": account.dead_zone,
            "owner_role": account.owner_role,
            "needs": frozenset(account.needs),
            "target_list": account.target_list,
            "personal": account.personal,
            **leads.get(account.pk, {}),
        }
        for account in accounts
    }


def _values(accounts: Sequence[Account], at: datetime) -> dict[tuple[UUID, str], int]:
    """What was stated of accounts, by the rates of that day; without its rate an amount is unknown."""
    stated = [
        (account, name, value)
        for account in accounts
        for name in ("expected_value", "company_revenue")
        if (value := getattr(account, name)) is not None
    ]
    if not stated:
        return {}
    base = vendors.current().base_currency
    rates = revenue.rates_at(currencies={account.value_currency for account, *_said in stated}, at=at, base=base)
    return {
        (account.pk, name): round_half_up(revenue.converted(value, account.value_currency, base, rates))
        for account, name, value in stated
        if account.value_currency in rates
    }


# --- who comes before the rules ----------------------------------------------------------------
def _kin(accounts: Sequence[Account]) -> tuple[dict[UUID, Kin], dict[UUID, UUID]]:
    """The parent company, and the companies whose addresses an account's customers and contacts use; with the owners
    of all of these.
    """
    related = _same_domain(accounts)
    kin: dict[UUID, Kin] = {}
    for account in accounts:
        parent = [("parent_owner", account.parent_id)] if account.parent_id else []
        kin[account.pk] = (*parent, *(("same_domain_owner", key) for key in related.get(account.pk, ())))
    everyone = {key for found in kin.values() for _code, key in found}
    if not everyone:
        return kin, {}
    owned = Account.objects.filter(pk__in=everyone, owner__isnull=False).values_list("pk", "owner")
    return kin, {key: owner for key, owner in owned if owner}


def _same_domain(accounts: Sequence[Account]) -> dict[UUID, list[UUID]]:
    keys = [account.pk for account in accounts]
    addresses: list[tuple[UUID, str]] = [*Contact.objects.filter(account__in=keys).values_list("account", "email")]
    links = AccountCustomer.objects.filter(account__in=keys, valid_to=None)
    addresses += links.values_list("account", "customer__email")
    used: dict[str, set[UUID]] = defaultdict(set)
    for key, address in addresses:
        if domain := business_domain(address):
            used[domain].add(key)
    rows = AccountDomain.objects.filter(domain__in=used, test_clock=accounts[0].test_clock_id if accounts else None)
    related: dict[UUID, list[UUID]] = defaultdict(list)
    for domain, company in rows.order_by("pk").values_list("domain", "account"):
        for key in used[domain] - {company}:
            related[key].append(company)
    return related


def _last_owners(accounts: Sequence[Account], at: datetime) -> dict[UUID, UUID]:
    """Whose account it was last, within the memory of 120 days, and is not any more. From whom it was taken because
    they let it lie, or by a new routing, doesn't get it back by having had it.
    """
    taken = OwnerDecision.objects.filter(TAKEN_AWAY, account__in=[a.pk for a in accounts], valid_to=None)
    lost = set(taken.values_list("account", flat=True))
    present = {account.pk: account.owner_id for account in accounts if account.pk not in lost}
    past: Any = OwnerDecision.objects.filter(
        account__in=present, owner__isnull=False, valid_to__gte=at - MEMORY
    ).order_by("-valid_to", "-pk")
    last: dict[UUID, UUID] = {}
    for account_id, owner_id in past.values_list("account", "owner"):
        if owner_id != present[account_id]:
            last.setdefault(account_id, owner_id)
    return last


def awaiting_people(account_ids: Collection[UUID]) -> set[UUID]:
    """The accounts in a queue to which answers that didn't come, or a new routing, brought them: its team decides."""
    waiting = OwnerDecision.objects.filter(TAKEN_AWAY, account__in=account_ids, valid_to=None, queue__isnull=False)
    return set(waiting.values_list("account", flat=True))


def staying(user_ids: Collection[UUID]) -> set[UUID]:
    """Who of the present owners stays: active, and at the desk. A leave takes nothing away."""
    users = User.objects.filter(pk__in=user_ids) if user_ids else ()
    return {user.pk for user in users if user.sells or user.sees_all}
