"""Subscriptions: what they consist of and how they came to it; ended and kept from ending by steps."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from unfold import widgets
from unfold.decorators import display

from billing import cancellation, changes, pauses, standing
from billing.admin.changes import ChangeForm, PhaseRows, what_comes
from billing.admin.coupons import DiscountRows, RedeemsCoupons
from billing.models import Subscription, SubscriptionChange, SubscriptionItem
from gtm.shared import admin_columns as columns
from gtm.shared.admin_actors import NamesActors
from gtm.shared.admin_base import ReadOnlyAdmin, ReadOnlyTable
from gtm.shared.admin_fields import Choice
from gtm.shared.admin_filters import OnTestClock
from gtm.shared.admin_steps import StepForm, step

_PAUSABLE = (Subscription.Status.ACTIVE, Subscription.Status.PAST_DUE)
_CANCELABLE = {*Subscription.LIVE, Subscription.Status.PAUSED, Subscription.Status.UNPAID}


class ItemRows(ReadOnlyTable):
    model = SubscriptionItem
    related = ("price",)
    verbose_name_plural = "items"
    ordering = ("started_at", "pk")
    fields = (
        "price",
        "amount",
        "period_index",
        "current_period_start",
        "current_period_end",
        "billed_until",
        "started_at",
        "ended_at",
    )
    amount = columns.number("quantity", "Quantity")


class ChangeRows(NamesActors, ReadOnlyTable):
    model = SubscriptionChange
    per_page = 20
    verbose_name_plural = "changes"
    ordering = ("-effective_at", "-recorded_at")
    fields = ("what", "effective_at", "booked_on", "origin", "who", "reason", "before", "after")
    what = columns.words("kind", "What")
    before = columns.money("mrr_before", "MRR before")
    after = columns.money("mrr_after", "MRR after")


def _reason() -> forms.CharField:
    return forms.CharField(
        max_length=500, required=False, widget=widgets.UnfoldAdminTextInputWidget(), help_text="Kept with the change."
    )


class CancelForm(StepForm):
    when = Choice(
        choices=[("period_end", "At the end of the period (of the trial)"), ("now", "Now")], initial="period_end"
    )
    credit = Choice(
        choices=[
            ("none", "Give nothing back"),
            ("prorate", "Unused time to the balance"),
            ("refund", "Unused time back to where it was paid from"),
        ],
        initial="none",
        help_text="What is still unpaid is taken off its invoice first.",
    )
    reason = _reason()


class PauseForm(StepForm):
    when = Choice(label="From", choices=[("now", "Now"), ("period_end", "The end of the period")], initial="now")
    mode = Choice(label="Access", choices=Subscription.PauseMode.choices, initial=Subscription.PauseMode.NO_ACCESS)
    resume_at = forms.DateTimeField(
        required=False,
        widget=widgets.UnfoldAdminTextInputWidget(attrs={"placeholder": "2026-03-01 09:00"}),
        help_text="When it goes on by itself, in UTC; empty: when somebody resumes it.",
    )
    reason = _reason()


class ResumeForm(StepForm):
    reason = _reason()


class UndoForm(StepForm):
    all_ = forms.BooleanField(required=False, label="All that is scheduled", help_text="Else the next change alone.")
    reason = _reason()


@admin.register(Subscription)
class SubscriptionAdmin(RedeemsCoupons, ReadOnlyAdmin):
    list_display = ("name", "customer", "state", "current_period_end", "next_bill_at", "collection_method", "start_at")
    list_filter = (OnTestClock, "status", "collection_method")
    list_select_related = ("customer", "plan_version__plan")
    search_fields = ("customer__name", "customer__email", "external_id__exact")
    ordering = ("-created_at",)
    inlines = (ItemRows, PhaseRows, DiscountRows, ChangeRows)
    fieldsets = (
        (None, {"fields": (("customer", "payer"), ("plan_version", "state"))}),
        ("Time", {"fields": (("start_at", "trial_end"), ("current_period_start", "current_period_end"))}),
        (
            "Next",
            {
                "fields": (
                    ("next_bill_at", "cancel_at"),
                    ("canceled_at", "ended_at"),
                    ("pause_at", "paused_at", "resume_at"),
                )
            },
        ),
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
        ("Revenue", {"fields": (("monthly", "minimum"),)}),
    )
    actions_detail = ("change_items", "undo_change", "redeem", "pause", "resume", "cancel", "undo_cancellation")
    state = columns.status("status")
    monthly = columns.money("mrr", "A month")
    minimum = columns.money("minimum_amount", "Minimum for each period")

    @display(description="Plan", ordering="plan_version__plan__name")
    def name(self, subscription: Subscription) -> str:
        return str(subscription.plan_version)

    def notes(self, request: HttpRequest, instance: Subscription) -> list[str]:
        return what_comes(instance)

    @step(
        "Change plan",
        explain=lambda it: (
            f"{it.plan_version.plan} of {it.customer} becomes something else. You see first what it costs."
        ),
        done="The change is made, or scheduled.",
        form=ChangeForm,
        applies=lambda it: it.status in Subscription.LIVE,
        permission="money",
        main=True,
    )
    def change_items(self, subscription: Subscription, *, at: datetime, **asked: Any) -> None:
        changes.change(subscription=subscription, at=at, origin=SubscriptionChange.Origin.ADMIN, **asked)

    @step(
        "Undo a scheduled change",
        explain=lambda it: (
            f"The next scheduled change of {it.plan_version.plan} of {it.customer} is dropped."
            " What a contract says stays."
        ),
        done="What was scheduled is dropped.",
        form=UndoForm,
        applies=lambda it: it.phases.filter(applied_at=None, locked=False).exists(),
        permission="money",
    )
    def undo_change(self, subscription: Subscription, *, at: datetime, **asked: Any) -> None:
        changes.undo(subscription=subscription, at=at, origin=SubscriptionChange.Origin.ADMIN, **asked)

    @step(
        "Pause",
        explain=lambda it: (
            f"{it.plan_version.plan} of {it.customer} isn't billed until it is resumed."
            " What was paid for the time after the day of the pause goes to the balance."
        ),
        done="The pause is noted.",
        form=PauseForm,
        applies=lambda it: it.status in _PAUSABLE and it.pause_at is None and it.cancel_at is None,
        permission="money",
    )
    def pause(self, subscription: Subscription, *, at: datetime, **asked: Any) -> None:
        pauses.pause(subscription=subscription, at=at, origin=SubscriptionChange.Origin.ADMIN, **asked)

    @step(
        "Resume",
        explain=lambda it: (
            f"{it.plan_version.plan} of {it.customer} goes on: from a new first period, which is billed now."
            if it.paused_at
            else f"The pause of {it.plan_version.plan} of {it.customer} is dropped."
        ),
        done="The subscription goes on.",
        form=ResumeForm,
        applies=lambda it: it.status == Subscription.Status.PAUSED or it.pause_at is not None,
        permission="money",
    )
    def resume(self, subscription: Subscription, *, at: datetime, **asked: Any) -> None:
        pauses.resume(subscription=subscription, at=at, origin=SubscriptionChange.Origin.ADMIN, **asked)

    @step(
        "Cancel",
        explain=lambda it: (
            f"{it.plan_version.plan} of {it.customer} ends. The day it ends on and usage until then are billed."
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
