"""The portal without sign-in, for whom the vendor's product has signed in already: one customer, once, for an hour.

Nobody is signed in by it: neither a second step, nor a member's other customers, nor who else has access is within its
reach. It shows and does what a billing member may, or a viewer where it stands for one, and ends when they leave.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.urls import reverse

from billing import returns
from billing.models import Customer, Member, PortalSession
from gtm.shared import links, outbox
from gtm.shared.errors import Invalid

PURPOSE = "portal"
TO_OPEN, OPEN = timedelta(minutes=5), timedelta(hours=1)


@transaction.atomic
def create(
    *, customer: Customer, email: str = "", return_url: str = "", at: datetime, wall_time: datetime
) -> PortalSession:
    """Begin one in the name of the member with ``email``, else of the longest owner, else of nobody.

    ``at`` is the customer's time, for the fact. Raises Invalid for an ``email`` that is no member's, and a
    ``return_url`` of a host that the vendor hasn't listed.
    """
    returns.require_listed(return_url)
    member = _member(customer, email.strip().lower())
    made = PortalSession.objects.create(
        customer=customer,
        member=member,
        return_url=return_url,
        created_at=wall_time,
        expires_at=wall_time + TO_OPEN,
    )
    _tell(made, "created", at=at)
    return made


def _member(customer: Customer, email: str) -> Member | None:
    known = customer.members.filter(user__is_active=True).select_related("user")
    if not email:
        return known.filter(role=Member.Role.OWNER).order_by("created_at", "id").first()
    found = known.filter(user__email=email).first()
    if found is None:
        raise Invalid("No member of the customer signs in with this address.", attr="email", code="not_member")
    return found


def path(made: PortalSession, *, at: datetime) -> str:
    """The address, behind ``BASE_URL``, by which it is opened. ``at`` is wall time."""
    return reverse("visit", args=[links.make(PURPOSE, made.pk, at=at, lasts=made.expires_at - at)])


def find(token: str, *, at: datetime) -> PortalSession:
    """What a link opens. Raises LinkInvalid, and LinkExpired where it was opened before. ``at`` is wall time."""
    key = links.read(PURPOSE, token, at=at)
    found = _named(key)
    if found is None:
        raise links.LinkInvalid
    if found.opened_at is not None:
        raise links.LinkExpired(key)
    return found


@transaction.atomic
def open_once(made: PortalSession, *, at: datetime, wall_time: datetime) -> None:
    """Use up the link: of two who come with it the first one gets in. Raises LinkExpired for the other."""
    waiting = PortalSession.objects.filter(pk=made.pk, opened_at=None, expires_at__gt=wall_time)
    if not waiting.update(opened_at=wall_time, expires_at=wall_time + OPEN):
        raise links.LinkExpired(made.pk)
    _tell(made, "opened", at=at)


def running(key: UUID, *, at: datetime) -> PortalSession | None:
    """The one of that id, while it is open and its member may sign in. ``at`` is wall time."""
    found = _named(key)
    if found is None or found.opened_at is None or found.expires_at <= at:
        return None
    return found


def _named(key: UUID) -> PortalSession | None:
    found = PortalSession.objects.select_related("customer", "member__user").filter(pk=key).first()
    gone = found is not None and found.member is not None and not found.member.user.is_active
    return None if gone else found


def acting_member(opened: PortalSession) -> Member:
    """Who it lets the visitor act as: never more than a billing member."""
    role = opened.member.role if opened.member else Member.Role.BILLING
    role = Member.Role.VIEWER if role == Member.Role.VIEWER else Member.Role.BILLING
    acting = Member(customer=opened.customer, user=opened.member.user if opened.member else None, role=role)
    acting.by_session = opened
    return acting


def forget(*, at: datetime) -> None:
    """Delete those that were over a day ago. ``at`` is wall time."""
    PortalSession.objects.filter(expires_at__lt=at - timedelta(days=1)).delete()


def _tell(made: PortalSession, kind: str, *, at: datetime) -> None:
    customer = made.customer
    data: dict[str, Any] = {"member": made.member.public_id if made.member else None}
    outbox.publish(
        f"billing.portal_session.{kind}",
        made,
        at=at,
        customer_id=customer.pk,
        account_id=customer.account_id,
        test_clock_id=customer.test_clock_id,
        data=data,
    )
