"""The legal entities that sell: which one invoices a customer, and how it stands on a document."""

from typing import Any

from billing.models import Customer, LegalEntity
from gtm.shared import vendors


def of_customer(customer: Customer) -> LegalEntity:
    """The entity that invoices ``customer``: its own, or the default."""
    return customer.legal_entity or default()


def default() -> LegalEntity:
    """The entity that sells unless a customer has another one; made from the vendor's name before there is any."""
    known = LegalEntity.objects.filter(is_default=True).first()
    if known is not None:
        return known
    values = {"name": vendors.current().name, "is_default": True}
    return LegalEntity.objects.get_or_create(code="main", defaults=values)[0]


def as_seller(entity: LegalEntity) -> dict[str, Any]:
    """The entity as a finalized document keeps it."""
    return {
        "name": entity.name,
        "address": entity.address,
        "country": entity.country,
        "tax_ids": list(entity.tax_ids),
        "email": entity.email,
        "bank_details": entity.bank_details,
    }


def as_buyer(customer: Customer) -> dict[str, Any]:
    """The payer as a finalized document keeps it."""
    return {
        "name": customer.name,
        "address": customer.billing_address,
        "country": customer.place,
        "tax_id": customer.tax_id,
        "email": customer.email,
        "locale": customer.preferred_locale,
    }
