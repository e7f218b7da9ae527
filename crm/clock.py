"""What becomes due in crm as a test clock is advanced, and what goes with it."""

from datetime import datetime

from crm import alerts
from crm.models import (
    Account,
    AccountCustomer,
    AccountDomain,
    Alert,
    Call,
    Contact,
    EmailMessage,
    Lead,
    MailTemplate,
    Note,
    Notification,
    Opportunity,
    Task,
)
from gtm.shared.models import TestClock

WORK = (Notification, EmailMessage, Note, Call, Task, MailTemplate)


def next_due(*, clock: TestClock) -> datetime | None:
    """When the next snooze on the clock ends; None when nothing is due."""
    snoozed = Alert.objects.filter(test_clock=clock, state=Alert.State.SNOOZED)
    return snoozed.order_by("snoozed_until").values_list("snoozed_until", flat=True).first()


def run_due(*, clock: TestClock, at: datetime) -> None:
    """Do what is due on the clock by ``at``."""
    while alerts.wake(at=at, test_clock_id=clock.pk):
        pass


def delete_all(*, clock: TestClock) -> None:
    """Delete what stands on the clock; call it before billing deletes the customers."""
    for model in (*WORK, Alert, Opportunity, Lead, Contact, AccountCustomer, AccountDomain, Account):
        on_clock = {"account__test_clock": clock} if model is AccountCustomer else {"test_clock": clock}
        model._base_manager.filter(**on_clock).delete()
