"""What becomes due in billing as a test clock is advanced, and what goes with it."""

from datetime import datetime

from django.db import connection
from django.db.models import Min

from billing import (
    announcements,
    coupons,
    dunning_runs,
    expiring_cards,
    first_payments,
    late_hours,
    payments,
    refunds,
    runs,
    sandbox_disputes,
    trial_prompts,
)
from billing.models import (
    Allocation,
    BalanceEntry,
    BillingRun,
    Charge,
    Checkout,
    CreditNote,
    CreditNoteLine,
    CreditNoteTax,
    Customer,
    CustomerBalance,
    DiscountUse,
    Dispute,
    Document,
    DunningCase,
    DunningStep,
    GatewayCustomer,
    Invoice,
    InvoiceLine,
    InvoiceTax,
    LateUsage,
    NumberSeries,
    Payment,
    PaymentAttempt,
    PaymentMethod,
    Phase,
    Refund,
    SandboxCharge,
    Subscription,
    SubscriptionChange,
    SubscriptionItem,
    UsageCorrection,
    UsageRollup,
    UsageValue,
)
from gtm.shared.models import TestClock


def next_due(*, clock: TestClock) -> datetime | None:
    """The next instant at which there is something to bill, to collect, to tell or to give up; None for never."""
    times = [
        next_bill(clock=clock),
        dunning_runs.next_due(test_clock=clock),
        expiring_cards.next_due(test_clock=clock),
        clock.frozen_time if sandbox_disputes.coming(test_clock=clock).exists() else None,
        clock.frozen_time if refunds.waiting(test_clock=clock).exists() else None,
        announcements.next_due(test_clock=clock),
        trial_prompts.next_due(test_clock=clock),
    ]
    return min((time for time in times if time is not None), default=None)


def next_bill(*, clock: TestClock) -> datetime | None:
    """The next instant at which there is something to bill, to finalize, to charge or to expire; None for never."""
    subscribed = Subscription.objects.filter(test_clock=clock, payer__parked_at=None)
    drafts = Invoice.objects.filter(test_clock=clock, status=Invoice.Status.DRAFT, customer__parked_at=None)
    unpaid = first_payments.awaiting_payment(test_clock=clock)
    first = unpaid.aggregate(at=Min("charges__invoice_line__invoice__finalized_at"))["at"]
    times = [
        subscribed.aggregate(at=Min("next_bill_at"))["at"],
        runs.left_over(test_clock=clock).aggregate(at=Min("invoice_at"))["at"],
        clock.frozen_time if late_hours.charged(test_clock=clock).exists() else None,
        drafts.aggregate(at=Min("finalize_at"))["at"],
        payments.awaiting_collection(test_clock=clock).aggregate(at=Min("next_payment_attempt"))["at"],
        first + first_payments.PAYMENT_WINDOW if first else None,
    ]
    return min((time for time in times if time is not None), default=None)


def run_due(*, clock: TestClock, at: datetime) -> None:
    """Do all that billing has to do for the clock's customers by that instant."""
    announcements.announce_due(at=at, test_clock=clock)
    trial_prompts.show_due(at=at, test_clock=clock)
    bill_due(clock=clock, at=at)
    sandbox_disputes.open_due(at=at, test_clock=clock)
    dunning_runs.run_due(at=at, test_clock=clock)
    expiring_cards.tell_due(at=at, test_clock=clock)
    refunds.send_pending(test_clock=clock)


def bill_due(*, clock: TestClock, at: datetime) -> None:
    """Bill, finalize and charge what is due, and give up what was never paid for."""
    runs.bill_due(at=at, test_clock=clock)
    first_payments.expire_incomplete(at=at, test_clock=clock)


def delete_all(*, clock: TestClock) -> None:
    """Delete the customers on the clock with all that is theirs; call it when crm has deleted what points to them."""
    customers = Customer.objects.filter(test_clock=clock)
    _delete_money(clock)
    Checkout.objects.filter(customer__in=customers).delete()
    SubscriptionChange.objects.filter(subscription__test_clock=clock).delete()
    coupons.forget(clock=clock)
    Phase.objects.filter(subscription__test_clock=clock).delete()
    SubscriptionItem.objects.filter(subscription__test_clock=clock).update(replaces=None)
    SubscriptionItem.objects.filter(subscription__test_clock=clock).delete()
    Subscription.objects.filter(test_clock=clock).delete()
    _delete_usage(clock)
    PaymentMethod.objects.filter(customer__in=customers).delete()
    GatewayCustomer.objects.filter(customer__in=customers).delete()
    customers.delete()


def _delete_money(clock: TestClock) -> None:
    attempts = PaymentAttempt.objects.filter(payment__test_clock=clock)
    SandboxCharge.objects.filter(pk__in=[str(pk) for pk in attempts.values_list("pk", flat=True)]).delete()
    attempts.delete()
    _delete_documents(clock)
    BalanceEntry.objects.filter(test_clock=clock).delete()
    CustomerBalance.objects.filter(customer__test_clock=clock).delete()
    Refund.objects.filter(test_clock=clock).delete()
    Dispute.objects.filter(test_clock=clock).delete()
    allocations = Allocation.objects.filter(invoice__test_clock=clock)
    allocations.filter(reverses__isnull=False).delete()
    allocations.delete()
    CreditNoteTax.objects.filter(credit_note__test_clock=clock).delete()
    CreditNoteLine.objects.filter(credit_note__test_clock=clock).delete()
    CreditNote.objects.filter(test_clock=clock).delete()
    Payment.objects.filter(test_clock=clock).delete()
    Charge.objects.filter(test_clock=clock).delete()
    DiscountUse.objects.filter(discount__test_clock=clock).delete()
    InvoiceTax.objects.filter(invoice__test_clock=clock).delete()
    lines = InvoiceLine.objects.filter(invoice__test_clock=clock)
    lines.filter(credits_line__isnull=False).delete()
    lines.delete()
    DunningStep.objects.filter(case__test_clock=clock).delete()
    Invoice.objects.filter(test_clock=clock).delete()
    DunningCase.objects.filter(test_clock=clock).delete()
    NumberSeries.objects.filter(test_clock=clock).delete()
    BillingRun.objects.filter(test_clock=clock).delete()


def _delete_documents(clock: TestClock) -> None:
    for thing in ("invoice", "credit_note", "payment"):
        Document.objects.filter(**{f"{thing}__test_clock": clock}).delete()


def _delete_usage(clock: TestClock) -> None:
    ids = list(Customer.objects.filter(test_clock=clock).values_list("pk", flat=True))
    UsageCorrection.objects.filter(test_clock=clock).delete()
    LateUsage.objects.filter(customer_id__in=ids).delete()
    UsageRollup.objects.filter(customer_id__in=ids).delete()
    UsageValue.objects.filter(customer_id__in=ids).delete()
    with connection.cursor() as cursor:  # the partitioned tables: without reading their rows
        cursor.execute("DELETE FROM billing_usageevent WHERE customer_id = ANY(%s)", [ids])
        cursor.execute("DELETE FROM billing_usageeventkey WHERE customer_id = ANY(%s)", [ids])
