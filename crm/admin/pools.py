"""Pools of reps who take turns, and who is on leave."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from crm import leaves, pools
from crm.admin.teams import kept, staff
from crm.models import Leave, Pool, PoolMember
from crm.pools import TurnTerms
from gtm.shared import db
from gtm.shared.admin_base import OperationAdmin, OperationTable, digest
from gtm.shared.models import SALES_ROLES, User


def sellers() -> QuerySet[User]:
    return staff().filter(roles__overlap=list(SALES_ROLES))


class TurnRows(OperationTable):
    model = PoolMember
    verbose_name = "member"
    verbose_name_plural = "members, in the order of their turns"
    hide_title = True
    fields = ("position", "user", "weight", "capacity")
    ordering = ("position", "user")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "user":
            kwargs["queryset"] = sellers()
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


@admin.register(Pool)
class PoolAdmin(OperationAdmin):
    list_display = ("name", "size", "last_assigned_user", "code")
    list_select_related = ("last_assigned_user",)
    search_fields = ("name", "code")
    ordering = ("name",)
    prepopulated_fields = {"code": ("name",)}
    inlines = (TurnRows,)

    def create(self, *, at: datetime, **values: Any) -> Pool:
        return pools.create_pool(at=at, **values)

    def change(self, instance: Pool, *, at: datetime, **changes: Any) -> Pool:
        return pools.change_pool(pool=instance, at=at, **changes)

    def save_rows(self, request: HttpRequest, instance: Pool, formset: Any) -> None:
        names = ("user", "position", "weight", "capacity")
        members = [TurnTerms(**{name: entered[name] for name in names}) for entered in kept(formset)]
        pools.change_pool(pool=instance, at=db.now(), members=members)

    def state_of(self, instance: Pool) -> str:
        members = instance.members.order_by("pk").values_list("user", "position", "weight", "capacity")
        return digest([instance.name, *members])

    def get_fields(self, request: HttpRequest, obj: Pool | None = None) -> Any:
        return (("name", "code"),) if obj is None else (("name", "code"), "last_assigned_user")

    def get_readonly_fields(self, request: HttpRequest, obj: Pool | None = None) -> tuple[str, ...]:
        return () if obj is None else ("code", "last_assigned_user")

    def get_prepopulated_fields(self, request: HttpRequest, obj: Pool | None = None) -> dict[str, Any]:
        return self.prepopulated_fields if obj is None else {}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Pool]:
        found: QuerySet[Pool] = super().get_queryset(request)
        return found.annotate(size=Count("members"))

    @display(description="Members", ordering="size")
    def size(self, pool: Any) -> int:
        return int(pool.size)


@admin.register(Leave)
class LeaveAdmin(OperationAdmin):
    list_display = ("user", "starts_at", "ends_at", "cover")
    list_select_related = ("user", "cover")
    search_fields = ("user__email", "user__name")
    ordering = ("-starts_at",)
    fields = (("user", "cover"), ("starts_at", "ends_at"))

    def create(self, *, at: datetime, **values: Any) -> Leave:
        return leaves.create(at=at, **values)

    def change(self, instance: Leave, *, at: datetime, **changes: Any) -> Leave:
        return leaves.change(leave=instance, at=at, **changes)

    def remove(self, instance: Leave, *, at: datetime) -> None:
        leaves.remove(leave=instance, at=at)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_foreignkey(db_field, request, queryset=sellers(), **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Leave | None = None) -> tuple[str, ...]:
        return () if obj is None else ("user",)
