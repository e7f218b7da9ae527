"""What payers are told ahead: that a yearly plan renews, and that a trial ends.

How many days before is the vendor's setting. Each is announced once, by a row that no second one can stand beside; the
fact that goes with it is what the mail is about. What is over by the time somebody looks isn't announced any more.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, Min, OuterRef, Q, QuerySet

from billing import standing
from billing.models import Announcement, Subscription, SubscriptionItem
from gtm.shared import outbox, vendors
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
    """Announce all that comes within the days that the vendor has set; return how many subscriptions that were.

    Batch by batch, each in a transaction of its own: whoever is killed leaves no more than one to do again.
    """
    vendor = vendors.current()
    announced = 0
    for kind in _Kind:
        lead = _lead(kind, vendor)
        if lead is not None:
            ends = _ENDS[kind]
            found = _waiting(kind, lead, test_clock).filter(**{f"{ends}__gt": at, f"{ends}__lte": at + lead})
            announced += sum(_announce(keys, kind, at=at) for keys in _batches(found, ends))
    return announced


def _batches(found: QuerySet[Subscription], ends: str) -> Iterator[list[UUID]]:
    """Their keys, batch by batch, each behind the last: what isn't announced after all doesn't come again."""
    rest = found
    while batch := list(rest.values_list("pk", ends)[:BATCH]):
        yield [pk for pk, _end in batch]
        last, end = batch[-1]
        rest = found.filter(Q(**{f"{ends}__gt": end}) | Q(**{ends: end, "pk__gt": last}))


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
def _announce(keys: Sequence[UUID], kind: str, *, at: datetime) -> int:
    """Write them down and publish their facts, where it still holds when the subscriptions are locked."""
    ends, theirs = _ENDS[_Kind(kind)], Subscription.objects.filter(pk__in=keys)
    going = theirs.filter(**{f"{ends}__isnull": False}, status__in=(_Status.ACTIVE, _Status.TRIALING))
    locked = going.select_for_update(of=("self",), no_key=True).select_related("customer", "plan_version__plan")
    about = {one: getattr(one, ends) for one in locked.order_by("pk")}
    told = Announcement.objects.filter(subscription__in=about, kind=kind).values_list("subscription", "about_at")
    known = set(told)
    fresh = {one: end for one, end in about.items() if (one.pk, end) not in known}
    rows = (Announcement(subscription=one, kind=kind, about_at=end, announced_at=at) for one, end in fresh.items())
    Announcement.objects.bulk_create(rows)
    outbox.publish_many(
        standing.fact(one, _FACTS[_Kind(kind)], at=at, also={"at": end.isoformat()}) for one, end in fresh.items()
    )
    return len(fresh)
