"""Segment policies and rule sets: drafts, and published versions that never change, the newest of which counts.

Who goes back to an earlier version publishes its terms again, as the next one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Max

from crm import conditions, lead_terms, motion, policy_terms, presets
from crm.models import Pool, Queue, Rule, Ruleset, SegmentPolicy, Team
from gtm.shared import db, outbox, saving
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import User

SALES_TEAM, SALES_POOL, INBOUND_QUEUE = "sales", "sales", "inbound"
TIDIED = ("segments", "employee_bounds", "value_bounds", "sales_led_needs", "dead_zones")
INSTALLED_SEGMENTS = (presets.SMB, presets.MID_MARKET, presets.ENTERPRISE)
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
    owner_role: str = ""


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
        segments=tuple(
            motion.Segment(s["code"], s["motion"], s["engagement"], s.get("owner_role") or "") for s in policy.segments
        ),
        employee_bounds=tuple(policy.employee_bounds),
        value_bounds=tuple(policy.value_bounds),
        basis=policy.basis,
        combine=policy.combine,
        sales_led_needs=frozenset(policy.sales_led_needs),
        dead_zones=tuple(_zone(zone) for zone in policy.dead_zones),
        margin_percent=policy.margin_percent,
        margin_days=policy.margin_days,
    )


def _zone(zone: Mapping[str, Any]) -> motion.DeadZone:
    names = ("code", "lower", "upper", "basis", "currency", "motion")
    return motion.DeadZone(**{name: zone[name] for name in names})


# --- segment policies --------------------------------------------------------------------------
@transaction.atomic
def draft_policy(*, at: datetime, name: str, segments: Sequence[Mapping[str, Any]], **terms: Any) -> SegmentPolicy:
    """Write the draft of a version; publishes ``crm.policy.drafted``. ``terms`` are the policy's other columns.

    Bounds are where the segments after the first start. Raises Invalid where segments, bounds and dead zones do not
    fit together.
    """
    policy = SegmentPolicy(name=name, segments=list(segments), **terms)
    _check_and_tidy(policy)
    policy.save(force_insert=True)
    outbox.publish("crm.policy.drafted", policy, at=at)
    return policy


@transaction.atomic
def change_policy(*, policy: SegmentPolicy, at: datetime, **terms: Any) -> SegmentPolicy:
    """Change a draft; publishes ``crm.policy.changed``. Raises Conflict (``published``) for what is none any more."""
    policy = _locked_draft(policy)
    for name, value in terms.items():
        setattr(policy, name, value)
    _check_and_tidy(policy)
    policy.save(update_fields={*terms, *TIDIED})
    outbox.publish("crm.policy.changed", policy, at=at, data={"changed": sorted(terms)})
    return policy


@transaction.atomic
def discard_policy(*, policy: SegmentPolicy, at: datetime) -> None:
    """Throw a draft away, with the runs that showed what it would do; publishes ``crm.policy.discarded``."""
    policy = _locked_draft(policy)
    outbox.publish("crm.policy.discarded", policy, at=at)
    policy.delete()


@transaction.atomic
def publish(*, policy: SegmentPolicy, at: datetime) -> SegmentPolicy:
    """Make a draft the version that counts; publishes ``crm.policy.published``. Raises Conflict for no draft.

    ``policy_runs.apply`` publishes, too, and decides all accounts anew at once.
    """
    db.advisory_lock("crm.policy")
    policy = _locked_draft(policy)
    policy.number, policy.published_at = _next_number(SegmentPolicy), at
    policy.save(update_fields=["number", "published_at"])
    data = {"number": policy.number, "restores": policy.restores.number if policy.restores else None}
    outbox.publish("crm.policy.published", policy, at=at, data=data)
    return policy


@transaction.atomic
def publish_policy(*, at: datetime, name: str, segments: Sequence[Mapping[str, Any]], **terms: Any) -> SegmentPolicy:
    """Draft and publish in one step. Raises as ``draft_policy`` does."""
    return publish(policy=draft_policy(at=at, name=name, segments=segments, **terms), at=at)


@transaction.atomic
def restored(*, policy: SegmentPolicy, at: datetime) -> SegmentPolicy:
    """A draft with the terms of an earlier version. Raises Conflict for a draft, and for the version that counts."""
    if policy.number is None or policy == _newest_policy():
        raise Conflict("Go back to a version that has been replaced.", code="not_replaced")
    names = [field.name for field in SegmentPolicy._meta.concrete_fields if field.editable]
    terms = {name: getattr(policy, name) for name in names if name != "published_at"}
    return draft_policy(at=at, restores=policy, **terms)


def _locked_draft(policy: SegmentPolicy) -> SegmentPolicy:
    policy = db.lock_one(policy)
    if policy.number is not None:
        raise Conflict("This version is published and never changes: make the next one.", code="published")
    return policy


def _check_and_tidy(policy: SegmentPolicy) -> None:
    tidy(policy)
    saving.clean(policy, only={"name", "currency", "basis", "combine", "freeze", "margin_percent", "margin_days"})
    policy_terms.check(policy)


def tidy(policy: SegmentPolicy) -> None:
    """Bring the terms into the form in which they are kept."""
    policy.segments = list(map(dict, policy.segments))
    policy.employee_bounds, policy.value_bounds = list(policy.employee_bounds), list(policy.value_bounds)
    policy.sales_led_needs = sorted(policy.sales_led_needs)
    policy.dead_zones = [policy_terms.tidy_zone(zone, policy.basis, policy.currency) for zone in policy.dead_zones]


# --- rule sets ---------------------------------------------------------------------------------
@transaction.atomic
def draft_ruleset(*, at: datetime, name: str, rules: Sequence[RuleTerms], restores: Ruleset | None = None) -> Ruleset:
    """Write the draft of a rule set; publishes ``crm.ruleset.drafted``.

    Raises Invalid for a condition or a target that can't be used, Conflict (``no_catch_all``) while no queue is the
    catch-all: what no rule takes must land somewhere.
    """
    _check_rules(rules)
    ruleset = Ruleset.objects.create(name=name, restores=restores)
    _write_rules(ruleset, rules)
    outbox.publish("crm.ruleset.drafted", ruleset, at=at, data={"rules": len(rules)})
    return ruleset


@transaction.atomic
def change_ruleset(*, ruleset: Ruleset, at: datetime, name: str, rules: Sequence[RuleTerms]) -> Ruleset:
    """Replace what a draft says; publishes ``crm.ruleset.changed``. Raises as ``draft_ruleset`` does, and Conflict
    (``published``).
    """
    _check_rules(rules)
    ruleset = _locked_ruleset(ruleset)
    ruleset.name = name
    ruleset.save(update_fields=["name"])
    ruleset.rules.all().delete()
    _write_rules(ruleset, rules)
    outbox.publish("crm.ruleset.changed", ruleset, at=at, data={"rules": len(rules)})
    return ruleset


@transaction.atomic
def discard_ruleset(*, ruleset: Ruleset, at: datetime) -> None:
    """Throw a draft away; publishes ``crm.ruleset.discarded``."""
    ruleset = _locked_ruleset(ruleset)
    outbox.publish("crm.ruleset.discarded", ruleset, at=at)
    ruleset.delete()


@transaction.atomic
def publish_rules(*, ruleset: Ruleset, at: datetime) -> Ruleset:
    """Make a draft the rule set that counts; publishes ``crm.ruleset.published``. Raises Conflict for no draft."""
    db.advisory_lock("crm.policy")
    ruleset = _locked_ruleset(ruleset)
    _check_rules(rules_of(ruleset))  # a pool or a person may have gone since
    ruleset.number, ruleset.published_at = _next_number(Ruleset), at
    ruleset.save(update_fields=["number", "published_at"])
    data = {"number": ruleset.number, "rules": ruleset.rules.count()}
    outbox.publish("crm.ruleset.published", ruleset, at=at, data=data)
    return ruleset


@transaction.atomic
def publish_ruleset(*, at: datetime, name: str, rules: Sequence[RuleTerms]) -> Ruleset:
    """Draft and publish in one step. Raises as ``draft_ruleset`` does."""
    return publish_rules(ruleset=draft_ruleset(at=at, name=name, rules=rules), at=at)


@transaction.atomic
def roll_back_ruleset(*, ruleset: Ruleset, at: datetime) -> Ruleset:
    """Publish the rules of an earlier version again, as the next one. Raises Conflict where it was not replaced."""
    if ruleset.number is None or ruleset == _newest_ruleset():
        raise Conflict("Go back to a version that has been replaced.", code="not_replaced")
    draft = draft_ruleset(at=at, name=ruleset.name, rules=rules_of(ruleset), restores=ruleset)
    return publish_rules(ruleset=draft, at=at)


def rules_of(ruleset: Ruleset) -> list[RuleTerms]:
    """The rules in their order, as they are given."""
    names = ("name", "condition", "strategy", "pool", "user", "queue", "owner_role")
    rows = ruleset.rules.select_related("pool", "user", "queue").order_by("position")
    return [RuleTerms(**{name: getattr(row, name) for name in names}) for row in rows]


def _locked_ruleset(ruleset: Ruleset) -> Ruleset:
    ruleset = db.lock_one(ruleset)
    if ruleset.number is not None:
        raise Conflict("This version is published and never changes: make the next one.", code="published")
    return ruleset


def _check_rules(rules: Sequence[RuleTerms]) -> None:
    for rule in rules:
        conditions.validate(rule.condition)
        _check_target(rule)
    if not Queue.objects.filter(is_catch_all=True).exists():
        raise Conflict("Make one queue the catch-all first: it takes what no rule takes.", code="no_catch_all")


def _check_target(rule: RuleTerms) -> None:
    targets: dict[str, object] = {"named": rule.user, "queue": rule.queue}
    if targets.get(rule.strategy, rule.pool) is None or rule.strategy not in Rule.Strategy.values:
        raise Invalid(f'The rule "{rule.name}" lacks what its strategy assigns to.', attr="rules")
    if rule.owner_role not in Rule.OwnerRole.values:
        raise Invalid(f'The rule "{rule.name}" asks for a role that there is not.', attr="rules")


def _write_rules(ruleset: Ruleset, rules: Sequence[RuleTerms]) -> None:
    Rule.objects.bulk_create(_rule(ruleset, position, rule) for position, rule in enumerate(rules))


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
        owner_role=rule.owner_role,
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
    if _newest_policy() is None:
        publish_policy(
            at=at,
            name="10K / 50K ARR, 100 / 1000 employees",
            segments=INSTALLED_SEGMENTS,
            employee_bounds=(100, 1000),
            value_bounds=(1_000_000, 5_000_000),
            sales_led_needs=presets.SALES_LED_NEEDS,
        )
    if _newest_ruleset() is None:
        rule = RuleTerms("Over 100 employees or stated needs", OVER_100_OR_NEEDS, Rule.Strategy.ROUND_ROBIN, pool=pool)
        publish_ruleset(at=at, name="Company size over 100, or stated needs", rules=[rule])


def _install_people() -> Pool:
    team, _made = Team.objects.get_or_create(code=SALES_TEAM, defaults={"name": "Sales"})
    if not Queue.objects.filter(is_catch_all=True).exists():
        inbound = {"name": "Inbound", "team": team, "is_catch_all": True}
        Queue.objects.update_or_create(code=INBOUND_QUEUE, defaults={"is_catch_all": True}, create_defaults=inbound)
    pool, _made = Pool.objects.get_or_create(code=SALES_POOL, defaults={"name": "Sales"})
    return pool
