"""Who signs in, and the keys by which programs do."""

from datetime import datetime
from typing import Any

from allauth.mfa.models import Authenticator
from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold import widgets
from unfold.decorators import display

from gtm.shared import keys, users
from gtm.shared.admin_base import OperationAdmin, OperationForm, digest
from gtm.shared.admin_fields import LocaleField, TimezoneField
from gtm.shared.admin_steps import step
from gtm.shared.models import ApiKey, Role, User
from gtm.shared.templatetags import tandem


class UserForm(OperationForm):
    roles = forms.MultipleChoiceField(
        choices=Role.choices, required=False, widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget()
    )
    timezone = TimezoneField(label="Time zone", initial="UTC")
    locale = LocaleField(label="Language", initial="en")

    class Meta:
        model = User
        fields = ("email", "name", "roles", "timezone", "locale", "is_active")
        labels = {"email": "E-mail", "is_active": "May sign in"}


class Kind(admin.SimpleListFilter):
    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("staff", "Staff"), ("customers", "Of customers"), ("inactive", "May not sign in"), *Role.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        match self.value():
            case None:
                return queryset
            case "staff":
                return queryset.exclude(roles=[])
            case "customers":
                return queryset.filter(roles=[])
            case "inactive":
                return queryset.filter(is_active=False)
            case role:
                return queryset.filter(roles__contains=[role])


@admin.register(User)
class UserAdmin(OperationAdmin):
    form = UserForm
    list_display = ("email", "name", "role_names", "state", "last_login")
    list_filter = (Kind,)
    search_fields = ("email", "name")
    ordering = ("email",)
    fieldsets = ((None, {"fields": (("email", "name"), "roles", ("timezone", "locale"), "is_active")}),)
    add_fieldsets = (
        (
            None,
            {
                "fields": (("email", "name"), "roles", ("timezone", "locale")),
                "description": "Your colleague gets a mail with a link to choose a password.",
            },
        ),
    )
    actions_detail = ("invite", "reset_second_step")

    def create(self, *, at: datetime, **values: Any) -> User:
        return users.create_staff(at=at, **values)

    def change(self, instance: User, *, at: datetime, **changes: Any) -> User:
        return users.change(user=instance, at=at, **changes)

    @step(
        "Mail a sign-in link",
        explain=lambda user: f"{user.email} gets a link to choose a new password. It works once, for three days.",
        done=lambda user: f"A link is on its way to {user.email}.",
        applies=lambda user: user.is_active,
    )
    def invite(self, user: User, *, at: datetime) -> None:
        users.invite(user=user, at=at)

    @step(
        "Reset the second step",
        explain=lambda user: (
            f"{user.email} has lost telephone and recovery codes: be sure that it is they who ask. Their authenticator "
            "app, passkeys and codes are removed and their sessions end; the password stays."
        ),
        done=lambda user: f"{user.email} signs in with the password alone until a new second step is set up.",
        applies=lambda user: Authenticator.objects.filter(user_id=user.pk).exists(),
        danger=True,
    )
    def reset_second_step(self, user: User, *, at: datetime) -> None:
        users.reset_second_step(user=user, at=at)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        return () if obj is None else ("email",)

    def state_of(self, instance: User) -> str:
        return digest([getattr(instance, name) for name in sorted(users.CHANGEABLE)])

    @display(description="Roles")
    def role_names(self, user: User) -> str:
        return ", ".join(str(Role(role).label) for role in user.roles) or "Customer"

    @display(description="Status", ordering="is_active")
    def state(self, user: User) -> str:
        return tandem.status_badge(
            "active" if user.is_active else "paused", "" if user.is_active else "May not sign in"
        )


class ApiKeyForm(OperationForm):
    class Meta:
        model = ApiKey
        fields = ("name", "scope", "user")
        labels = {"user": "For"}
        help_texts = {
            "name": "Where it is used: production, the test system.",
            "user": "Empty: the installation's own key, which sees everything within its scope.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "user" in self.fields:
            self.fields["user"].queryset = User.objects.exclude(roles=[]).filter(is_active=True)  # type: ignore[attr-defined]


@admin.register(ApiKey)
class ApiKeyAdmin(OperationAdmin):
    form = ApiKeyForm
    list_display = ("name", "beginning", "scope", "user", "state", "last_used_at", "created_at")
    list_filter = ("scope",)
    list_select_related = ("user",)
    search_fields = ("name", "hint")
    ordering = ("-created_at",)
    fields = ("name", "scope", "user")
    actions_detail = ("revoke",)

    def create(self, *, at: datetime, **values: Any) -> ApiKey:
        key, plaintext = keys.issue(**values)
        vars(key)["plaintext"] = plaintext  # for the one page that shows it
        return key

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        """The one time that the key can be read: in this answer, and kept nowhere."""
        context = self.admin_site.each_context(request) | {
            "title": obj.name,
            "opts": self.opts,
            "original": obj,
            "plaintext": obj.plaintext,
        }
        return TemplateResponse(request, "admin/api_key.html", context, headers={"Cache-Control": "no-store"})

    @step(
        "Revoke",
        explain=lambda key: f"Programs that use {key} are refused from now on. This can't be undone.",
        done=lambda key: f"{key} is revoked.",
        applies=lambda key: key.revoked_at is None,
        danger=True,
    )
    def revoke(self, key: ApiKey, *, at: datetime) -> None:
        keys.revoke(key=key, at=at)

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        told = ("beginning", "state", "last_used_at", "created_at", "revoked_at")
        return ("name", "scope", "user") if obj is None else ("name", "scope", "user", *told)

    @display(description="Begins with")
    def beginning(self, key: ApiKey) -> str:
        return f"{key.hint}…"

    @display(description="Status", ordering="revoked_at")
    def state(self, key: ApiKey) -> str:
        return tandem.status_badge("active") if key.revoked_at is None else tandem.status_badge("canceled", "Revoked")
