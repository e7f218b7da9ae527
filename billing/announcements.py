"""What payers are told ahead: that a yearly plan renews, and that a trial ends.

How many days before is the vendor's setting. Each is announced once, by a row that no second one can stand beside; the
fact that goes with it is what the mail is about. What is over by the time somebody looks isn't announced any more.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, Min, OuterRef, Q, QuerySet

from billing import standing
from billing.models import Announcement, Subscription, SubscriptionItem
from gtm.shared import vendors
from gtm.shared.models import TestClock, Vendor

BATCH = 500
_Kind, _Status = Announcement.Kind, Subscription.Status
_ENDS = {_Kind.RENEWAL: "current_period_end", _Kind.TRIAL_END: "trial_end"}
_FACTS = {_Kind.RENEWAL: "renewal_upcoming", _Kind.TRIAL_END: "trial_ending"}
_YEARLY = (
    Q(price__interval="year")
    | Q(price__interval="quarter", price__interval_count__gte=4)
    | Q(price__interval="month", price__interval_count__gte=12)
    | Q(price__interval="week", price__interval_count__gte=52)
)


def announce_due(*, at: datetime, test_clock: TestClock | None = None) -> int:
    """Announce what comes within the days that the vendor has set; return how many subscriptions that were."""
    vendor = vendors.current()
    announced = 0
    for kind in _Kind:
        lead = _lead(kind, vendor)
        if lead is not None:
            ends = _ENDS[kind]
            found = _waiting(kind, lead, test_clock).filter(**{f"{ends}__gt": at, f"{ends}__lte": at + lead})
            announced += sum(_announce(pk, kind, at=at) for pk in list(found.values_list("pk", flat=True)[:BATCH]))
    return announced


def next_due(*, test_clock: TestClock) -> datetime | None:
    """When something is to be announced next on a test clock; None for never."""
    vendor, times = vendors.current(), []
    for kind in _Kind:
        lead = _lead(kind, vendor)
        if lead is not None:
            ends = _waiting(kind, lead, test_clock).filter(**{f"{_ENDS[kind]}__gt": test_clock.frozen_time})
            first = ends.aggregate(at=Min(_ENDS[kind]))["at"]
            times += [first - lead] if first else []
    return min(times, default=None)


def _lead(kind: str, vendor: Vendor) -> timedelta | None:
    days = vendor.renewal_notice_days if kind == _Kind.RENEWAL else vendor.trial_notice_days
    return timedelta(days=days) if days else None


def _waiting(kind: str, lead: timedelta, test_clock: TestClock | None) -> QuerySet[Subscription]:
    """Those that will go on by themselves and were not told of it yet.

    A trial that is no longer than the notice has none: it is told by the mail that begins it.
    """
    own = _renewing() if kind == _Kind.RENEWAL else _on_trial(lead)
    told = Announcement.objects.filter(subscription=OuterRef("pk"), kind=kind, about_at=OuterRef(_ENDS[_Kind(kind)]))
    found = own.filter(~Exists(told), test_clock=test_clock, payer__parked_at=None)
    return found.order_by(_ENDS[_Kind(kind)], "pk")


def _renewing() -> QuerySet[Subscription]:
    yearly = SubscriptionItem.objects.filter(
        _YEARLY,
        subscription=OuterRef("pk"),
        ended_at=None,
        price__meter=None,
        current_period_end=OuterRef("current_period_end"),
    )
    goes_on = Q(cancel_at=None) | Q(cancel_at__gt=F("current_period_end"))
    not_paused = Q(pause_at=None) | Q(pause_at__gt=F("current_period_end"))
    return Subscription.objects.filter(goes_on, not_paused, Exists(yearly), status=_Status.ACTIVE)


def _on_trial(lead: timedelta) -> QuerySet[Subscription]:
    trials = Subscription.objects.filter(status=_Status.TRIALING, cancel_at=None)
    return trials.filter(trial_end__gt=F("start_at") + lead)


@transaction.atomic
def _announce(subscription_id: UUID, kind: str, *, at: datetime) -> bool:
    """Write it down and publish the fact, if it still holds when the subscription is locked."""
    subscription = Subscription.objects.select_for_update(of=("self",), no_key=True).get(pk=subscription_id)
    about_at = getattr(subscription, _ENDS[_Kind(kind)])
    if about_at is None or subscription.status not in (_Status.ACTIVE, _Status.TRIALING):
        return False
    _row, is_new = Announcement.objects.get_or_create(
        subscription=subscription, kind=kind, about_at=about_at, defaults={"announced_at": at}
    )
    if is_new:
        told = {"at": about_at.isoformat()}
        standing.fact(subscription, _FACTS[_Kind(kind)], at=at, also=told, publish=True)
    return is_new
