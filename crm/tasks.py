"""Background work of crm. Every task may run twice or be killed at any line."""

from typing import Any

from celery import shared_task

from crm import accounts, alerts
from crm.models import Account
from gtm.shared import db, pulse


@shared_task
def wake_snoozed_alerts(**kwargs: Any) -> None:
    """Bring back the alerts whose snooze has ended."""
    with pulse.job("wake snoozed alerts"):
        at = db.now()
        while alerts.wake(at=at):
            pass


@shared_task
def review_accounts(**kwargs: Any) -> None:
    """Decide every account anew, under the policy and the rule set that count now; owners who can stay do."""
    with pulse.job("review accounts"):
        for account in Account.objects.filter(test_clock=None).order_by("pk").iterator(chunk_size=500):
            accounts.redecide(account=account, at=db.now())
