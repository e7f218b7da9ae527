"""The discounts of many subscriptions and what they took already, in a constant number of queries."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Sum

from billing import discounting
from billing.cycles import Cycles
from billing.discounting import Applied, Purse, Service, Share
from billing.invoicing import Totals
from billing.models import Charge, Coupon, Discount, DiscountUse, Invoice, InvoiceLine
from billing.queries import billing_periods
from gtm.shared import bulk


@dataclass
class Book:
    """What is known of a batch's discounts; ``used`` goes up as documents are drawn up one after the other."""

    rows: Sequence[Discount] = ()
    cycles: Mapping[uuid.UUID, Cycles] = field(default_factory=dict)
    used: dict[Purse, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._by_subscription: dict[uuid.UUID, list[Applied]] = defaultdict(list)
        for row in self.rows:
            self._by_subscription[row.subscription_id].append(applied(row))

    def shares(self, charges: Sequence[Charge]) -> list[Share]:
        """What may come off the lines that the charges become."""
        subscriptions = {charge.subscription_id for charge in charges if charge.subscription_id is not None}
        found = [one for pk in subscriptions for one in self._by_subscription.get(pk, ())]
        return discounting.shares(self._services(charges), found, used=self.used) if found else []

    def take(
        self, charges: Sequence[Charge], lines: Sequence[InvoiceLine], shares: Sequence[Share], totals: Totals
    ) -> list[DiscountUse]:
        """Note what the document took of the shares; return its rows, unsaved."""
        taken = discounting.uses(self._services(charges), zip(shares, totals.discounts, strict=True)) if shares else []
        by_key = {row.pk: row for row in self.rows}
        for use in taken:
            self.used[use.purse] = self.used.get(use.purse, 0) + use.amount
        return [
            DiscountUse(
                discount=by_key[use.purse[0]],
                invoice_line=lines[use.position],
                period_start=use.period_start,
                amount=use.amount,
            )
            for use in taken
        ]

    def turned(self) -> tuple[list[Discount], list[Discount]]:
        """The single amounts that are spent by now and weren't, and those that were and aren't any more."""
        single = [row for row in self.rows if _is_single(row.coupon)]
        spent = {row.pk for row in single if self.used.get((row.pk, None), 0) >= (row.coupon.amount_off or 0)}
        used_up = Discount.EndReason.USED_UP
        return (
            [row for row in single if row.pk in spent and row.ended_at is None],
            [row for row in single if row.pk not in spent and row.end_reason == used_up],
        )

    def _services(self, charges: Sequence[Charge]) -> list[Service]:
        return [self._service(charge) for charge in charges]

    def _service(self, charge: Charge) -> Service:
        begins_at = charge.period_start or charge.invoice_at
        known = self.cycles.get(charge.subscription_id) if charge.subscription_id else None
        period_start = known.at(_middle(charge)).start if known else begins_at
        return Service(charge.subscription_id, charge.amount, begins_at, period_start)


def _middle(charge: Charge) -> datetime:
    """An instant well within the period: where a customer's time zone changed, bounds are hours apart."""
    if charge.period_start is None or charge.period_end is None:
        return charge.invoice_at
    return charge.period_start + (charge.period_end - charge.period_start) / 2


def book(charges: Iterable[Charge], *, besides: Collection[InvoiceLine] = ()) -> Book:
    """What comes off the charges' lines: one query without any discount, four at most.

    What was taken off the lines ``besides``, which are drawn up again, doesn't count; nor does it on void invoices.
    """
    subscriptions = {charge.subscription_id for charge in charges if charge.subscription_id is not None}
    if not subscriptions:
        return Book()
    of_theirs = bulk.among("subscription__pk", subscriptions)
    rows = list(Discount.objects.filter(of_theirs).select_related("coupon").order_by("pk"))
    fixed = [row for row in rows if row.coupon.amount_off is not None]
    if not fixed:
        return Book(rows)
    cycles = billing_periods.of_subscriptions({row.subscription_id for row in fixed})
    return Book(rows, cycles, _used(fixed, besides))


def applied(discount: Discount) -> Applied:
    """The discount as pure code sees it. One that is used up is left to what it took: a credit can free some of it."""
    coupon, taken_away = discount.coupon, discount.end_reason == Discount.EndReason.REMOVED
    ends = [end for end in (discount.ends_at, discount.ended_at if taken_away else None) if end is not None]
    return Applied(
        id=discount.pk,
        subscription_id=discount.subscription_id,
        code=coupon.code,
        starts_at=discount.starts_at,
        ends_at=min(ends, default=None),
        percent_off=coupon.percent_off,
        amount_off=coupon.amount_off,
        once=_is_single(coupon),
    )


def _is_single(coupon: Coupon) -> bool:
    """Whether it is one amount for good."""
    return coupon.amount_off is not None and coupon.duration == Coupon.Duration.ONCE


def _used(fixed: Sequence[Discount], besides: Collection[InvoiceLine]) -> dict[Purse, int]:
    counted = DiscountUse.objects.filter(discount__in=fixed).exclude(invoice_line__invoice__status=Invoice.Status.VOID)
    if besides:
        counted = counted.exclude(invoice_line__in=besides, amount__gt=0)
    sums = counted.values_list("discount", "period_start").annotate(amount=Sum("amount"))
    by_id = {row.pk: applied(row) for row in fixed}
    used: dict[Purse, int] = defaultdict(int)
    for discount_id, period_start, amount in sums:
        used[by_id[discount_id].purse(period_start)] += amount
    return used
