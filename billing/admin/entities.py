"""The legal entities that sell."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold import widgets

from billing import documents, entities
from billing.admin import addresses
from billing.models import LegalEntity
from gtm.shared.admin_base import OperationAdmin
from gtm.shared.admin_fields import CountryField, LinesField, TimezoneField


class LegalEntityForm(addresses.AddressForm):
    ADDRESS = "address"
    country = CountryField(help_text="It decides which tax is charged.")
    timezone = TimezoneField(label="Time zone", initial="UTC", help_text="In which its documents are dated.")
    tax_ids = LinesField(label="Tax registrations", help_text="One on each line: DE136695976.")

    class Meta:
        model = LegalEntity
        exclude = ("address",)
        widgets = {"bank_details": widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3})}
        labels = {"email": "E-mail", "is_default": "Sells unless a customer has another entity"}


@admin.register(LegalEntity)
class LegalEntityAdmin(OperationAdmin):
    form = LegalEntityForm
    list_display = ("name", "country", "timezone", "is_default", "closed_through", "code")
    ordering = ("name",)
    fieldsets = (
        (None, {"fields": (("name", "code"), ("timezone", "email"), "is_default")}),
        ("Address", {"fields": addresses.ROWS}),
        (
            "On documents",
            {
                "fields": (
                    "tax_ids",
                    "registration_number",
                    ("iban", "bic"),
                    "bank_details",
                    ("invoice_prefix", "credit_note_prefix"),
                )
            },
        ),
        ("Books", {"fields": ("closed_through",)}),
    )

    def create(self, *, at: datetime, **values: Any) -> LegalEntity:
        return entities.create(at=at, **values)

    def change(self, instance: LegalEntity, *, at: datetime, **changes: Any) -> LegalEntity:
        return entities.change(entity=instance, at=at, **changes)

    def get_readonly_fields(self, request: HttpRequest, obj: LegalEntity | None = None) -> tuple[str, ...]:
        return () if obj is None else ("code",)

    def notes(self, request: HttpRequest, instance: LegalEntity) -> list[str]:
        kept = "Documents that were issued keep the address and the registrations they were issued with."
        gap = documents.why_no_e_invoices_of(instance)
        return [kept, *([f"Its invoices are printed without an e-invoice inside. {gap}"] if gap else [])]
