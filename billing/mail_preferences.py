"""Which mail somebody wants: by address and topic, changed by a link in the mail or in the portal."""

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from billing import notices
from billing.models import Customer, MailPreference
from gtm.shared import db, outbox
from gtm.shared.errors import Conflict
from gtm.shared.models import Mail

TOPICS = tuple(MailPreference.Topic)


@transaction.atomic
def change(*, customer: Customer, email: str, wanted: Mapping[str, bool], at: datetime) -> None:
    """Set whether the address wants mail of each topic; publishes ``billing.mail_preference.changed`` for each other.

    The fact holds the topic and no address.
    """
    db.lock(Customer, [customer.pk])
    before = wishes(customer=customer, email=email)
    for topic, wish in wanted.items():
        if before[topic] == wish:
            continue
        row, _is_new = MailPreference.objects.update_or_create(
            customer=customer, email=email.lower(), topic=topic, defaults={"wanted": wish, "changed_at": at}
        )
        outbox.publish(
            "billing.mail_preference.changed",
            row,
            at=at,
            customer_id=customer.pk,
            account_id=customer.account_id,
            test_clock_id=customer.test_clock_id,
            data={"topic": str(topic), "wanted": wish},
            previous={"wanted": not wish},
        )


def wishes(*, customer: Customer, email: str) -> dict[str, bool]:
    """Topic -> whether the address wants it; it does unless it has said otherwise."""
    rows = MailPreference.objects.filter(customer=customer, email=email.lower())
    return {str(topic): True for topic in TOPICS} | dict(rows.values_list("topic", "wanted"))


def stop(*, mail: Mail, customer: Customer, at: datetime) -> None:
    """No more mail like this one to its recipient. Raises Conflict for what has to be sent."""
    topic = topic_of(mail)
    if not topic:
        raise Conflict("This mail has to be sent.", code="mail_required")
    change(customer=customer, email=mail.recipient, wanted={topic: False}, at=at)


def topic_of(mail: Mail) -> str:
    """The topic of a mail; empty for what has to be sent."""
    kind = notices.KINDS.get(mail.template)
    return kind.topic if kind else ""
