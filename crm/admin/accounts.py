"""The founders' own fields, and the list of companies that they want."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from crm import custom_fields, target_list
from crm.models import CustomField, TargetDomain
from gtm.shared.admin_base import OperationAdmin, OperationForm
from gtm.shared.admin_fields import LinesField
from gtm.shared.errors import Invalid


class CustomFieldForm(OperationForm):
    choices = LinesField(label="Choices", help_text="Of a field that is one of a list: one a line.")


@admin.register(CustomField)
class CustomFieldAdmin(OperationAdmin):
    form = CustomFieldForm
    list_display = ("label", "entity", "kind", "is_required", "is_active", "position", "code")
    list_filter = ("entity", "is_active")
    search_fields = ("label", "code")
    ordering = ("entity", "position", "code")
    prepopulated_fields = {"code": ("label",)}
    fields = (("label", "code"), ("entity", "kind"), "choices", ("position",), ("is_required", "is_active"))

    def create(self, *, at: datetime, **values: Any) -> CustomField:
        return custom_fields.create(at=at, **values)

    def change(self, instance: CustomField, *, at: datetime, **changes: Any) -> CustomField:
        return custom_fields.change(field=instance, at=at, **changes)

    def get_readonly_fields(self, request: HttpRequest, obj: CustomField | None = None) -> tuple[str, ...]:
        return () if obj is None else ("code", "entity", "kind")

    def get_prepopulated_fields(self, request: HttpRequest, obj: CustomField | None = None) -> dict[str, Any]:
        return self.prepopulated_fields if obj is None else {}

    def notes(self, request: HttpRequest, instance: CustomField) -> list[str]:
        return ["Values that were given stay when a field is taken out of use, and are shown again when it is back."]


class TargetForm(OperationForm):
    domains = LinesField(
        required=True,
        rows=12,
        label="Domains",
        help_text="One a line; URLs will do. Accounts that have one are marked at once, others when they come.",
    )

    class Meta:
        model = TargetDomain
        fields: tuple[str, ...] = ()

    def values(self) -> dict[str, Any]:
        return {"domains": self.cleaned_data["domains"]}


@admin.register(TargetDomain)
class TargetDomainAdmin(OperationAdmin):
    form = TargetForm
    list_display = ("domain", "added_at")
    search_fields = ("domain",)
    ordering = ("domain",)

    def create(self, *, at: datetime, **values: Any) -> TargetDomain:
        done = target_list.upload(lines=values["domains"], at=at)
        if done.refused:
            raise Invalid(f"No company's domain: {', '.join(done.refused[:10])}.", attr="domains")
        return TargetDomain.objects.filter(added_at=at).order_by("-pk").first() or TargetDomain.objects.all()[0]

    def remove(self, instance: TargetDomain, *, at: datetime) -> None:
        target_list.remove(targets=[instance], at=at)

    def get_fields(self, request: HttpRequest, obj: TargetDomain | None = None) -> tuple[str, ...]:
        return ("domains",) if obj is None else ("domain", "added_at")

    def get_readonly_fields(self, request: HttpRequest, obj: TargetDomain | None = None) -> tuple[str, ...]:
        return () if obj is None else ("domain", "added_at")
