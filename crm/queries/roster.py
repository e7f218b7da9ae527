"""The rules as the pure routing takes them: with who is there, who is away, and who has had their share."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, Q

from crm import routing
from crm.models import Lead, Leave, OwnerDecision, Pool, PoolMember, Queue, Rule, Ruleset
from gtm.shared.models import SALES_ROLES, User

CAPACITY_WINDOW = timedelta(days=30)
RECENT = timedelta(hours=24)
CLOSED = (Lead.Lifecycle.SAL, Lead.Lifecycle.REJECTED)


def available(*, user_ids: Collection[UUID], at: datetime) -> set[UUID]:
    """Those who may get new work: active, in a sales role, and not on leave at that instant."""
    return set(_roles(user_ids, at))


def _roles(user_ids: Collection[UUID], at: datetime) -> dict[UUID, frozenset[str]]:
    """The roles of those who may get new work."""
    away = Leave.objects.filter(user__in=user_ids, starts_at__lte=at, ends_at__gt=at)
    selling = User.objects.filter(pk__in=user_ids, is_active=True, roles__overlap=list(SALES_ROLES))
    rows = selling.exclude(pk__in=away.values("user")).values_list("pk", "roles")
    return {key: frozenset(roles) for key, roles in rows}


def ruleset_terms(
    *, ruleset: Ruleset, pools: Sequence[Pool], test_clock_id: UUID | None, at: datetime
) -> routing.Ruleset:
    """The rule set with everybody's standing, in a fixed number of queries. ``pools`` are its own, read under lock."""
    rules = list(Rule.objects.filter(ruleset=ruleset).order_by("position"))
    members = list(PoolMember.objects.filter(pool__in=pools))
    named = {rule.user_id for rule in rules if rule.user_id}
    free = _roles({m.user_id for m in members} | named, at)
    taken = _taken([m.user_id for m in members if m.capacity is not None], test_clock_id, at)
    loads = _loads(rules, members, test_clock_id, at)
    standing = [(m.pool_id, _member(m, free, taken, loads)) for m in members]
    turns = {
        pool.pk: routing.Pool(pool.code, tuple(m for key, m in standing if key == pool.pk), pool.last_assigned_user_id)
        for pool in pools
    }
    if test_clock_id is not None:
        turns = {key: _on_clock(pool, test_clock_id) for key, pool in turns.items()}
    return routing.Ruleset(
        version=ruleset.number or 0,
        rules=tuple(_rule(rule, turns, free) for rule in rules),
        catch_all_id=Queue.objects.values_list("pk", flat=True).get(is_catch_all=True),
    )


def _rule(rule: Rule, pools: dict[UUID, routing.Pool], free: Mapping[UUID, frozenset[str]]) -> routing.Rule:
    named = None
    if rule.user_id:
        named = routing.Member(rule.user_id, available=rule.user_id in free, roles=free.get(rule.user_id, frozenset()))
    return routing.Rule(
        name=rule.name,
        condition=rule.condition,
        strategy=rule.strategy,
        pool=pools.get(rule.pool_id) if rule.pool_id else None,
        named=named,
        queue_id=rule.queue_id,
        owner_role=rule.owner_role,
    )


def _member(
    row: PoolMember,
    free: Mapping[UUID, frozenset[str]],
    taken: Mapping[UUID, int],
    loads: Mapping[UUID, tuple[int, int]],
) -> routing.Member:
    open_count, recent_count = loads.get(row.user_id, (0, 0))
    return routing.Member(
        user_id=row.user_id,
        available=row.user_id in free,
        position=row.position,
        weight=row.weight,
        current_weight=row.current_weight,
        capacity_left=None if row.capacity is None else row.capacity - taken[row.user_id],
        capacity=row.capacity,
        open_count=open_count,
        recent_count=recent_count,
        roles=free.get(row.user_id, frozenset()),
        countries=frozenset(row.countries),
    )


def _taken(user_ids: Collection[UUID], test_clock_id: UUID | None, at: datetime) -> dict[UUID, int]:
    """How many accounts each was given in the rolling window, on the same clock."""
    counts: dict[UUID, int] = defaultdict(int)
    if user_ids:
        counts.update(_given(user_ids, test_clock_id, at - CAPACITY_WINDOW))
    return counts


def _given(user_ids: Collection[UUID], test_clock_id: UUID | None, since: datetime) -> dict[UUID, int]:
    given = OwnerDecision.objects.filter(owner__in=user_ids, valid_from__gt=since, account__test_clock=test_clock_id)
    counted = given.values("owner").annotate(count=Count("pk")).values_list("owner", "count")
    return {owner: count for owner, count in counted if owner}


def _loads(
    rules: Sequence[Rule], members: Sequence[PoolMember], test_clock_id: UUID | None, at: datetime
) -> dict[UUID, tuple[int, int]]:
    """Open leads, and accounts of the last day, of the reps in pools where that counts."""
    asked = {rule.pool_id for rule in rules if rule.strategy == routing.LEAST_LOADED}
    users = {m.user_id for m in members if m.pool_id in asked}
    if not users:
        return {}
    waiting = Lead.objects.filter(owner__in=users, test_clock=test_clock_id).exclude(lifecycle__in=CLOSED)
    open_counts = dict(waiting.values("owner").annotate(count=Count("pk")).values_list("owner", "count"))
    recent = _given(users, test_clock_id, at - RECENT)
    return {user_id: (open_counts.get(user_id, 0), recent.get(user_id, 0)) for user_id in users}


def _on_clock(pool: routing.Pool, test_clock_id: UUID) -> routing.Pool:
    """The pool as a test clock has used it: a clock is sealed, so its turns are not those of the pool's own pointer."""
    took_turns = Q()
    for code in routing.TURNS:
        took_turns |= Q(reasons__contains=[{"code": code, "value": pool.code}])
    picks = OwnerDecision.objects.filter(took_turns, account__test_clock=test_clock_id)
    turns: Any = picks.order_by("valid_from", "pk").values_list("owner", flat=True)
    return routing.after_turns(pool, [user_id for user_id in turns if user_id])
