"""What happens next on a subscription: the next invoice, changes to come, its end, and what is still to be paid."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from billing import charges, phases, standing
from billing.models import Invoice, Phase, Subscription


@dataclass(frozen=True, slots=True)
class Upcoming:
    """Something that is known to come; ``kind`` is a code, ``phase`` or ``invoice`` what it is about."""

    at: datetime
    kind: str
    phase: Phase | None = None
    invoice: Invoice | None = None


def of_subscription(subscription: Subscription) -> list[Upcoming]:
    """All that is known to come, the next first; nothing for one that has ended and owes nothing."""
    one = standing.loaded().get(pk=subscription.pk)
    return sorted([*_turns(one), *_invoices(one)], key=lambda found: found.at)


def _turns(one: Subscription) -> Iterator[Upcoming]:
    if one.status in Subscription.ENDED:
        return
    yield from (Upcoming(phase.starts_at, "change", phase=phase) for phase in phases.waiting(one))
    if one.status == standing.Status.TRIALING and one.trial_end is not None:
        yield Upcoming(one.trial_end, "trial_end")
    times = {"cancellation": one.cancel_at, "pause": one.pause_at, "resume": one.resume_at}
    yield from (Upcoming(at, kind) for kind, at in times.items() if at is not None)
    if one.status in Subscription.LIVE:
        due = [item.next_bill_at for item in charges.live_items(one) if item.next_bill_at is not None]
        if due:
            yield Upcoming(min(due), "invoice")
    yield from (
        Upcoming(discount.ends_at, "discount_end")
        for discount in standing.open_discounts(one)
        if discount.ends_at is not None
    )


def _invoices(one: Subscription) -> Iterator[Upcoming]:
    """Drafts that wait for stragglers' usage, and open invoices whose card is to be charged."""
    live = (Invoice.Status.DRAFT, Invoice.Status.OPEN)
    for invoice in Invoice.objects.filter(lines__subscription=one, status__in=live).distinct().order_by("pk"):
        if invoice.finalize_at is not None:
            yield Upcoming(invoice.finalize_at, "finalization", invoice=invoice)
        elif invoice.next_payment_attempt is not None:
            yield Upcoming(invoice.next_payment_attempt, "payment_attempt", invoice=invoice)
