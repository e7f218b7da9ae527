"""What becomes due in signals as a test clock is advanced, and what goes with it.

Nothing becomes due: what was told is known by its period, so a new period arms every rule again by itself.
"""

from datetime import datetime

from gtm.shared.models import TestClock
from signals.models import Signal


def next_due(*, clock: TestClock) -> datetime | None:
    return None


def run_due(*, clock: TestClock, at: datetime) -> None:
    """Never called: nothing is ever due."""


def delete_all(*, clock: TestClock) -> None:
    """Delete what stands on the clock; call it before crm deletes the accounts."""
    Signal.objects.filter(test_clock=clock).delete()
