"""Background work of crm. Every task may run twice or be killed at any line."""

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

import structlog
from celery import shared_task

from crm import (
    accounts,
    alerts,
    arrears,
    bulk_edits,
    hand_overs,
    imports,
    notifications,
    overrides,
    policy_runs,
    renewals,
    routing_runs,
    sla,
    stragglers,
    suggestions,
    todos,
)
from crm.models import BulkJob, HandOver, ImportJob
from gtm.shared import db, pulse

log = structlog.get_logger(__name__)


@shared_task
def wake_snoozed_alerts(**kwargs: Any) -> None:
    """Bring back the alerts whose snooze has ended."""
    with pulse.job("wake snoozed alerts"):
        at = db.now()
        while alerts.wake(at=at):
            pass


@shared_task
def remind_of_tasks(**kwargs: Any) -> None:
    """Tell people of tasks whose time to be reminded has come."""
    with pulse.job("remind of tasks"):
        at = db.now()
        while todos.remind(at=at):
            pass


@shared_task
def prepare_renewals(**kwargs: Any) -> None:
    """Give owners the tasks of yearly terms that end in 90, 60 or 30 days."""
    with pulse.job("prepare renewals"):
        renewals.prepare(at=db.now())


@shared_task
def send_digests(**kwargs: Any) -> None:
    """Write the morning's mail to who asked for it, and forget what was read long ago."""
    with pulse.job("send digests"):
        at = db.now()
        notifications.send_digests(at=at)
        notifications.sweep(at=at)


@shared_task
def write_down_policies(**kwargs: Any) -> None:
    """Bring onto customers the dunning policies that the segments name now."""
    with pulse.job("write down dunning policies"):
        arrears.write_down_policies(at=db.now())


@shared_task
def review_accounts(**kwargs: Any) -> None:
    """Decide every account anew, under the policy and the rule set that count now; owners who can stay do."""
    with pulse.job("review accounts"):
        accounts.review_all(at=db.now())


@shared_task
def forget_runs(**kwargs: Any) -> None:
    """Throw away the rows of looks at policies and rules that nobody looks at any more."""
    with pulse.job("forget policy and routing runs"):
        policy_runs.forget(at=db.now())
        routing_runs.forget(at=db.now())


@shared_task
def end_overrides(**kwargs: Any) -> None:
    """Let the motions set by hand end whose time is over."""
    with pulse.job("end overrides of motions"):
        at = db.now()
        while overrides.end_due(at=at):
            pass


@shared_task
def run_answer_clocks(**kwargs: Any) -> None:
    """Remind of leads and alerts that wait for an answer, tell managers, and give leads to others."""
    with pulse.job("run the clocks of answers"):
        sla.run_due(at=db.now())


@shared_task
def work_off_runs(**kwargs: Any) -> None:
    """Who would move under a policy or rules, and the moves themselves: the runs that people asked for."""
    with pulse.job("work off policy and routing runs"):
        policy_runs.work_off()
        routing_runs.work_off()


@shared_task
def work_on_bulk_edits(**kwargs: Any) -> None:
    """Go on with the bulk edits that were started, or whose worker was killed."""
    with pulse.job("work on bulk edits"):
        jobs = BulkJob.objects.select_related("user")
        waiting = BulkJob.objects.filter(state__in=BulkJob.WORKING).order_by("pk").values_list("pk", flat=True)
        _each(waiting, lambda key: bulk_edits.work(job=jobs.get(pk=key)))


@shared_task
def work_hand_overs(**kwargs: Any) -> None:
    """Go on with the hand-overs that are under way, batch by batch."""
    with pulse.job("work hand-overs"):
        waiting = HandOver.objects.filter(state__in=HandOver.WORKING).order_by("created_at")
        _each(waiting.values_list("pk", flat=True), _hand_over)


def _hand_over(key: UUID) -> None:
    hand_over = HandOver.objects.get(pk=key)
    while hand_overs.work(hand_over=hand_over, at=db.now()):
        pass


@shared_task
def work_on_imports(**kwargs: Any) -> None:
    """Go on with the imports, and undoings of imports, that were started, or whose worker was killed."""
    with pulse.job("work on imports"):
        jobs = ImportJob.objects.select_related("user").defer("content")  # of one file at a time
        waiting = ImportJob.objects.filter(state__in=ImportJob.WORKING).order_by("pk").values_list("pk", flat=True)
        _each(waiting, lambda key: imports.work(job=jobs.get(pk=key)))


def _each(keys: Iterable[UUID], work: Callable[[UUID], object]) -> None:
    """One after the other; one that fails keeps no other waiting. Raises the last failure at the end."""
    failure: Exception | None = None
    for key in list(keys):
        try:
            work(key)
        except Exception as error:  # whatever is wrong with one, the others are somebody else's
            log.exception("job_failed", job=str(key))
            failure = error
    if failure is not None:
        raise failure


@shared_task
def suggest_consolidations(**kwargs: Any) -> None:
    """Look over all accounts for those that may be one company, and bring after a merge what was just being written."""
    with pulse.job("suggest consolidations"):
        stragglers.gather()
        while suggestions.look(at=db.now()) == suggestions.AT_A_TIME:
            pass
