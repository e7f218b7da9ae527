"""Addresses that open without sign-in, signed and expiring: of one invoice, and of the mail that somebody gets."""

import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.urls import reverse

from gtm.shared import links

INVOICE, MAIL, CARD = "invoice", "mail", "card"
MAIL_LASTS = timedelta(days=730)  # who looks for a way out in an old mail finds it


def invoice_url(invoice_id: uuid.UUID, *, at: datetime) -> str:
    """One invoice: to look at, to take along, to pay. ``at`` is wall time."""
    token = links.make(INVOICE, invoice_id, at=at, lasts=timedelta(days=settings.HOSTED_LINK_DAYS))
    return f"{settings.BASE_URL}{reverse('hosted_invoice', args=[token])}"


def card_url(customer_id: uuid.UUID, *, at: datetime) -> str:
    """Where a payer gives another payment method. ``at`` is wall time."""
    token = links.make(CARD, customer_id, at=at, lasts=timedelta(days=settings.HOSTED_LINK_DAYS))
    return f"{settings.BASE_URL}{reverse('hosted_card', args=[token])}"


def preferences_url(mail_id: uuid.UUID, *, at: datetime) -> str:
    """Which mail the recipient of this one wants. ``at`` is wall time."""
    return _of_mail("mail_preferences", mail_id, at)


def unsubscribe_url(mail_id: uuid.UUID, *, at: datetime) -> str:
    """Where one click, or a mail program, stops mail like this one. ``at`` is wall time."""
    return _of_mail("mail_unsubscription", mail_id, at)


def absolute(path: str) -> str:
    """An address as mail needs it, of one of our own pages; nothing for none."""
    return f"{settings.BASE_URL}{path}" if path.startswith("/") else path


def _of_mail(page: str, mail_id: uuid.UUID, at: datetime) -> str:
    return f"{settings.BASE_URL}{reverse(page, args=[links.make(MAIL, mail_id, at=at, lasts=MAIL_LASTS)])}"
