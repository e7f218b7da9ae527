"""Teams with their members, and the queues they watch."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from crm import teams
from crm.models import Queue, Team, TeamMembership
from crm.teams import MemberTerms
from gtm.shared import db
from gtm.shared.admin_base import OperationAdmin, OperationTable
from gtm.shared.models import User


def staff() -> QuerySet[User]:
    return User.objects.exclude(roles=[]).filter(is_active=True).order_by("email")


class MemberRows(OperationTable):
    model = TeamMembership
    verbose_name = "member"
    verbose_name_plural = "members"
    hide_title = True
    fields = ("user", "is_manager")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "user":
            kwargs["queryset"] = staff()
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


@admin.register(Team)
class TeamAdmin(OperationAdmin):
    list_display = ("name", "parent", "size", "code")
    list_select_related = ("parent",)
    search_fields = ("name", "code")
    ordering = ("name",)
    prepopulated_fields = {"code": ("name",)}
    fields = (("name", "code"), "parent")
    inlines = (MemberRows,)

    def create(self, *, at: datetime, **values: Any) -> Team:
        return teams.create_team(at=at, **values)

    def change(self, instance: Team, *, at: datetime, **changes: Any) -> Team:
        return teams.change_team(team=instance, at=at, **changes)

    def save_rows(self, request: HttpRequest, instance: Team, formset: Any) -> None:
        members = [MemberTerms(form["user"], form["is_manager"]) for form in kept(formset)]
        teams.change_team(team=instance, at=db.now_for(instance), members=members)

    def get_readonly_fields(self, request: HttpRequest, obj: Team | None = None) -> tuple[str, ...]:
        return () if obj is None else ("code",)

    def get_prepopulated_fields(self, request: HttpRequest, obj: Team | None = None) -> dict[str, Any]:
        return self.prepopulated_fields if obj is None else {}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        found: QuerySet[Team] = super().get_queryset(request)
        return found.annotate(size=Count("memberships"))

    @display(description="Members", ordering="size")
    def size(self, team: Any) -> int:
        return int(team.size)


def kept(formset: Any) -> list[dict[str, Any]]:
    """What the rows of an inline say that are to stay or to be added."""
    rows = [form for form in formset.forms if form not in formset.deleted_forms]
    return [form.cleaned_data for form in rows if form.cleaned_data]


@admin.register(Queue)
class QueueAdmin(OperationAdmin):
    list_display = ("name", "team", "is_catch_all", "code")
    list_select_related = ("team",)
    search_fields = ("name", "code")
    ordering = ("name",)
    prepopulated_fields = {"code": ("name",)}
    fields = (("name", "code"), "team", "is_catch_all")

    def create(self, *, at: datetime, **values: Any) -> Queue:
        return teams.create_queue(at=at, **values)

    def change(self, instance: Queue, *, at: datetime, **changes: Any) -> Queue:
        return teams.change_queue(queue=instance, at=at, **changes)

    def get_readonly_fields(self, request: HttpRequest, obj: Queue | None = None) -> tuple[str, ...]:
        return () if obj is None else ("code",)

    def get_prepopulated_fields(self, request: HttpRequest, obj: Queue | None = None) -> dict[str, Any]:
        return self.prepopulated_fields if obj is None else {}

    def notes(self, request: HttpRequest, instance: Queue) -> list[str]:
        if not instance.is_catch_all:
            return []
        return ["This is the catch-all: what no rule takes waits here. To change that, make another queue it."]
