"""What is noticed, and what was: trigger rules in published versions, and signals."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold import widgets
from unfold.decorators import display

from gtm.shared import admin_columns as columns
from gtm.shared.admin_base import OperationAdmin, OperationForm, ReadOnlyAdmin, ReadOnlyTable, page_of
from gtm.shared.admin_fields import Choice, plain
from gtm.shared.admin_filters import OnTestClock
from gtm.shared.admin_steps import step
from signals import trigger_rules
from signals.models import Signal, TriggerRule, TriggerRuleVersion


class TriggerRuleForm(OperationForm):
    """The rule with the terms of its newest version; the threshold as people say it, in percent."""

    threshold = forms.DecimalField(
        label="Above how much of the limit, in percent",
        max_digits=8,
        decimal_places=2,
        initial=80,
        widget=widgets.UnfoldAdminDecimalFieldWidget(attrs={"step": "any", "class": "max-w-40"}),
        help_text="Strictly above: 800 of 1,000 is not above 80.",
    )
    severity = Choice(choices=[(code, code.capitalize()) for code in trigger_rules.SEVERITIES], initial="high")
    play = forms.CharField(
        label="Suggested play", max_length=500, required=False, widget=widgets.UnfoldAdminTextInputWidget()
    )

    class Meta:
        model = TriggerRule
        fields = ("name", "code", "kind", "active", "threshold", "severity", "play")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            newest = trigger_rules.newest(self.instance)
            self.initial.update(threshold=plain(newest.threshold * 100), severity=newest.severity, play=newest.play)

    def clean_threshold(self) -> Decimal:
        return Decimal(self.cleaned_data["threshold"]) / 100


class VersionRows(ReadOnlyTable):
    model = TriggerRuleVersion
    verbose_name_plural = "versions"
    ordering = ("-number",)
    fields = ("number", "share", "severity", "play", "published_at")

    @display(description="Above")
    def share(self, version: TriggerRuleVersion) -> str:
        return f"{plain(version.threshold * 100)} %"


@admin.register(TriggerRule)
class TriggerRuleAdmin(OperationAdmin):
    form = TriggerRuleForm
    list_display = ("name", "kind", "active", "code")
    search_fields = ("name", "code")
    ordering = ("name",)
    prepopulated_fields = {"code": ("name",)}
    inlines = (VersionRows,)
    fieldsets = ((None, {"fields": (("name", "code"), ("kind", "active"), ("threshold", "severity"), "play")}),)
    actions_detail = ("publish",)

    def create(self, *, at: datetime, **values: Any) -> TriggerRule:
        active = values.pop("active", True)
        return trigger_rules.create(at=at, active=active, **values)

    def change(self, instance: TriggerRule, *, at: datetime, **changes: Any) -> TriggerRule:
        return trigger_rules.change(rule=instance, at=at, **changes)

    @step(
        "Publish",
        explain=lambda rule: f"The newest version of “{rule}” counts from now on; what was noticed before stays.",
        done="The rule is published.",
        applies=lambda rule: trigger_rules.newest(rule).published_at is None,
        main=True,
    )
    def publish(self, rule: TriggerRule, *, at: datetime) -> None:
        trigger_rules.publish(rule=rule, at=at)

    def notes(self, request: HttpRequest, instance: TriggerRule) -> list[str]:
        newest = trigger_rules.newest(instance)
        if newest.published_at is None:
            return [f"Version {newest.number} is a draft: it notices nothing before it is published."]
        return [
            f"Version {newest.number} counts. Another threshold, severity or play makes version {newest.number + 1}."
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: TriggerRule | None = None) -> tuple[str, ...]:
        return () if obj is None else ("code", "kind")

    def get_prepopulated_fields(self, request: HttpRequest, obj: TriggerRule | None = None) -> dict[str, Any]:
        return self.prepopulated_fields if obj is None else {}

    def response_post_save_add(self, request: HttpRequest, obj: TriggerRule) -> HttpResponse:
        """What comes next is to publish it."""
        return redirect(page_of(TriggerRule, obj.pk))

    def response_post_save_change(self, request: HttpRequest, obj: TriggerRule) -> HttpResponse:
        return redirect(page_of(TriggerRule, obj.pk))

    # --- the terms of the newest version, for those who may only read ----------------------------------
    @display(description="Above how much of the limit, in percent")
    def threshold(self, rule: TriggerRule) -> str:
        return f"{plain(trigger_rules.newest(rule).threshold * 100)}"

    @display(description="Severity")
    def severity(self, rule: TriggerRule) -> str:
        return trigger_rules.newest(rule).severity

    @display(description="Suggested play")
    def play(self, rule: TriggerRule) -> str:
        return trigger_rules.newest(rule).play


@admin.register(Signal)
class SignalAdmin(ReadOnlyAdmin):
    list_display = ("rule", "account", "customer", "evidence", "motion", "outcome", "occurred_at")
    list_filter = (OnTestClock, "outcome", "motion", "rule_version__rule")
    list_select_related = ("rule_version__rule", "account", "customer")
    search_fields = ("account__name", "evidence")
    ordering = ("-occurred_at",)
    fieldsets = (
        (None, {"fields": (("rule", "outcome"), ("account", "customer"), "evidence", ("used", "limit"))}),
        ("Period", {"fields": (("period_start", "period_end"), ("motion", "occurred_at"))}),
        ("Record", {"fields": ("dedup_key", ("subscription_id", "meter_id"), "test_clock")}),
    )
    used = columns.number("value", "Used")
    limit = columns.number("limit_value", "Limit")

    @display(description="Rule", ordering="rule_version__rule__name")
    def rule(self, signal: Signal) -> str:
        return f"{signal.rule_version.rule} v{signal.rule_version.number}"
