"""Subscriptions: what they consist of and how they came to it; ended and kept from ending by steps."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from unfold import widgets
from unfold.decorators import display

from billing import cancellation, standing
from billing.models import Subscription, SubscriptionChange, SubscriptionItem
from gtm.shared import admin_columns as columns
from gtm.shared.admin_base import ReadOnlyAdmin, ReadOnlyTable
from gtm.shared.admin_fields import Choice
from gtm.shared.admin_filters import OnTestClock
from gtm.shared.admin_steps import StepForm, step

_CANCELABLE = {*Subscription.LIVE, Subscription.Status.PAUSED, Subscription.Status.UNPAID}


class ItemRows(ReadOnlyTable):
    model = SubscriptionItem
    related = ("price",)
    verbose_name_plural = "items"
    fields = ("price", "amount", "period_index", "current_period_start", "current_period_end", "billed_until")
    amount = columns.number("quantity", "Quantity")


class ChangeRows(ReadOnlyTable):
    model = SubscriptionChange
    per_page = 20
    verbose_name_plural = "changes"
    ordering = ("-effective_at", "-recorded_at")
    fields = ("kind", "effective_at", "booked_on", "origin", "actor", "reason", "before", "after")
    before = columns.money("mrr_before", "MRR before")
    after = columns.money("mrr_after", "MRR after")


class CancelForm(StepForm):
    when = Choice(
        choices=[("period_end", "At the end of the period (of the trial)"), ("now", "Now")], initial="period_end"
    )
    reason = forms.CharField(
        max_length=500, required=False, widget=widgets.UnfoldAdminTextInputWidget(), help_text="Kept with the change."
    )


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnlyAdmin):
    list_display = ("name", "customer", "state", "current_period_end", "next_bill_at", "collection_method", "start_at")
    list_filter = (OnTestClock, "status", "collection_method")
    list_select_related = ("customer", "plan_version__plan")
    search_fields = ("customer__name", "customer__email", "external_id__exact")
    ordering = ("-created_at",)
    inlines = (ItemRows, ChangeRows)
    fieldsets = (
        (None, {"fields": (("customer", "payer"), ("plan_version", "state"))}),
        ("Time", {"fields": (("start_at", "trial_end"), ("current_period_start", "current_period_end"))}),
        ("Next", {"fields": (("next_bill_at", "cancel_at"), ("canceled_at", "ended_at"))}),
        (
            "Payment",
            {
                "fields": (
                    ("collection_method", "payment_method"),
                    ("net_terms_days", "po_number"),
                    ("currency", "test_clock"),
                )
            },
        ),
    )
    actions_detail = ("cancel", "undo_cancellation")
    state = columns.status("status")

    @display(description="Plan", ordering="plan_version__plan__name")
    def name(self, subscription: Subscription) -> str:
        return str(subscription.plan_version)

    @step(
        "Cancel",
        explain=lambda it: (
            f"{it.plan_version.plan} of {it.customer} ends. Nothing is credited; usage until then is billed."
        ),
        done="The cancellation is noted.",
        form=CancelForm,
        applies=lambda it: (it.status in _CANCELABLE or standing.is_ahead(it)) and it.cancel_at is None,
        permission="money",
        danger=True,
    )
    def cancel(self, subscription: Subscription, *, at: datetime, **asked: Any) -> None:
        cancellation.cancel(subscription=subscription, at=at, origin=SubscriptionChange.Origin.ADMIN, **asked)

    @step(
        "Undo the cancellation",
        explain=lambda it: f"{it.plan_version.plan} of {it.customer} goes on as if nothing had been said.",
        done="The subscription goes on.",
        applies=lambda it: it.cancel_at is not None and it.status not in Subscription.ENDED,
        permission="money",
    )
    def undo_cancellation(self, subscription: Subscription, *, at: datetime) -> None:
        cancellation.undo_cancellation(subscription=subscription, at=at, origin=SubscriptionChange.Origin.ADMIN)
