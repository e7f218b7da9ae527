"""What discounts took off the lines of invoices, to show it."""

from collections.abc import Iterable
from typing import NamedTuple

from django.db.models import Prefetch

from billing.models import Discount, DiscountUse, InvoiceLine


class Taken(NamedTuple):
    """What a discount took off, in minor units."""

    discount: Discount
    amount: int


def with_lines() -> Prefetch:  # type: ignore[type-arg]  # of invoices
    """The lines of many invoices with what discounts took off them; what credits freed again is not among it."""
    uses = DiscountUse.objects.filter(amount__gt=0).select_related("discount__coupon", "discount__customer")
    return Prefetch("lines", InvoiceLine.objects.prefetch_related(Prefetch("discount_uses", uses.order_by("pk"))))


def taken(lines: Iterable[InvoiceLine]) -> list[Taken]:
    """By discount, in the order in which they were taken; the lines were read as ``with_lines`` does."""
    discounts: dict[object, Discount] = {}
    sums: dict[object, int] = {}
    uses = [use for line in lines for use in line.discount_uses.all() if use.amount > 0]
    for use in sorted(uses, key=lambda use: use.pk):
        discounts.setdefault(use.discount_id, use.discount)
        sums[use.discount_id] = sums.get(use.discount_id, 0) + use.amount
    return [Taken(discounts[key], amount) for key, amount in sums.items()]
