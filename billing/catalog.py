"""What is sold: plans and what they grant.

Prices, versions, meters and features have modules of their own, and are used through here.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from billing.meters import change_feature, change_meter, create_feature, create_meter
from billing.models import Entitlement, Feature, Plan, PlanVersion, TaxRate
from billing.plan_versions import draft_of, seal
from billing.prices import change_price, create_price, delete_price, why_frozen
from gtm.shared import countries, db, outbox, saving
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import write

__all__ = [
    "EntitlementTerms",
    "archive",
    "change_feature",
    "change_meter",
    "change_plan",
    "change_price",
    "change_tax_rate",
    "create_feature",
    "create_meter",
    "create_plan",
    "create_price",
    "create_tax_rate",
    "delete_price",
    "publish",
    "seal",
    "set_entitlements",
    "warnings",
    "why_frozen",
    "withdraw",
]

VERSION_FIELDS = ("trial_days", "trial_requires_payment_method", "trial_end")
_UNTOLD = frozenset({"name", "description", "metadata"})  # too long for a fact, which holds ids, codes and amounts


@dataclass(frozen=True, slots=True)
class EntitlementTerms:
    """What a plan grants of a feature. ``limit`` None is unlimited; ``hard`` refuses consumption beyond it."""

    feature: Feature
    granted: bool = True
    limit: Decimal | int | None = None
    hard: bool = False
    reset: str = Entitlement.Reset.BILLING_PERIOD


@transaction.atomic
def create_plan(
    *,
    at: datetime,
    code: str,
    name: str,
    entitlements: Sequence[EntitlementTerms] = (),
    published: bool = False,
    **fields: Any,
) -> Plan:
    """Make a plan with its version 1. Trial terms (``trial_days`` …) are the version's. Raises Invalid.

    Prices can only follow: a plan that is made as published is for sale from its first published price on.
    """
    terms = {field: fields.pop(field) for field in VERSION_FIELDS if field in fields}
    plan = Plan(code=code, name=name, published=published, **fields)
    _check_demo(plan)
    saving.insert(plan)
    version = PlanVersion(plan=plan, number=1, **terms)
    saving.insert(version)
    _write_entitlements(version, entitlements)
    data = {"code": code, "purchase_mode": plan.purchase_mode, "plan_version": version.public_id}
    outbox.publish("billing.plan.created", plan, at=at, data=data)
    if published:
        outbox.publish("billing.plan.published", plan, at=at, data={"code": code})
    return plan


@transaction.atomic
def change_plan(*, plan: Plan, at: datetime, **changes: Any) -> Plan:
    """Change the plan; ``published`` publishes or withdraws it.

    Trial terms and ``entitlements`` stand in its version: where that has been sold they make the next one. Raises
    Invalid, and Conflict for an archived plan.
    """
    assert "code" not in changes, "a plan keeps its code"
    plan = _locked(plan)
    publishes = changes.pop("published", None)
    terms = {field: changes.pop(field) for field in VERSION_FIELDS if field in changes}
    entitlements = changes.pop("entitlements", None)
    previous = _change_fields(plan, changes) | _change_terms(plan, terms)
    if previous:
        told = {name: getattr(value, "public_id", value) for name, value in previous.items() if name not in _UNTOLD}
        data = {"code": plan.code, "changed": sorted(previous), "plan_version": plan.current_version.public_id}
        outbox.publish("billing.plan.changed", plan, at=at, data=data, previous=told)
    if entitlements is not None:
        set_entitlements(plan=plan, entitlements=entitlements, at=at)
    if publishes is not None:
        (publish if publishes else withdraw)(plan=plan, at=at)
    plan.refresh_from_db()
    return plan


def _change_fields(plan: Plan, changes: dict[str, Any]) -> dict[str, Any]:
    wished = copy(plan)
    for name, value in changes.items():
        setattr(wished, name, value)
    _check_demo(wished)
    return saving.change(plan, **changes)


def _change_terms(plan: Plan, terms: dict[str, Any]) -> dict[str, Any]:
    current = plan.current_version
    previous = {name: getattr(current, name) for name, value in terms.items() if getattr(current, name) != value}
    if previous:
        version = draft_of(plan=plan)
        for name in previous:
            setattr(version, name, terms[name])
        saving.clean(version)
        version.save(update_fields=previous.keys())
        write(plan)
    return previous


@transaction.atomic
def set_entitlements(*, plan: Plan, entitlements: Sequence[EntitlementTerms], at: datetime) -> PlanVersion:
    """Replace what the plan grants, in its newest version, or where that has been sold in the next one.

    Raises Invalid.
    """
    plan = _locked(plan)
    current = plan.current_version
    if _terms_of(current) == {_key(terms) for terms in entitlements}:
        return current
    version = draft_of(plan=plan)
    version.entitlements.all().delete()
    _write_entitlements(version, entitlements)
    write(plan)
    data = {"code": plan.code, "changed": ["entitlements"], "plan_version": version.public_id}
    outbox.publish("billing.plan.changed", plan, at=at, data=data)
    return version


def _terms_of(version: PlanVersion) -> set[tuple[Any, ...]]:
    return set(version.entitlements.values_list("feature_id", "granted", "limit", "hard", "reset"))


def _key(terms: EntitlementTerms) -> tuple[Any, ...]:
    return (terms.feature.pk, terms.granted, terms.limit, terms.hard, terms.reset)


def _write_entitlements(version: PlanVersion, entitlements: Sequence[EntitlementTerms]) -> None:
    codes = [terms.feature.code for terms in entitlements]
    if twice := {code for code in codes if codes.count(code) > 1}:
        raise Invalid(f"{min(twice)} is listed twice.", attr="entitlements")
    rows = [_entitlement(version, terms) for terms in entitlements]
    Entitlement.objects.bulk_create(rows)


def _entitlement(version: PlanVersion, terms: EntitlementTerms) -> Entitlement:
    row = Entitlement(
        plan_version=version,
        feature=terms.feature,
        granted=terms.granted,
        limit=terms.limit,
        hard=terms.hard,
        reset=terms.reset,
    )
    saving.clean(row)
    feature = terms.feature
    if row.limit is not None and row.limit < 0:
        raise Invalid(f"{feature.code}: a limit is 0 or more.", attr="entitlements")
    if feature.type == Feature.Type.BOOLEAN and (row.limit is not None or row.hard):
        raise Invalid(f"{feature.code} is a switch: it has no limit.", attr="entitlements")
    if row.hard and (row.limit is None or feature.meter_id is None):
        raise Invalid(f"{feature.code}: only a limit on a meter can be hard.", attr="entitlements")
    return row


@transaction.atomic
def publish(*, plan: Plan, at: datetime) -> Plan:
    """Offer the plan for sale.

    Raises Conflict where it is archived, or has no published price and isn't sold by quote only.
    """
    plan = _locked(plan)
    if plan.published:
        return plan
    if not _can_be_sold(plan):
        detail = f"{plan} has no published price yet. Add one, or sell it by quote only."
        raise Conflict(detail, code="plan_has_no_price", attr="published")
    saving.change(plan, published=True)
    outbox.publish("billing.plan.published", plan, at=at, data={"code": plan.code})
    return plan


@transaction.atomic
def withdraw(*, plan: Plan, at: datetime) -> Plan:
    """Stop offering the plan; it can be published again, and whoever bought keeps it."""
    plan = _locked(plan)
    if saving.change(plan, published=False):
        data = {"code": plan.code, "changed": ["published"]}
        outbox.publish("billing.plan.changed", plan, at=at, data=data, previous={"published": True})
    return plan


@transaction.atomic
def archive(*, plan: Plan, at: datetime) -> Plan:
    """Take the plan out of the catalogue for good; whoever bought keeps it."""
    plan = db.lock_one(plan)
    if plan.archived_at is None:
        saving.change(plan, published=False, archived_at=at)
        outbox.publish("billing.plan.archived", plan, at=at, data={"code": plan.code})
    return plan


def warnings(*, plan: Plan) -> list[str]:
    """What a founder should know before the plan goes on sale as it is."""
    found = []
    if plan.purchase_mode == Plan.PurchaseMode.SALES_ASSISTED and plan.demo_policy == Plan.DemoPolicy.REQUIRED:
        found.append("A required demo takes the buy button away: customers who would buy at once must wait for sales.")
    if plan.published and not _can_be_sold(plan):
        found.append("The plan is published but has no published price: nobody can buy it.")
    return found


def _can_be_sold(plan: Plan) -> bool:
    base = plan.current_version.prices.filter(published=True, add_on=False)
    return plan.purchase_mode == Plan.PurchaseMode.QUOTE_ONLY or base.exists()


def _locked(plan: Plan) -> Plan:
    plan = db.lock_one(plan)
    if plan.archived_at is not None:
        raise Conflict(f"{plan} is archived.", code="plan_archived")
    return plan


def _check_demo(plan: Plan) -> None:
    if plan.purchase_mode == Plan.PurchaseMode.SELF_SERVE and plan.demo_policy == Plan.DemoPolicy.REQUIRED:
        detail = "A self-serve plan is bought without talking to anybody: its demo can be optional, not required."
        raise Invalid(detail, code="demo_required", attr="demo_policy")


@transaction.atomic
def create_tax_rate(*, at: datetime, code: str, name: str, percentage: Decimal, country: str, **fields: Any) -> TaxRate:
    """A rate for a place and a class of goods from ``valid_from`` on. Raises Invalid."""
    rate = TaxRate(code=code, name=name, percentage=percentage, country=country.upper(), **fields)
    _check_tax_rate(rate)
    saving.insert(rate)
    data = {"code": code, "percentage": str(rate.percentage), "country": rate.country}
    outbox.publish("billing.tax_rate.created", rate, at=at, data=data)
    return rate


@transaction.atomic
def change_tax_rate(*, rate: TaxRate, at: datetime, **changes: Any) -> TaxRate:
    """Rename a rate or end it (``valid_to``); another percentage is another rate. Raises Invalid."""
    assert changes.keys() <= {"name", "valid_to", "metadata", "external_id"}, (
        "a rate that taxed something stays as it was"
    )
    rate = db.lock_one(rate)
    wished = copy(rate)
    for name, value in changes.items():
        setattr(wished, name, value)
    _check_tax_rate(wished)
    previous = saving.change(rate, **changes)
    if previous:
        outbox.publish("billing.tax_rate.changed", rate, at=at, data={"code": rate.code, "changed": sorted(previous)})
    return rate


def _check_tax_rate(rate: TaxRate) -> None:
    saving.clean(rate)
    if not countries.is_country(rate.country):
        raise Invalid(f"{rate.country!r} is not a country code of ISO 3166.", attr="country")
    if not 0 <= rate.percentage <= 100:
        raise Invalid("A percentage is 0 to 100.", attr="percentage")
    if rate.valid_to is not None and rate.valid_to <= rate.valid_from:
        raise Invalid("A rate ends after its first day.", attr="valid_to")
