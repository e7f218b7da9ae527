"""Forms by which leads come in, what is asked before one is accepted, why one is rejected, and what looks like spam."""

from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.widgets import UnfoldAdminURLInputWidget

from crm import held_leads, lead_forms, lead_terms, spam
from crm.admin.teams import kept
from crm.lead_forms import FieldTerms
from crm.models import AcceptanceTerms, HeldLead, LeadForm, LeadFormField, RejectReason
from gtm.shared import admin_columns as columns
from gtm.shared import db
from gtm.shared.admin_base import OperationAdmin, OperationForm, OperationTable, ReadOnlyAdmin, digest
from gtm.shared.admin_fields import LinesField
from gtm.shared.admin_steps import step


class LeadFormForm(OperationForm):
    allowed_hosts = LinesField(label="Allowed hosts", help_text="One a line, such as www.example.com or *.example.com.")
    thanks_url = forms.URLField(
        required=False,
        assume_scheme="https",
        widget=UnfoldAdminURLInputWidget(),
        help_text="Where a form of your own page leads after it was sent, on one of the allowed hosts.",
    )


class FieldForm(OperationForm):
    code = forms.SlugField(required=False, max_length=60)
    choices = LinesField(label="Answers to choose from")


class FieldRows(OperationTable):
    model = LeadFormField
    form = FieldForm
    verbose_name = "field"
    verbose_name_plural = "fields, after name and address, in their order"
    hide_title = True
    fields = ("position", "kind", "code", "label", "choices", "required")
    ordering = ("position",)


@admin.register(LeadForm)
class LeadFormAdmin(OperationAdmin):
    form = LeadFormForm
    list_display = ("title", "kind", "active", "code", "brought")
    list_filter = ("kind", "active")
    search_fields = ("title", "code")
    ordering = ("title",)
    prepopulated_fields = {"code": ("title",)}
    inlines = (FieldRows,)

    def create(self, *, at: datetime, **values: Any) -> LeadForm:
        return lead_forms.create(at=at, **values)

    def change(self, instance: LeadForm, *, at: datetime, **changes: Any) -> LeadForm:
        return lead_forms.change(form=instance, at=at, **changes)

    def remove(self, instance: LeadForm, *, at: datetime) -> None:
        lead_forms.remove(form=instance, at=at)

    def save_rows(self, request: HttpRequest, instance: LeadForm, formset: Any) -> None:
        rows = sorted(kept(formset), key=lambda row: row["position"])
        names = ("kind", "code", "label", "required")
        fields = [FieldTerms(**{name: row[name] for name in names}, choices=tuple(row["choices"])) for row in rows]
        lead_forms.change(form=instance, at=db.now(), fields=fields)

    def state_of(self, instance: LeadForm) -> str:
        said = [getattr(instance, field.attname) for field in instance._meta.concrete_fields]
        return digest([*said, *lead_forms.terms(instance)])

    def get_fieldsets(self, request: HttpRequest, obj: LeadForm | None = None) -> Any:
        said = (("title", "code"), ("kind", "active"), "intro", ("button", "source"), "consent_text")
        after = ("thank_you_text", "thanks_url")
        shown = ("allowed_hosts",) if obj is None else ("allowed_hosts", "address", "frame", "plain")
        return ((None, {"fields": said}), ("Afterwards", {"fields": after}), ("On your own pages", {"fields": shown}))

    def get_readonly_fields(self, request: HttpRequest, obj: LeadForm | None = None) -> tuple[str, ...]:
        return () if obj is None else ("code", "address", "frame", "plain")

    def get_prepopulated_fields(self, request: HttpRequest, obj: LeadForm | None = None) -> dict[str, Any]:
        return self.prepopulated_fields if obj is None else {}

    def get_queryset(self, request: HttpRequest) -> QuerySet[LeadForm]:
        found: QuerySet[LeadForm] = super().get_queryset(request)
        return found.annotate(lead_count=Count("leads"))

    @display(description="Leads", ordering="lead_count")
    def brought(self, form: Any) -> int:
        return int(form.lead_count)

    @display(description="Its own page")
    def address(self, form: LeadForm) -> SafeString:
        return _link(_url(form))

    @display(description="To show it in a page")
    def frame(self, form: LeadForm) -> SafeString:
        script = f"{settings.BASE_URL}{settings.STATIC_URL}gtm/js/embed.js"
        text = (
            f'<iframe src="{_url(form)}" title="{form.title}" data-tandem-form '
            f'style="width: 100%; height: 40rem; border: 0"></iframe>\n<script src="{script}" async></script>'
        )
        return format_html("<pre>{}</pre>", text)

    @display(description="To send it a form of your own")
    def plain(self, form: LeadForm) -> SafeString:
        fields = "\n".join(f'  <input name="{field.code}">' for field in lead_forms.terms(form))
        text = (
            f'<form method="post" action="{_url(form)}">\n  <input name="name">\n  <input name="email" type="email">\n'
            f"{fields}\n  <button>Send</button>\n</form>"
        )
        return format_html("<pre>{}</pre>", text)


def _url(form: LeadForm) -> str:
    return settings.BASE_URL + reverse("lead_form", args=[form.code])


def _link(url: str) -> SafeString:
    return format_html('<a href="{}">{}</a>', url, url)


@admin.register(RejectReason)
class RejectReasonAdmin(OperationAdmin):
    list_display = ("label", "returns_to", "nurture_days", "position", "active", "code")
    search_fields = ("label", "code")
    ordering = ("position", "label")
    prepopulated_fields = {"code": ("label",)}
    fields = (("label", "code"), ("returns_to", "nurture_days"), ("position", "active"))

    def create(self, *, at: datetime, **values: Any) -> RejectReason:
        return lead_terms.create_reason(at=at, **values)

    def change(self, instance: RejectReason, *, at: datetime, **changes: Any) -> RejectReason:
        return lead_terms.change_reason(reason=instance, at=at, **changes)

    def remove(self, instance: RejectReason, *, at: datetime) -> None:
        lead_terms.remove_reason(reason=instance, at=at)

    def get_readonly_fields(self, request: HttpRequest, obj: RejectReason | None = None) -> tuple[str, ...]:
        return () if obj is None else ("code",)

    def get_prepopulated_fields(self, request: HttpRequest, obj: RejectReason | None = None) -> dict[str, Any]:
        return self.prepopulated_fields if obj is None else {}


@admin.register(AcceptanceTerms)
class AcceptanceTermsAdmin(OperationAdmin):
    list_display = ("__str__", "within_months", "needs_pain", "needs_power", "trial_plan")
    list_select_related = ("trial_plan",)
    ordering = ("segment",)
    fields = ("segment", "within_months", ("needs_pain", "needs_power"), "trial_plan")

    def create(self, *, at: datetime, **values: Any) -> AcceptanceTerms:
        return lead_terms.create_terms(at=at, **values)

    def change(self, instance: AcceptanceTerms, *, at: datetime, **changes: Any) -> AcceptanceTerms:
        return lead_terms.change_terms(terms=instance, at=at, **changes)

    def remove(self, instance: AcceptanceTerms, *, at: datetime) -> None:
        lead_terms.remove_terms(terms=instance, at=at)


def is_held(held: HeldLead) -> bool:
    return held.state == HeldLead.State.HELD


@admin.register(HeldLead)
class HeldLeadAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "why", "state_word", "form", "received_at")
    list_filter = ("state", "form")
    list_select_related = ("form",)
    ordering = ("-received_at",)
    fields = (("state_word", "received_at"), "why", "message", "form", "lead")
    actions_detail = ("release", "discard")
    state_word = columns.status("state", "Status")

    @display(description="Looks like spam, because")
    def why(self, held: HeldLead) -> str:
        return "; ".join(spam.LABELS.get(code, code) for code in held.because)

    @display(description="What was sent")
    def message(self, held: HeldLead) -> SafeString:
        lines = "\n".join(f"{name}: {value}" for name, value in held.said.items() if value)
        return format_html("<pre>{}</pre>", lines)

    @step(
        "It is a lead",
        explain="It becomes a lead and is routed. The time to answer starts now.",
        done="It is a lead now.",
        applies=is_held,
        main=True,
    )
    def release(self, held: HeldLead, *, at: datetime) -> None:
        held_leads.release(held=held, at=at)

    @step(
        "It is spam",
        explain="It stays here, among what was discarded.",
        done="Discarded.",
        applies=is_held,
        danger=True,
    )
    def discard(self, held: HeldLead, *, at: datetime) -> None:
        held_leads.discard(held=held, at=at)
