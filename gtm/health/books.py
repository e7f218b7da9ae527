"""Whether the books agree with themselves, as the consistency checks found."""

from collections.abc import Sequence
from datetime import datetime

from billing import consistency
from billing.models import BillingRun
from gtm.health.findings import Finding, error, ok

BOOKS = "Books"


def after_last_run() -> Finding:
    """What the checks found after the last bill run that made them."""
    last = BillingRun.objects.filter(test_clock=None).exclude(checks=[]).order_by("-started_at").first()
    return _told(consistency.recalled(last.checks) if last is not None else [])


def now(at: datetime) -> Finding:
    """What they find in all that was made within a week."""
    return _told(consistency.check(at=at, since=at - consistency.LONGEST))


def _told(made: Sequence[consistency.Finding]) -> Finding:
    wrong = [one for one in made if not one.is_fine]
    if not made:
        return ok(BOOKS, "No bill run has been followed by consistency checks yet.")
    if not wrong:
        return ok(BOOKS, f"{len(made)} consistency checks found nothing wrong.")
    first = wrong[0]
    where = ", ".join(first.found[:3]) or f"this could not be looked at ({first.error})"
    others = f" Other checks that found something: {len(wrong) - 1}." if len(wrong) > 1 else ""
    remedy = "See what it comes from before more is billed; the last bill run in the admin names all that was found."
    return error(BOOKS, f"{first.sentence.rstrip('.')}: {where}.{others}", remedy)
