"""Bill runs: how far they have come, what they did, whom they left out, and whether the books agreed after them."""

from django.contrib import admin
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display

from billing import consistency
from billing.consistency import Finding
from billing.models import BillingRun
from gtm.shared import admin_columns as columns
from gtm.shared.admin_base import ReadOnlyAdmin
from gtm.shared.admin_filters import OnTestClock
from gtm.shared.templatetags import tandem


@admin.register(BillingRun)
class BillingRunAdmin(ReadOnlyAdmin):
    list_display = ("cutoff", "state", "progress", "invoices", "parked", "books", "started_at", "finished_at")
    list_filter = (OnTestClock, "status")
    list_select_related = ("test_clock",)
    ordering = ("-started_at",)
    fields = (
        ("cutoff", "state"),
        ("started_at", "finished_at"),
        ("stage", "seen_at"),
        ("progress", "invoices"),
        ("parked", "test_clock"),
        "last_error",
        "findings",
    )
    state = columns.status("status")

    @display(description="Subscriptions", ordering="subscriptions")
    def progress(self, run: BillingRun) -> str:
        if run.status == BillingRun.Status.RUNNING and run.due > run.subscriptions:
            return f"{run.subscriptions:,} of {run.due:,}"
        return f"{run.subscriptions:,}"

    @display(description="Books")
    def books(self, run: BillingRun) -> str:
        if not run.checks:
            return tandem.ABSENT
        wrong = [one for one in consistency.recalled(run.checks) if not one.is_fine]
        return tandem.status_badge("error" if wrong else "ok")

    @display(description="Consistency checks")
    def findings(self, run: BillingRun) -> str:
        """In words: what is wrong, with the first ids; or that nothing is."""
        made = consistency.recalled(run.checks)
        if not made:
            return "They were not made."
        wrong = [one for one in made if not one.is_fine]
        took = sum(one.milliseconds for one in made)
        if not wrong:
            return f"{len(made)} checks found nothing wrong, in {took:,} ms."
        return format_html("<ul>{}</ul>", format_html_join("", "<li>{}</li>", ((_told(one),) for one in wrong)))


def _told(finding: Finding) -> str | SafeString:
    if finding.error:
        return f"{finding.sentence} This could not be looked at: {finding.error}."
    others = ", and others" if finding.more else ""
    return format_html("{} {}{}.", finding.sentence, ", ".join(finding.found), others)
