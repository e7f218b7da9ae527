"""What customers have agreed to."""

from django.db import models

from billing.models.customers import Customer
from gtm.shared.models import Row


class TermsAgreement(Row):
    """A customer agreed to a version of the vendor's terms; ``actor`` as in facts, ``origin`` of a subscription's."""

    PREFIX = "tagr"

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="terms_agreements")
    terms_version = models.CharField(max_length=200)
    origin = models.CharField(max_length=20)
    actor = models.CharField(max_length=60)
    agreed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["customer", "terms_version"], name="billing_terms_agreed_to_once")
        ]

    def __str__(self) -> str:
        return self.terms_version
