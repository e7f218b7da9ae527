"""Minimum commitments: what is missing, at the end of a period, to the amount that was promised for it.

Each window that has ended leaves a charge of the kind ``minimum``. Where nothing was missing it is of 0 and waived, so
that it is known what was measured. Coupons, tax and payments change nothing about what is measured.
"""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils import translation
from django.utils.translation import gettext as _

from billing import commitment, wording
from billing.commitment import Amount, Window
from billing.models import (
    Charge,
    CreditNoteLine,
    DiscountUse,
    LineKind,
    LineReason,
    Price,
    Subscription,
    SubscriptionItem,
)
from billing.queries import billing_periods
from gtm.shared import bulk
from gtm.shared.models import Vendor
from gtm.shared.periods import Period

_COUNTED = (Charge.Status.PENDING, Charge.Status.BILLED)


class Ended(NamedTuple):
    """A window of a subscription that has ended, and the price of the item that led it."""

    subscription: Subscription
    window: Window
    price: Price


def due(
    *, subscriptions: Iterable[Subscription], made: Iterable[Charge], until: datetime, vendor: Vendor
) -> list[Charge]:
    """What is missing in the windows that end by ``until``, as charges (unsaved); sets (unsaved) where the next begins.

    ``made``: charges of these subscriptions that are not written yet. No query where no window can have ended, four at
    most, however many have.
    """
    committed = {one.pk: one for one in subscriptions if _may_end(one, until)}
    ended = _ended(committed, until=until, vendor=vendor) if committed else []
    if not ended:
        return []
    amounts = measured(committed, since=min(one.window.period.start for one in ended))
    for charge in made:
        if charge.subscription_id in committed and charge.period_start is not None:
            amounts[charge.subscription_id].append(Amount(charge.period_start, charge.amount, charge.period_end))
    return [_close(one, amounts[one.subscription.pk]) for one in ended]


def _may_end(subscription: Subscription, until: datetime) -> bool:
    since = subscription.minimum_since
    return bool(subscription.minimum_amount) and since is not None and since < until


def _ended(committed: Mapping[uuid.UUID, Subscription], *, until: datetime, vendor: Vendor) -> list[Ended]:
    theirs: dict[uuid.UUID, list[SubscriptionItem]] = defaultdict(list)
    items = SubscriptionItem.objects.filter(subscription__in=committed).select_related("price__plan")
    for item in items.order_by("pk"):
        theirs[item.subscription_id].append(item)
    return [ended for key, found in theirs.items() for ended in _windows(committed[key], found, until, vendor)]


def _windows(
    subscription: Subscription, items: Sequence[SubscriptionItem], until: datetime, vendor: Vendor
) -> Iterable[Ended]:
    cycles = billing_periods.of_items(subscription, items, unit=vendor.proration_unit)
    prices, since = {item.pk: item.price for item in items}, subscription.minimum_since
    if cycles is None or since is None:
        return
    for window in commitment.windows(
        cycles, since=since, until=_reached(subscription, until), ends_at=subscription.stops_at
    ):
        assert window.era.item_id is not None
        yield Ended(subscription, window, prices[window.era.item_id])


def _reached(subscription: Subscription, until: datetime) -> datetime:
    """How far the items were charged for: one that is many periods behind isn't taken through all of them at once."""
    behind = [item.next_bill_at for item in subscription.items.all() if item.next_bill_at is not None]
    return min([until, *behind])


def _close(ended: Ended, amounts: Iterable[Amount]) -> Charge:
    subscription, window, price = ended
    gives_back = _gives_back(subscription, window.period.end)
    rated = commitment.served(amounts, window, gives_back=gives_back)
    found = commitment.true_up(subscription.minimum_amount or 0, window.part, rated=rated)
    subscription.minimum_since = window.period.end
    return bulk.new(
        Charge,
        customer=subscription.customer,
        payer=subscription.payer,
        subscription=subscription,
        item_id=window.era.item_id,
        kind=LineKind.MINIMUM,
        reason=_reason(subscription, window),
        status=Charge.Status.PENDING if found.amount else Charge.Status.WAIVED,
        period_index=window.period.index,
        currency=subscription.currency,
        amount=found.amount,
        quantity=1,
        description=_description(subscription, price),
        explanation=wording.stored(found.steps),
        tax_class=price.tax_class,
        period_start=window.period.start,
        period_end=window.period.end,
        invoice_at=window.period.end,
        test_clock_id=subscription.test_clock_id,
    )


def _gives_back(subscription: Subscription, end: datetime) -> bool:
    """Whether what was charged for the time after the end is going to be given back."""
    cancels = subscription.cancel_at == end and subscription.cancel_credit != Subscription.Credit.NONE
    return cancels or subscription.pause_at == end


def _description(subscription: Subscription, price: Price) -> str:
    """In the payer's language: it is kept as it is."""
    with translation.override(subscription.payer.preferred_locale or None):
        return str(_("%(plan)s: minimum") % {"plan": price.plan.name})[:500]


def _reason(subscription: Subscription, window: Window) -> LineReason:
    at_end = subscription.stops_at is not None and window.period.end == subscription.stops_at
    return LineReason.SUBSCRIPTION_END if at_end else LineReason.SUBSCRIPTION_CYCLE


def rate_again(charges: Iterable[Charge], *, changed: Mapping[uuid.UUID, Charge]) -> list[Charge]:
    """Measure again what stands on drafts; return those (unsaved) that differ now.

    ``changed``: charges by their ids that differ from what is written of them.
    """
    found = [charge for charge in charges if charge.kind == LineKind.MINIMUM]
    if not found or not changed:
        return []
    concerned = {charge.subscription_id for charge in found if charge.subscription_id is not None}
    amounts = measured(concerned, since=min(begin_of(charge) for charge in found), besides=changed)
    for charge in changed.values():
        if charge.subscription_id in concerned and charge.period_start is not None:
            amounts[charge.subscription_id].append(Amount(charge.period_start, charge.amount))
    return [charge for charge in found if _measure_again(charge, amounts)]


def _measure_again(charge: Charge, amounts: Mapping[uuid.UUID, Sequence[Amount]]) -> bool:
    """Bring a charge up to date with what is measured now; whether it differs."""
    assert charge.subscription_id is not None
    before = charge.amount
    charge.amount, charge.explanation = again(charge, rated=within(amounts[charge.subscription_id], period_of(charge)))
    return charge.amount != before


def again(charge: Charge, *, rated: int) -> tuple[int, list[dict[str, Any]]]:
    """What is missing in the window of a charge, and its explanation, where so much was charged for it."""
    steps = {step["code"]: step for step in charge.explanation}
    found = commitment.missing(int(steps["commitment"]["committed"]), rated=rated)
    return found.amount, wording.stored(found.steps) if "proration" not in steps else [
        steps["proration"],
        *wording.stored(found.steps),
    ]


def period_of(charge: Charge) -> Period:
    assert charge.period_end is not None
    return Period(begin_of(charge), charge.period_end)


def begin_of(charge: Charge) -> datetime:
    assert charge.period_start is not None
    return charge.period_start


# --- what is measured --------------------------------------------------------------------------
def measured(
    subscriptions: Iterable[uuid.UUID], *, since: datetime, besides: Collection[uuid.UUID] = ()
) -> dict[uuid.UUID, list[Amount]]:
    """All that was charged for service from ``since`` on, and given back of it, before discounts; three queries.

    What is given back counts where its line does, whose time it cuts short. ``besides``: charges that don't count.
    """
    keys, own, line = list(subscriptions), LineKind.MINIMUM, "invoice_line__period_start"
    begins_at = Coalesce("credits_line__period_start", "period_start")
    charges = Charge.objects.filter(subscription__in=keys, status__in=_COUNTED).annotate(begins_at=begins_at)
    charges = charges.filter(begins_at__gte=since).exclude(kind=own).exclude(credits_line__kind=own)
    theirs = {"invoice_line__subscription__in": keys, f"{line}__gte": since}
    notes = CreditNoteLine.objects.filter(**theirs, period_start__isnull=False).exclude(invoice_line__kind=own)
    freed = DiscountUse.objects.filter(**theirs, amount__lt=0).exclude(invoice_line__kind=own)
    found: dict[uuid.UUID, list[Amount]] = defaultdict(list)
    for key, *amount in [
        *charges.exclude(pk__in=besides).values_list("subscription", "begins_at", "amount", "period_end"),
        *notes.values_list("invoice_line__subscription", line, -F("amount")),
        *freed.values_list("invoice_line__subscription", line, "amount"),
    ]:
        found[key].append(Amount(*amount))
    return found


def within(amounts: Iterable[Amount], window: Period) -> int:
    """The sum of what is for service that begins in the window."""
    return sum(one.amount for one in amounts if one.begins_at in window)
