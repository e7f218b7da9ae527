"""What happens next to a customer, soonest first: what is unpaid, what is scheduled, the next invoice."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from billing.models import Invoice, Phase, PlanVersion, Subscription
from billing.queries.portal import summary
from billing.upcoming_invoice import UpcomingInvoice

TrialEnd = PlanVersion.TrialEnd


@dataclass(frozen=True)
class Step:
    """Something that will happen, or that the customer should do."""

    at: datetime
    text: str
    detail: str = ""
    amount: int | None = None
    currency: str = ""
    tone: str = ""
    invoice: Invoice | None = None
    upcoming: UpcomingInvoice | None = None


def next_steps(
    found: Sequence[Subscription], open_invoices: Sequence[Invoice], upcoming: UpcomingInvoice | None
) -> list[Step]:
    """Unpaid invoices with the next try of the card, then what is planned in the order of its time."""
    unpaid = [_unpaid(invoice) for invoice in open_invoices if invoice.finalized_at]
    planned = [step for one in found for step in _planned(one, upcoming)]
    if upcoming is not None:
        planned.append(_upcoming(upcoming))
    return [*unpaid, *sorted(planned, key=lambda step: step.at)]


def _unpaid(invoice: Invoice) -> Step:
    values: dict[str, Any] = {"number": invoice.number}
    failed = invoice.payment_status in {Invoice.PaymentStatus.FAILED, Invoice.PaymentStatus.REQUIRES_ACTION}
    text = _("Payment of invoice %(number)s failed") if failed else _("Invoice %(number)s is due")
    assert invoice.finalized_at is not None
    due = (
        datetime.combine(invoice.due_date, datetime.min.time(), tzinfo=invoice.finalized_at.tzinfo)
        if invoice.due_date
        else invoice.finalized_at
    )
    retry = failed and invoice.next_payment_attempt
    return Step(
        retry or due,
        text % values,
        detail=_("We try your payment method again on this day.") if retry else "",
        amount=invoice.amount_due,
        currency=invoice.currency,
        tone="negative" if failed else "caution",
        invoice=invoice,
    )


def _upcoming(upcoming: UpcomingInvoice) -> Step:
    detail = _("With what is used until now.") if upcoming.has_usage else ""
    return Step(
        upcoming.at,
        _("Your next invoice"),
        detail=detail,
        amount=upcoming.amount_due,
        currency=upcoming.currency,
        upcoming=upcoming,
    )


def _planned(one: Subscription, upcoming: UpcomingInvoice | None) -> Iterator[Step]:
    plan = {"plan": one.plan_version.plan.name}
    paused = one.status == Subscription.Status.PAUSED
    if one.status not in Subscription.LIVE and not paused:
        return
    if one.cancel_at:
        yield Step(one.cancel_at, _("%(plan)s ends") % plan, tone="caution")
    if one.status == Subscription.Status.TRIALING and one.trial_end and not one.cancel_at:
        yield Step(one.trial_end, _trial_end(one) % plan)
    yield from (_change(phase) for phase in one.ahead)  # type: ignore[attr-defined]  # prefetched by queries.portal
    if one.pause_at and not paused:
        yield Step(one.pause_at, _("%(plan)s is paused") % plan, tone="caution")
    if one.resume_at:
        yield Step(one.resume_at, _("%(plan)s goes on after its pause") % plan)
    renews = not paused and not one.cancel_at and one.status != Subscription.Status.TRIALING
    if renews and one.next_bill_at and (upcoming is None or one.next_bill_at != upcoming.at):
        yield Step(one.next_bill_at, _("%(plan)s renews") % plan)


def _trial_end(one: Subscription) -> str:
    return {
        TrialEnd.CHARGE: _("The trial of %(plan)s ends and billing starts"),
        TrialEnd.CANCEL: _("The trial of %(plan)s ends, and your access with it"),
        TrialEnd.PAUSE: _("The trial of %(plan)s ends, and it is paused"),
    }[TrialEnd(one.plan_version.trial_end)]


def _change(phase: Phase) -> Step:
    values = {"plan": phase.plan_version.plan.name}
    return Step(phase.starts_at, _("You change to %(plan)s") % values, detail=summary(phase))
