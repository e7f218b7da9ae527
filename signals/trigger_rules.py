"""Trigger rules: what to notice, in published versions that are never changed; the newest of them counts."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from gtm.shared import db, outbox, saving
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import write
from signals.models import TriggerRule, TriggerRuleVersion

TERMS = frozenset({"threshold", "severity", "play"})
CHANGEABLE = frozenset({"name", "active", "external_id", "metadata"})
SEVERITIES = ("low", "medium", "high", "critical")
USAGE_OVER_80: dict[str, Any] = {
    "code": "usage_over_80",
    "name": "Usage above 80 % of the limit",
    "threshold": Decimal("0.8"),
    "severity": "high",
    "play": "Offer an upgrade before they hit the limit",
}


# --- what counts now ---------------------------------------------------------------------------
def in_force() -> list[TriggerRuleVersion]:
    """The newest published version of each active rule, with its rule: one query."""
    published = TriggerRuleVersion.objects.filter(rule__active=True, published_at__isnull=False)
    return list(published.order_by("rule_id", "-number").distinct("rule_id").select_related("rule"))


def install_defaults(*, at: datetime) -> None:
    """The rule "usage above 80 % of the limit", published, where it has never been. Safe to repeat.

    Who doesn't want it switches it off.
    """
    installed = TriggerRule.objects.filter(code=USAGE_OVER_80["code"])
    if installed.exists():
        return
    with transaction.atomic():
        db.advisory_lock("signals.install")
        if not installed.all().exists():
            publish(rule=create(at=at, **USAGE_OVER_80), at=at)


# --- changing them -----------------------------------------------------------------------------
@transaction.atomic
def create(
    *,
    at: datetime,
    code: str,
    name: str,
    threshold: Decimal,
    kind: str = TriggerRule.Kind.USAGE_RATIO,
    severity: str = "high",
    play: str = "",
    **fields: Any,
) -> TriggerRule:
    """A rule with the draft of its first version; ``threshold`` is a share of the limit (0.8), passed strictly.

    It notices nothing before it is published. Publishes ``signals.rule.created``. Raises Invalid for terms that make no
    sense and for a code that is taken.
    """
    terms = {"threshold": threshold, "severity": severity, "play": play}
    _check(terms)
    rule = TriggerRule(code=code, name=name, kind=kind, **fields)
    saving.insert(rule)
    TriggerRuleVersion.objects.create(rule=rule, number=1, **terms)
    outbox.publish("signals.rule.created", rule, at=at, data={"code": code, "kind": kind, **_told(terms)})
    return rule


@transaction.atomic
def change(*, rule: TriggerRule, at: datetime, **changes: Any) -> TriggerRule:
    """Set what is given. Other terms make a draft, the next version, which does not count before it is published.

    Publishes ``signals.rule.changed`` with the previous values, if anything differs.
    """
    rule = db.lock_one(rule)
    terms = _draft(rule, {name: value for name, value in changes.items() if name in TERMS})
    fields = saving.change(rule, **{name: value for name, value in changes.items() if name in CHANGEABLE})
    if terms and not fields:
        write(rule)
    previous = terms | fields
    if previous:
        data = {name: changes[name] for name in previous}
        outbox.publish("signals.rule.changed", rule, at=at, data=_told(data), previous=_told(previous))
    return rule


@transaction.atomic
def publish(*, rule: TriggerRule, at: datetime) -> TriggerRule:
    """Let the draft count from now on; publishes ``signals.rule.published``. Raises Conflict where there is none."""
    rule = db.lock_one(rule)
    draft = newest(rule)
    if draft.published_at is not None:
        raise Conflict(f"Version {draft.number} is published already; change the rule first.", code="no_draft")
    draft.published_at = at
    draft.save(update_fields=["published_at"])
    write(rule)
    outbox.publish("signals.rule.published", rule, at=at, data={"code": rule.code, "number": draft.number})
    return rule


def newest(rule: TriggerRule) -> TriggerRuleVersion:
    """The version that is being written, or the one that counts where there is no draft."""
    return rule.versions.latest("number")


def _draft(rule: TriggerRule, terms: dict[str, Any]) -> dict[str, Any]:
    """Write the terms that differ into the draft, made where there is none; returns the previous ones."""
    _check(terms)
    version = newest(rule)
    previous = {name: getattr(version, name) for name in terms if getattr(version, name) != terms[name]}
    if not previous:
        return {}
    for name in previous:
        setattr(version, name, terms[name])
    if version.published_at is None:
        version.save(update_fields=list(previous))
        return previous
    values = {name: getattr(version, name) for name in TERMS}
    TriggerRuleVersion.objects.create(rule=rule, number=version.number + 1, **values)
    return previous


def _check(terms: dict[str, Any]) -> None:
    threshold = terms.get("threshold")
    if threshold is not None and not 0 < threshold < 10_000:
        raise Invalid("A threshold is a share of the limit above 0, such as 0.8 for 80 %.", attr="threshold")
    if threshold is not None and threshold != round(threshold, 4):
        raise Invalid("At most four decimal places.", attr="threshold")
    if terms.get("severity", "high") not in SEVERITIES:
        raise Invalid(f"One of {', '.join(SEVERITIES)}.", attr="severity")
    if len(terms.get("play", "")) > 500:
        raise Invalid("At most 500 characters.", attr="play")


def _told(values: dict[str, Any]) -> dict[str, Any]:
    """As a fact keeps them."""
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in values.items()}
