"""Cards that are about to expire: whoever pays with one is told, once, a month before its last day."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from billing.models import CollectionMethod, Customer, PaymentMethod, Subscription
from gtm.shared import db, outbox
from gtm.shared.models import Event, TestClock

NOTICE = timedelta(days=30)
BATCH = 500


def tell_due(*, at: datetime, test_clock: TestClock | None = None) -> int:
    """Say which cards expire within ``NOTICE``, of unclocked payers or those of one clock; return how many.

    All of them, batch by batch, each in a transaction of its own.
    """
    until = at + NOTICE
    ends = Q(exp_year__lt=until.year) | Q(exp_year=until.year, exp_month__lt=until.month)
    due = _untold(test_clock).filter(ends).order_by("pk").values_list("pk", "customer")
    told, batch = 0, list(due[:BATCH])
    while batch:
        told += _tell(dict(batch), at)
        batch = list(due.filter(pk__gt=batch[-1][0])[:BATCH])
    return told


def next_due(*, test_clock: TestClock) -> datetime | None:
    """When the next card of a test clock is to be told of."""
    dates = _untold(test_clock).values_list("exp_year", "exp_month")
    return min((_told_at(year, month) for year, month in dates if year and month), default=None)


def _told_at(year: int, month: int) -> datetime:
    """The notice before the month that follows its last one."""
    return datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC) - NOTICE


def _untold(test_clock: TestClock | None) -> QuerySet[PaymentMethod]:
    """Cards that something is paid with."""
    paying = Subscription.objects.live().filter(
        Q(payment_method=OuterRef("pk")) | Q(payer=OuterRef("customer"), payment_method=None) & _default(),
        collection_method=CollectionMethod.CHARGE_AUTOMATICALLY,
        cancel_at=None,
    )
    cards = PaymentMethod.objects.filter(
        Exists(paying), exp_year__isnull=False, detached_at=None, expiry_told_at=None, customer__test_clock=test_clock
    )
    return cards.select_related("customer")


def _default() -> Q:
    return Q(payer__payment_methods=OuterRef("pk"), payer__payment_methods__is_default=True)


@transaction.atomic
def _tell(due: dict[UUID, UUID], at: datetime) -> int:
    """Tell of the cards (with their customers), where nobody has by now; return of how many."""
    db.lock(Customer, set(due.values()))
    untold = PaymentMethod.objects.filter(pk__in=due, expiry_told_at=None)
    fresh = list(untold.select_for_update(of=("self",)).select_related("customer").order_by("pk"))
    PaymentMethod.objects.filter(pk__in=[method.pk for method in fresh]).update(expiry_told_at=at)
    outbox.publish_many(_fact(method, at) for method in fresh)
    return len(fresh)


def _fact(method: PaymentMethod, at: datetime) -> Event:
    customer = method.customer
    return outbox.fact(
        "billing.payment_method.expiring",
        method,
        at=at,
        customer_id=customer.pk,
        account_id=customer.account_id,
        test_clock_id=customer.test_clock_id,
        data={"brand": method.brand, "exp_month": method.exp_month, "exp_year": method.exp_year},
    )
