from gtm.shared.models.access import ApiKey, IdempotencyRecord, Pulse
from gtm.shared.models.base import Resource, Row, write
from gtm.shared.models.clocks import TestClock
from gtm.shared.models.events import Event, HandledFact, PendingFact
from gtm.shared.models.mail import Mail
from gtm.shared.models.users import SALES_ROLES, Role, User
from gtm.shared.models.vendor import ExchangeRate, Vendor
from gtm.shared.models.webhooks import UnsentFact, WebhookAttempt, WebhookDelivery, WebhookEndpoint

__all__ = [
    "SALES_ROLES",
    "ApiKey",
    "Event",
    "ExchangeRate",
    "HandledFact",
    "IdempotencyRecord",
    "Mail",
    "PendingFact",
    "Pulse",
    "Resource",
    "Role",
    "Row",
    "TestClock",
    "UnsentFact",
    "User",
    "Vendor",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
    "write",
]
