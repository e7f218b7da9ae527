"""Templates of mail, kept by founders; and the mail that came and went, to read."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.decorators import display

from crm import mail_merge, mail_templates
from crm.models import EmailMessage, MailTemplate
from gtm.shared import admin_columns as columns
from gtm.shared.admin_base import OperationAdmin, ReadOnlyAdmin
from gtm.shared.admin_filters import OnTestClock


@admin.register(MailTemplate)
class MailTemplateAdmin(OperationAdmin):
    list_display = ("name", "subject", "team", "active", "code")
    list_filter = ("active", "team")
    list_select_related = ("team",)
    search_fields = ("name", "code", "subject")
    ordering = ("name",)
    prepopulated_fields = {"code": ("name",)}
    fields = (("name", "code"), ("team", "active"), "subject", "body", "blanks", "preview")
    readonly_fields = ("blanks", "preview")

    def create(self, *, at: datetime, **values: Any) -> MailTemplate:
        return mail_templates.create(at=at, **values)

    def change(self, instance: MailTemplate, *, at: datetime, **changes: Any) -> MailTemplate:
        return mail_templates.change(template=instance, at=at, **changes)

    def get_readonly_fields(self, request: HttpRequest, obj: MailTemplate | None = None) -> tuple[str, ...]:
        return self.readonly_fields if obj is None else (*self.readonly_fields, "code")

    def get_prepopulated_fields(self, request: HttpRequest, obj: MailTemplate | None = None) -> dict[str, Any]:
        return self.prepopulated_fields if obj is None else {}

    @display(description="Blanks")
    def blanks(self, _template: MailTemplate | None = None) -> str:
        return " · ".join(f"{{{{ {name} }}}} {words.lower()}" for name, words in mail_merge.BLANKS.items())

    @display(description="As it arrives")
    def preview(self, template: MailTemplate) -> str:
        return "\n\n".join(mail_templates.preview(template)) if template.body else "–"


@admin.register(EmailMessage)
class EmailMessageAdmin(ReadOnlyAdmin):
    list_display = ("subject", "account", "way", "sender", "user", "sent_at")
    list_filter = (OnTestClock, "direction", "user")
    list_select_related = ("account", "user")
    search_fields = ("subject", "sender", "message_id__exact")
    ordering = ("-sent_at",)
    fieldsets = (
        (None, {"fields": (("subject", "way"), ("account", "contact"), ("sender", "user"), "recipients", "text")}),
        ("Record", {"fields": (("sent_at", "received_at"), ("answered_at", "closing_reason"), "message_id")}),
    )
    way = columns.status("direction", "Direction")
