"""The vendor's terms: whoever buys agrees to them, and again when they have changed since."""

from datetime import datetime

from billing.models import Customer, TermsAgreement
from gtm.shared import context, outbox
from gtm.shared.models import Vendor


def version_of(vendor: Vendor) -> str:
    """What is agreed to now; empty where nobody is asked. Without a version of its own it is the address."""
    return (vendor.terms_version or vendor.terms_url) if vendor.terms_url else ""


def wanted(customer: Customer, vendor: Vendor) -> str:
    """The version that the customer still has to agree to before it buys; empty for none."""
    version = version_of(vendor)
    known = version and TermsAgreement.objects.filter(customer=customer, terms_version=version).exists()
    return "" if known else version


def agree(*, customer: Customer, version: str, origin: str, at: datetime) -> None:
    """Keep that the customer agreed, once for each version; publishes ``billing.terms.agreed``. In a transaction."""
    kept, is_new = TermsAgreement.objects.get_or_create(
        customer=customer, terms_version=version, defaults={"origin": origin, "actor": context.actor(), "agreed_at": at}
    )
    if is_new:
        outbox.publish(
            "billing.terms.agreed",
            kept,
            at=at,
            customer_id=customer.pk,
            account_id=customer.account_id,
            test_clock_id=customer.test_clock_id,
            data={"version": version, "origin": origin},
        )
