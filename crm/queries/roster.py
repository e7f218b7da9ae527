"""The rules as the pure routing takes them: with who is there, who is away, and who has had their share."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Count

from crm import routing
from crm.models import Leave, OwnerDecision, Pool, PoolMember, Queue, Rule, Ruleset
from gtm.shared.models import SALES_ROLES, User

CAPACITY_WINDOW = timedelta(days=30)


def available(*, user_ids: Collection[UUID], at: datetime) -> set[UUID]:
    """Those who may get new work: active, in a sales role, and not on leave at that instant."""
    away = Leave.objects.filter(user__in=user_ids, starts_at__lte=at, ends_at__gt=at)
    selling = User.objects.filter(pk__in=user_ids, is_active=True, roles__overlap=list(SALES_ROLES))
    return set(selling.exclude(pk__in=away.values("user")).values_list("pk", flat=True))


def ruleset_terms(
    *, ruleset: Ruleset, pools: Sequence[Pool], test_clock_id: UUID | None, at: datetime
) -> routing.Ruleset:
    """The rule set with everybody's standing, in a fixed number of queries. ``pools`` are its own, read under lock."""
    rules = list(Rule.objects.filter(ruleset=ruleset).order_by("position"))
    members = list(PoolMember.objects.filter(pool__in=pools))
    named = {rule.user_id for rule in rules if rule.user_id}
    free = available(user_ids={m.user_id for m in members} | named, at=at)
    taken = _taken([m.user_id for m in members if m.capacity is not None], test_clock_id, at)
    turns = {pool.pk: _pool(pool, [m for m in members if m.pool_id == pool.pk], free, taken) for pool in pools}
    if test_clock_id is not None:
        turns = {key: _on_clock(pool, test_clock_id) for key, pool in turns.items()}
    return routing.Ruleset(
        version=ruleset.number or 0,
        rules=tuple(_rule(rule, turns, free) for rule in rules),
        catch_all_id=Queue.objects.values_list("pk", flat=True).get(is_catch_all=True),
    )


def _rule(rule: Rule, pools: dict[UUID, routing.Pool], free: set[UUID]) -> routing.Rule:
    return routing.Rule(
        name=rule.name,
        condition=rule.condition,
        strategy=rule.strategy,
        pool=pools.get(rule.pool_id) if rule.pool_id else None,
        named=routing.Member(rule.user_id, available=rule.user_id in free) if rule.user_id else None,
        queue_id=rule.queue_id,
    )


def _pool(pool: Pool, members: list[PoolMember], free: set[UUID], taken: dict[UUID, int]) -> routing.Pool:
    standing = tuple(
        routing.Member(
            user_id=m.user_id,
            available=m.user_id in free,
            position=m.position,
            weight=m.weight,
            current_weight=m.current_weight,
            capacity_left=None if m.capacity is None else m.capacity - taken[m.user_id],
        )
        for m in members
    )
    return routing.Pool(pool.code, standing, pool.last_assigned_user_id)


def _taken(user_ids: Collection[UUID], test_clock_id: UUID | None, at: datetime) -> dict[UUID, int]:
    """How many accounts each was given in the rolling window, on the same clock."""
    counts: dict[UUID, int] = defaultdict(int)
    if user_ids:
        given = OwnerDecision.objects.filter(
            owner__in=user_ids, valid_from__gt=at - CAPACITY_WINDOW, account__test_clock=test_clock_id
        )
        counts.update(given.values("owner").annotate(count=Count("pk")).values_list("owner", "count"))
    return counts


def _on_clock(pool: routing.Pool, test_clock_id: UUID) -> routing.Pool:
    """The pool as a test clock has used it: a clock is sealed, so its turns are not those of the pool's own pointer."""
    reason = [{"code": routing.ROUND_ROBIN, "value": pool.code}]
    picks = OwnerDecision.objects.filter(account__test_clock=test_clock_id, reasons__contains=reason)
    turns = picks.order_by("valid_from", "pk").values_list("owner", flat=True)
    return routing.after_turns(pool, [user_id for user_id in turns if user_id])
