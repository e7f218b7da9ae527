"""Payments to read, with each attempt at the gateway and the invoices that they settle."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpResponse

from billing import documents, payments, refunds
from billing.admin.credit_notes import RefundForm, RefundRows
from billing.models import Allocation, Payment, PaymentAttempt
from billing.views import files
from gtm.shared import admin_columns as columns
from gtm.shared import db
from gtm.shared.admin_base import ReadOnlyAdmin, ReadOnlyTable
from gtm.shared.admin_filters import OnTestClock
from gtm.shared.admin_steps import handout, step

UNDER_WAY = (Payment.Status.PENDING, Payment.Status.PROCESSING, Payment.Status.REQUIRES_ACTION)


class AttemptRows(ReadOnlyTable):
    model = PaymentAttempt
    related = ("payment_method", "payment")
    verbose_name_plural = "attempts"
    ordering = ("started_at",)
    fields = ("payment_method", "sum", "state", "failure_code", "hard", "on_session", "started_at", "finished_at")
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
    inlines = (AttemptRows, SettledRows, RefundRows)
    fieldsets = (
        (None, {"fields": (("customer", "legal_entity"), ("money", "state"), ("refunded", "disputed"), "paid_at")}),
        ("How", {"fields": (("method", "payment_method"), ("gateway", "gateway_reference"), "reference")}),
        ("What went wrong", {"fields": (("failure_code", "failure_message"), "attempt")}),
    )
    state = columns.status("status")
    money = columns.money("amount", "Amount")
    refunded = columns.money("amount_refunded", "Refunded")
    disputed = columns.money("amount_disputed", "Disputed")
    actions_detail = ("receipt", "ask", "refund")

    @step(
        "Ask the gateway",
        explain=lambda payment: (
            f"{payment} is under way: the gateway is asked how it stands, and its answer settles it."
        ),
        done="It was asked: see how it went below.",
        applies=lambda payment: bool(payment.gateway) and payment.status in UNDER_WAY,
        permission="money",
        main=True,
    )
    def ask(self, payment: Payment, *, at: datetime) -> None:
        payments.refresh(payment=payment, at=at)

    @step(
        "Pay credit out",
        explain=lambda payment: (
            f"What stands to the credit of {payment.customer} goes back to where this payment came from. "
            "What an invoice asked for is given back by a credit note, which can refund it."
        ),
        done="The refund is made: see how it went below.",
        form=RefundForm,
        applies=lambda payment: payment.status == payment.Status.SUCCEEDED and payment.amount_refunded < payment.amount,
        permission="money",
        danger=True,
    )
    def refund(self, payment: Payment, *, at: datetime, **asked: Any) -> None:
        refunds.create(payment=payment, at=at, **asked)

    @handout("Receipt", applies=lambda payment: payment.status == Payment.Status.SUCCEEDED)
    def receipt(self, payment: Payment) -> HttpResponse:
        return files.pdf(documents.receipt(payment=payment, at=db.time_of(payment)))
