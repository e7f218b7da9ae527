"""What becomes due in crm as a test clock is advanced, and what goes with it."""

from datetime import datetime

from crm import alerts, overrides, renewals, sla, todos
from crm.models import (
    Account,
    AccountCustomer,
    AccountDomain,
    Alert,
    BulkRow,
    Call,
    Contact,
    EmailMessage,
    Lead,
    MailTemplate,
    Note,
    Notification,
    Opportunity,
    SavedViewRow,
    Task,
)
from gtm.shared.models import TestClock

WORK = (Notification, EmailMessage, Note, Call, Task, MailTemplate)
LISTED = (Task, Opportunity, Lead, Contact, Account)


def next_due(*, clock: TestClock) -> datetime | None:
    """When the next snooze or override ends, a segment falls, somebody is reminded or a renewal comes near; or None."""
    snoozed = Alert.objects.filter(test_clock=clock, state=Alert.State.SNOOZED)
    times = [snoozed.order_by("snoozed_until").values_list("snoozed_until", flat=True).first()]
    times += [overrides.next_due(test_clock_id=clock.pk), sla.next_due(test_clock_id=clock.pk)]
    to_remind = Task.objects.filter(test_clock=clock, state=Task.State.OPEN, reminded_at=None, remind_at__isnull=False)
    times.append(to_remind.order_by("remind_at").values_list("remind_at", flat=True).first())
    times.append(renewals.next_due(at=clock.frozen_time, test_clock_id=clock.pk))
    return min(filter(None, times), default=None)


def run_due(*, clock: TestClock, at: datetime) -> None:
    """Do what is due on the clock by ``at``."""
    while alerts.wake(at=at, test_clock_id=clock.pk):
        pass
    while overrides.end_due(at=at, test_clock_id=clock.pk):
        pass
    overrides.fall_due(at=at, test_clock_id=clock.pk)
    sla.run_due(at=at, test_clock_id=clock.pk)
    while todos.remind(at=at, test_clock_id=clock.pk):
        pass
    renewals.prepare(at=at, test_clock_id=clock.pk)


def delete_all(*, clock: TestClock) -> None:
    """Delete what stands on the clock; call it before billing deletes the customers."""
    for model in (*WORK, Alert, Opportunity, Lead, Contact, AccountCustomer, AccountDomain, Account):
        on_clock = {"account__test_clock": clock} if model is AccountCustomer else {"test_clock": clock}
        rows = model._base_manager.filter(**on_clock)
        if model in LISTED:  # what lists keep of them, by their ids alone
            for kept in (BulkRow, SavedViewRow):
                kept.objects.filter(object_id__in=rows.values_list("pk", flat=True)).delete()
        rows.delete()
