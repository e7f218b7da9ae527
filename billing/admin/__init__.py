"""The back office of billing, a module for each noun."""

from billing.admin import (
    catalog,
    credit_notes,
    customers,
    entities,
    invoices,
    payments,
    plans,
    runs,
    subscriptions,
    usage,
)

__all__ = [
    "catalog",
    "credit_notes",
    "customers",
    "entities",
    "invoices",
    "payments",
    "plans",
    "runs",
    "subscriptions",
    "usage",
]
