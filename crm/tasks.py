"""Background work of crm. Every task may run twice or be killed at any line."""

from typing import Any

import structlog
from celery import shared_task

from crm import accounts, alerts, arrears, bulk_edits, hand_overs, imports
from crm.models import Account, BulkJob, HandOver, ImportJob
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
def write_down_policies(**kwargs: Any) -> None:
    """Bring onto customers the dunning policies that the segments name now."""
    with pulse.job("write down dunning policies"):
        arrears.write_down_policies(at=db.now())


@shared_task
def review_accounts(**kwargs: Any) -> None:
    """Decide every account anew, under the policy and the rule set that count now; owners who can stay do."""
    with pulse.job("review accounts"):
        of_all = Account.objects.filter(test_clock=None).order_by("pk").iterator(chunk_size=500)
        failures = [failure for account in of_all if (failure := _review(account)) is not None]
        if failures:
            raise ExceptionGroup(f"{len(failures)} accounts could not be reviewed", failures)


def _review(account: Account) -> Exception | None:
    try:
        accounts.redecide(account=account, at=db.now())
    except Exception as error:  # whatever is wrong with one account, the others are reviewed
        log.exception("account_not_reviewed", account=account.public_id)
        return error
    return None


@shared_task
def work_on_bulk_edits(**kwargs: Any) -> None:
    """Go on with the bulk edits that were started, or whose worker was killed."""
    with pulse.job("work on bulk edits"):
        for job in BulkJob.objects.filter(state__in=BulkJob.WORKING).select_related("user").order_by("pk"):
            bulk_edits.work(job=job)


@shared_task
def work_hand_overs(**kwargs: Any) -> None:
    """Go on with the hand-overs that are under way, batch by batch."""
    with pulse.job("work hand-overs"):
        for hand_over in HandOver.objects.filter(state__in=HandOver.WORKING).order_by("created_at"):
            while hand_overs.work(hand_over=hand_over, at=db.now()):
                pass


@shared_task
def work_on_imports(**kwargs: Any) -> None:
    """Go on with the imports, and undoings of imports, that were started, or whose worker was killed."""
    with pulse.job("work on imports"):
        for job in ImportJob.objects.filter(state__in=ImportJob.WORKING).select_related("user").order_by("pk"):
            imports.work(job=job)
