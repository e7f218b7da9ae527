"""The nervous system on a page: which handlers deal with which fact."""

HANDLERS: dict[str, tuple[str, ...]] = {
    "billing.customer.created": ("crm.handlers.customer_created",),
    "billing.customer.changed": ("crm.handlers.customer_changed",),
    "billing.subscription.renewed": ("signals.handlers.subscription_renewed",),
    "billing.usage.recorded": ("signals.handlers.usage_recorded",),
}
