"""Mail to customers: who gets which, in which language, and what they may do without.

What tells of money and of the contract is always sent: invoices, receipts, credit notes, refunds, failed payments,
renewals, ends of trials, changes of the plan. Hints are sent to whoever hasn't stopped them. Mail about money goes to
the customer's billing addresses, other mail to its own; where there is none, to the members who may buy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.urls import reverse

from billing import hosted
from billing.models import Customer, MailPreference, Member
from gtm.shared import db, ids, languages, mail
from gtm.shared.models import Event, Mail

BILLING, ACCOUNT = "billing", "account"
USAGE, PRODUCT = MailPreference.Topic.USAGE, MailPreference.Topic.PRODUCT


@dataclass(frozen=True, slots=True)
class Kind:
    """To whom such mail goes, and by which topic it is stopped; none where it has to be sent."""

    audience: str
    topic: str = ""


KINDS: dict[str, Kind] = {
    "invoice": Kind(BILLING),
    "invoice_link": Kind(BILLING),
    "invoice_reminder": Kind(BILLING),
    "final_notice": Kind(BILLING),
    "receipt": Kind(BILLING),
    "credit_note": Kind(BILLING),
    "refund": Kind(BILLING),
    "payment_failed": Kind(BILLING),
    "action_required": Kind(BILLING),
    "card_expiring": Kind(BILLING),
    "renewal_notice": Kind(BILLING),
    "trial_ending": Kind(ACCOUNT),
    "welcome": Kind(ACCOUNT),
    "plan_changed": Kind(ACCOUNT),
    "plan_canceled": Kind(ACCOUNT),
    "plan_paused": Kind(ACCOUNT),
    "plan_resumed": Kind(ACCOUNT),
    "usage_hint": Kind(ACCOUNT, USAGE),
    "product_hint": Kind(ACCOUNT, PRODUCT),
}


def send(
    template: str,
    *,
    customer: Customer,
    event: Event,
    context: Mapping[str, Any],
    attachments: Sequence[UUID] = (),
) -> list[Mail]:
    """Queue ``emails/<template>`` for each recipient, once per fact, in the caller's transaction.

    What of ``context`` can be called is called in the recipient's language. ``attachments`` names the invoices, credit
    notes and payments whose documents go with it. Nothing is sent where the customer has no address.
    """
    written = (_write(template, one, customer, event, context, attachments) for one in recipients(template, customer))
    return [one for one in written if one is not None]


def _write(
    template: str,
    recipient: str,
    customer: Customer,
    event: Event,
    context: Mapping[str, Any],
    attachments: Sequence[UUID],
) -> Mail | None:
    mail_id, wall, optional = ids.uuid7(), db.now(), bool(KINDS[template].topic)
    frame = {
        "customer": customer,
        "optional": optional,
        "preferences_url": hosted.preferences_url(mail_id, at=wall),
        "portal_url": f"{settings.BASE_URL}{reverse('portal_overview', args=[customer.public_id])}",
    }
    return mail.queue(
        event=event,
        recipient=recipient,
        template=template,
        context=frame | dict(context),
        locale=languages.supported(customer.preferred_locale),
        customer_id=customer.pk,
        account_id=customer.account_id,
        test_clock_id=customer.test_clock_id,
        mail_id=mail_id,
        attachments=attachments,
        unsubscribe_url=hosted.unsubscribe_url(mail_id, at=wall) if optional else "",
        told_at=event.occurred_at,
    )


def recipients(template: str, customer: Customer) -> list[str]:
    """The addresses that get such mail, each once, without those that don't want it."""
    kind = KINDS[template]
    own = [customer.email] if customer.email else []
    wanted = (customer.billing_emails or own) if kind.audience == BILLING else (own or customer.billing_emails)
    found = dict.fromkeys(address.lower() for address in wanted or _of_members(customer))
    stopped = _stopped(customer, kind.topic) if kind.topic else set()
    return [address for address in found if address not in stopped]


def _of_members(customer: Customer) -> list[str]:
    buyers = Member.objects.filter(customer=customer, role__in=[Member.Role.OWNER, Member.Role.BILLING])
    return list(buyers.order_by("created_at", "pk").values_list("user__email", flat=True))


def _stopped(customer: Customer, topic: str) -> set[str]:
    rows = MailPreference.objects.filter(customer=customer, topic=topic, wanted=False)
    return set(rows.values_list("email", flat=True))
