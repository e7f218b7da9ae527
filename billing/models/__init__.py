from billing.models.catalog import Entitlement, Feature, Meter, Plan, PlanVersion, PlanVersionPrice, Price, TaxRate
from billing.models.customers import CollectionMethod, Customer, Grant, Member, PaymentMethod, Prompt
from billing.models.entities import LegalEntity, NumberSeries
from billing.models.invoices import Charge, Document, Invoice, InvoiceLine, InvoiceTax, LineKind, LineReason
from billing.models.payments import Allocation, Payment, PaymentAttempt, SandboxCharge
from billing.models.runs import BillingRun, Checkout
from billing.models.subscriptions import Subscription, SubscriptionChange, SubscriptionItem
from billing.models.usage import UsageEvent, UsageEventKey, UsageRollup, UsageValue

__all__ = [
    "Allocation",
    "BillingRun",
    "Charge",
    "Checkout",
    "CollectionMethod",
    "Customer",
    "Document",
    "Entitlement",
    "Feature",
    "Grant",
    "Invoice",
    "InvoiceLine",
    "InvoiceTax",
    "LegalEntity",
    "LineKind",
    "LineReason",
    "Member",
    "Meter",
    "NumberSeries",
    "Payment",
    "PaymentAttempt",
    "PaymentMethod",
    "Plan",
    "PlanVersion",
    "PlanVersionPrice",
    "Price",
    "Prompt",
    "SandboxCharge",
    "Subscription",
    "SubscriptionChange",
    "SubscriptionItem",
    "TaxRate",
    "UsageEvent",
    "UsageEventKey",
    "UsageRollup",
    "UsageValue",
]
