"""What the checkout makes of facts: a payment that was settled by a webhook or the janitor completes its order too."""

from billing import checkout
from gtm.shared.models import Event


def subscription_activated(event: Event) -> None:
    checkout.close(checkout_id=event.object_id, at=event.occurred_at)
