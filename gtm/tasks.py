"""Background work of the composition root."""

import uuid
from typing import Any

from celery import shared_task

from gtm import clocks
from gtm.shared.errors import Conflict
from gtm.shared.models import TestClock


@shared_task
def advance_clock(*, clock_id: str, **kwargs: Any) -> None:
    """Go on advancing a test clock whose caller stopped waiting."""
    clock = TestClock.objects.filter(pk=uuid.UUID(clock_id)).first()
    if clock is None:
        return
    try:
        clocks.go_on(clock=clock)
    except Conflict as refusal:
        if refusal.code != "clock_advancing":  # another process has it already: nothing is left to do here
            raise
