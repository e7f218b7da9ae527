"""When the machine looks again by itself."""

from datetime import datetime, timedelta

from gtm.shared.models import Pulse

EVALUATION, EVERY = "job:evaluate recent usage", timedelta(minutes=5)


def next_evaluation(*, at: datetime) -> datetime | None:
    """When the trigger rules are evaluated next, by when they last were; None where they never have been."""
    last = Pulse.objects.filter(name=EVALUATION).values_list("last_succeeded_at", flat=True).first()
    if last is None or at - last > EVERY * 12:
        return None
    return max(last + EVERY, at)
