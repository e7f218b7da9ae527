"""Owner of accounts: decided by ``crm.routing``, kept as dated rows, repeated on the account and its open work.

One account or a batch of them takes the same few queries. Lock order: pools first, then the accounts by their keys.
Whoever changes an account and then assigns it in one transaction takes the pools' locks before the account's, by
``lock_pools``.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, OuterRef, Subquery
from django.db.models.functions import Now

from crm import policies, routing
from crm.models import Account, Alert, Lead, OwnerDecision, Pool, PoolMember, Queue, Rule, Ruleset, SlaClock
from crm.queries import candidates, roster
from crm.queries.candidates import MEMORY, Occasion, awaiting_people, staying
from crm.reasons import Reason
from gtm.shared import bulk, context, db, outbox
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event, User

__all__ = [
    "MEMORY",
    "Assignment",
    "Occasion",
    "Place",
    "assign",
    "assign_many",
    "awaiting_people",
    "bring_along",
    "decide",
    "give",
    "give_many",
    "is_placed",
    "lock_pools",
    "may_own",
    "place_many",
    "place_of",
    "staying",
    "take",
    "terms_of",
]


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a routing came to: the account as it is then, and why. ``changed``: the owner or queue is another one."""

    account: Account
    reasons: list[dict[str, Any]]
    ruleset: int
    changed: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where an account goes: to an owner or to a queue, by a rule set or by hand, and why. ``note``: in whose words."""

    owner_id: UUID | None = None
    queue_id: UUID | None = None
    reasons: list[dict[str, Any]] = field(default_factory=list)
    ruleset: Ruleset | None = None
    note: str = ""


# --- by the rules ------------------------------------------------------------------------------
@transaction.atomic
def assign(*, account: Account, at: datetime, trigger: str, lead: Mapping[str, str] | None = None) -> Assignment:
    """Route the account; publishes ``crm.account.owner_assigned`` (reason: ``trigger``) when owner or queue changed.

    An active owner stays. ``lead`` gives rules the ``kind`` and ``source`` of the lead that is the occasion.
    """
    occasion = Occasion({account.pk: lead or {}})
    [assignment] = assign_many(account_ids=[account.pk], at=at, trigger=trigger, occasion=occasion)
    return assignment


@transaction.atomic
def assign_many(
    *, account_ids: Collection[UUID], at: datetime, trigger: str, occasion: Occasion | None = None
) -> list[Assignment]:
    """Route many accounts, each with the pools as those before have left them: turns are spread as if they had come
    one after the other. They take their turns in the order in which they are given.
    """
    ruleset, occasion = policies.current_ruleset(at=at), occasion or Occasion({})
    pools = lock_pools(at=at)
    locked = {account.pk: account for account in db.lock(Account, account_ids)}
    ordered = [locked[key] for key in dict.fromkeys(account_ids) if key in locked]
    found: list[Assignment] = []
    for _clock, some in groupby(sorted(ordered, key=_clock_of), key=_clock_of):
        accounts = list(some)
        terms = terms_of(ruleset=ruleset, at=at, test_clock_id=accounts[0].test_clock_id, pools=pools)
        decisions, _after = decide(accounts=accounts, terms=terms, occasion=occasion, at=at)
        places = [place_of(decision, ruleset) for decision in decisions]
        changed = place_many(accounts=accounts, places=places, at=at, trigger=trigger)
        if accounts[0].test_clock_id is None:
            _take_turns(pools, [d for d, is_new in zip(decisions, changed, strict=True) if is_new])
        found += [
            Assignment(account, place.reasons, ruleset.number or 0, is_new)
            for account, place, is_new in zip(accounts, places, changed, strict=True)
        ]
    return found


def _clock_of(account: Account) -> str:
    return str(account.test_clock_id or "")


def lock_pools(*, at: datetime) -> list[Pool]:
    """Lock the pools of the rule set that counts, in the order of their keys: turns are taken one after the other."""
    return db.lock(Pool, _pool_keys(policies.current_ruleset(at=at)))


def _pool_keys(ruleset: Ruleset) -> Collection[UUID]:
    rules = Rule.objects.filter(ruleset=ruleset, pool__isnull=False)
    return [key for key in rules.values_list("pool", flat=True) if key]


def terms_of(
    *, ruleset: Ruleset, at: datetime, test_clock_id: UUID | None = None, pools: Sequence[Pool] | None = None
) -> routing.Ruleset:
    """A rule set with everybody's standing. Whoever is to move pointers hands over the ``pools`` that are locked."""
    if pools is None:
        pools = list(Pool.objects.filter(pk__in=_pool_keys(ruleset)).order_by("pk"))
    return roster.ruleset_terms(ruleset=ruleset, pools=pools, test_clock_id=test_clock_id, at=at)


def decide(
    *, accounts: Sequence[Account], terms: routing.Ruleset, at: datetime, occasion: Occasion
) -> tuple[list[routing.Decision], routing.Ruleset]:
    """What rules say of accounts of one clock, in this order, and how that leaves the pools. Writes nothing."""
    found = candidates.of(accounts=accounts, occasion=occasion, at=at)
    return routing.route_all(found.cases, ruleset=terms, owners=found.owners, free=found.free)


def place_of(decision: routing.Decision, ruleset: Ruleset) -> Place:
    """Where a decision puts an account."""
    reasons = [reason.as_json() for reason in decision.reasons]
    return Place(decision.owner_id, decision.queue_id, reasons, ruleset)


def _take_turns(pools: Sequence[Pool], decisions: Sequence[routing.Decision]) -> None:
    """Move the pointers of the pools that served, under the locks that the caller holds."""
    by_code = {pool.code: pool for pool in pools}
    last = {d.pool_code: d.turn for d in decisions if d.turn is not None and d.pool_code in by_code}
    weights: dict[UUID, Mapping[UUID, int]] = {}
    for code, turn in last.items():
        pool = by_code[code]
        pool.last_assigned_user_id, weights[pool.pk] = turn.user_id, turn.weights
    if not weights:
        return
    bulk.update(Pool, [by_code[code] for code in last], ("last_assigned_user",))
    members = [m for m in PoolMember.objects.filter(pool__in=weights) if m.user_id in weights[m.pool_id]]
    moved = [m for m in members if m.current_weight != weights[m.pool_id][m.user_id]]
    for member in moved:
        member.current_weight = weights[member.pool_id][member.user_id]
    bulk.update(PoolMember, moved, ("current_weight",))


# --- by hand -----------------------------------------------------------------------------------
def may_own(user: User) -> bool:
    """Active, and at the desk: sells, or sees everything."""
    return user.sells or user.sees_all


def is_placed(account: Account) -> bool:
    """Whether somebody who may own it does, or a queue's team watches it."""
    return account.queue_id is not None if account.owner is None else may_own(account.owner)


@transaction.atomic
def give(*, account: Account, owner: User, at: datetime, reason: str = "", trigger: str = "by_hand") -> Account:
    """Make ``owner`` own the account by a person's decision; publishes ``crm.account.owner_assigned``.

    Raises Invalid (``owner``) for somebody who is inactive or works no accounts, and (``reason``) where the account
    lies in a dead zone and nobody says why it is to have an owner.
    """
    [account] = give_many(account_ids=[account.pk], owner=owner, at=at, reason=reason, trigger=trigger)
    return account


@transaction.atomic
def give_many(
    *, account_ids: Collection[UUID], owner: User, at: datetime, reason: str = "", trigger: str = "by_hand"
) -> list[Account]:
    """The same for many accounts at once. Either all go to ``owner`` or none.

    ``reason``: in a person's words, kept with the decision; ``trigger``: a code, which the facts have.
    """
    if not may_own(owner):
        raise Invalid("Accounts are owned by active sales people and founders.", attr="owner")
    accounts = db.lock(Account, account_ids)
    for account in accounts:
        _check_dead_zone(account, owner, reason)
    why = Reason("by_hand", "owner", context.actor()).as_json()
    places = [Place(owner.pk, None, [why], note=reason.strip()[:500]) for _account in accounts]
    place_many(accounts=accounts, places=places, at=at, trigger=trigger)
    return accounts


def _check_dead_zone(account: Account, owner: User, reason: str) -> None:
    if account.dead_zone and account.owner_id != owner.pk and not reason.strip():
        raise Invalid(
            f"{account} lies in a dead zone, where a sale costs more than it brings: say why it is to have an owner.",
            code="required",
            attr="reason",
        )


@transaction.atomic
def take(*, account: Account, owner: User, at: datetime, reason: str = "") -> Account:
    """The same for an account that nobody owns. Raises Conflict when somebody was faster."""
    account = db.lock_one(account)
    if account.owner is not None and account.owner != owner:
        raise Conflict(f"{account.owner} owns this account already.", code="owned", attr="owner")
    return give(account=account, owner=owner, at=at, reason=reason)


# --- the record --------------------------------------------------------------------------------
def place_many(*, accounts: Sequence[Account], places: Sequence[Place], at: datetime, trigger: str) -> list[bool]:
    """Put accounts, whose locks the caller holds, where they go: whether each went to another place.

    Closes the open decision and opens this one; open leads and alerts go along. Publishes
    ``crm.account.owner_assigned`` of each that changed, with ``trigger`` as its reason.
    """
    pairs = list(zip(accounts, places, strict=True))
    is_new = [(a.owner_id, a.queue_id) != (place.owner_id, place.queue_id) for a, place in pairs]
    moves = [pair for pair, new in zip(pairs, is_new, strict=True) if new]
    if moves:
        previous = [(account.owner_id, account.queue_id) for account, _place in moves]
        _write(moves, at)
        _link(accounts)
        codes = dict(Queue.objects.values_list("pk", "code"))
        outbox.publish_many(
            _fact(account, place, codes, before, at=at, trigger=trigger)
            for (account, place), before in zip(moves, previous, strict=True)
        )
    return is_new


def _write(moves: Sequence[tuple[Account, Place]], at: datetime) -> None:
    keys = [account.pk for account, _place in moves]
    current = {row.account_id: row for row in OwnerDecision.objects.filter(account__in=keys, valid_to=None)}
    for row in current.values():
        row.valid_to = max(at, row.valid_from)
    bulk.update(OwnerDecision, list(current.values()), ("valid_to",))
    bulk.insert(OwnerDecision, [_row(account, place, current.get(account.pk), at) for account, place in moves])
    for account, place in moves:
        account.owner_id, account.queue_id = place.owner_id, place.queue_id
        account.touch()
    bulk.update(Account, [account for account, _place in moves], ("owner", "queue", "version", "updated_at"))
    bring_along(keys)


def _row(account: Account, place: Place, current: OwnerDecision | None, at: datetime) -> OwnerDecision:
    return bulk.new(
        OwnerDecision,
        account=account,
        owner_id=place.owner_id,
        queue_id=place.queue_id,
        ruleset=place.ruleset,
        reasons=place.reasons,
        note=place.note,
        valid_from=current.valid_to if current else at,
    )


def bring_along(account_ids: Collection[UUID]) -> None:
    """Open leads and alerts go with their accounts, and the clocks of what nobody answered: one accountable owner."""
    of_account = Account.objects.filter(pk=OuterRef("account_id"))
    place: dict[str, Any] = {name: Subquery(of_account.values(name)) for name in ("owner", "queue")}
    place |= {"version": F("version") + 1, "updated_at": Now()}
    leads = Lead.objects.filter(account__in=account_ids)
    leads.exclude(lifecycle__in=[Lead.Lifecycle.SAL, Lead.Lifecycle.REJECTED]).update(**place)
    alerts = Alert.objects.filter(account__in=account_ids)
    alerts.exclude(state__in=[Alert.State.DONE, Alert.State.DISMISSED]).update(**place)
    waiting = SlaClock.objects.filter(state__in=[SlaClock.State.PENDING, SlaClock.State.BREACHED], answered_at=None)
    for subject, model in (("lead", Lead), ("alert", Alert)):
        its: Any = model._default_manager.filter(pk=OuterRef(f"{subject}_id"))
        waiting.filter(**{f"{subject}__account__in": account_ids}).update(
            owner=Subquery(its.values("owner")), queue=Subquery(its.values("queue"))
        )


def _link(accounts: Sequence[Account]) -> None:
    """Read owners and queues along, for whoever shows the accounts."""
    users = User.objects.in_bulk({a.owner_id for a in accounts if a.owner_id})
    queues = Queue.objects.in_bulk({a.queue_id for a in accounts if a.queue_id})
    bulk.link(accounts, "owner", users)
    bulk.link(accounts, "queue", queues)


def _fact(
    account: Account,
    place: Place,
    codes: Mapping[UUID, str],
    before: tuple[UUID | None, UUID | None],
    *,
    at: datetime,
    trigger: str,
) -> Event:
    data = {**_names(place.owner_id, place.queue_id, codes), "ruleset": place.ruleset and place.ruleset.number}
    return outbox.fact(
        "crm.account.owner_assigned",
        account,
        at=at,
        account_id=account.pk,
        data=data,
        previous=_names(*before, codes),
        reason=trigger[:500],
    )


def _names(owner_id: UUID | None, queue_id: UUID | None, codes: Mapping[UUID, str]) -> dict[str, str | None]:
    """Owner and queue as facts name them."""
    owner = User(pk=owner_id).public_id if owner_id else None
    return {"owner": owner, "queue": codes[queue_id] if queue_id else None}
