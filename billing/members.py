"""Who signs in for a customer: members with roles, and invitations by mail.

Everything here locks the customer first, so that two owners who demote or remove each other can't both succeed. Of an
invitation's link only the digest is kept; links live in wall time, whatever a test clock says.
"""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urljoin

from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils.translation import gettext as _

from billing.models import Customer, Invitation, Member
from gtm.shared import db, mail, outbox, saving, users
from gtm.shared.errors import Conflict, Forbidden, Invalid
from gtm.shared.models import Event, User

LASTS = timedelta(days=7)


# --- members -----------------------------------------------------------------------------------
@transaction.atomic
def add(*, customer: Customer, user: User, role: str, at: datetime) -> Member:
    """Let ``user`` sign in for the customer; a member already gets the role. Raises as ``change_role``."""
    _check_role(role)
    customer = db.lock_one(customer)
    known = Member.objects.filter(customer=customer, user=user).first()
    if known is not None:
        return change_role(member=known, role=role, at=at)
    member = Member.objects.create(customer=customer, user=user, role=role)
    _tell(member, "added", at=at)
    return member


@transaction.atomic
def change_role(*, member: Member, role: str, at: datetime) -> Member:
    """Publishes ``billing.member.changed``. Raises Invalid for an unknown role, Conflict (``last_owner``)."""
    _check_role(role)
    member = _locked(member)
    if member.role == role:
        return member
    _require_owner(member)
    previous, member.role = member.role, role
    member.save(update_fields=["role"])
    _tell(member, "changed", previous={"role": previous}, at=at)
    return member


@transaction.atomic
def remove(*, member: Member, at: datetime) -> None:
    """End the sign-in, and the invitations that wait in this member's name; publishes ``billing.member.removed``.

    Raises Conflict (``last_owner``): somebody must be able to let people in.
    """
    member = _locked(member)
    _require_owner(member)
    for invitation in member.customer.invitations.waiting().filter(invited_by=member.user_id):
        _revoke(invitation, at)
    _tell(member, "removed", at=at)
    member.delete()


def _locked(member: Member) -> Member:
    """The member as it is now, under the customer's lock. Raises Conflict for one that is gone."""
    customer = db.lock_one(member.customer)
    found = Member.objects.filter(pk=member.pk).select_related("user").first()
    if found is None:
        raise Conflict(_("This person has no access any more."), code="not_member")
    found.customer = customer
    return found


def _require_owner(leaving: Member) -> None:
    """An owner steps down only where another one who can sign in remains."""
    if leaving.role != Member.Role.OWNER:
        return
    owners = Member.objects.filter(customer=leaving.customer_id, role=Member.Role.OWNER, user__is_active=True)
    if not owners.exclude(pk=leaving.pk).exists():
        raise Conflict(_("One owner must remain. Make somebody else an owner first."), code="last_owner", attr="role")


def _check_role(role: str) -> None:
    if role not in Member.Role.values:
        raise Invalid(f"The role is one of {', '.join(Member.Role.values)}.", attr="role")


def _tell(member: Member, kind: str, *, at: datetime, previous: dict[str, Any] | None = None) -> None:
    customer = member.customer
    outbox.publish(
        f"billing.member.{kind}",
        member,
        at=at,
        customer_id=customer.pk,
        account_id=customer.account_id,
        test_clock_id=customer.test_clock_id,
        data={"user": member.user.public_id, "role": member.role},
        previous=previous,
    )


# --- invitations -------------------------------------------------------------------------------
@transaction.atomic
def invite(*, customer: Customer, email: str, role: str, invited_by: User | None, at: datetime) -> Invitation:
    """Mail a link by which whoever reads that mailbox becomes a member; publishes ``billing.invitation.created``.

    Raises Conflict for a member (``already_member``) and for somebody who was asked already (``already_invited``).
    """
    _check_role(role)
    customer, email = db.lock_one(customer), email.strip().lower()
    if customer.members.filter(user__email=email).exists():
        raise Conflict(_("%(email)s has access already.") % {"email": email}, code="already_member", attr="email")
    if customer.invitations.waiting().filter(email=email).exists():
        detail = _("%(email)s is invited already. Send that invitation again.") % {"email": email}
        raise Conflict(detail, code="already_invited", attr="email")
    invitation = Invitation(customer=customer, email=email, role=role, invited_by=invited_by)
    token = _fresh_token(invitation)
    saving.insert(invitation)
    _send(invitation, token, _tell_of(invitation, "created", at=at))
    return invitation


@transaction.atomic
def resend(*, invitation: Invitation, at: datetime) -> Invitation:
    """Mail a new link, good for another week; the old one is dead. Conflict for an invitation that has ended."""
    invitation = _locked_waiting(invitation)
    token = _fresh_token(invitation)
    invitation.save(update_fields=["token_digest", "expires_at"])
    _send(invitation, token, _tell_of(invitation, "resent", at=at))
    return invitation


@transaction.atomic
def revoke(*, invitation: Invitation, at: datetime) -> None:
    """Take the invitation back: its link is dead. Conflict for one that has ended."""
    _revoke(_locked_waiting(invitation), at)


def find(token: str) -> Invitation | None:
    """The invitation behind a link, whatever became of it."""
    found = Invitation.objects.filter(token_digest=_digest(token))
    return found.select_related("customer", "invited_by").first()


def check(invitation: Invitation) -> None:
    """Raises Conflict where the link can't be used any more, saying why."""
    if invitation.accepted_at is not None:
        raise Conflict(_("This invitation was accepted already."), code="invitation_accepted")
    if invitation.revoked_at is not None:
        raise Conflict(_("This invitation was taken back."), code="invitation_revoked")
    if invitation.has_expired(db.now()):
        raise Conflict(_("This invitation is too old. Ask for a new one."), code="invitation_expired")


@transaction.atomic
def accept(*, invitation: Invitation, user: User, at: datetime) -> Member:
    """Make ``user`` a member. The link came to their mailbox, so that the address counts as confirmed.

    Publishes ``billing.invitation.accepted``. Raises Conflict as ``check``, and Forbidden for another's address. Who is
    a member by now keeps their role.
    """
    customer = db.lock_one(invitation.customer)
    invitation = db.lock_one(invitation)
    check(invitation)
    if user.email != invitation.email:
        detail = _("This invitation is for %(email)s.") % {"email": invitation.email}
        raise Forbidden(detail, code="invitation_for_another")
    users.confirm(user=user)
    invitation.accepted_at = at
    invitation.save(update_fields=["accepted_at"])
    _tell_of(invitation, "accepted", at=at)
    known = Member.objects.filter(customer=customer, user=user).first()
    return known or add(customer=customer, user=user, role=invitation.role, at=at)


def _locked_waiting(invitation: Invitation) -> Invitation:
    customer = db.lock_one(invitation.customer)
    invitation = db.lock_one(invitation)
    invitation.customer = customer
    if invitation.accepted_at is not None or invitation.revoked_at is not None:
        check(invitation)
    return invitation


def _revoke(invitation: Invitation, at: datetime) -> None:
    invitation.revoked_at = at
    invitation.save(update_fields=["revoked_at"])
    _tell_of(invitation, "revoked", at=at)


def _fresh_token(invitation: Invitation) -> str:
    token = secrets.token_urlsafe(32)
    invitation.token_digest, invitation.expires_at = _digest(token), db.now() + LASTS
    return token


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _send(invitation: Invitation, token: str, event: Event) -> None:
    customer = invitation.customer
    context = {
        "customer": customer,
        "invited_by": invitation.invited_by,
        "address": urljoin(settings.BASE_URL, reverse("join", args=[token])),
        "expires_at": invitation.expires_at,
    }
    mail.queue(
        event=event,
        recipient=invitation.email,
        template="member_invitation",
        context=context,
        locale=customer.preferred_locale,
        customer_id=customer.pk,
        account_id=customer.account_id,
        test_clock_id=customer.test_clock_id,
    )


def _tell_of(invitation: Invitation, kind: str, *, at: datetime) -> Event:
    customer = invitation.customer
    return outbox.publish(
        f"billing.invitation.{kind}",
        invitation,
        at=at,
        customer_id=customer.pk,
        account_id=customer.account_id,
        test_clock_id=customer.test_clock_id,
        data={"role": invitation.role},
    )
