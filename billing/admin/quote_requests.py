"""What customers ask a quote for, to read. Whoever owns the account has an alert of it."""

from django.contrib import admin

from billing.models import QuoteRequest
from gtm.shared.admin_base import ReadOnlyAdmin


@admin.register(QuoteRequest)
class QuoteRequestAdmin(ReadOnlyAdmin):
    list_display = ("customer", "plan", "quantity", "requested_at")
    list_select_related = ("customer", "plan")
    search_fields = ("customer__name", "plan__name")
    ordering = ("-requested_at",)
    fields = (("customer", "plan"), ("quantity", "requested_at"), "message")
