"""What becomes of subscriptions as their invoices are paid, fail or are taken back.

Callers hold the subscriptions' locks.
"""

from collections.abc import Iterable
from datetime import datetime

from billing import standing
from billing.models import Invoice, Subscription
from billing.standing import Status


def on_paid(subscriptions: Iterable[Subscription], *, invoice: Invoice, at: datetime) -> None:
    """An invoice was settled: what waited for it begins, what was behind with it alone is in order again.

    One that was stopped for it goes on with the next bill run, in periods of a new anchor.
    """
    for subscription in _with_status(subscriptions, Status.INCOMPLETE, Status.PAST_DUE, Status.UNPAID):
        if subscription.status == Status.INCOMPLETE:
            standing.activate(subscription, at=at)
        elif not _owes_more(subscription, invoice):
            mend = standing.recover if subscription.status == Status.PAST_DUE else _go_on
            mend(subscription, at=at)


def on_failed(subscriptions: Iterable[Subscription], *, at: datetime, reason: str) -> None:
    """A payment failed: what was active is behind, with its access for now; what never began stays incomplete."""
    for subscription in _with_status(subscriptions, Status.ACTIVE):
        standing.fall_behind(subscription, at=at, reason=reason)


def on_voided(subscriptions: Iterable[Subscription], *, invoice: Invoice, at: datetime) -> None:
    """An invoice was taken back: what was behind with it is in order, what waited for its payment never begins.

    A first order may have been split over several invoices: it is given up with the last of them.
    """
    for subscription in _with_status(subscriptions, Status.INCOMPLETE, Status.PAST_DUE):
        if subscription.status == Status.INCOMPLETE:
            if not _waits_for_more(subscription, invoice):
                standing.expire(subscription, at=at, reason="invoice_voided")
        elif not _owes_more(subscription, invoice):
            standing.recover(subscription, at=at)


def _go_on(subscription: Subscription, *, at: datetime) -> None:
    subscription.resume_at = at
    standing.save(subscription, "resume_at")


def _with_status(subscriptions: Iterable[Subscription], *statuses: Status) -> list[Subscription]:
    """Those of them, read whole; mostly there are none, and nothing is read. Another invoice may have moved some."""
    keys = [one.pk for one in subscriptions if one.status in statuses]
    return list(standing.loaded().filter(pk__in=keys, status__in=statuses).order_by("pk")) if keys else []


def _waits_for_more(subscription: Subscription, voided: Invoice) -> bool:
    unpaid = Invoice.objects.filter(status=Invoice.Status.OPEN, lines__subscription=subscription)
    return unpaid.exclude(pk=voided.pk).exists()


def _owes_more(subscription: Subscription, settled: Invoice) -> bool:
    return standing.owed(subscription).exclude(pk=settled.pk).exists()
