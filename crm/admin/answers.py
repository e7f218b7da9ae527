"""By when somebody answers: the terms, the hours of teams, and their holidays."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from crm import calendars, sla
from crm.admin.teams import kept
from crm.calendars import DayTerms
from crm.models import Alert, Holiday, HolidayCalendar, SlaPolicy, WorkingHours
from gtm.shared import db
from gtm.shared.admin_base import OperationAdmin, OperationForm, OperationTable, digest
from gtm.shared.admin_fields import LinesField

COUNTS = (
    "What you save counts for what comes in from now on; clocks that run keep their terms. Minutes are working ones. "
    "A lead that nobody answers goes to another rep, and after that to the queue; a customer's account never does."
)


class SlaPolicyForm(OperationForm):
    alert_minutes = LinesField(rows=4, help_text="One on each line: critical, 60. A severity left out has no clock.")

    class Meta:
        model = SlaPolicy
        fields = (
            *("name", "lead_minutes", "target_minutes", "alert_minutes"),
            *("remind_percent", "reroute_minutes", "max_reroutes"),
        )

    def clean_alert_minutes(self) -> dict[str, int]:
        try:
            pairs = [line.split(",") for line in self.cleaned_data["alert_minutes"]]
            return {name.strip(): int(minutes) for name, minutes in pairs}
        except ValueError as error:
            raise forms.ValidationError(f"Give {', '.join(Alert.Severity.values)} with minutes: high, 240.") from error


@admin.register(SlaPolicy)
class SlaPolicyAdmin(OperationAdmin):
    form = SlaPolicyForm
    list_display = ("name", "number", "lead_minutes", "target_minutes", "published_at")
    ordering = ("-number",)

    def create(self, *, at: datetime, **values: Any) -> SlaPolicy:
        return sla.publish(at=at, **values)

    def get_fieldsets(self, request: HttpRequest, obj: SlaPolicy | None = None) -> Any:
        told = (("name", "number"), "published_at") if obj else ("name",)
        terms = (("lead_minutes", "target_minutes"), "alert_minutes", "remind_percent")
        fields = (*told, *terms, ("reroute_minutes", "max_reroutes"))
        return ((None, {"fields": fields, "description": "" if obj else COUNTS}),)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        newest = sla.current_policy(at=db.now())
        names = [name for name in SlaPolicyForm.Meta.fields if name != "alert_minutes"]
        alerts = [f"{name}, {minutes}" for name, minutes in newest.alert_minutes.items()]
        return {name: getattr(newest, name) for name in names} | {"alert_minutes": alerts}


class HolidayRows(OperationTable):
    model = Holiday
    verbose_name = "day"
    verbose_name_plural = "days of one's own"
    hide_title = True
    fields = ("on", "name", "is_working")
    ordering = ("on",)


@admin.register(HolidayCalendar)
class HolidayCalendarAdmin(OperationAdmin):
    list_display = ("name", "country", "subdivision", "code")
    search_fields = ("name", "code")
    ordering = ("name",)
    fields = (("name", "code"), ("country", "subdivision"))
    prepopulated_fields = {"code": ("name",)}
    inlines = (HolidayRows,)

    def create(self, *, at: datetime, **values: Any) -> Any:
        return calendars.create_calendar(at=at, **values)

    def change(self, instance: HolidayCalendar, *, at: datetime, **changes: Any) -> HolidayCalendar:
        return calendars.change_calendar(calendar=instance, at=at, **changes)

    def save_rows(self, request: HttpRequest, instance: HolidayCalendar, formset: Any) -> None:
        days = [DayTerms(row["on"], row["name"], row["is_working"]) for row in kept(formset)]
        calendars.change_calendar(calendar=instance, at=db.now(), days=days)

    def state_of(self, instance: HolidayCalendar) -> str:
        days = instance.days.order_by("on").values_list("on", "name", "is_working")
        return digest([instance.name, instance.country, instance.subdivision, *days])

    def get_readonly_fields(self, request: HttpRequest, obj: HolidayCalendar | None = None) -> tuple[str, ...]:
        return () if obj is None else ("code",)

    def get_prepopulated_fields(self, request: HttpRequest, obj: HolidayCalendar | None = None) -> dict[str, Any]:
        return self.prepopulated_fields if obj is None else {}


@admin.register(WorkingHours)
class WorkingHoursAdmin(OperationAdmin):
    list_display = ("__str__", "zone", "opens", "closes", "calendar")
    list_select_related = ("team", "calendar")
    ordering = ("pk",)
    fields = ("team", "zone", ("opens", "closes"), "weekdays", "calendar")

    def create(self, *, at: datetime, **values: Any) -> WorkingHours:
        return calendars.create_hours(at=at, **values)

    def change(self, instance: WorkingHours, *, at: datetime, **changes: Any) -> WorkingHours:
        return calendars.change_hours(hours=instance, at=at, **changes)

    def remove(self, instance: WorkingHours, *, at: datetime) -> None:
        calendars.remove_hours(hours=instance, at=at)

    def get_readonly_fields(self, request: HttpRequest, obj: WorkingHours | None = None) -> tuple[str, ...]:
        return () if obj is None else ("team",)
