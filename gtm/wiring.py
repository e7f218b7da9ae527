"""The nervous system on a page: which handlers deal with which fact."""

HANDLERS: dict[str, tuple[str, ...]] = {
    "billing.customer.created": ("crm.handlers.customer_created",),
    "billing.customer.changed": ("crm.handlers.customer_changed",),
    "billing.subscription.created": ("crm.handlers.subscription_changed",),
    "billing.subscription.activated": ("crm.handlers.subscription_changed",),
    "billing.subscription.changed": ("crm.handlers.subscription_changed",),
    "billing.subscription.paused": ("crm.handlers.subscription_changed",),
    "billing.subscription.resumed": ("crm.handlers.subscription_changed",),
    "billing.subscription.canceled": ("crm.handlers.subscription_changed",),
    "billing.subscription.expired": ("crm.handlers.subscription_changed",),
    "billing.subscription.renewed": ("signals.handlers.subscription_renewed",),
    "billing.usage.recorded": ("signals.handlers.usage_recorded",),
    "billing.usage.corrected": ("signals.handlers.usage_recorded",),
}
