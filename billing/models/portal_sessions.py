"""Portals that an integrator opens for a customer from within the vendor's product."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from billing.models.customers import Customer
from billing.models.members import Member
from gtm.shared.models import Row


class PortalSession(Row):
    """One customer's portal by a link that opens it once; in the name of ``member``, or of nobody.

    ``expires_at`` ends the link until it is opened, and the portal afterwards. Both are wall time.
    """

    PREFIX = "psn"

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="portal_sessions")
    member = models.ForeignKey(Member, null=True, on_delete=models.CASCADE, related_name="+")
    return_url = models.CharField(max_length=2000, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(db_index=True)
    opened_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(opened_at=None) | Q(opened_at__lt=models.F("expires_at")),
                name="billing_portalsession_opened_in_time",
            )
        ]
