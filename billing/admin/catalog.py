"""What plans are made of: features, the meters that count them, and the rates of tax."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from billing import catalog
from billing.models import Feature, Meter, TaxRate
from gtm.shared.admin_base import OperationAdmin, OperationForm
from gtm.shared.admin_fields import CountryField, plain

_IN_USE = "{} is in use, so what it means stays as it is: only names can change. Make a new one for something else."


@admin.register(Meter)
class MeterAdmin(OperationAdmin):
    list_display = ("name", "event_name", "aggregation", "property", "unit", "code")
    search_fields = ("name", "code", "event_name")
    ordering = ("name",)
    prepopulated_fields = {"code": ("name",)}
    fields = (("name", "code"), ("event_name", "unit"), ("aggregation", "property"), "filters")

    def create(self, *, at: datetime, **values: Any) -> Meter:
        return catalog.create_meter(at=at, **values)

    def change(self, instance: Meter, *, at: datetime, **changes: Any) -> Meter:
        return catalog.change_meter(meter=instance, at=at, **changes)

    def get_readonly_fields(self, request: HttpRequest, obj: Meter | None = None) -> tuple[str, ...]:
        if obj is None:
            return ()
        return ("code", "event_name", "aggregation", "property", "filters") if _is_used(obj) else ("code",)

    def get_prepopulated_fields(self, request: HttpRequest, obj: Meter | None = None) -> dict[str, Any]:
        return self.prepopulated_fields if obj is None else {}

    def notes(self, request: HttpRequest, instance: Meter) -> list[str]:
        return [_IN_USE.format(instance)] if _is_used(instance) else []


def _is_used(meter: Meter) -> bool:
    return meter.features.exists() or meter.prices.exists()


@admin.register(Feature)
class FeatureAdmin(OperationAdmin):
    list_display = ("name", "type", "meter", "code")
    list_filter = ("type",)
    list_select_related = ("meter",)
    search_fields = ("name", "code")
    ordering = ("name",)
    prepopulated_fields = {"code": ("name",)}
    fields = (("name", "code"), ("type", "meter"))

    def create(self, *, at: datetime, **values: Any) -> Feature:
        return catalog.create_feature(at=at, **values)

    def change(self, instance: Feature, *, at: datetime, **changes: Any) -> Feature:
        return catalog.change_feature(feature=instance, at=at, **changes)

    def get_readonly_fields(self, request: HttpRequest, obj: Feature | None = None) -> tuple[str, ...]:
        if obj is None:
            return ()
        return ("code", "type", "meter") if _is_granted(obj) else ("code",)

    def get_prepopulated_fields(self, request: HttpRequest, obj: Feature | None = None) -> dict[str, Any]:
        return self.prepopulated_fields if obj is None else {}

    def notes(self, request: HttpRequest, instance: Feature) -> list[str]:
        return [_IN_USE.format(instance)] if _is_granted(instance) else []


def _is_granted(feature: Feature) -> bool:
    return feature.entitlements.exists() or feature.grants.exists()


class TaxRateForm(OperationForm):
    country = CountryField()

    class Meta:
        model = TaxRate
        fields = "__all__"
        help_texts = {
            "percentage": "19 for 19 %.",
            "region": "Empty: the whole country.",
            "valid_to": "The first day on which it no longer counts.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if percentage := self.initial.get("percentage"):
            self.initial["percentage"] = plain(percentage)


@admin.register(TaxRate)
class TaxRateAdmin(OperationAdmin):
    form = TaxRateForm
    list_display = ("name", "percentage", "country", "region", "tax_class", "valid_from", "valid_to", "code")
    list_filter = ("country", "tax_class")
    search_fields = ("name", "code")
    ordering = ("country", "region", "tax_class", "-valid_from")
    fields = (("name", "code"), ("percentage", "tax_class"), ("country", "region"), ("valid_from", "valid_to"))

    def create(self, *, at: datetime, **values: Any) -> TaxRate:
        return catalog.create_tax_rate(at=at, **values)

    def change(self, instance: TaxRate, *, at: datetime, **changes: Any) -> TaxRate:
        return catalog.change_tax_rate(rate=instance, at=at, **changes)

    def get_readonly_fields(self, request: HttpRequest, obj: TaxRate | None = None) -> tuple[str, ...]:
        return () if obj is None else ("code", "percentage", "tax_class", "country", "region", "valid_from")

    def notes(self, request: HttpRequest, instance: TaxRate) -> list[str]:
        return ["A rate stays as it taxed. For another percentage, end this one and make the next from that day on."]
