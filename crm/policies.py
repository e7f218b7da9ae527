"""Published segment policies and rule sets: versions that are never changed, the newest of which counts."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Max

from billing.models import DunningPolicy
from crm import conditions, lead_terms, motion
from crm.models import Motion, Pool, Queue, Rule, Ruleset, SegmentPolicy, Team
from gtm.shared import db, outbox
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import User

SALES_LED_NEEDS = ("msa", "sso", "security_review", "po", "custom_dpa", "sla", "on_premises")
SALES_TEAM, SALES_POOL, INBOUND_QUEUE = "sales", "sales", "inbound"
INSTALLED_SEGMENTS = (
    {
        "code": "smb",
        "label": "SMB",
        "motion": "self_serve",
        "engagement": "none",
        "collection_methods": ["charge_automatically"],
        "net_terms_days": None,
        "dunning_policy": "",
    },
    {
        "code": "mid_market",
        "label": "Mid-market",
        "motion": "sales_assisted",
        "engagement": "on_trigger",
        "collection_methods": ["charge_automatically", "send_invoice"],
        "net_terms_days": 30,
        "dunning_policy": "",
    },
    {
        "code": "enterprise",
        "label": "Enterprise",
        "motion": "sales_led",
        "engagement": "day_one",
        "collection_methods": ["send_invoice", "charge_automatically"],
        "net_terms_days": 30,
        "dunning_policy": "",
    },
)
OVER_100_OR_NEEDS = {
    "any": [
        {"field": "employee_count", "op": "gt", "value": 100},
        {"field": "needs", "op": "exists", "value": True},
    ]
}


@dataclass(frozen=True, slots=True)
class RuleTerms:
    """One rule of a rule set: the strategy's target is one of ``pool``, ``user`` and ``queue``."""

    name: str
    condition: Mapping[str, Any]
    strategy: str
    pool: Pool | None = None
    user: User | None = None
    queue: Queue | None = None


# --- what counts now ---------------------------------------------------------------------------
def current_policy(*, at: datetime) -> SegmentPolicy:
    """The newest published segment policy; the installed one is published where there is none yet."""
    return _newest_policy() or (install_defaults(at=at) or SegmentPolicy.objects.get(number=1))


def current_ruleset(*, at: datetime) -> Ruleset:
    """The newest published rule set; the installed one is published where there is none yet."""
    return _newest_ruleset() or (install_defaults(at=at) or Ruleset.objects.get(number=1))


def _newest_policy() -> SegmentPolicy | None:
    return SegmentPolicy.objects.filter(published_at__isnull=False).order_by("-number").first()


def _newest_ruleset() -> Ruleset | None:
    return Ruleset.objects.filter(published_at__isnull=False).order_by("-number").first()


def dunning_policy_of(policy: SegmentPolicy, segment: str) -> str:
    """The code of the dunning policy that a segment names; empty where the plan's or the default one holds."""
    named = {one["code"]: one.get("dunning_policy") for one in policy.segments}
    return named.get(segment) or ""


def terms(policy: SegmentPolicy) -> motion.Policy:
    """The policy as the pure decision takes it."""
    return motion.Policy(
        version=policy.number or 0,
        segments=tuple(motion.Segment(s["code"], s["motion"], s["engagement"]) for s in policy.segments),
        employee_bounds=tuple(policy.employee_bounds),
        value_bounds=tuple(policy.value_bounds),
        basis=policy.basis,
        combine=policy.combine,
        sales_led_needs=frozenset(policy.sales_led_needs),
    )


# --- publishing --------------------------------------------------------------------------------
@transaction.atomic
def publish_policy(
    *,
    at: datetime,
    name: str,
    segments: Sequence[Mapping[str, Any]],
    employee_bounds: Sequence[int] = (),
    value_bounds: Sequence[int] = (),
    basis: str = "arr",
    currency: str = "USD",
    combine: str = SegmentPolicy.Combine.MAX,
    sales_led_needs: Collection[str] = (),
) -> SegmentPolicy:
    """Publish the next version; publishes ``crm.policy.published``. Bounds are where the segments after the first
    start.

    Raises Invalid where segments and bounds do not fit together. Accounts are decided again by
    ``crm.tasks.review_accounts``.
    """
    _check_segments(segments)
    for attr, bounds in (("employee_bounds", employee_bounds), ("value_bounds", value_bounds)):
        _check_bounds(attr, bounds, len(segments))
    db.advisory_lock("crm.policy")
    policy = SegmentPolicy.objects.create(
        number=_next_number(SegmentPolicy),
        name=name,
        segments=list(map(dict, segments)),
        employee_bounds=list(employee_bounds),
        value_bounds=list(value_bounds),
        basis=basis,
        currency=currency,
        combine=combine,
        sales_led_needs=sorted(sales_led_needs),
        published_at=at,
    )
    outbox.publish("crm.policy.published", policy, at=at, data={"number": policy.number})
    return policy


def _check_segments(segments: Sequence[Mapping[str, Any]]) -> None:
    codes = [segment.get("code") for segment in segments]
    if not segments or len(set(codes)) < len(codes):
        raise Invalid("A policy has at least one segment, and each has a code of its own.", attr="segments")
    for segment in segments:
        engagements = motion.USUAL_ENGAGEMENT.values()
        if segment.get("motion") not in Motion.values or segment.get("engagement") not in engagements:
            raise Invalid(f"Segment {segment.get('code')} has an unknown motion or engagement.", attr="segments")
    named = {str(segment["dunning_policy"]) for segment in segments if segment.get("dunning_policy")}
    known = DunningPolicy.objects.filter(code__in=named).values_list("code", flat=True)
    if unknown := sorted(named - set(known)):
        raise Invalid(f"There is no dunning policy {unknown[0]!r}.", attr="segments")


def _check_bounds(attr: str, bounds: Sequence[int], segments: int) -> None:
    if bounds and (len(bounds) != segments - 1 or sorted(set(bounds)) != list(bounds) or bounds[0] <= 0):
        raise Invalid(f"Give {segments - 1} rising positive bounds, one for each segment after the first.", attr=attr)


@transaction.atomic
def publish_ruleset(*, at: datetime, name: str, rules: Sequence[RuleTerms]) -> Ruleset:
    """Publish the next version; publishes ``crm.ruleset.published``.

    Raises Invalid for a condition or a target that can't be used, Conflict (``no_catch_all``) while no queue is the
    catch-all: what no rule takes must land somewhere.
    """
    for rule in rules:
        conditions.validate(rule.condition)
        _check_target(rule)
    if not Queue.objects.filter(is_catch_all=True).exists():
        raise Conflict("Make one queue the catch-all first: it takes what no rule takes.", code="no_catch_all")
    db.advisory_lock("crm.policy")
    ruleset = Ruleset.objects.create(number=_next_number(Ruleset), name=name, published_at=at)
    Rule.objects.bulk_create(_rule(ruleset, position, rule) for position, rule in enumerate(rules))
    outbox.publish("crm.ruleset.published", ruleset, at=at, data={"number": ruleset.number, "rules": len(rules)})
    return ruleset


def _check_target(rule: RuleTerms) -> None:
    targets: dict[str, object] = {"named": rule.user, "round_robin": rule.pool, "queue": rule.queue}
    if targets.get(rule.strategy) is None:
        raise Invalid(f'The rule "{rule.name}" lacks what its strategy assigns to.', attr="rules")


def _rule(ruleset: Ruleset, position: int, rule: RuleTerms) -> Rule:
    return Rule(
        ruleset=ruleset,
        position=position,
        name=rule.name,
        condition=dict(rule.condition),
        strategy=rule.strategy,
        pool=rule.pool,
        user=rule.user,
        queue=rule.queue,
    )


def _next_number(model: type[SegmentPolicy] | type[Ruleset]) -> int:
    highest = model.objects.aggregate(highest=Max("number"))["highest"]
    return int(highest or 0) + 1


# --- what is installed -------------------------------------------------------------------------
@transaction.atomic
def install_defaults(*, at: datetime) -> None:
    """Team, queue and pool of sales, and the first policy and rule set, where they are missing. Safe to repeat."""
    db.advisory_lock("crm.install")
    lead_terms.install_reasons()
    pool = _install_people()
    if not SegmentPolicy.objects.exists():
        publish_policy(
            at=at,
            name="10K / 50K ARR, 100 / 1000 employees",
            segments=INSTALLED_SEGMENTS,
            employee_bounds=(100, 1000),
            value_bounds=(1_000_000, 5_000_000),
            sales_led_needs=SALES_LED_NEEDS,
        )
    if not Ruleset.objects.exists():
        rule = RuleTerms("Over 100 employees or stated needs", OVER_100_OR_NEEDS, Rule.Strategy.ROUND_ROBIN, pool=pool)
        publish_ruleset(at=at, name="Company size over 100, or stated needs", rules=[rule])


def _install_people() -> Pool:
    team, _made = Team.objects.get_or_create(code=SALES_TEAM, defaults={"name": "Sales"})
    if not Queue.objects.filter(is_catch_all=True).exists():
        inbound = {"name": "Inbound", "team": team, "is_catch_all": True}
        Queue.objects.update_or_create(code=INBOUND_QUEUE, defaults={"is_catch_all": True}, create_defaults=inbound)
    pool, _made = Pool.objects.get_or_create(code=SALES_POOL, defaults={"name": "Sales"})
    return pool
