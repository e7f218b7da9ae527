"""Owner of an account: decided by ``crm.routing``, kept as dated rows, repeated on the account and its open work.

Lock order: pools first, then the account. Whoever changes an account and then assigns it in one transaction takes the
pools' locks before the account's, by ``lock_pools``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from crm import policies, routing
from crm.models import Account, AccountDomain, Alert, Lead, OwnerDecision, Pool, PoolMember, Rule, Ruleset
from crm.queries import revenue, roster
from crm.reasons import Reason
from gtm.shared import context, db, outbox
from gtm.shared.domains import business_domain
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import User, write

MEMORY = timedelta(days=120)


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a routing came to: the account as it is then, and why. ``changed``: the owner or queue is another one."""

    account: Account
    reasons: list[dict[str, Any]]
    ruleset: int
    changed: bool


# --- by the rules ------------------------------------------------------------------------------
@transaction.atomic
def assign(*, account: Account, at: datetime, trigger: str, lead: Mapping[str, str] | None = None) -> Assignment:
    """Route the account; publishes ``crm.account.owner_assigned`` (reason: ``trigger``) when owner or queue changed.

    An active owner stays. ``lead`` gives rules the ``kind`` and ``source`` of the lead that is the occasion.
    """
    ruleset = policies.current_ruleset(at=at)
    pools = lock_pools(at=at)
    account = db.lock_one(account)
    decision = routing.route(
        facts=_facts(account, at, lead or {}),
        priors=_priors(account, at),
        ruleset=roster.ruleset_terms(ruleset=ruleset, pools=pools, test_clock_id=account.test_clock_id, at=at),
    )
    if account.test_clock_id is None:
        _take_turn(pools, decision)
    reasons = [reason.as_json() for reason in decision.reasons]
    changed = _record(account, _Place(reasons, decision.owner_id, decision.queue_id, ruleset), at=at, trigger=trigger)
    return Assignment(account, reasons, ruleset.number or 0, changed)


def lock_pools(*, at: datetime) -> list[Pool]:
    """Lock the pools of the rule set that counts, in the order of their keys: turns are taken one after the other."""
    rules = Rule.objects.filter(ruleset=policies.current_ruleset(at=at), pool__isnull=False)
    return db.lock(Pool, rules.values_list("pool", flat=True))


def _facts(account: Account, at: datetime, lead: Mapping[str, str]) -> dict[str, Any]:
    """What conditions may ask for; what is None or empty is unknown."""
    worth = revenue.arr_of(account_ids=[account.pk], at=at).get(account.pk)
    return {
        "employee_count": account.employee_count,
        "arr": worth.amount if worth else None,
        "industry": account.industry,
        "country": account.country,
        "segment": account.segment,
        "motion": account.motion,
        "needs": frozenset(account.needs),
        "target_list": account.target_list,
        "personal": account.personal,
        **lead,
    }


def _priors(account: Account, at: datetime) -> list[routing.Prior]:
    """Who comes before the rules. The present owner stays while on leave; nobody gets a new account meanwhile."""
    earlier = [("same_domain_owner", _same_domain_owner(account)), ("last_owner", _last_owner(account, at))]
    known = [(code, user_id) for code, user_id in earlier if user_id]
    free = roster.available(user_ids={user_id for _code, user_id in known}, at=at) if known else set()
    priors = [routing.Prior(code, user_id, eligible=user_id in free) for code, user_id in known]
    if account.owner is not None:
        priors.insert(0, routing.Prior("existing_owner", account.owner.pk, eligible=may_own(account.owner)))
    return priors


def _same_domain_owner(account: Account) -> UUID | None:
    """Who owns the account of a company whose addresses this account's customers and contacts use."""
    addresses = {*account.contacts.values_list("email", flat=True)}
    addresses |= {*account.customer_links.filter(valid_to=None).values_list("customer__email", flat=True)}
    domains = {found for address in addresses if (found := business_domain(address))}
    related = AccountDomain.objects.filter(domain__in=domains, test_clock=account.test_clock_id)
    owned = related.exclude(account=account).filter(account__owner__isnull=False)
    return owned.order_by("pk").values_list("account__owner", flat=True).first()


def _last_owner(account: Account, at: datetime) -> UUID | None:
    """Whose account it was last, within the memory of 120 days, and is not any more."""
    past = OwnerDecision.objects.filter(account=account, owner__isnull=False, valid_to__gte=at - MEMORY)
    if account.owner_id:
        past = past.exclude(owner=account.owner_id)
    return past.order_by("-valid_to", "-pk").values_list("owner", flat=True).first()


def _take_turn(pools: list[Pool], decision: routing.Decision) -> None:
    """Move the pointer of the pool that served, under the lock that the caller holds."""
    pool = next((pool for pool in pools if pool.code == decision.pool_code), None)
    if pool is None or decision.turn is None:
        return
    Pool.objects.filter(pk=pool.pk).update(last_assigned_user=decision.turn.user_id)
    for user_id, weight in decision.turn.weights.items():
        PoolMember.objects.filter(pool=pool, user=user_id).exclude(current_weight=weight).update(current_weight=weight)


# --- by hand -----------------------------------------------------------------------------------
def may_own(user: User) -> bool:
    """Active, and at the desk: sells, or sees everything."""
    return user.sells or user.sees_all


def is_placed(account: Account) -> bool:
    """Whether somebody who may own it does, or a queue's team watches it."""
    return account.queue_id is not None if account.owner is None else may_own(account.owner)


@transaction.atomic
def give(*, account: Account, owner: User, at: datetime, reason: str = "") -> Account:
    """Make ``owner`` own the account by a person's decision; publishes ``crm.account.owner_assigned``.

    Raises Invalid (``owner``) for somebody who is inactive or works no accounts.
    """
    if not may_own(owner):
        raise Invalid("Accounts are owned by active sales people and founders.", attr="owner")
    return _give(db.lock_one(account), owner, at, reason or "by_hand")


@transaction.atomic
def take(*, account: Account, owner: User, at: datetime, reason: str = "") -> Account:
    """The same for an account that nobody owns. Raises Conflict when somebody was faster."""
    account = db.lock_one(account)
    if account.owner is not None and account.owner != owner:
        raise Conflict(f"{account.owner} owns this account already.", code="owned", attr="owner")
    return give(account=account, owner=owner, at=at, reason=reason)


def _give(account: Account, owner: User, at: datetime, reason: str) -> Account:
    why = Reason("by_hand", "owner", context.actor()).as_json()
    _record(account, _Place([why], owner_id=owner.pk), at=at, trigger=reason)
    return account


# --- the record --------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Place:
    """Where an account goes: to an owner or to a queue, by a rule set or by hand, and why."""

    reasons: list[dict[str, Any]]
    owner_id: UUID | None = None
    queue_id: UUID | None = None
    ruleset: Ruleset | None = None


def _record(account: Account, place: _Place, *, at: datetime, trigger: str) -> bool:
    """Close the open decision and open this one, unless it comes to the same; True when it does not."""
    if (account.owner_id, account.queue_id) == (place.owner_id, place.queue_id):
        return False
    current = OwnerDecision.objects.filter(account=account, valid_to=None).first()
    starts = max(at, current.valid_from) if current else at
    if current:
        OwnerDecision.objects.filter(pk=current.pk).update(valid_to=starts)
    OwnerDecision.objects.create(
        account=account,
        owner_id=place.owner_id,
        queue_id=place.queue_id,
        ruleset=place.ruleset,
        reasons=place.reasons,
        valid_from=starts,
    )
    previous = _names(account)
    write(account, owner_id=place.owner_id, queue_id=place.queue_id)
    bring_along(account)
    data = {**_names(account), "ruleset": place.ruleset.number if place.ruleset else None}
    outbox.publish(
        "crm.account.owner_assigned",
        account,
        at=at,
        account_id=account.pk,
        data=data,
        previous=previous,
        reason=trigger[:500],
    )
    return True


def bring_along(account: Account) -> None:
    """Open leads and alerts go with the account: one accountable owner."""
    place = {"owner": account.owner, "queue": account.queue, "version": F("version") + 1, "updated_at": Now()}
    account.leads.exclude(lifecycle__in=[Lead.Lifecycle.SAL, Lead.Lifecycle.REJECTED]).update(**place)
    account.alerts.exclude(state__in=[Alert.State.DONE, Alert.State.DISMISSED]).update(**place)


def _names(account: Account) -> dict[str, str | None]:
    """Owner and queue as facts name them."""
    owner, queue = account.owner, account.queue
    return {"owner": owner.public_id if owner else None, "queue": queue.code if queue else None}
