"""What customers ask a quote for."""

from django.db import models
from django.db.models.functions import Now

from billing.models.catalog import Plan
from billing.models.customers import Customer
from gtm.shared.models import Row


class QuoteRequest(Row):
    """A customer wishes for a plan that is sold by quote; ``message`` is in its own words."""

    PREFIX = "qreq"

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="quote_requests")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+")
    quantity = models.PositiveIntegerField(null=True, blank=True)
    message = models.TextField(max_length=2000, blank=True)
    requested_at = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        indexes = [models.Index(fields=["customer", "requested_at"], name="billing_quoterequest_of")]

    def __str__(self) -> str:
        return f"{self.customer}: {self.plan}"
