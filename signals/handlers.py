"""What signals does when it hears of usage. Facts come late or in any order: the current state is read.

They are judged as of their own instant, so that what was used at the end of a period still counts there when the worker
comes late.
"""

from billing import usage
from gtm.shared.models import Event
from signals import detection


def usage_recorded(event: Event) -> None:
    """Usage of some customers came in: look at what they have used of their limits."""
    detection.evaluate(customer_ids=usage.customers_in(event), at=event.occurred_at)


def subscription_renewed(event: Event) -> None:
    """A new period on a test clock may have its usage already, reported ahead of the clock.

    Off a clock the sweep looks at whoever reported usage lately; there a look at each renewal would be in vain.
    """
    if event.test_clock_id is not None and event.customer_id is not None:
        detection.evaluate(customer_ids=[event.customer_id], at=event.occurred_at)
