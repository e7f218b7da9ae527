"""Payments to read, with each attempt at the gateway and the invoices that they settle."""

from django.contrib import admin

from billing.models import Allocation, Payment, PaymentAttempt
from gtm.shared import admin_columns as columns
from gtm.shared.admin_base import ReadOnlyAdmin, ReadOnlyTable
from gtm.shared.admin_filters import OnTestClock


class AttemptRows(ReadOnlyTable):
    model = PaymentAttempt
    related = ("invoice", "payment_method", "payment")
    verbose_name_plural = "attempts"
    ordering = ("started_at",)
    fields = ("invoice", "payment_method", "sum", "state", "failure_code", "started_at", "finished_at")
    sum = columns.money("amount", "Amount", currency="payment__currency")
    state = columns.status("status")


class SettledRows(ReadOnlyTable):
    model = Allocation
    related = ("invoice", "payment")
    verbose_name_plural = "settles"
    ordering = ("allocated_at",)
    fields = ("invoice", "kind", "allocated_at", "sum")
    sum = columns.money("amount", "Amount", currency="payment__currency")


@admin.register(Payment)
class PaymentAdmin(ReadOnlyAdmin):
    list_display = ("public_id", "customer", "money", "state", "method", "failure_code", "paid_at", "created_at")
    list_filter = (OnTestClock, "status", "method", ("created_at", admin.DateFieldListFilter))
    list_select_related = ("customer",)
    search_fields = ("customer__name", "customer__email", "reference", "gateway_reference__exact")
    ordering = ("-created_at",)
    inlines = (AttemptRows, SettledRows)
    fieldsets = (
        (None, {"fields": (("customer", "legal_entity"), ("money", "state"), ("paid_at", "created_at"))}),
        ("How", {"fields": (("method", "payment_method"), ("gateway", "gateway_reference"), "reference")}),
        ("What went wrong", {"fields": (("failure_code", "failure_message"), "attempt")}),
    )
    state = columns.status("status")
    money = columns.money("amount", "Amount")
