"""Dunning: the policies that founders set, and the cases with what was done in each and what comes next."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.postgres.forms import SimpleArrayField
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold import widgets
from unfold.decorators import display

from billing import dunning_cases, dunning_policies, dunning_runs
from billing.models import DunningCase, DunningPolicy, FinalAction
from gtm.shared import admin_columns as columns
from gtm.shared.admin_base import OperationAdmin, OperationForm, ReadOnlyAdmin
from gtm.shared.admin_filters import OnTestClock
from gtm.shared.admin_steps import StepForm, step
from gtm.shared.templatetags import tandem


class DaysField(SimpleArrayField):
    """Whole numbers of days, with commas between them."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            base_field=forms.IntegerField(), required=False, widget=widgets.UnfoldAdminTextInputWidget(), **kwargs
        )


class DunningPolicyForm(OperationForm):
    retry_days = DaysField(
        label="Charge again on days", help_text="After the first failed charge: 1, 3, 7, 14. Hard declines never are."
    )
    reminder_days = DaysField(
        label="Remind on days", help_text="Around the due date of a bill on terms: -3 is three days before it."
    )

    class Meta:
        model = DunningPolicy
        fields = (
            "name",
            "code",
            "is_default",
            "retry_days",
            "access_days",
            "final_action",
            "reminder_days",
            "terms_final_action",
            "notice_days",
        )
        labels = {
            "is_default": "Holds unless a plan or a segment has another one",
            "access_days": "Access ends after days",
            "final_action": "In the end",
            "terms_final_action": "In the end",
            "notice_days": "Days of notice",
        }
        help_texts = {
            "final_action": "When the last charge has failed. Unpaid: stop, and go on once it is paid.",
            "terms_final_action": "After the last reminder.",
            "notice_days": "For the owner of a customer whom somebody looks after. Nothing of it is cut off by itself.",
        }


@admin.register(DunningPolicy)
class DunningPolicyAdmin(OperationAdmin):
    form = DunningPolicyForm
    list_display = ("name", "is_default", "retry_days", "access_days", "final_action", "reminder_days")
    ordering = ("name",)
    fieldsets = (
        (None, {"fields": (("name", "code"), "is_default")}),
        ("Cards", {"fields": ("retry_days", ("access_days", "final_action"))}),
        ("Bills on terms", {"fields": ("reminder_days", "terms_final_action")}),
        ("Managed customers", {"fields": ("notice_days",)}),
    )

    def create(self, *, at: datetime, **values: Any) -> DunningPolicy:
        return dunning_policies.create(at=at, **values)

    def change(self, instance: DunningPolicy, *, at: datetime, **changes: Any) -> DunningPolicy:
        return dunning_policies.change(policy=instance, at=at, **changes)

    def get_readonly_fields(self, request: HttpRequest, obj: DunningPolicy | None = None) -> tuple[str, ...]:
        return () if obj is None else ("code",)

    def notes(self, request: HttpRequest, instance: DunningPolicy) -> list[str]:
        return ["Cases that are open keep the terms they began with."]


class FinalActionForm(StepForm):
    action = forms.ChoiceField(
        choices=[one for one in FinalAction.choices if one[0] != FinalAction.LEAVE],
        widget=widgets.UnfoldAdminRadioSelectWidget(),
        initial=FinalAction.CANCEL,
    )


@admin.register(DunningCase)
class DunningCaseAdmin(ReadOnlyAdmin):
    list_display = ("payer", "state", "owed", "opened_at", "failure_code", "next_action_at")
    list_filter = ("status", OnTestClock, "policy")
    list_select_related = ("payer", "policy")
    search_fields = ("payer__name", "payer__email")
    ordering = ("-opened_at",)
    fields = (
        ("payer", "state"),
        ("policy", "legal_entity"),
        "owed",
        ("opened_at", "closed_at"),
        ("failed_at", "failure_code"),
        ("access_ended_at", "final_action_due_at"),
        "next_action_at",
        "bills",
        "done",
        "ahead",
    )
    state = columns.status("status")
    actions_detail = ("act",)

    @display(description="Owed")
    def owed(self, case: DunningCase) -> str:
        due = sum(one.amount_due for one in case.invoices.all() if one.status == one.Status.OPEN)
        return tandem.money(due, case.currency)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("invoices")

    @display(description="Invoices")
    def bills(self, case: DunningCase) -> SafeString:
        rows = (
            (
                reverse("admin:billing_invoice_change", args=[one.pk]),
                str(one),
                tandem.money(one.amount_due, one.currency),
                one.get_status_display(),
            )
            for one in case.invoices.all()
        )
        return format_html("<ul>{}</ul>", format_html_join("", '<li><a href="{}">{}</a>: {} ({})</li>', rows))

    @display(description="Done")
    def done(self, case: DunningCase) -> SafeString | str:
        taken = case.steps.select_related("invoice").order_by("done_at", "pk")
        rows = (
            (f"{one.done_at:%Y-%m-%d %H:%M}", one.get_kind_display(), f" ({one.outcome})" if one.outcome else "")
            for one in taken
        )
        return format_html("<ul>{}</ul>", format_html_join("", "<li>{} {}{}</li>", rows))

    @display(description="Ahead, should nobody pay")
    def ahead(self, case: DunningCase) -> SafeString | str:
        if case.status != DunningCase.Status.OPEN:
            return tandem.ABSENT
        rows = ((f"{one.at:%Y-%m-%d %H:%M}", case.steps.model.Kind(one.kind).label) for one in dunning_cases.todo(case))
        return format_html("<ul>{}</ul>", format_html_join("", "<li>{} {}</li>", rows))

    @step(
        "End subscriptions",
        explain="What is past due with these invoices ends now, or stops until it is paid. The invoices stay open.",
        done="It is done.",
        form=FinalActionForm,
        applies=lambda case: dunning_runs.can_act(case),
        permission="founder",
        danger=True,
    )
    def act(self, case: DunningCase, *, at: datetime, action: str) -> None:
        dunning_runs.act(case=case, action=action, at=at)
