"""Invoices that nobody pays: taken back as void, or given up as uncollectible."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from billing import balances, drafting, dunning_cases, invoice_outcomes, settlement
from billing import charges as charging
from billing.models import AttemptShare, Charge, Invoice, LineReason, Subscription
from gtm.shared import bulk, outbox
from gtm.shared.errors import Conflict
from gtm.shared.models import write

Status, PaymentStatus = Invoice.Status, Invoice.PaymentStatus
_VOIDED = ("status", "payment_status", "next_payment_attempt", "balance_applied", "metadata")


@transaction.atomic
def void(
    *, invoice: Invoice, at: datetime, reason: str = "", cause: str = "voided_by_staff", waive: bool = False
) -> Invoice:
    """Take back an open invoice that nobody paid.

    Its charges are replaced by new pending ones, which the payer's next invoice gathers; with ``waive`` nothing is
    asked for again, and nor is it for a subscription that has ended or for lines that somebody wrote. One that waited
    for its payment to begin expires with the last of its open invoices. Raises Conflict unless it is open, unpaid and
    uncredited, with no payment under way; what the balance paid of it goes back there. ``reason``, in somebody's own
    words, is kept in the invoice's metadata (``void_reason``); the fact holds ``cause``, a code.
    """
    invoice, subscriptions = settlement.lock(invoice)
    _require_voidable(invoice)
    invoice.status, invoice.payment_status, invoice.next_payment_attempt = Status.VOID, PaymentStatus.NONE, None
    balances.give_back(invoice=invoice, at=at)
    if reason:
        invoice.metadata = {**invoice.metadata, "void_reason": reason}
    invoice.save(update_fields={*_VOIDED, *invoice.touch()})
    invoice.refresh_from_db(fields=["updated_at"])
    invoice_outcomes.on_voided(subscriptions, invoice=invoice, at=at)
    dunning_cases.on_settled(invoice=invoice, at=at)
    _release(invoice, at=at, waive=waive)
    outbox.publish_many([drafting.fact(invoice, "voided", at=at, reason=cause)])
    return invoice


@transaction.atomic
def write_off(*, invoice: Invoice, at: datetime, reason: str = "") -> Invoice:
    """Give an open invoice up: its money isn't expected any more, and a later payment settles it all the same.

    ``reason``, in somebody's own words, is kept in the invoice's metadata (``write_off_reason``). Raises Conflict
    unless it is open, with no payment under way.
    """
    invoice, _subscriptions = settlement.lock(invoice)
    if invoice.status != Status.OPEN:
        raise Conflict("Only an open invoice can be written off.", code="invoice_not_open")
    _require_no_payment(invoice)
    metadata = {**invoice.metadata, "write_off_reason": reason} if reason else invoice.metadata
    write(invoice, status=Status.UNCOLLECTIBLE, next_payment_attempt=None, metadata=metadata)
    dunning_cases.on_settled(invoice=invoice, at=at)
    fact = drafting.fact(invoice, "written_off", at=at)
    fact.data["amount"] = invoice.amount_due
    outbox.publish_many([fact])
    return invoice


def _require_voidable(invoice: Invoice) -> None:
    if invoice.status == Status.PAID:
        raise Conflict("A paid invoice can't be voided; it gets a credit note.", code="invoice_paid")
    if invoice.status != Status.OPEN:
        raise Conflict("Only an open invoice can be voided.", code="invoice_not_open")
    if invoice.amount_paid or invoice.amount_credited:
        raise Conflict("Part of this invoice is paid or credited.", code="invoice_partly_paid")
    _require_no_payment(invoice)


def _require_no_payment(invoice: Invoice) -> None:
    if AttemptShare.objects.filter(invoice=invoice, live=True).exists():
        raise Conflict("A payment of this invoice is under way.", code="payment_in_progress")


def _release(invoice: Invoice, *, at: datetime, waive: bool) -> None:
    released = list(Charge.objects.filter(invoice_line__invoice=invoice).order_by("pk"))
    ended = Subscription.objects.filter(charges__in=released, status__in=Subscription.ENDED)
    over = dict(ended.values_list("pk", "status"))
    waived = [one.pk for one in released if _ends_with_it(one, waive=waive or one.subscription_id in over)]
    replaced = [charge for charge in released if charge.pk not in waived]
    Charge.objects.filter(pk__in=waived).update(status=Charge.Status.WAIVED, invoice_line=None)
    expired = [pk for pk, status in over.items() if status == Subscription.Status.EXPIRED]
    Charge.objects.filter(subscription__in=expired, status=Charge.Status.PENDING).update(status=Charge.Status.WAIVED)
    Charge.objects.filter(pk__in=[charge.pk for charge in replaced]).update(
        status=Charge.Status.REPLACED, invoice_line=None
    )
    bulk.insert(Charge, _successors(replaced, at=at))


def _ends_with_it(charge: Charge, *, waive: bool) -> bool:
    """Whether nothing is asked for instead. A credit is still owed, whatever else is not."""
    return charge.amount >= 0 and (waive or charge.reason == LineReason.MANUAL)


def _successors(replaced: Sequence[Charge], *, at: datetime) -> list[Charge]:
    """The same amounts once more, each under the next free revision of its natural key."""
    revisions = charging.next_revisions(replaced)
    return [
        charging.successor(one, invoice_at=at, revision=next(revisions[charging.natural_key(one)])) for one in replaced
    ]
