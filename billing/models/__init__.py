from billing.models.balances import BalanceEntry, CustomerBalance, Refund
from billing.models.catalog import Entitlement, Feature, Meter, Plan, PlanVersion, PlanVersionPrice, Price, TaxRate
from billing.models.coupons import Coupon, Discount, DiscountUse
from billing.models.credit_notes import CreditNote, CreditNoteLine, CreditNoteTax
from billing.models.customers import CollectionMethod, Customer, Grant, PaymentMethod, Prompt
from billing.models.disputes import Dispute
from billing.models.documents import Document
from billing.models.dunning import DunningCase, DunningPolicy, DunningStep, FinalAction
from billing.models.entities import LegalEntity, NumberSeries
from billing.models.gateways import GatewayCustomer, GatewayEvent, SandboxCharge
from billing.models.invoices import Charge, Invoice, InvoiceLine, InvoiceTax, LineKind, LineReason
from billing.models.members import Invitation, Member
from billing.models.notices import Announcement, MailPreference
from billing.models.payments import Allocation, AttemptShare, Payment, PaymentAttempt
from billing.models.phases import Phase, PhaseItem
from billing.models.portal_sessions import PortalSession
from billing.models.quote_requests import QuoteRequest
from billing.models.runs import BillingRun, Checkout
from billing.models.subscriptions import Subscription, SubscriptionChange, SubscriptionItem
from billing.models.terms import TermsAgreement
from billing.models.usage import LateUsage, UsageCorrection, UsageEvent, UsageEventKey, UsageRollup, UsageValue

__all__ = [
    "Allocation",
    "Announcement",
    "AttemptShare",
    "BalanceEntry",
    "BillingRun",
    "Charge",
    "Checkout",
    "CollectionMethod",
    "Coupon",
    "CreditNote",
    "CreditNoteLine",
    "CreditNoteTax",
    "Customer",
    "CustomerBalance",
    "Discount",
    "DiscountUse",
    "Dispute",
    "Document",
    "DunningCase",
    "DunningPolicy",
    "DunningStep",
    "Entitlement",
    "Feature",
    "FinalAction",
    "GatewayCustomer",
    "GatewayEvent",
    "Grant",
    "Invitation",
    "Invoice",
    "InvoiceLine",
    "InvoiceTax",
    "LateUsage",
    "LegalEntity",
    "LineKind",
    "LineReason",
    "MailPreference",
    "Member",
    "Meter",
    "NumberSeries",
    "Payment",
    "PaymentAttempt",
    "PaymentMethod",
    "Phase",
    "PhaseItem",
    "Plan",
    "PlanVersion",
    "PlanVersionPrice",
    "PortalSession",
    "Price",
    "Prompt",
    "QuoteRequest",
    "Refund",
    "SandboxCharge",
    "Subscription",
    "SubscriptionChange",
    "SubscriptionItem",
    "TaxRate",
    "TermsAgreement",
    "UsageCorrection",
    "UsageEvent",
    "UsageEventKey",
    "UsageRollup",
    "UsageValue",
]
