"""When a delivery is tried again, and when an endpoint that fails is given up."""

from datetime import timedelta

WAITS = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
SPREAD = 0.1  # each wait is longer by up to this share, so that what failed together doesn't come back together
WARN_AFTER = timedelta(days=3)
DISABLE_AFTER = timedelta(days=5)
NOTICE = timedelta(days=1)  # at least, between the warning and the end, however late the warning was
KEPT_FOR = timedelta(days=30)


def wait(*, failures: int, jitter: float) -> timedelta | None:
    """How long to wait after so many failures in a row (1 or more); None: that was the last attempt.

    ``jitter`` is a number from 0 up to 1, another one for each attempt.
    """
    if failures > len(WAITS):
        return None
    return WAITS[failures - 1] * (1 + SPREAD * jitter)
