"""The word and the tone of every status code that a page may show."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

POSITIVE, CAUTION, NEGATIVE, ACCENT, PENDING, NEUTRAL = (
    "positive",
    "caution",
    "negative",
    "accent",
    "pending",
    "neutral",
)

STATUSES: dict[str, tuple[Promise, str]] = {
    # subscriptions
    "incomplete": (_("Incomplete"), PENDING),
    "trialing": (_("Trial"), ACCENT),
    "active": (_("Active"), POSITIVE),
    "past_due": (_("Past due"), CAUTION),
    "unpaid": (_("Unpaid"), NEGATIVE),
    "paused": (_("Paused"), NEUTRAL),
    "canceled": (_("Canceled"), NEUTRAL),
    "expired": (_("Expired"), NEUTRAL),
    # invoices, credit notes, payments
    "draft": (_("Draft"), PENDING),
    "open": (_("Open"), ACCENT),
    "overdue": (_("Overdue"), NEGATIVE),
    "paid": (_("Paid"), POSITIVE),
    "void": (_("Void"), NEUTRAL),
    "uncollectible": (_("Uncollectible"), NEGATIVE),
    "none": (_("None"), NEUTRAL),
    "pending": (_("Pending"), PENDING),
    "processing": (_("Processing"), PENDING),
    "requires_action": (_("Needs your confirmation"), CAUTION),
    "succeeded": (_("Succeeded"), POSITIVE),
    "failed": (_("Failed"), NEGATIVE),
    "deferred": (_("Comes with the next payment"), NEUTRAL),
    # disputes and what gateways tell
    "needs_response": (_("Needs response"), CAUTION),
    "under_review": (_("Under review"), PENDING),
    "received": (_("Received"), PENDING),
    "processed": (_("Processed"), POSITIVE),
    "ignored": (_("Ignored"), NEUTRAL),
    # plans and versions
    "published": (_("Published"), POSITIVE),
    "archived": (_("Archived"), NEUTRAL),
    # quotes and contracts
    "pending_approval": (_("Waiting for approval"), CAUTION),
    "approved": (_("Approved"), ACCENT),
    "sent": (_("Sent"), ACCENT),
    "accepted": (_("Accepted"), POSITIVE),
    "declined": (_("Declined"), NEGATIVE),
    # leads and opportunities
    "lead": (_("Lead"), PENDING),
    "mql": (_("MQL"), NEUTRAL),
    "sql": (_("SQL"), ACCENT),
    "sal": (_("SAL"), POSITIVE),
    "rejected": (_("Rejected"), NEGATIVE),
    "won": (_("Won"), POSITIVE),
    "lost": (_("Lost"), NEGATIVE),
    # alerts and tasks
    "acknowledged": (_("Taken"), ACCENT),
    "snoozed": (_("Snoozed"), PENDING),
    "done": (_("Done"), POSITIVE),
    "dismissed": (_("Dismissed"), NEUTRAL),
    "low": (_("Low"), NEUTRAL),
    "medium": (_("Medium"), ACCENT),
    "high": (_("High"), CAUTION),
    "critical": (_("Critical"), NEGATIVE),
    # runs, clocks, mail, health
    "ready": (_("Ready"), POSITIVE),
    "advancing": (_("Advancing"), PENDING),
    "running": (_("Running"), PENDING),
    "queued": (_("Queued"), PENDING),
    "sending": (_("Sending"), PENDING),
    "unknown": (_("Unknown"), CAUTION),
    "kept": (_("Kept, not sent"), NEUTRAL),
    "ok": (_("In order"), POSITIVE),
    "warning": (_("Needs attention"), CAUTION),
    "error": (_("Failing"), NEGATIVE),
}


def describe(status: str) -> tuple[str, str]:
    """The reader's word for a status code and its tone; a code unknown here is shown as it is written, in no colour."""
    word, tone = STATUSES.get(str(status), (str(status).replace("_", " ").capitalize(), NEUTRAL))
    return str(word), tone
