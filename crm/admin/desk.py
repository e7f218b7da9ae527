"""Accounts, leads and alerts to read; they are worked on at the desk, to which each links."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import redirect
from unfold.decorators import action, display

from crm import wording
from crm.models import (
    Account,
    AccountCustomer,
    AccountDomain,
    Alert,
    Lead,
    LeadTransition,
    MotionDecision,
    OwnerDecision,
)
from gtm.shared import admin_columns as columns
from gtm.shared import vendors
from gtm.shared.admin_actors import NamesActors
from gtm.shared.admin_base import ReadOnlyAdmin, ReadOnlyTable
from gtm.shared.admin_filters import OnTestClock


def said(decision: Any, currency: str) -> str:
    """Why it was decided so, in the words of the desk."""
    return " ".join(wording.sentences(decision.reasons, currency=currency))


class DomainRows(ReadOnlyTable):
    model = AccountDomain
    verbose_name_plural = "domains"
    fields = ("domain", "is_primary", "verified_at")
    tab = True


class CustomerRows(ReadOnlyTable):
    model = AccountCustomer
    related = ("customer",)
    fields = ("customer", "valid_from", "valid_to")
    verbose_name_plural = "customers"
    tab = True


class MotionRows(ReadOnlyTable):
    model = MotionDecision
    verbose_name_plural = "motion"
    related = ("policy",)
    ordering = ("-valid_from",)
    fields = ("segment", "motion", "engagement_policy", "policy", "why", "valid_from", "valid_to")
    tab = True
    per_page = 20

    @display(description="Because")
    def why(self, decision: MotionDecision) -> str:
        return said(decision, decision.policy.currency if decision.policy else "USD")


class OwnerRows(ReadOnlyTable):
    model = OwnerDecision
    verbose_name_plural = "owners"
    fk_name = "account"
    related = ("owner", "queue", "ruleset")
    ordering = ("-valid_from",)
    fields = ("owner", "queue", "ruleset", "why", "valid_from", "valid_to")
    tab = True
    per_page = 20

    def get_queryset(self, request: HttpRequest) -> QuerySet[OwnerDecision]:
        self.currency = vendors.current().base_currency
        return super().get_queryset(request)

    @display(description="Because")
    def why(self, decision: OwnerDecision) -> str:
        return said(decision, self.currency)


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    list_display = ("name", "segment", "motion", "owner", "queue", "employee_count", "country", "created_at")
    list_filter = (OnTestClock, "motion", "segment", "personal")
    list_select_related = ("owner", "queue")
    search_fields = ("name_key", "domains__domain", "external_id__exact")
    ordering = ("name_key",)
    inlines = (CustomerRows, DomainRows, MotionRows, OwnerRows)
    fieldsets = (
        (None, {"fields": (("name", "industry"), ("employee_count", "country"), ("needs", "target_list"))}),
        ("Sales", {"fields": (("segment", "motion"), ("owner", "queue"), ("engagement_policy", "first_source"))}),
        ("Record", {"fields": (("created_at", "updated_at"), ("external_id", "test_clock"))}),
    )
    actions_detail = ("open_at_desk",)

    @action(description="Open at the desk", permissions=["view"])
    def open_at_desk(self, request: HttpRequest, object_id: str) -> HttpResponseRedirect:
        return redirect("crm_account", Account.objects.get(pk=object_id).public_id)


class TransitionRows(NamesActors, ReadOnlyTable):
    model = LeadTransition
    ordering = ("at",)
    fields = ("from_lifecycle", "to_lifecycle", "who", "reason", "at")
    verbose_name_plural = "steps"


@admin.register(Lead)
class LeadAdmin(ReadOnlyAdmin):
    list_display = ("name", "company", "kind", "stage", "owner", "queue", "employee_count", "created_at")
    list_filter = (OnTestClock, "lifecycle", "kind", "source")
    list_select_related = ("owner", "queue")
    search_fields = ("name", "email", "company")
    ordering = ("-created_at",)
    inlines = (TransitionRows,)
    fieldsets = (
        (None, {"fields": (("name", "email"), ("company", "employee_count"), ("country", "needs"), "message")}),
        ("Sales", {"fields": (("kind", "stage"), ("account", "source"), ("owner", "queue"), "sla_due_at", "routing")}),
        ("Origin", {"fields": (("first_source", "first_touch_at"), ("credited_team", "form"), "answers", "consent")}),
        (
            "Acceptance",
            {
                "fields": (
                    ("answered_at", "accepted_at"),
                    "qualification",
                    ("rejected_reason", "rejection_note"),
                    ("revisit_at", "disqualified_at"),
                )
            },
        ),
        ("Record", {"fields": (("created_at", "updated_at"), ("external_id", "test_clock"))}),
    )
    actions_detail = ("open_at_desk",)
    stage = columns.status("lifecycle", "Stage")

    @action(description="Open at the desk", permissions=["view"])
    def open_at_desk(self, request: HttpRequest, object_id: str) -> HttpResponseRedirect:
        return redirect("crm_lead", Lead.objects.get(pk=object_id).public_id)


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    list_display = ("rule_name", "account", "evidence", "severity_word", "state_word", "owner", "queue", "raised_at")
    list_filter = (OnTestClock, "state", "severity", "rule_code")
    list_select_related = ("account", "owner", "queue")
    search_fields = ("account__name_key", "evidence")
    ordering = ("-raised_at",)
    fieldsets = (
        (None, {"fields": (("account", "customer"), "evidence", "play", ("stake", "severity_word"))}),
        ("Desk", {"fields": (("owner", "queue"), ("state_word", "snoozed_until"), ("feedback", "feedback_reason"))}),
        ("Rule", {"fields": (("rule_name", "rule_version"), ("raised_at", "closed_at"), "test_clock")}),
    )
    actions_detail = ("open_at_desk",)
    state_word = columns.status("state", "Status")
    severity_word = columns.status("severity", "Severity")
    stake = columns.money("value_at_stake", "At stake")

    @action(description="Open at the desk", permissions=["view"])
    def open_at_desk(self, request: HttpRequest, object_id: str) -> HttpResponseRedirect:
        return redirect("crm_account", Alert.objects.select_related("account").get(pk=object_id).account.public_id)
