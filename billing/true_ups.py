"""True-ups that were asked for, once more: what was charged for their windows has changed since.

Late usage first makes up for what a commitment was missing; usage that is taken back leaves it missing.
"""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

from django.db.models import Sum

from billing import minimums
from billing.charges import successor
from billing.commitment import Amount
from billing.credit_notes import LineCredit
from billing.credits import give_back
from billing.models import Charge, CreditNoteLine, DiscountUse, LineKind, LineReason, SubscriptionChange
from gtm.shared import bulk
from gtm.shared.money import round_half_up

Status = Charge.Status


@dataclass(frozen=True, slots=True)
class _TrueUp:
    """What was asked for in one window: by which charges, the latest first, and how much by each, before discount."""

    asked: Sequence[tuple[Charge, int]]
    missing: int
    explanation: list[dict[str, Any]]

    @property
    def latest(self) -> Charge:
        return self.asked[0][0]

    @property
    def excess(self) -> int:
        """By how much more was asked for than is missing; below zero where it was less."""
        return sum(amount for _charge, amount in self.asked) - self.missing

    def reductions(self) -> Iterator[tuple[Charge, int]]:
        """How much less each charge is to ask for."""
        left = self.excess
        for charge, amount in self.asked:
            off = min(left, amount)
            if off > 0:
                yield charge, off
            left -= off


def settle_again(*, charges: Collection[Charge], at: datetime) -> None:
    """Bring the true-ups of the windows that these charges fall into up to date with what is charged now.

    Less is taken off what is pending and given back of the lines that billed it; more is a further charge. In the
    caller's transaction, which holds the locks of the payers and subscriptions and has written the charges.
    """
    invoice_at = {charge.subscription_id: max(charge.invoice_at, at) for charge in charges}
    ended, made = [], []
    for one in _true_ups(charges):
        due_at = invoice_at[one.latest.subscription_id]
        reduced = list(one.reductions())
        pending = [charge for charge, _off in reduced if charge.status == Status.PENDING]
        ended += pending
        still_asked = sum(charge.amount - off for charge, off in reduced if charge in pending)
        if further := max(0, -one.excess) + still_asked:
            made.append(_again(one, further, invoice_at=due_at))
        billed = [_credit(charge, off, one.explanation) for charge, off in reduced if charge.invoice_line is not None]
        if billed:
            _give_back(billed, invoice_at=due_at, at=at)
    for charge in ended:
        charge.status = Status.REPLACED
    bulk.update(Charge, ended, ["status"])
    bulk.insert(Charge, made)


def _give_back(billed: Sequence[LineCredit], *, invoice_at: datetime, at: datetime) -> None:
    reason, origin = LineReason.LATE_USAGE, SubscriptionChange.Origin.SYSTEM
    give_back(credits=billed, settle="line", invoice_at=invoice_at, reason=reason, origin=origin, at=at)


def _again(one: _TrueUp, amount: int, *, invoice_at: datetime) -> Charge:
    """A further charge (unsaved) for the same window."""
    further = successor(one.latest, invoice_at=invoice_at)
    further.amount, further.explanation, further.reason = amount, one.explanation, LineReason.LATE_USAGE
    return further


def _credit(charge: Charge, off: int, explanation: list[dict[str, Any]]) -> LineCredit:
    """The part of a billed line that is given back, net of what discounts took off it."""
    line = charge.invoice_line
    assert line is not None
    net = round_half_up(Fraction(off * (line.amount - line.discount_amount), line.amount))
    return LineCredit(line, net, explanation=explanation)


# --- what was asked for ------------------------------------------------------------------------
def _true_ups(charges: Collection[Charge]) -> list[_TrueUp]:
    """Those of the windows in which some of the charges begin: one query without any, seven at most."""
    found = _by_window(charges)
    if not found:
        return []
    firsts = [members[0] for members in found]
    amounts = minimums.measured(map(_subscription, firsts), since=min(map(minimums.begin_of, firsts)))
    given_back = _given_back([one.invoice_line_id for members in found for one in members if one.invoice_line_id])
    return [_true_up(members, amounts, given_back) for members in found]


def _true_up(
    members: Sequence[Charge], amounts: Mapping[uuid.UUID, Sequence[Amount]], given_back: Mapping[uuid.UUID | None, int]
) -> _TrueUp:
    rated = minimums.within(amounts[_subscription(members[0])], minimums.period_of(members[0]))
    missing, explanation = minimums.again(members[0], rated=rated)
    asked = [(charge, charge.amount - given_back[charge.invoice_line_id]) for charge in members]
    return _TrueUp(asked, missing, explanation)


def _by_window(charges: Collection[Charge]) -> list[list[Charge]]:
    """The true-ups that some of the charges begin in, those of one window together, the latest first."""
    begins: dict[uuid.UUID, list[datetime]] = defaultdict(list)
    for charge in charges:
        if charge.subscription_id is not None and charge.period_start is not None:
            begins[charge.subscription_id].append(charge.period_start)
    known = Charge.objects.filter(subscription__in=begins, kind=LineKind.MINIMUM).exclude(status=Status.REPLACED)
    found: dict[tuple[object, ...], list[Charge]] = defaultdict(list)
    for charge in known.select_related("payer", "customer", "invoice_line__invoice__customer").order_by("-revision"):
        if any(begin in minimums.period_of(charge) for begin in begins[_subscription(charge)]):
            found[charge.item_id, charge.period_index, charge.period_start].append(charge)
    return list(found.values())


def _given_back(lines: Collection[uuid.UUID]) -> Mapping[uuid.UUID | None, int]:
    """By line, before discount: credits, credit notes, and what these freed of discounts; three queries at most."""
    found: dict[uuid.UUID | None, int] = defaultdict(int)
    if not lines:
        return found
    credited = Charge.objects.filter(credits_line__in=lines, status__in=[Status.PENDING, Status.BILLED])
    notes = CreditNoteLine.objects.filter(invoice_line__in=lines)
    freed = DiscountUse.objects.filter(invoice_line__in=lines, amount__lt=0)
    for key, amount in [
        *credited.values_list("credits_line").annotate(given=-Sum("amount")),
        *notes.values_list("invoice_line").annotate(given=Sum("amount")),
        *freed.values_list("invoice_line").annotate(given=-Sum("amount")),
    ]:
        found[key] += amount
    return found


def _subscription(charge: Charge) -> uuid.UUID:
    assert charge.subscription_id is not None
    return charge.subscription_id
