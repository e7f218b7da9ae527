"""The people who sign in for a customer, and those who were asked to."""

from datetime import datetime
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now

from billing.models.customers import Customer
from gtm.shared.models import Row

if TYPE_CHECKING:
    from billing.models.portal_sessions import PortalSession


class Member(Row):
    """A portal sign-in. A user may belong to several customers.

    ``by_session`` is what somebody came by who has not signed in: see ``billing.portal_sessions``.
    """

    PREFIX = "mbr"

    class Role(models.TextChoices):
        OWNER = "owner", "Owner"
        BILLING = "billing", "Billing"
        VIEWER = "viewer", "Viewer"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="members")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.OWNER)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    by_session: "PortalSession | None" = None

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "customer"], name="billing_member_once")]

    @property
    def may_buy(self) -> bool:
        return self.role in {self.Role.OWNER, self.Role.BILLING}

    @property
    def may_invite(self) -> bool:
        return self.role == self.Role.OWNER


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def waiting(self) -> "InvitationQuerySet":
        """Neither accepted nor revoked; those that have expired wait to be sent again."""
        return self.filter(accepted_at=None, revoked_at=None)


class Invitation(Row):
    """Somebody is asked, by mail, to sign in for a customer. Of the link's token only the digest is kept."""

    PREFIX = "ivt"

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField()
    role = models.CharField(max_length=10, choices=Member.Role.choices, default=Member.Role.VIEWER)
    token_digest = models.CharField(max_length=64, unique=True, editable=False)
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    objects = InvitationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "email"],
                condition=Q(accepted_at=None, revoked_at=None),
                name="billing_invitation_one_waiting",
            ),
            models.CheckConstraint(condition=Q(email=Lower("email")), name="billing_invitation_email_is_lower_case"),
            models.CheckConstraint(
                condition=Q(accepted_at=None) | Q(revoked_at=None), name="billing_invitation_ends_once"
            ),
        ]

    def __str__(self) -> str:
        return self.email

    def has_expired(self, at: datetime) -> bool:
        return self.expires_at <= at
