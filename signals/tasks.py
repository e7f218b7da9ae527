"""Background work of signals. Every task may run twice or be killed at any line."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from celery import shared_task
from django.db.models import Exists, OuterRef

from billing.models import Grant, UsageRollup
from gtm.shared import db, pulse
from signals import detection

log = structlog.get_logger(__name__)
LATELY = timedelta(hours=1)
BATCH = 200


@shared_task
def evaluate_recent_usage(**kwargs: Any) -> None:
    """The safety net under the facts: look again at all customers that used something in the last hour."""
    with pulse.job("evaluate recent usage"):
        at = db.now()
        recent = _recent(at)
        batches = [recent[start : start + BATCH] for start in range(0, len(recent), BATCH)]
        failures = [failure for batch in batches for failure in _evaluate(batch, at)]
        if failures:
            raise ExceptionGroup(f"{len(failures)} customers could not be evaluated", failures)


def _recent(at: datetime) -> list[UUID]:
    """Off the clocks, whoever has a limit and has lately used something that counts towards it."""
    since = at - LATELY - timedelta(hours=1)  # a roll-up is known by the beginning of its hour
    of_the_meter = {"customer_id": OuterRef("customer_id"), "meter_id": OuterRef("feature__meter_id")}
    limits = Grant.objects.filter(limit__isnull=False, customer__test_clock=None)
    used = limits.filter(Exists(UsageRollup.objects.filter(hour__gt=since, **of_the_meter)))
    return list(used.order_by("customer_id").values_list("customer_id", flat=True).distinct())


def _evaluate(customer_ids: list[UUID], at: datetime) -> list[Exception]:
    """A batch at a time; where one customer's alert fails, the others are looked at one by one."""
    try:
        detection.evaluate(customer_ids=customer_ids, at=at)
    except Exception as error:  # whatever is wrong with one customer, the others get their alerts
        log.exception("evaluation_failed", customers=len(customer_ids))
        if len(customer_ids) == 1:
            return [error]
        return [failure for customer_id in customer_ids for failure in _evaluate([customer_id], at)]
    return []
