"""How far each role sees and works."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from crm import scopes
from crm.models import RoleScope
from crm.models.scoping import DEFAULTS, Level
from gtm.shared.admin_base import OperationAdmin
from gtm.shared.models import Role


def _defaults() -> str:
    lines = (
        f"{Role(role).label}: sees {Level(reads).label.lower()}, works {Level(writes).label.lower()}"
        for role, (reads, writes) in DEFAULTS.items()
    )
    return "Roles that are not named here keep what they are installed with. " + "; ".join(lines) + "."


@admin.register(RoleScope)
class RoleScopeAdmin(OperationAdmin):
    list_display = ("role", "reads", "writes")
    ordering = ("role",)
    fieldsets = ((None, {"fields": ("role", ("reads", "writes")), "description": _defaults()}),)

    def create(self, *, at: datetime, **values: Any) -> RoleScope:
        return scopes.create(at=at, **values)

    def change(self, instance: RoleScope, *, at: datetime, **changes: Any) -> RoleScope:
        return scopes.change(scope=instance, at=at, **changes)

    def remove(self, instance: RoleScope, *, at: datetime) -> None:
        scopes.remove(scope=instance, at=at)

    def get_readonly_fields(self, request: HttpRequest, obj: RoleScope | None = None) -> tuple[str, ...]:
        return () if obj is None else ("role",)
