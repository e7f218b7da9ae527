"""Requests for a quote: what a customer wishes for that isn't sold by itself. Nothing waits for the answer."""

from datetime import datetime, timedelta

from django.db import transaction
from django.utils.translation import gettext as _

from billing.models import Customer, Plan, QuoteRequest
from gtm.shared import db, outbox
from gtm.shared.errors import Invalid

ASKED_AGAIN = timedelta(days=1)
MAX_MESSAGE = 2000


@transaction.atomic
def request(
    *, customer: Customer, plan: Plan, quantity: int | None = None, message: str = "", at: datetime
) -> QuoteRequest:
    """Ask for a quote of a plan that is sold by quote; within a day the same wish is the one that was sent.

    Raises Invalid for a plan that isn't for sale by quote.
    """
    if not Plan.objects.for_sale().filter(pk=plan.pk, purchase_mode=Plan.PurchaseMode.QUOTE_ONLY).exists():
        raise Invalid(_("This plan is not sold by quote."), attr="plan")
    customer = db.lock_one(customer)
    known = QuoteRequest.objects.filter(customer=customer, plan=plan, requested_at__gt=at - ASKED_AGAIN).first()
    if known is not None:
        return known
    made = QuoteRequest.objects.create(
        customer=customer, plan=plan, quantity=quantity, message=message.strip()[:MAX_MESSAGE], requested_at=at
    )
    outbox.publish(
        "billing.quote.requested",
        made,
        at=at,
        customer_id=customer.pk,
        account_id=customer.account_id,
        test_clock_id=customer.test_clock_id,
        data={"plan": plan.code, "quantity": quantity},
    )
    return made
