"""Dunning policies: made and changed by founders, and which of them holds for a payer.

A case keeps the terms that it began with.
"""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from billing import dunning
from billing.dunning import Schedule
from billing.models import Customer, DunningPolicy, Subscription
from gtm.shared import db, outbox, saving
from gtm.shared.errors import Invalid

DEFAULT = "standard"
_TERMS = ("retry_days", "access_days", "final_action", "reminder_days", "terms_final_action", "notice_days")


@transaction.atomic
def create(*, at: datetime, code: str, name: str, is_default: bool = False, **terms: Any) -> DunningPolicy:
    """Raises Invalid with the field's name."""
    policy = DunningPolicy(code=code, name=name, **terms)
    _check(policy)
    saving.insert(policy)
    if is_default:
        _make_default(policy)
    outbox.publish("billing.dunning_policy.created", policy, at=at, data={"code": code, **_terms(policy)})
    return policy


@transaction.atomic
def change(*, policy: DunningPolicy, at: datetime, is_default: bool | None = None, **changes: Any) -> DunningPolicy:
    """Change what holds for cases that are opened from now on. Raises Invalid with the field's name."""
    policy = db.lock_one(policy)
    before = _terms(policy)
    for name, value in changes.items():
        setattr(policy, name, value)
    _check(policy)
    if policy.is_default and is_default is False:
        raise Invalid("One policy is the default: make another one that.", attr="is_default")
    policy.version += 1
    policy.save()
    if is_default and not policy.is_default:
        _make_default(policy)
    data = {"code": policy.code, **_terms(policy)}
    outbox.publish("billing.dunning_policy.changed", policy, at=at, data=data, previous=before)
    return policy


def default() -> DunningPolicy:
    """The policy of payers that no other is meant for; made on first use with what Tandem suggests."""
    found = DunningPolicy.objects.filter(is_default=True).first()
    if found is not None:
        return found
    with transaction.atomic():
        db.advisory_lock("default_dunning_policy")
        made, _is_new = DunningPolicy.objects.get_or_create(
            is_default=True, defaults={"code": DEFAULT, "name": "Standard"}
        )
        return made


def of_payers(payers: Iterable[Customer]) -> dict[UUID, DunningPolicy]:
    """By payer: its own (by its segment), else that of a plan it pays for, else the default. Three queries at most."""
    known = list(payers)
    policies = {policy.pk: policy for policy in DunningPolicy.objects.all()} or {default().pk: default()}
    by_code = {policy.code: policy for policy in policies.values()}
    standard = next((policy for policy in policies.values() if policy.is_default), None) or default()
    paid = Subscription.objects.live().filter(payer__in=known, plan_version__plan__dunning_policy__isnull=False)
    chosen = dict(paid.order_by("-pk").values_list("payer", "plan_version__plan__dunning_policy"))
    of_plan = {payer: policies[key] for payer, key in chosen.items()}
    return {one.pk: by_code.get(one.dunning_policy) or of_plan.get(one.pk, standard) for one in known}


def schedule_of(policy: DunningPolicy) -> Schedule:
    return dunning.schedule_of(_terms(policy))


def frozen(policy: DunningPolicy) -> dict[str, Any]:
    """Its terms as a case keeps them."""
    return asdict(schedule_of(policy))


def _terms(policy: DunningPolicy) -> dict[str, Any]:
    return {name: getattr(policy, name) for name in _TERMS}


def _check(policy: DunningPolicy) -> None:
    if not policy.name.strip():
        raise Invalid("A policy has a name.", attr="name")
    for field, problem in dunning.problems(schedule_of(policy)).items():
        raise Invalid(problem, attr=field)


def _make_default(policy: DunningPolicy) -> None:
    db.advisory_lock("default_dunning_policy")
    DunningPolicy.objects.filter(is_default=True).update(is_default=False)
    policy.is_default = True
    policy.save(update_fields=["is_default"])
