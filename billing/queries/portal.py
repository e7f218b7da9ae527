"""What a customer sees of itself. Each page is a constant number of queries."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar

from django.db.models import Exists, OuterRef, Prefetch, QuerySet, Sum
from django.utils.translation import ngettext

from billing import payment_methods, wording
from billing.models import (
    CreditNote,
    Customer,
    CustomerBalance,
    Discount,
    Invitation,
    Invoice,
    Member,
    Payment,
    PaymentMethod,
    Phase,
    PhaseItem,
    Prompt,
    Subscription,
    SubscriptionItem,
)
from billing.queries import invoice_discounts
from gtm.shared import ids
from gtm.shared.models import User

SWITCHABLE, URGED, SHOWN = 20, 10, 50
T = TypeVar("T", Member, Invitation)


def membership(user: User, customer: str) -> Member | None:
    """The user's membership of the customer that the address names, if there is one."""
    try:
        key = ids.decode(customer, prefix=Customer.PREFIX)
    except ValueError:
        return None
    return Member.objects.filter(user_id=user.pk, customer=key).select_related("customer", "user").first()


def people(customer: Customer) -> list[Member]:
    """The customer's members, longest first."""
    return _with_customer(customer, customer.members.select_related("user").order_by("created_at", "id"))


def invitations(customer: Customer) -> list[Invitation]:
    """Those that wait to be accepted, newest first."""
    return _with_customer(customer, customer.invitations.waiting().order_by("-created_at", "-id"))


def _with_customer(customer: Customer, found: Iterable[T]) -> list[T]:
    rows = list(found)
    for row in rows:
        row.customer = customer
    return rows


def other_customers(member: Member) -> list[Customer]:
    """The user's other customers, to switch to."""
    theirs = Customer.objects.filter(members__user=member.user_id)
    return list(theirs.exclude(pk=member.customer_id).order_by("name")[:SWITCHABLE])


def subscriptions(customer: Customer) -> list[Subscription]:
    """Newest first, without those that never started."""
    ahead = Phase.objects.filter(applied_at=None).select_related("plan_version__plan").order_by("starts_at")
    ahead = ahead.prefetch_related(Prefetch("items", PhaseItem.objects.select_related("price__meter").order_by("pk")))
    theirs = shown_subscriptions().filter(customer=customer).exclude(status=Subscription.Status.EXPIRED)
    theirs = theirs.annotate(is_bound=Exists(Phase.objects.filter(subscription=OuterRef("pk"), locked=True)))
    theirs = theirs.prefetch_related(Prefetch("phases", queryset=ahead, to_attr="ahead"))
    return list(theirs.order_by("-created_at", "-id"))


def shown_subscriptions() -> QuerySet[Subscription]:
    """With what is said of them: plan, items with prices, and discounts that are not over."""
    items = SubscriptionItem.objects.filter(ended_at=None).select_related("price__meter").order_by("created_at", "id")
    shown = (Prefetch("items", queryset=items), Prefetch("discounts", queryset=_running()))
    return Subscription.objects.select_related("plan_version__plan").prefetch_related(*shown)


def _running() -> QuerySet[Discount]:
    return Discount.objects.filter(ended_at=None).select_related("coupon", "customer").order_by("starts_at", "pk")


def discount_texts(subscription: Subscription) -> list[str]:
    """What comes off its invoices, in words; none for one that has ended."""
    running = [] if subscription.status in Subscription.ENDED else subscription.discounts.all()
    return [wording.discount(discount) for discount in running]


def summary(of: Subscription | Phase) -> str:
    """``5 seats, billed monthly``: what is paid for, in a few words."""
    paid = [item for item in of.items.all() if item.price.meter_id is None]
    parts = [_units(int(item.quantity)) for item in paid if wording.is_per_seat(item.price)]
    return ", ".join([*parts, *(wording.billed(item.price.interval, item.price.interval_count) for item in paid[:1])])


def _units(n: int) -> str:
    return ngettext("%(n)s unit", "%(n)s units", n) % {"n": n}


def price_texts(subscription: Subscription) -> list[str]:
    """What each item costs: ``$15 per unit per month``."""
    return [wording.price_text(item.price) for item in subscription.items.all()]


def invoices(customer: Customer) -> QuerySet[Invoice]:
    """Finalized invoices, newest first."""
    return (
        Invoice.objects.filter(customer=customer).exclude(status=Invoice.Status.DRAFT).order_by("-finalized_at", "-id")
    )


def invoice(customer: Customer, public_id: str) -> Invoice | None:
    """One of them, with everything that its page shows."""
    try:
        key = ids.decode(public_id, prefix=Invoice.PREFIX)
    except ValueError:
        return None
    return invoices(customer).prefetch_related(*shown_of_invoice()).filter(pk=key).first()


def shown_of_invoice() -> tuple[Any, ...]:
    """What the page of an invoice needs to be read along."""
    return (
        invoice_discounts.with_lines(),
        "taxes",
        "allocations__payment__payment_method",
        "allocations__credit_note",
        "credit_notes",
    )


def payment(customer: Customer, public_id: str) -> Payment | None:
    """One of its payments that brought money."""
    try:
        key = ids.decode(public_id, prefix=Payment.PREFIX)
    except ValueError:
        return None
    return Payment.objects.filter(customer=customer, status=Payment.Status.SUCCEEDED, pk=key).first()


def credit_note(customer: Customer, public_id: str) -> CreditNote | None:
    """One of its credit notes."""
    try:
        key = ids.decode(public_id, prefix=CreditNote.PREFIX)
    except ValueError:
        return None
    return CreditNote.objects.filter(customer=customer, pk=key).select_related("invoice").first()


def unpaid(customer: Customer) -> list[Invoice]:
    """Open invoices, the oldest first, as many as a page can urge."""
    return list(invoices(customer).filter(status=Invoice.Status.OPEN).order_by("due_date", "id")[:URGED])


def credit_notes(customer: Customer) -> list[CreditNote]:
    """Newest first, as many as a page shows."""
    found = CreditNote.objects.filter(customer=customer).select_related("invoice")
    return list(found.order_by("-created_at", "-id")[:SHOWN])


def credit(customer: Customer) -> int:
    """Minor units that stand to the customer's credit and pay its next invoices."""
    held = CustomerBalance.objects.filter(customer=customer, currency=customer.currency)
    return held.values_list("amount", flat=True).first() or 0


def open_total(customer: Customer) -> int:
    """Minor units that are due on open invoices."""
    sums = (
        invoices(customer)
        .filter(status=Invoice.Status.OPEN)
        .aggregate(
            total=Sum("total", default=0),
            paid=Sum("amount_paid", default=0),
            credited=Sum("amount_credited", default=0),
            balance=Sum("balance_applied", default=0),
        )
    )
    return int(sums["total"] - sums["paid"] - sums["credited"] - sums["balance"])


def payment_method(customer: Customer) -> PaymentMethod | None:
    return payment_methods.usable_by(customer).filter(is_default=True).first()


def prompts(customer: Customer, at: datetime) -> list[Prompt]:
    found = Prompt.objects.filter(customer=customer, dismissed_at=None).order_by("-created_at")
    return [prompt for prompt in found if prompt.expires_at is None or prompt.expires_at > at]
