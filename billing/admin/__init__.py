"""The back office of billing, a module for each noun."""

from billing.admin import (
    catalog,
    coupons,
    credit_notes,
    customers,
    disputes,
    dunning,
    entities,
    invoices,
    payments,
    plans,
    quote_requests,
    revenue,
    runs,
    subscriptions,
    usage,
)

__all__ = [
    "catalog",
    "coupons",
    "credit_notes",
    "customers",
    "disputes",
    "dunning",
    "entities",
    "invoices",
    "payments",
    "plans",
    "quote_requests",
    "revenue",
    "runs",
    "subscriptions",
    "usage",
]
