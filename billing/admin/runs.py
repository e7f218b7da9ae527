"""Bill runs: what they did, and whom they left out."""

from django.contrib import admin

from billing.models import BillingRun
from gtm.shared import admin_columns as columns
from gtm.shared.admin_base import ReadOnlyAdmin
from gtm.shared.admin_filters import OnTestClock


@admin.register(BillingRun)
class BillingRunAdmin(ReadOnlyAdmin):
    list_display = ("cutoff", "state", "subscriptions", "invoices", "parked", "started_at", "finished_at")
    list_filter = (OnTestClock, "status")
    list_select_related = ("test_clock",)
    ordering = ("-started_at",)
    fields = (
        ("cutoff", "state"),
        ("started_at", "finished_at"),
        ("subscriptions", "invoices"),
        ("parked", "test_clock"),
        "last_error",
    )
    state = columns.status("status")
