"""Versions of a plan: the newest may change until somebody buys it, and is then kept as it was bought."""

from datetime import datetime

from django.db import transaction

from billing.models import Entitlement, Plan, PlanVersion, PlanVersionPrice
from gtm.shared import db, outbox
from gtm.shared.models import write

_ENTITLEMENT = ("feature_id", "granted", "limit", "hard", "reset")


def draft_of(*, plan: Plan) -> PlanVersion:
    """The version that may still change: the newest, or where that is sealed the next one, made with all that it holds.

    The caller holds the plan's lock: a version is sealed under it too.
    """
    newest = plan.current_version
    return newest if newest.sealed_at is None else _next_after(newest)


def _next_after(newest: PlanVersion) -> PlanVersion:
    made = PlanVersion.objects.create(
        plan=newest.plan,
        number=newest.number + 1,
        trial_days=newest.trial_days,
        trial_requires_payment_method=newest.trial_requires_payment_method,
        trial_end=newest.trial_end,
    )
    price_ids = newest.price_rows.order_by("pk").values_list("price_id", flat=True)
    PlanVersionPrice.objects.bulk_create(PlanVersionPrice(plan_version=made, price_id=pk) for pk in price_ids)
    kept = newest.entitlements.order_by("pk").values(*_ENTITLEMENT)
    Entitlement.objects.bulk_create(Entitlement(plan_version=made, **row) for row in kept)
    write(newest.plan)
    return made


@transaction.atomic
def seal(*, plan_version: PlanVersion, at: datetime) -> PlanVersion:
    """Freeze the version, at its first checkout, quote or subscription; sealed already, it stays as it is.

    Read prices and entitlements from what is returned: until then they could change.
    """
    if plan_version.sealed_at is not None:
        return plan_version
    plan = db.lock_one(plan_version.plan)
    version = PlanVersion.objects.select_related("plan").get(pk=plan_version.pk)
    if version.sealed_at is None:
        version.sealed_at = at
        version.save(update_fields=["sealed_at"])
        data = {"code": plan.code, "plan_version": version.public_id, "sealed": True}
        outbox.publish("billing.plan.changed", plan, at=at, data=data)
    return version
