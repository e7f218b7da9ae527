"""Prompts: messages in the customer's portal, each shown once per period and gone when it is dismissed."""

import uuid
from datetime import datetime

from django.db import transaction

from billing.models import Customer, Prompt
from gtm.shared import outbox


@transaction.atomic
def show(
    *,
    customer_id: uuid.UUID,
    code: str,
    period: str,
    text: str,
    link: str,
    at: datetime,
    expires_at: datetime | None = None,
) -> Prompt | None:
    """Show a message from now on; None where the customer had it in this period already, dismissed or not."""
    values = {"text": text, "link": link, "expires_at": expires_at}
    prompt, is_new = Prompt.objects.get_or_create(customer_id=customer_id, code=code, period=period, defaults=values)
    if not is_new:
        return None
    customer = Customer.objects.only("account_id", "test_clock_id").get(pk=customer_id)
    outbox.publish(
        "billing.prompt.shown",
        prompt,
        at=at,
        customer_id=customer_id,
        account_id=customer.account_id,
        test_clock_id=customer.test_clock_id,
        data={"code": code, "period": period},
    )
    return prompt


def dismiss(*, prompt: Prompt, at: datetime) -> None:
    """Take the message away; the first dismissal counts."""
    Prompt.objects.filter(pk=prompt.pk, dismissed_at=None).update(dismissed_at=at)
